import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../core/bytes.ts'
import { sha256 } from '../core/digest.ts'
import { codeOf } from '../core/testing/code-of.ts'
import { randomHyperplanes } from './embedding-points.ts'
import type { Plan } from './plan.ts'
import { parsePlan } from './plan-parse.ts'
import { planState } from './plan-state.ts'
import { checkKind, hits, passes } from './testing/kind-laws.ts'
import { anyPlan } from './testing/plans.ts'

const DIMENSIONS = 32
const seed = new Uint8Array(32).fill(7)

/** Each word has a direction of its own, and a text is the sum: shared words make texts similar. */
function embed(text: string): Float64Array {
  const point = new Float64Array(DIMENSIONS)
  for (const word of text.toLowerCase().split(/\W+/)) {
    const digest = sha256(utf8(word))
    for (let i = 0; i < DIMENSIONS; i++) point[i]! += digest[i]! / 128 - 1
  }
  return point
}

const exact = planState({ maxCalls: 4 })
const numeric = planState({ maxCalls: 4, arguments: { numeric: { epsilon: 0.01, maxNumbers: 60 } } })
const semantic = planState({
  maxCalls: 4,
  arguments: {
    semantic: {
      dimensions: DIMENSIONS,
      hyperplanes: randomHyperplanes(seed, { count: 64, dimensions: DIMENSIONS }),
      embedder: 'bag-of-words/v1',
      embed,
      similarity: 0.6,
      maxTexts: 12,
    },
  },
})

const judge = (kind: typeof exact, solver: string, verifier: string) =>
  passes(kind, parsePlan(solver), parsePlan(verifier))

describe.each([
  ['exact', exact],
  ['numeric', numeric],
])('%s plans', (_, kind) => {
  it('keep the laws of kinds', () => {
    checkKind<Plan>(
      kind,
      anyPlan.filter((plan) => JSON.stringify(plan).split(/\d/).length < 60),
    )
  })
})

describe('exact plans', () => {
  it('pass whatever the notation, and nothing else', () => {
    expect(judge(exact, '1. f(a, 1.0)', 'I will: `1. f("a", 1)`')).toBe(true)
    for (const other of [
      '1. f(a, 1.001)',
      '1. f(b, 1)',
      '1. g(a, 1)',
      '1. f(a, 1) 2. g()',
      '1. f(1, a)',
      '1. f(a, "1")',
    ]) {
      expect(judge(exact, other, '1. f(a, 1)')).toBe(false)
    }
  })
})

describe('numeric plans', () => {
  const honest = '1. pay(alice, 10.0, fee=0.5, [1, {"x": 2}])'

  it('pass within the tolerance', () => {
    expect(judge(numeric, '1. pay(alice, 10.005, fee=0.495, [1, {"x": 2.009}])', honest)).toBe(true)
    expect(judge(numeric, '1. pay(alice, 10.0, fee=0.6, [1, {"x": 2}])', honest)).toBe(false)
    const moved = hits(numeric, parsePlan('1. pay(alice, 10, fee=0.6, [1, {"x": 2}])'), parsePlan(honest))
    expect(moved).toBe(numeric.slots - 1)
  })

  it('take everything else exactly', () => {
    const others = [
      '1. pay(bob, 10.0, fee=0.5, [1, {"x": 2}])',
      '1. pay(alice, 10.0, tip=0.5, [1, {"x": 2}])',
      '1. pay(alice, 10.0, fee=0.5, [1, 2])',
      '1. pay(alice, 10.0, fee=0.5, [1, {"x": 2}], 3)',
      '1. pay(alice, "10.0", fee=0.5, [1, {"x": 2}])',
      '1. pay(alice, 10.0, fee=0.5, [1, {"x": 2}]) 2. pay(bob)',
    ]
    for (const other of others) expect(judge(numeric, other, honest)).toBe(false)
  })

  it('take numbers that no bucket holds exactly', () => {
    expect(judge(numeric, '1. f(1e30)', '1. f(1e30)')).toBe(true)
    expect(judge(numeric, '1. f(1e30)', '1. f(1000000000000000000000000000001)')).toBe(false)
    expect(judge(numeric, '1. f(1e999)', '1. f(1e998)')).toBe(false)
  })

  it('refuse more numbers than they have slots for', () => {
    const two = planState({ maxCalls: 1, arguments: { numeric: { epsilon: 1, maxNumbers: 2 } } })
    expect(codeOf(() => two.assert(parsePlan('1. f(1, 2)'))).code).toBeUndefined()
    expect(codeOf(() => two.assert(parsePlan('1. f(1, 2, 3)'))).code).toBe('state/plan-too-large')
    expect(codeOf(() => two.commit(parsePlan('1. f() 2. f()'))).code).toBe('state/plan-too-large')
    expect(two.slots).toBe(3)
  })
})

describe('semantic plans', () => {
  const honest = '1. notify(alice, "the transfer of one coin has been completed today")'

  it('keep the laws of kinds', () => {
    const words = fc.array(fc.constantFrom('pay', 'the', 'bill', 'now', 'please'), { maxLength: 4 })
    const plans = fc
      .array(
        words.map((list) => ({ name: 'say', args: [{ value: list.join(' ') }] })),
        { maxLength: 4 },
      )
      .map((calls) => ({ calls }))
    checkKind<Plan>(semantic, plans, 30)
  })

  it('pass similar texts and refuse others', () => {
    expect(judge(semantic, '1. notify(alice, "the transfer of one coin was completed today")', honest)).toBe(
      true,
    )
    expect(judge(semantic, '1. notify(alice, "weather is fine and birds sing loudly")', honest)).toBe(false)
  })

  it('miss everywhere with another structure, however similar the texts', () => {
    const others = [
      '1. notify(bob, "the transfer of one coin has been completed today")',
      '1. warn(alice, "the transfer of one coin has been completed today")',
      '1. notify(alice, "the transfer of one coin has been completed today") 2. pay(bob)',
      '1. notify(alice, completed)',
    ]
    for (const other of others) expect(hits(semantic, parsePlan(other), parsePlan(honest))).toBe(0)
  })

  it('let no text be outvoted by the others', () => {
    const text = (last: string) => `1. say("pay the bill now") 2. say("close the window") 3. say("${last}")`
    expect(judge(semantic, text('open the door please'), text('open the door please'))).toBe(true)
    expect(judge(semantic, text('burn the house down'), text('open the door please'))).toBe(false)
  })

  it('compare plans without texts by structure alone', () => {
    expect(judge(semantic, '1. f(x, 1)', '1. f(x, 1)')).toBe(true)
    expect(judge(semantic, '1. f(x, 2)', '1. f(x, 1)')).toBe(false)
  })

  it('carry an estimate of guesses, and what they compare with', () => {
    expect(semantic.guessProbability).toBeGreaterThan(0)
    expect(semantic.guessProbability).toBeLessThan(0.1)
    expect(semantic.parameters).toMatchObject({ embedder: 'bag-of-words/v1', similarity: 0.6, maxTexts: 12 })
  })

  it('refuse embeddings that are none', () => {
    const options = {
      dimensions: 2,
      hyperplanes: [Float64Array.of(1, 0)],
      embedder: 'x',
      similarity: 1,
      maxTexts: 1,
    }
    const kind = planState({
      maxCalls: 1,
      arguments: { semantic: { ...options, embed: () => new Float64Array(3) } },
    })
    expect(codeOf(() => kind.commit(parsePlan('1. f("two words")'))).code).toBe('state/shape')
    expect(codeOf(() => kind.commit(parsePlan('1. f("two words", "and more")'))).code).toBe(
      'state/plan-too-large',
    )
  })
})

it.each<[string, object]>([
  ['no calls', { maxCalls: 0 }],
  ['an unknown mode', { maxCalls: 1, arguments: 'fuzzy' }],
  ['an empty mode', { maxCalls: 1, arguments: {} }],
  ['no tolerance', { maxCalls: 1, arguments: { numeric: { epsilon: 0, maxNumbers: 1 } } }],
  ['no numbers', { maxCalls: 1, arguments: { numeric: { epsilon: 1, maxNumbers: 0 } } }],
  ['a bad guess', { maxCalls: 1, guessProbability: 2 }],
])('options with %s are refused', (_, options) => {
  expect(codeOf(() => planState(options as never)).code).toBe('state/parameters')
})
