import { describe, expect, it } from 'vitest'
import { evidenceOf, type SprtRates, sprtBounds, sprtStreaks } from './evidence.ts'
import { DEFAULT_REPUTATION } from './reputation-state.ts'
import { cusumAlarmWithin, cusumResults, cusumRunLength, sprtFigures, thresholdFor } from './run-length.ts'

const rates = (p0: number, p1: number, alpha = 0.001, beta = 0.01): SprtRates => ({ p0, p1, alpha, beta })
const refused = expect.objectContaining({ code: 'trust/config' })

describe("Wald's test", () => {
  it.each([
    [0.001, 0.05, 92, 2],
    [0.001, 0.02, 240, 3],
    [0.01, 0.1, 49, 3],
  ])('p0 = %d, p1 = %d: %i clean audits to trust, %i failures to reject', (p0, p1, clean, faults) => {
    expect(sprtStreaks(rates(p0, p1))).toEqual({ clean, faults })
  })

  it.each([
    [0.001, 0.05],
    [0.001, 0.02],
    [0.01, 0.1],
  ])('p0 = %d, p1 = %d: the error rates asked for hold', (p0, p1) => {
    const honest = sprtFigures(rates(p0, p1), p0)
    const cheat = sprtFigures(rates(p0, p1), p1)
    expect(honest.rejected).toBeLessThanOrEqual(0.001)
    expect(cheat.trusted).toBeLessThanOrEqual(0.01)
    for (const { trusted, rejected } of [honest, cheat]) expect(trusted + rejected).toBeCloseTo(1, 9)
  })

  it('ends at once where nothing is left to chance', () => {
    expect(sprtFigures(rates(0.001, 0.05), 0)).toEqual({ trusted: 1, rejected: 0, audits: 92 })
    expect(sprtFigures(rates(0.001, 0.05), 1)).toEqual({ trusted: 0, rejected: 1, audits: 2 })
  })

  it('is followed for a number of audits', () => {
    const after = (within: number) => sprtFigures(rates(0.001, 0.05), 0.1, { within })
    expect(after(1)).toEqual({ trusted: 0, rejected: 0, audits: 1 })
    expect(after(2).rejected).toBeCloseTo(0.01, 12)
    expect(after(1000).rejected).toBeCloseTo(sprtFigures(rates(0.001, 0.05), 0.1).rejected, 9)
  })

  it('refuses rates that test nothing', () => {
    for (const [p0, p1] of [
      [0, 0.1],
      [0.1, 0.1],
      [0.2, 0.1],
      [0.1, 1],
      [Number.NaN, 0.1],
    ] as const) {
      expect(() => evidenceOf({ p0, p1 })).toThrow(refused)
    }
    expect(() => sprtBounds({ alpha: 0, beta: 0.1 })).toThrow(refused)
    expect(() => sprtBounds({ alpha: 0.5, beta: 0.5 })).toThrow(refused)
    expect(() => sprtFigures(rates(0.001, 0.05), 1.5)).toThrow(refused)
  })
})

describe('the CUSUM', () => {
  const cusum = (threshold: number) => ({ p0: 0.001, p1: 0.05, threshold })

  it('with a threshold below one failure alarms at the first', () => {
    expect(cusumRunLength(cusum(1), 0.02)).toBeCloseTo(50, 9)
  })

  it('with a second failure needed within three audits gives what pencil and paper give', () => {
    // ln 6 = 1.79 a failure, ln(0.4/0.9) = -0.81 a clean audit, so that the third clean one ends at 0.
    const rate = 0.03
    const alarm = 1 - (1 - rate) ** 3
    const expected = (1 / rate + alarm / rate) / alarm
    expect(cusumRunLength({ p0: 0.1, p1: 0.6, threshold: 1.9 }, rate)).toBeCloseTo(expected, 9)
  })

  it('agrees with a simulation of the recursion', () => {
    const { fault, clean } = evidenceOf(cusum(7.48))
    let state = 12345
    const uniform = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 32
    }
    const runs = 3000
    let audits = 0
    for (let run = 0; run < runs; run++) {
      for (let sum = 0; sum < 7.48; audits++) sum = Math.max(0, sum + (uniform() < 0.05 ? fault : clean))
    }
    const expected = cusumRunLength(cusum(7.48), 0.05)
    // The run length is nearly geometric: its deviation is about its mean.
    expect(Math.abs(audits / runs - expected)).toBeLessThan((4 * expected) / Math.sqrt(runs))
  })

  it('grows with the threshold, and shrinks as the rate of failures grows', () => {
    const lengths = [0.001, 0.01, 0.05, 0.2, 1].map((rate) => cusumRunLength(cusum(7.48), rate))
    expect(lengths).toEqual(lengths.toSorted((a, b) => b - a))
    const thresholds = [1, 3.9, 3.95, 7, 7.5, 9].map((threshold) => cusumRunLength(cusum(threshold), 0.05))
    expect(thresholds).toEqual(thresholds.toSorted((a, b) => a - b))
  })

  it('counts results where only a share of them is audited', () => {
    const results = (auditRate: (evidence: number) => number) =>
      cusumResults(cusum(7.48), { faultRate: 0.2, auditRate })
    const audits = cusumRunLength(cusum(7.48), 0.2)
    expect(results(() => 1)).toBeCloseTo(audits, 9)
    expect(results(() => 0.05)).toBeCloseTo(20 * audits, 9)
    // Audited in full as soon as there is evidence: the wait for the first audited failure grows, the rest does not.
    const alert = results((evidence) => (evidence > 0 ? 1 : 0.05))
    expect(alert).toBeGreaterThan(audits + 19 / 0.2)
    expect(alert).toBeLessThan(20 * audits)
  })

  it('is reached within a number of audits as the recursion says', () => {
    const within = (audits: number) => cusumAlarmWithin(cusum(7.48), { faultRate: 0.3, audits })
    expect(within(1)).toBe(0)
    expect(within(2)).toBeCloseTo(0.09, 12)
    // Two failures among three, or all three, the last of which decides: FF, CFF, FCF.
    expect(within(3)).toBeCloseTo(0.09 + 2 * 0.7 * 0.09, 12)
    // Its expectation is the sum of what is left: ARL = Σ P(later than n).
    let expectation = 0
    for (let audits = 0; audits < 200; audits++) expectation += 1 - within(audits)
    expect(expectation).toBeCloseTo(cusumRunLength(cusum(7.48), 0.3), 6)
  })

  it('refuses thresholds and rates out of range', () => {
    expect(() => cusumRunLength(cusum(0), 0.1)).toThrow(refused)
    expect(() => cusumRunLength(cusum(5), 0)).toThrow(refused)
    expect(() => thresholdFor(cusum(1), 0.5)).toThrow(refused)
    expect(() => thresholdFor(cusum(1), Number.POSITIVE_INFINITY)).toThrow(refused)
  })
})

describe('the defaults', () => {
  it('are derived from run lengths, as their docblock says', () => {
    const { p0, p1, cusum, lateness } = DEFAULT_REPUTATION
    expect(thresholdFor(cusum, 100_000)).toBe(cusum.threshold)
    expect(thresholdFor(lateness, 10_000)).toBe(lateness.threshold)
    const length = (rate: number) => Math.round(cusumRunLength(cusum, rate))
    expect([p0, 0.01, p1, 1].map(length)).toEqual([100_549, 403, 60, 3])
    const rows = [p0, 0.01, p1, 1].map((rate) => sprtFigures(DEFAULT_REPUTATION, rate))
    expect(rows.map(({ trusted }) => trusted.toFixed(4))).toEqual(['0.9997', '0.7944', '0.0098', '0.0000'])
    expect(rows.map(({ audits }) => Math.round(audits))).toEqual([100, 188, 57, 2])
  })
})
