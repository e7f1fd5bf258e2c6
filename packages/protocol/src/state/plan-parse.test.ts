import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../core/testing/code-of.ts'
import { assertPlan, encodePlan, type PlanValue } from './plan.ts'
import { MAX_PLAN_TEXT, parsePlan } from './plan-parse.ts'

/** Calls as one line each, for reading. */
const brief = (text: string): string[] =>
  parsePlan(text).calls.map(({ name, args, result }) => {
    const list = args.map(
      (arg) => `${arg.name === undefined ? '' : `${arg.name}=`}${JSON.stringify(arg.value)}`,
    )
    return `${result === undefined ? '' : `${result} = `}${name}(${list.join(', ')})`
  })

const TRANSFER = [
  'verify_conditions("wallet", "conditions")',
  'execute_transaction("signed_tx")',
  'log_transaction("tx_details")',
]

describe('numbered calls', () => {
  it.each([
    [
      'on one line',
      '1. verify_conditions(wallet, conditions) 2. execute_transaction(signed_tx) 3. log_transaction(tx_details)',
    ],
    [
      'on lines',
      '1. verify_conditions(wallet, conditions)\n2. execute_transaction(signed_tx)\n3. log_transaction(tx_details)',
    ],
    [
      'with other signs',
      '1) verify_conditions(wallet, conditions)\n(2) execute_transaction(signed_tx)\n#3: log_transaction(tx_details)',
    ],
    [
      'with steps',
      'Step 1: verify_conditions(wallet, conditions)\nStep 2: execute_transaction(signed_tx)\nStep 3: log_transaction(tx_details)',
    ],
    [
      'in bold and backticks',
      '**1.** `verify_conditions(wallet, conditions)`\n**2.** **execute_transaction(signed_tx)**\n3. `log_transaction(tx_details)`.',
    ],
    [
      'with quotes',
      '1. verify_conditions("wallet", \'conditions\')\n2. execute_transaction(`signed_tx`)\n3. log_transaction(“tx_details”)',
    ],
    [
      'over several lines',
      '1. verify_conditions(\n     wallet,\n     conditions,\n   )\n2. execute_transaction( signed_tx )\n3.\n   log_transaction(tx_details)',
    ],
    [
      'among prose',
      'I need 2 checks (see section 1.2) first.\n\n1. verify_conditions(wallet, conditions) - makes sure that the condition(s) hold.\n2. execute_transaction(signed_tx): sends it, at most 3. times\n3. log_transaction(tx_details)\n\nReasoning: 1. verify_conditions(wallet, conditions) comes first since it may fail.',
    ],
    [
      'after prose',
      '1. **Check**: first, the condition(s) with `verify_conditions(wallet, conditions)`.\n2. Then call execute_transaction(signed_tx) to send.\n3. Finally, `log_transaction(tx_details)`',
    ],
    [
      'in a fence',
      'Plan:\n```python\nverify_conditions(wallet, conditions)\nexecute_transaction(signed_tx)  # send\nlog_transaction(tx_details);\n```\nDone.',
    ],
    [
      'with bullets',
      '- verify_conditions(wallet, conditions)\n- `execute_transaction(signed_tx)`\n* log_transaction(tx_details)',
    ],
  ])('are read %s', (_, text) => {
    expect(brief(text)).toEqual(TRANSFER)
    expect(brief(text.replaceAll('\n', '\r\n'))).toEqual(TRANSFER)
  })

  it.each([
    ['1. f()', ['f()']],
    ['1. a.b.c(x) 2. d-e(y)', ['a.b.c("x")', 'd-e("y")']],
    ['1. x = f(1) 2. g(x)', ['x = f(1)', 'g("x")']],
    ['const y = await f(1)', ['y = f(1)']],
    ['1. f(a, 1, -2.50, 1e3, true, False, None, null)', ['f("a", 1, -2.5, 1000, true, false, null, null)']],
    ['1. f("true", "1", "null")', ['f("true", "1", "null")']],
    ['1. f(0x1F, 007, 1_000, 5%, $5, +1)', ['f("0x1F", "007", "1_000", "5%", "$5", "+1")']],
    ['1. f(b=1, a=2)', ['f(a=2, b=1)']],
    ['1. f(x, to: "Bob", amount : 5)', ['f("x", amount=5, to="Bob")']],
    ['1. f(a == b, a <= b, x => y, http://h/p?q=1)', ['f("a == b", "a <= b", "x => y", "http://h/p?q=1")']],
    ['1. f([1, [2, 3]], (4, 5), [])', ['f([1,[2,3]], [4,5], [])']],
    ['1. f({"a": 1, b: [x], \'c\': {}})', ['f({"a":1,"b":["x"],"c":{}})']],
    [
      '1. f({a, b}, (1 + 2) * 3, items[0], "a" + "b")',
      ['f("{a, b}", "(1 + 2) * 3", "items[0]", "\\"a\\" + \\"b\\"")'],
    ],
    [
      '1. f("a, (b] \\"c\\" \\n", \'it\\\'s\', """x "y" z""")',
      ['f("a, (b] \\"c\\" \\n", "it\'s", "x \\"y\\" z")'],
    ],
    ['1. f(user\'s wallet, r"x\\d", f"{a}, {b}")', ['f("user\'s wallet", "x\\\\d", "{a}, {b}")']],
    ['1. f(g(x, y=1), 2)', ['f({"$call":{"name":"g","args":[{"value":"x"},{"name":"y","value":1}]}}, 2)']],
    ['1. f(two   words\n here)', ['f("two words here")']],
    ['1. send(10000000000000000001)', ['send({"$number":"10000000000000000001e0"})']],
    ['1. f("\\u00e9\\x41")', ['f("éA")']],
    ['1. überweise(größe=1)', ['überweise(größe=1)']],
  ])('%s', (text, calls) => {
    expect(brief(text)).toEqual(calls)
  })

  it('end where the numbers stop rising', () => {
    expect(brief('1. a(x) 2. b(y) 1. c(z) 3. d(w)')).toEqual(['a("x")', 'b("y")'])
    expect(brief('1. a(x) 3. b(y)')).toEqual(['a("x")', 'b("y")'])
  })

  it('keep the order and the arguments apart', () => {
    const encodings = [
      '1. f(a) 2. g(b)',
      '1. g(b) 2. f(a)',
      '1. f(a, b) 2. g()',
      '1. f("a, b") 2. g()',
      '1. f([a, b]) 2. g()',
    ]
    expect(new Set(encodings.map((text) => encodePlan(parsePlan(text)).join())).size).toBe(encodings.length)
    const renamed = ['1. a = f() 2. b = g() 3. h(a)', '1. b = f() 2. a = g() 3. h(a)']
    expect(new Set(renamed.map((text) => encodePlan(parsePlan(text)).join())).size).toBe(2)
  })
})

describe('tool calls', () => {
  const plan = ['transfer(amount=5, to="Bob")']
  it.each([
    [
      'of OpenAI',
      '{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"transfer","arguments":"{\\"to\\": \\"Bob\\", \\"amount\\": 5}"}}]}',
    ],
    [
      'of a whole OpenAI response',
      '{"id":"x","choices":[{"index":0,"message":{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"transfer","arguments":"{\\"to\\":\\"Bob\\",\\"amount\\":5.0}"}}]}}]}',
    ],
    [
      'of OpenAI responses',
      '{"output":[{"type":"reasoning"},{"type":"function_call","call_id":"c","name":"transfer","arguments":"{\\"to\\":\\"Bob\\",\\"amount\\":5}"}]}',
    ],
    [
      'of Anthropic',
      '{"role":"assistant","content":[{"type":"text","text":"1. no(x)"},{"type":"tool_use","id":"t","name":"transfer","input":{"amount":5,"to":"Bob"}}]}',
    ],
    ['in a list', '[{"name":"transfer","arguments":{"amount":5,"to":"Bob"}}]'],
    ['alone', ' {"name":"transfer","args":{"amount":5,"to":"Bob"}} '],
    [
      'in a fence',
      'Here:\n```json\n[{"name": "transfer", "input": {"amount": 5, "to": "Bob"}}]\n```\nThat is all.',
    ],
    [
      'in tags',
      'ok <tool_call>\n{"name": "transfer", "arguments": {"amount": 5, "to": "Bob"}}\n</tool_call>',
    ],
    ['in prose', 'I call\n{"name": "transfer", "parameters": {"amount": 5, "to": "Bob"}}\nnow.'],
  ])('%s', (_, text) => {
    expect(brief(text)).toEqual(plan)
  })

  it('come one after the other', () => {
    const text =
      '<tool_call>{"name":"f","arguments":{}}</tool_call>\n<tool_call>{"name":"g","arguments":[1,"x"]}</tool_call>'
    expect(brief(text)).toEqual(['f()', 'g(1, "x")'])
    expect(brief('{"name":"f","args":null}\n{"name":"g","args":""}')).toEqual(['f()', 'g()'])
    expect(brief('{"type":"tool_use","name":"f"}')).toEqual(['f()'])
  })

  it('keep amounts that no double holds', () => {
    expect(brief('{"name":"f","args":{"wei":1000000000000000001}}')).toEqual([
      'f(wei={"$number":"1000000000000000001e0"})',
    ])
  })

  it('are not descriptions of tools, or other objects', () => {
    const others = [
      '{"name":"f","description":"d","parameters":{"type":"object"}}',
      '{"name":"f","parameters":{"type":"object","properties":{}}}',
      '{"name":"Alice"}',
      '[1,2,3]',
      '"1"',
    ]
    for (const text of others) expect(codeOf(() => parsePlan(text)).code).toBe('state/plan-not-found')
  })

  it('give the plan that calls in words give', () => {
    const json = parsePlan(
      '[{"name":"transfer","arguments":{"to":"Bob","amount":5,"options":[true,null,1.5]}}]',
    )
    expect(json).toEqual(parsePlan('1. transfer(amount=5, options=[True, None, 1.50], to=Bob)'))
  })

  it('are refused with doubled keys, which parsers read in two ways', () => {
    for (const text of [
      '{"name":"f","name":"g","args":{}}',
      '{"name":"f","args":{"a":1,"a":2}}',
      '{"name":"f","args":{"a":1},"input":{"a":2}}',
      '{"name":"f","args":{"__proto__":1}}',
      '{"name":"f","args":{"$call":1}}',
      '{"name":"f","arguments":"{\\"a\\":1} {\\"a\\":2}"}',
      '{"name":"f","arguments":"x"}',
      '{"name":"f","arguments":5}',
      '{"name":"","arguments":{}}',
    ]) {
      expect(codeOf(() => parsePlan(text)).code).toBe('state/plan-malformed')
    }
  })

  it.each([
    '{"name":"f","args":{"a":01}}',
    '{"name":"f","args":[1,]}',
    "{'name':'f','args':[]}",
    '{"name":"f","args":[nul1]}',
    '{"name":"f","args":["\n"]}',
    '{"name":"f","args":["\\x41"]}',
    '{"name":"f","args":[.5]}',
    '{"name":"f","args":["\\ud800"]}',
    '{"name":"f","args":[]',
    '{"name":"f","args":[]}}',
  ])('are strict JSON: %j', (text) => {
    expect(codeOf(() => parsePlan(text)).code).toBe('state/plan-malformed')
  })

  it('are refused when half of them is broken', () => {
    const text = '<tool_call>{"name":"f","args":{}}</tool_call><tool_call>{"name":</tool_call>'
    expect(codeOf(() => parsePlan(text)).code).toBe('state/plan-malformed')
  })
})

describe('what is no plan', () => {
  it.each([
    '',
    '   ',
    'I cannot do that.',
    '1. first 2. second',
    'call verify(x) if you like',
    '3.14',
    '()',
    '1. (a)',
  ])('%j is not found', (text) => {
    expect(codeOf(() => parsePlan(text)).code).toBe('state/plan-not-found')
  })

  it.each([
    '1. f(a',
    '1. f(a]',
    '1. f(a, "b)',
    '1. f(,)',
    '1. f(a,,b)',
    '1. f(a=1, a=2)',
    '1. f(a)(b)',
    '1. f(a).g(b)',
    '1. f({"a": 1, "a": 2})',
    '1. f([a, b)',
    '1. f("\\u12")',
    '1. f("\\ud800")',
    '1. f(\ud800)',
    '1. f(x=)',
  ])('%j is malformed', (text) => {
    expect(codeOf(() => parsePlan(text)).code).toBe('state/plan-malformed')
  })

  it('is refused beyond the caps', () => {
    expect(codeOf(() => parsePlan('x'.repeat(MAX_PLAN_TEXT + 1))).code).toBe('state/plan-too-large')
    expect(codeOf(() => parsePlan(`1. f(${'['.repeat(40)}`)).code).toBe('state/plan-too-large')
    expect(codeOf(() => parsePlan(`1. f(${'g('.repeat(40)}`)).code).toBe('state/plan-too-large')
    expect(codeOf(() => parsePlan(`1. f(x + ${'('.repeat(40)}`)).code).toBe('state/plan-too-large')
    expect(codeOf(() => parsePlan('['.repeat(40))).code).toBe('state/plan-too-large')
    expect(codeOf(() => parsePlan(`1. f(${'a,'.repeat(300)})`)).code).toBe('state/plan-too-large')
    expect(codeOf(() => parsePlan('f()\n'.repeat(1100))).code).toBe('state/plan-too-large')
    expect(codeOf(() => parsePlan(7 as never)).code).toBe('state/type')
  })
})

describe('hostile text', () => {
  const pieces = [
    '1. ',
    '2) ',
    'f(',
    'g_h(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    '`',
    '```',
    ',',
    ':',
    '=',
    '\\',
    ' ',
    '\n',
    'a',
    '1',
    '-',
    '.',
    '{"name":"f","args":',
    '<tool_call>',
    '</tool_call>',
    'é',
    '\u2028',
  ]
  it('gives a plan in normal form or a typed error', () => {
    const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 60 }).map((list) => list.join(''))
    fc.assert(
      fc.property(fc.oneof(soup, fc.string({ unit: 'binary', maxLength: 100 })), (text) => {
        const { value, code } = codeOf(() => parsePlan(text))
        if (value === undefined) return code?.startsWith('state/') === true
        assertPlan(value)
        return encodePlan(value).length > 0
      }),
      { numRuns: 3000 },
    )
  })

  const n = MAX_PLAN_TEXT
  it.each<[string, string]>([
    ['numbers', '1. '.repeat(n / 3)],
    ['numbers on lines', '1.\n'.repeat(n / 3)],
    ['opening brackets', '('.repeat(n)],
    ['one long name', 'a'.repeat(n)],
    ['names before brackets', '1. x '.concat('_('.repeat(n / 2 - 8))],
    ['calls that never close', '1. f('.repeat(n / 5)],
    ['fences', '```'.repeat(n / 3)],
    ['lines of JSON', '\n[{"a": 1},'.repeat(n / 12)],
    ['braces', '{'.repeat(n)],
    ['expressions in expressions', `1. f(${'('.repeat(9)}${'x'.repeat(n / 2)}${' + 1)'.repeat(9)})`],
    ['backslashes', `1. f("${'\\\\'.repeat(n / 3)}")`],
    ['white space', `1.${' '.repeat(n - 9)}f`],
    ['stars', `1.${'*'.repeat(n - 9)}`],
    ['lines that are nearly calls', 'f(x) y\n'.repeat(n / 8)],
  ])('takes linear time: %s', (_, text) => {
    // A quadratic reader would take minutes here, far beyond the time that a test has.
    codeOf(() => parsePlan(text))
  })
})

describe('round trip', () => {
  const value: fc.Arbitrary<PlanValue> = fc.letrec<{ value: PlanValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.string({ unit: 'binary', maxLength: 10 }),
      fc.maxSafeInteger(),
      fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((x) => x + 0),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.stringMatching(/^[a-z ]{1,5}$/), tie('value'), { maxKeys: 3 }),
    ),
  })).value

  it('JSON arguments come back, from JSON and from between brackets', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), value, { maxKeys: 4 }), (args) => {
        const expected = Object.keys(args)
          .sort()
          .map((name) => ({ name, value: args[name] }))
        const words = Object.entries(args).map(([name, arg]) => `${name}=${JSON.stringify(arg)}`)
        const forms = [JSON.stringify({ name: 'f', args }), `1. f(${words.join(', ')})`]
        for (const form of forms) expect(parsePlan(form)).toEqual({ calls: [{ name: 'f', args: expected }] })
      }),
      { numRuns: 300 },
    )
  })
})
