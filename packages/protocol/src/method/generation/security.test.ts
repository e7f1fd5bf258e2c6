import { describe, expect, it } from 'vitest'
import { codeOf } from '../../core/testing/code-of.ts'
import { REPRODUCIBLE } from './config.ts'
import { allowedDisagreements, detectionByTokens, generationMethod, tokensNeeded } from './security.ts'

const EXACT = { disagreementRate: 0, falseAlarm: 0 }
const TOLERANT = { disagreementRate: 0.02, falseAlarm: 0.001 }

describe('disagreements allowed', () => {
  it('are none where honest machines never disagree', () => {
    expect(allowedDisagreements(10_000, EXACT)).toBe(0)
  })

  it('keep the false alarm within its bound, and not by one too many', () => {
    // Binomial tails computed apart: P(X > 7) = 8.9e-4 and P(X > 6) = 3.9e-3 for 100 tokens at 2 %.
    expect(allowedDisagreements(100, TOLERANT)).toBe(7)
    const binomial = (allowed: number) => detectionOf(100, 0.02, allowed)
    expect(binomial(7)).toBeLessThan(0.001)
    expect(binomial(6)).toBeGreaterThan(0.001)
  })
})

/** P(X > allowed), by multiplying out. */
function detectionOf(tokens: number, rate: number, allowed: number): number {
  let term = (1 - rate) ** tokens
  let within = 0
  for (let x = 0; x <= allowed; x++) {
    within += term
    term *= ((tokens - x) / (x + 1)) * (rate / (1 - rate))
  }
  return 1 - within
}

describe('tokens needed', () => {
  it.each([
    [0.5, 7],
    [0.01, 459],
    [0.001, 4603],
  ])('at a rate of %d and no tolerance: %d', (rate, tokens) => {
    expect(tokensNeeded({ rate, confidence: 0.99, tolerance: EXACT })).toBe(tokens)
    expect(detectionByTokens({ tokens, rate, tolerance: EXACT })).toBeGreaterThanOrEqual(0.99)
    expect(detectionByTokens({ tokens: tokens - 1, rate, tolerance: EXACT })).toBeLessThan(0.99)
  })

  it('reach the confidence with a tolerance too', () => {
    const tokens = tokensNeeded({ rate: 0.2, confidence: 0.99, tolerance: TOLERANT })
    expect(detectionByTokens({ tokens, rate: 0.2, tolerance: TOLERANT })).toBeGreaterThanOrEqual(0.99)
    expect(tokens).toBeGreaterThan(tokensNeeded({ rate: 0.2, confidence: 0.99, tolerance: EXACT }))
  })

  it('are not to be had for a cheat that shows no more often than honest machines', () => {
    const refused = (rate: number) =>
      codeOf(() => tokensNeeded({ rate, confidence: 0.99, tolerance: TOLERANT })).code
    expect(refused(0.02)).toBe('statistics/unreachable')
    expect(codeOf(() => tokensNeeded({ rate: 1e-9, confidence: 0.99, tolerance: EXACT })).code).toBe(
      'statistics/unreachable',
    )
    for (const rate of [0, 1, -1, Number.NaN]) expect(refused(rate)).toBe('statistics/parameters')
  })
})

describe('the method', () => {
  it('states detection, price and size of a job', () => {
    const config = { thresholds: REPRODUCIBLE, cheatRate: 0.05, fingerprintTopk: 128, prefillShare: 0.1 }
    const security = generationMethod.security(config, { states: 256, runCost: 50 })
    expect(security.detection).toBeCloseTo(1 - 0.95 ** 256, 12)
    expect(security).toMatchObject({ samples: 256, verifierShare: 0.1, verifierCost: 5, proofBytes: 9 * 258 })
    expect(
      generationMethod.security({ ...config, fingerprintTopk: null }, { states: 256, runCost: 50 })
        .proofBytes,
    ).toBe(0)
  })
})
