import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { samplesFor } from './config.ts'
import { createItemSet, PROOF_KINDS } from './proof.ts'
import { EXACT, largestProofBytes, passingRate, proofBytes, samplingMethod } from './security.ts'

const job = { states: 1_000_000, runCost: 40 }

describe('the sampling method', () => {
  it('prices itself: 463 samples of a million catch 1 % with 99 %', () => {
    const security = samplingMethod.security(
      { proof: 'bloom', falsePositiveRate: 0.01, ask: { confidence: 0.99, faked: 0.01 } },
      job,
    )
    expect(security.samples).toBe(463)
    expect(security.detection).toBeGreaterThanOrEqual(0.99)
    expect(security.verifierCost).toBeCloseTo((463 / 1e6) * 40)
    expect(security.proofBytes).toBe(8 + Math.ceil(Math.floor((-1e6 * Math.log(0.01)) / Math.LN2 ** 2) / 8))
  })

  it('states detection for a share of its own where the ask names none', () => {
    const config = { proof: 'fingerprint', falsePositiveRate: 0.01, ask: { verificationRatio: 0.1 } } as const
    expect(() => samplingMethod.security(config, job)).toThrow(
      expect.objectContaining({ code: 'sampling/config' }),
    )
    expect(samplingMethod.security({ ...config, faked: 0.0001 }, job).detection).toBeGreaterThan(0.99)
  })

  it('takes guesses and semantic kinds into account', () => {
    const ask = { confidence: 0.99, faked: 0.01 }
    const base = { proof: 'fingerprint', falsePositiveRate: 0.01, ask } as const
    const exact = samplingMethod.security(base, job).samples
    const guessable = samplingMethod.security({ ...base, state: { ...EXACT, guessProbability: 0.5 } }, job)
    const semantic = { slots: 45, quorum: 40, alternatives: 1, guessProbability: 0 }
    expect(guessable.samples).toBeGreaterThan(1.9 * exact)
    expect(samplingMethod.security({ ...base, state: semantic }, job).samples).toBeGreaterThan(exact)
  })
})

describe('the passing rate', () => {
  it('is the false positive rate for exact states, and grows with alternatives and with slots to spare', () => {
    expect(passingRate(EXACT, 0.01)).toBeCloseTo(0.01, 12)
    expect(passingRate({ ...EXACT, alternatives: 3 }, 0.01)).toBeCloseTo(1 - 0.99 ** 3, 12)
    expect(passingRate({ slots: 45, quorum: 40, alternatives: 1, guessProbability: 0 }, 0.01)).toBeCloseTo(
      1 - 0.99 ** 6,
      12,
    )
  })
})

describe('proof sizes', () => {
  it('are those of the proofs that are made', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.constantFrom(0.4, 0.1, 0.01, 1e-6), (items, rate) => {
        for (const kind of PROOF_KINDS) {
          const made = createItemSet(kind, { items, falsePositiveRate: rate }).save().length
          expect(proofBytes(kind, items, rate)).toBe(made)
          expect(largestProofBytes({ items, falsePositiveRate: rate })).toBeGreaterThanOrEqual(made)
        }
      }),
      { numRuns: 40 },
    )
  })
})

describe('asks', () => {
  const passing = { states: 1000, falsePositiveRate: 0.01, guessProbability: 0 }

  it('mean samples', () => {
    expect(samplesFor({ verificationRatio: 0.1 }, passing)).toBe(100)
    expect(samplesFor({ verificationRatio: 0 }, passing)).toBe(0)
    expect(samplesFor({ samples: 7 }, passing)).toBe(7)
    expect(samplesFor({ confidence: 0.99, faked: 0.01 }, passing)).toBe(372)
  })

  it.each([
    [{ verificationRatio: 1.1 }, 'codec/schema'],
    [{ verificationRatio: Number.NaN }, 'codec/schema'],
    [{ confidence: 1, faked: 0.1 }, 'codec/schema'],
    [{ confidence: 0.9, faked: 0 }, 'codec/schema'],
    [{ samples: -1 }, 'codec/schema'],
    [{ samples: 1001 }, 'sampling/config'],
    [{ confidence: 0.9999, faked: 0.001 }, 'statistics/unreachable'],
    [{ samples: 1, verificationRatio: 0.5 }, 'codec/schema'],
  ])('%j is refused', (ask, code) => {
    expect(() => samplesFor(ask as never, passing)).toThrow(expect.objectContaining({ code }))
  })
})
