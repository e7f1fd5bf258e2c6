import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AssayError } from './errors.ts'
import {
  confidenceReached,
  detectionProbability,
  fakedCount,
  logMissProbability,
  MAX_STATES,
  missProbability,
  sampleSize,
  smallestFaked,
} from './statistics.ts'

const plain = { falsePositiveRate: 0.01, guessProbability: 0 }

describe('the published table, at f = 0.01 and g = 0', () => {
  const rows: [share: number, states: number, sizes: number[]][] = [
    [0.5, 1_000, [5, 7, 11]],
    [0.1, 1_000, [29, 44, 65]],
    [0.01, 1_000, [261, 372, 502]],
    [0.01, 1_000_000, [302, 463, 695]],
    [0.001, 1_000_000, [3020, 4639, 6951]],
  ]
  it.each(rows)('share %f of %i states', (fakedShare, states, sizes) => {
    const found = [0.95, 0.99, 0.999].map((confidence) =>
      sampleSize({ states, fakedShare, confidence, ...plain }),
    )
    expect(found).toEqual(sizes)
    for (const [i, confidence] of [0.95, 0.99, 0.999].entries()) {
      const samples = sizes[i]!
      expect(confidenceReached({ states, fakedShare, samples, ...plain })).toBeGreaterThanOrEqual(confidence)
      expect(confidenceReached({ states, fakedShare, samples: samples - 1, ...plain })).toBeLessThan(
        confidence,
      )
    }
  })

  it('needs 453 of 10,000 for 1 % at 99 %', () => {
    expect(sampleSize({ states: 10_000, fakedShare: 0.01, confidence: 0.99, ...plain })).toBe(453)
  })

  it('does not grow with the number of states', () => {
    const sizes = [1e5, 1e6, 1e7, 1e8, 1e9].map((states) =>
      sampleSize({ states, fakedShare: 0.01, confidence: 0.99, ...plain }),
    )
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(3)
    // With replacement: ln(1 - confidence) / ln(1 - c(1 - s)) = 462.84…, the limit from below.
    expect(sizes.at(-1)).toBe(463)
  })
})

/** The formula in exact rational arithmetic: f = falseHundredths/100, g = guessHundredths/100. */
function exactMiss(check: {
  n: number
  M: number
  k: number
  falseHundredths: number
  guessHundredths: number
}) {
  const { n, M, k, falseHundredths, guessHundredths } = check
  const unit = 10_000n
  const passed = unit - BigInt((100 - falseHundredths) * (100 - guessHundredths))
  let numerator = 0n
  for (let j = 0; j <= Math.min(M, k); j++) {
    numerator += choose(M, j) * choose(n - M, k - j) * passed ** BigInt(j) * unit ** BigInt(k - j)
  }
  const denominator = choose(n, k) * unit ** BigInt(k)
  return { miss: quotient(numerator, denominator), detection: quotient(denominator - numerator, denominator) }
}

function choose(n: number, k: number): bigint {
  if (k > n) return 0n
  let product = 1n
  for (let i = 0; i < k; i++) product = (product * BigInt(n - i)) / BigInt(i + 1)
  return product
}

/** a/b as a double, to its last digit or so, however small. */
function quotient(a: bigint, b: bigint): number {
  if (a === 0n) return 0
  const shift = Math.max(0, b.toString(2).length - a.toString(2).length + 80)
  return Number((a << BigInt(shift)) / b) * 2 ** -shift
}

describe('against exact rational arithmetic', () => {
  const check = fc
    .record({
      n: fc.integer({ min: 1, max: 90 }),
      falseHundredths: fc.integer({ min: 0, max: 100 }),
      guessHundredths: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 100 })),
    })
    .chain((check) =>
      fc.record({
        n: fc.constant(check.n),
        falseHundredths: fc.constant(check.falseHundredths),
        guessHundredths: fc.constant(check.guessHundredths),
        M: fc.integer({ min: 0, max: check.n }),
        k: fc.integer({ min: 0, max: check.n }),
      }),
    )

  it('agrees to 12 digits of the detection and of the miss', () => {
    fc.assert(
      fc.property(check, (c) => {
        const exact = exactMiss(c)
        const options = {
          states: c.n,
          faked: c.M,
          samples: c.k,
          falsePositiveRate: c.falseHundredths / 100,
          guessProbability: c.guessHundredths / 100,
        }
        expectClose(missProbability(options), exact.miss, 1e-12)
        expectClose(detectionProbability(options), exact.detection, 1e-12)
      }),
      { numRuns: 2000 },
    )
  })

  it('finds the smallest sample and the smallest fake', () => {
    fc.assert(
      fc.property(check, fc.integer({ min: 1, max: 99 }), (c, percent) => {
        const { n, M, k, falseHundredths, guessHundredths } = c
        fc.pre(M > 0 && k > 0)
        const goal = {
          states: n,
          confidence: percent / 100,
          falsePositiveRate: falseHundredths / 100,
          guessProbability: guessHundredths / 100,
        }
        const reached = (faked: number, samples: number) =>
          exactMiss({ ...c, M: faked, k: samples }).detection >= percent / 100 - 1e-14
        const sample = firstThat(n, (samples) => reached(M, samples))
        const faked = firstThat(n, (count) => reached(count, k))
        expect(orUnreachable(() => sampleSize({ ...goal, faked: M }))).toBe(sample)
        expect(orUnreachable(() => smallestFaked({ ...goal, samples: k }))).toBe(faked)
      }),
      { numRuns: 150 },
    )
  })
})

function firstThat(high: number, holds: (value: number) => boolean): number | 'unreachable' {
  for (let value = 1; value <= high; value++) if (holds(value)) return value
  return 'unreachable'
}

function orUnreachable(compute: () => number): number | 'unreachable' {
  try {
    return compute()
  } catch (error) {
    if (error instanceof AssayError && error.code === 'statistics/unreachable') return 'unreachable'
    throw error
  }
}

function expectClose(got: number, expected: number, relative: number): void {
  expect(Math.abs(got - expected), `${got} for ${expected}`).toBeLessThanOrEqual(
    relative * Math.abs(expected),
  )
}

describe('large populations', () => {
  // The same sum in 60-digit arithmetic (mpmath): n, M, k, f, g, log of the miss, detection.
  const vectors: [number, number, number, number, number, number, number][] = [
    [1e9, 1e6, 5000, 0.01, 0, -4.952464129222521, 0.9929340240185462],
    [1e9, 5e8, 50, 0.3, 0.1, -18.916822295041094, 0.9999999939112455],
    [1e9, 1, 1, 0.01, 0, -9.9000000049005e-10, 9.9e-10],
    [1e9, 1, 1e9, 0.01, 0, -4.605170185988092, 0.99],
    [1e9, 1e5, 1e6, 0.01, 0, -99.05394294940488, 1],
    [1e9, 1e8, 1e5, 0.01, 0, -10425.545461704147, 1],
    [1e9, 5e8, 5e8, 0.999999, 0, -250.00009375724096, 1],
    [1e9, 1e7, 3e7, 0.9999, 0, -30.000059550181675, 0.9999999999999064],
    [1e9, 999999995, 900, 0.5, 0.2, -459.7430583893925, 1],
    [1e9, 1e6, 1e6, 0.3, 0, -700.4903265757803, 1],
    [1e9, 12345, 67891, 1e-19, 0, -0.8381480197357714, 0.5674892163973757],
    [1e9, 7, 123456789, 0.01, 0.02, -0.8930661410482394, 0.5906014473465152],
    [1e12, 1e9, 4e5, 0.01, 0, -396.1962279540755, 1],
    [1e12, 1e11, 1e9, 0.9999999, 0, -10.000000045186441, 0.999954600072289],
    [1e9, 1e8, 1e8, 0, 1e-5, -11133962.12667445, 1],
  ]
  it.each(vectors)('%f states, %f faked, %f samples, f %f, g %f', (n, M, k, f, g, logMiss, detection) => {
    const check = { states: n, faked: M, samples: k, falsePositiveRate: f, guessProbability: g }
    // An error of the logarithm is a relative error of the probability.
    const error = Math.abs(logMissProbability(check) - logMiss)
    expect(error).toBeLessThan(
      Math.max(1e-11 * Math.abs(logMiss > -1 ? logMiss : 1), 1e-15 * Math.abs(logMiss)),
    )
    expectClose(detectionProbability(check), detection, 1e-12)
  })

  it('keeps the miss where the detection rounds to 1', () => {
    const check = { states: 1e9, faked: 1e5, samples: 1e6, ...plain }
    expect(detectionProbability(check)).toBe(1)
    expectClose(missProbability(check), 9.581183685e-44, 1e-9)
    const hopeless = { ...check, faked: 1e8 }
    expect(missProbability(hopeless)).toBe(0)
    expect(logMissProbability(hopeless)).toBeLessThan(-1e5)
  })
})

describe('edges', () => {
  it('detects nothing without samples, fakes, or a chance to see them', () => {
    const check = { states: 100, faked: 10, samples: 10, ...plain }
    expect(detectionProbability({ ...check, samples: 0 })).toBe(0)
    expect(detectionProbability({ ...check, faked: 0 })).toBe(0)
    expect(detectionProbability({ ...check, falsePositiveRate: 1 })).toBe(0)
    expect(detectionProbability({ ...check, guessProbability: 1 })).toBe(0)
    expect(missProbability({ ...check, guessProbability: 1 })).toBe(1)
  })

  it('is certain when every choice of samples meets a fake that cannot pass', () => {
    const check = { states: 100, faked: 10, samples: 91, falsePositiveRate: 0, guessProbability: 0 }
    expect(detectionProbability(check)).toBe(1)
    expect(logMissProbability(check)).toBe(Number.NEGATIVE_INFINITY)
    expect(sampleSize({ ...check, confidence: 1 })).toBe(91)
  })

  it('never exceeds 1 - f with one faked state, and says what can be reached', () => {
    const goal = { states: 1000, faked: 1, ...plain }
    expect(sampleSize({ ...goal, confidence: 0.99 })).toBe(1000)
    expect(detectionProbability({ ...goal, samples: 1000 })).toBeCloseTo(0.99, 15)
    expect(() => sampleSize({ ...goal, confidence: 0.991 })).toThrow(
      expect.objectContaining({
        code: 'statistics/unreachable',
        detail: { confidence: 0.991, reachable: expect.closeTo(0.99, 12) },
      }),
    )
  })

  it.each([0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999, 0.999999, 0.9999999, 0.99999999])(
    'reaches a tie at %f',
    (c) => {
      const falsePositiveRate = Number((1 - c).toPrecision(6))
      expect(
        sampleSize({ states: 50, faked: 1, falsePositiveRate, guessProbability: 0, confidence: c }),
      ).toBe(50)
    },
  )

  it('reports what cannot be caught at all', () => {
    const goal = { states: 1000, confidence: 0.99, falsePositiveRate: 0.5, guessProbability: 0 }
    expect(smallestFaked({ ...goal, samples: 7 })).toBe(965)
    expect(() => smallestFaked({ ...goal, samples: 6 })).toThrow(
      expect.objectContaining({
        code: 'statistics/unreachable',
        detail: { confidence: 0.99, reachable: 1 - 2 ** -6 },
      }),
    )
    expect(() => sampleSize({ ...goal, faked: 0 })).toThrow(
      expect.objectContaining({ code: 'statistics/unreachable' }),
    )
  })
})

describe('monotonicity', () => {
  const base = fc.record({
    states: fc.integer({ min: 2, max: 1_000_000_000 }),
    f: fc.double({ min: 0, max: 0.9, noNaN: true }),
    g: fc.double({ min: 0, max: 0.9, noNaN: true }),
    m: fc.double({ min: 0, max: 0.01, noNaN: true }),
    k: fc.integer({ min: 1, max: 5000 }),
  })
  it('more samples, more fakes, fewer false positives: never less detection', () => {
    fc.assert(
      fc.property(base, ({ states, f, g, m, k }) => {
        const check = {
          states,
          faked: Math.floor(m * (states - 1)),
          samples: Math.min(k, states - 1),
          falsePositiveRate: f,
          guessProbability: g,
        }
        const miss = logMissProbability(check)
        const slack = 1e-10 * Math.abs(miss)
        expect(logMissProbability({ ...check, samples: check.samples + 1 })).toBeLessThanOrEqual(miss + slack)
        expect(logMissProbability({ ...check, faked: check.faked + 1 })).toBeLessThanOrEqual(miss + slack)
        expect(logMissProbability({ ...check, falsePositiveRate: f / 2 })).toBeLessThanOrEqual(miss + slack)
        expect(logMissProbability({ ...check, guessProbability: g / 2 })).toBeLessThanOrEqual(miss + slack)
        expect(miss).toBeLessThanOrEqual(0)
      }),
      { numRuns: 300 },
    )
  })
})

describe('fakedCount', () => {
  it('is the ceiling of the product as decimals give it', () => {
    expect(fakedCount(100, 0.07)).toBe(7)
    expect(fakedCount(1000, 0.1)).toBe(100)
    expect(fakedCount(1000, 0.0011)).toBe(2)
    expect(fakedCount(10, 0.01)).toBe(1)
    expect(fakedCount(7, 1)).toBe(7)
    expect(fakedCount(1e12, 1e-12)).toBe(1)
    expect(fakedCount(1e9, 1e-9 * 3)).toBe(3)
  })

  it('gives back any count from its share', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), fc.nat(), (states, seed) => {
        const count = 1 + (seed % states)
        expect(fakedCount(states, count / states)).toBe(count)
      }),
    )
  })
})

describe('bad arguments', () => {
  const check = { states: 100, faked: 10, samples: 10, ...plain }
  it.each([
    { states: 0 },
    { states: 1.5 },
    { states: MAX_STATES + 1 },
    { states: Number.NaN },
    { faked: 101 },
    { faked: -1 },
    { samples: 101 },
    { samples: 0.5 },
    { falsePositiveRate: -0.1 },
    { falsePositiveRate: Number.NaN },
    { guessProbability: 1.1 },
  ])('%o', (wrong) => {
    const [parameter] = Object.keys(wrong)
    const refusal = expect.objectContaining({
      code: 'statistics/parameters',
      detail: expect.objectContaining({ parameter }),
    })
    expect(() => detectionProbability({ ...check, ...wrong })).toThrow(refusal)
    if (!('samples' in wrong))
      expect(() => sampleSize({ ...check, confidence: 0.9, ...wrong })).toThrow(refusal)
  })

  it.each([0, 1.01, Number.NaN])('confidence %f', (confidence) => {
    const refusal = expect.objectContaining({ code: 'statistics/parameters' })
    expect(() => sampleSize({ ...check, confidence })).toThrow(refusal)
    expect(() => smallestFaked({ ...check, confidence })).toThrow(refusal)
  })

  it.each([0, -0.1, 1.1, Number.NaN])('share %f', (fakedShare) => {
    expect(() => fakedCount(100, fakedShare)).toThrow(
      expect.objectContaining({ code: 'statistics/parameters' }),
    )
  })
})
