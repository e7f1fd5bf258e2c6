import { readFileSync, rmSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { assay, failureOf, jsonOf, workFolder } from '../../test/run-assay.ts'

const cwd = workFolder()
afterAll(() => rmSync(cwd, { recursive: true, force: true }))
const run = (...args: string[]) => assay(args, { cwd })

const COMMANDS = [
  ['demo'],
  ['solve', 'onnx'],
  ['verify'],
  ['plan'],
  ['simulate'],
  ['inspect'],
  ['generate', 'run'],
  ['generate', 'verify'],
  ['calibrate'],
  ['receipt', 'verify'],
  ['key', 'new'],
  ['key', 'show'],
]

describe.concurrent('help', () => {
  test('names every command', async () => {
    const { code, stdout } = await run('--help')
    expect(code).toBe(0)
    for (const [name] of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, 'm'))
  })

  test.each(COMMANDS.map((command) => [command.join(' '), command] as const))(
    '%s teaches with an example, exit codes and --json',
    async (_, command) => {
      const { code, stdout } = await run(...command, '--help')
      expect(code).toBe(0)
      expect(stdout).toContain('Examples:')
      expect(stdout).toContain(`  assay ${command.join(' ')}`)
      expect(stdout).toContain('Exit codes:')
      expect(stdout).toContain('--json')
      for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(120)
    },
  )

  test('the version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    expect((await run('--version')).stdout).toBe(`${version}\n`)
  })
})

describe.concurrent('usage', () => {
  test('nothing at all shows the help and is an error', async () => {
    const { code, stdout, stderr } = await run()
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('Usage: assay')
  })

  test.each([
    ['an unknown command', ['frobnicate', '--json']],
    [
      'an unknown option',
      ['plan', '--states', '10', '--faked', '1', '--confidence', '.5', '--wat', '--json'],
    ],
    ['a missing option', ['plan', '--json']],
    ['an excess argument', ['plan', 'x', '--states', '10', '--faked', '1', '--confidence', '.5', '--json']],
    ['a count that is none', ['plan', '--states', '-3', '--faked', '1', '--confidence', '.5', '--json']],
    ['a share above 1', ['plan', '--states', '10', '--faked', '5', '--confidence', '.5', '--json']],
    ['a certain confidence', ['plan', '--states', '10', '--faked', '1', '--confidence', '1', '--json']],
    ['a choice that is none', ['demo', '--runtime', 'gpu', '--json']],
    [
      'a seed that is no hexadecimal',
      ['verify', 'x', '--model', 'm', '--input', 'i', '--seed', 'zz', '--json'],
    ],
  ])('%s', async (_, args) => {
    expect(failureOf(await run(...args)).code).toBe('cli/usage')
  })

  test('people get code, message and what to do on standard error', async () => {
    const { code, stdout, stderr } = await run('plan')
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^error cli\/usage: .*--states/)
    expect(stderr).toContain('what to do: ')
  })
})

describe('streams', () => {
  const plan = ['plan', '--states', '1000', '--faked', '0.1', '--confidence', '0.99']

  test('a pipe gets no colours and no progress', async () => {
    const { stdout, stderr } = await run(...plan)
    expect(stdout).not.toContain('\u001b')
    expect(stderr).toBe('')
  })

  test('FORCE_COLOR colours, NO_COLOR wins', async () => {
    const coloured = await assay(plan, { cwd, env: { FORCE_COLOR: '1' } })
    expect(coloured.stdout).toContain('\u001b[1m')
    const plain = await assay(plan, { cwd, env: { FORCE_COLOR: '1', NO_COLOR: '1' } })
    expect(plain.stdout).not.toContain('\u001b')
  })

  test('DEBUG shows where a failure came from', async () => {
    const { stderr } = await assay(['key', 'show'], { cwd, env: { DEBUG: '1' } })
    expect(stderr).toMatch(/^\s+at /m)
  })
})

describe.concurrent('plan', () => {
  /** Faked share, states, confidence, samples at a false positive rate of 0.01: exact values. */
  const TABLE = [
    [0.5, 1e3, 0.95, 5],
    [0.5, 1e3, 0.99, 7],
    [0.5, 1e3, 0.999, 11],
    [0.1, 1e3, 0.95, 29],
    [0.1, 1e3, 0.99, 44],
    [0.1, 1e3, 0.999, 65],
    [0.01, 1e3, 0.95, 261],
    [0.01, 1e3, 0.99, 372],
    [0.01, 1e3, 0.999, 502],
    [0.01, 1e6, 0.95, 302],
    [0.01, 1e6, 0.99, 463],
    [0.01, 1e6, 0.999, 695],
    [0.001, 1e6, 0.95, 3020],
    [0.001, 1e6, 0.99, 4639],
    [0.001, 1e6, 0.999, 6951],
  ] as const

  test.each(TABLE)('%f of %d states at %f takes %d samples', async (faked, states, confidence, samples) => {
    const args = [
      '--states',
      `${states}`,
      '--faked',
      `${faked}`,
      '--confidence',
      `${confidence}`,
      '--fpr',
      '0.01',
    ]
    const { code, ...outcome } = await run('plan', ...args, '--json')
    const plan = jsonOf({ code, ...outcome })
    expect(code).toBe(0)
    expect(plan).toMatchObject({ states, faked, confidence, samples, falsePositiveRate: 0.01 })
    expect(plan.fakedStates).toBe(Math.round(faked * states))
    expect(plan.verifierShare).toBe(samples / states)
    expect(plan.detection).toBeGreaterThanOrEqual(confidence)
  })

  test('proof bytes are those of the published sizing and of 7 bits a state', async () => {
    const args = ['--states', '1000000', '--faked', '0.01', '--confidence', '0.99']
    const { proofBytes } = jsonOf(await run('plan', ...args, '--json'))
    expect(proofBytes).toEqual({ bloom: 8 + 1_198_133, fingerprint: 875_000 })
  })

  test('counts and shares may be written as people write them', async () => {
    const args = [
      '--states',
      '1_000e3',
      '--faked',
      '1%',
      '--confidence',
      '99%',
      '--run-cost',
      '40 EUR',
      '--json',
    ]
    const plan = jsonOf(await run('plan', ...args))
    expect(plan).toMatchObject({ states: 1e6, faked: 0.01, samples: 463, runCost: 40, unit: 'EUR' })
    expect(plan.verifierCost).toBeCloseTo(40 * 0.000463, 12)
  })

  test('a confidence out of reach is refused with what is in reach', async () => {
    const args = [
      'plan',
      '--states',
      '100',
      '--faked',
      '0.01',
      '--confidence',
      '0.999',
      '--fpr',
      '0.1',
      '--json',
    ]
    const error = failureOf(await run(...args))
    expect(error.code).toBe('statistics/unreachable')
    expect(error.message).toContain('0.9')
  })
})

describe('simulate', () => {
  const args = [
    '--states',
    '200',
    '--faked',
    '0.05',
    '--samples',
    '20',
    '--trials',
    '200',
    '--seed',
    '7',
    '--json',
  ]

  test('agrees with the formula, and gives the same result for the same seed', async () => {
    const [first, second] = await Promise.all([run('simulate', ...args), run('simulate', ...args)])
    expect(first.code).toBe(0)
    const result = jsonOf(first)
    expect(result).toMatchObject({ states: 200, fakedStates: 10, samples: 20, trials: 200, agrees: true })
    expect(result.measured).toBe(result.caught / 200)
    expect(result.interval.lower).toBeLessThan(result.expected)
    expect(result.interval.upper).toBeGreaterThan(result.expected)
    expect(jsonOf(second).caught).toBe(result.caught)
  })

  test('more samples than states are refused', async () => {
    const wrong = [
      'simulate',
      '--states',
      '10',
      '--faked',
      '0.5',
      '--samples',
      '20',
      '--trials',
      '2',
      '--json',
    ]
    expect(failureOf(await run(...wrong)).code).toBe('sampling/config')
  })
})
