import { describe, expect, it } from 'vitest'
import { binomialInterval } from './interval.ts'

describe('binomialInterval', () => {
  // Regularised incomplete beta, inverted in 30-digit arithmetic (mpmath).
  const vectors: [number, number, number, number, number][] = [
    [0, 10, 0.95, 0, 0.308497107818761],
    [1, 10, 0.95, 0.00252857854446178, 0.445016117028195],
    [5, 10, 0.999, 0.0773253549272145, 0.922674645072786],
    [10, 10, 0.999, 0.467624223911311, 1],
    [990, 1000, 0.999, 0.974936566858367, 0.997292424400835],
    [463, 2000, 0.999, 0.201276568357835, 0.263770376917968],
    [99_500, 100_000, 0.999, 0.994222829994182, 0.995701700989322],
    [3, 1_000_000, 0.99, 3.3786366951564e-7, 1.09774337091263e-5],
    [123_456, 1_000_000_000, 0.999, 0.000122303175756213, 0.000124616378763342],
    [5, 1_000_000_000, 0.95, 1.62348639204754e-9, 1.16683320404185e-8],
  ]
  it.each(vectors)('%i of %i at %f', (successes, trials, confidence, lower, upper) => {
    const interval = binomialInterval({ successes, trials, confidence })
    expect(Math.abs(interval.lower - lower)).toBeLessThanOrEqual(1e-11 * lower)
    expect(Math.abs(interval.upper - upper)).toBeLessThanOrEqual(1e-11 * upper)
  })

  it('covers the true rate at least as often as it says', () => {
    const trials = 40
    const intervals = Array.from({ length: trials + 1 }, (_, successes) =>
      binomialInterval({ successes, trials, confidence: 0.9 }),
    )
    for (const p of [0.003, 0.05, 0.31, 0.5, 0.77, 0.99]) {
      let coverage = 0
      let probability = (1 - p) ** trials
      for (const [successes, { lower, upper }] of intervals.entries()) {
        if (lower <= p && p <= upper) coverage += probability
        probability *= ((trials - successes) / (successes + 1)) * (p / (1 - p))
      }
      expect(coverage).toBeGreaterThanOrEqual(0.9)
    }
  })

  it.each([
    { trials: 0 },
    { trials: 1.5 },
    { trials: 2e9 },
    { successes: -1 },
    { successes: 11 },
    { confidence: 0 },
    { confidence: 1 },
    { confidence: Number.NaN },
  ])('refuses %o', (wrong) => {
    expect(() => binomialInterval({ successes: 5, trials: 10, confidence: 0.9, ...wrong })).toThrow(
      expect.objectContaining({ code: 'statistics/parameters' }),
    )
  })
})
