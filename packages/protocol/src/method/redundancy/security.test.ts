import { describe, expect, it } from 'vitest'
import { auditRateToDeter, cheatingLoses } from '../../core/deterrence.ts'
import { sha256 } from '../../core/digest.ts'
import { ed25519KeyPair, nodeId } from '../../core/keys.ts'
import { executionObject, signExecution } from '../../core/poe.ts'
import { codeOf } from '../../core/testing/code-of.ts'
import { parseRedundancy } from './config.ts'
import { accusedRate, COMMITMENT_BYTES, caughtRate, expectedRuns, redundancyMethod } from './security.ts'

const config = { auditRate: 0.1, colludingShare: 0.1, wrongShare: 0.01, mismatchRate: 0 }
const job = { states: 1000, runCost: 50 }

describe('the figures', () => {
  it('a wrong result is caught where both others are right', () => {
    expect(caughtRate({ auditRate: 1, colludingShare: 0 })).toBe(1)
    expect(caughtRate({ auditRate: 0.1, colludingShare: 1 / 3 })).toBeCloseTo(0.1 * (4 / 9), 12)
    expect(accusedRate({ auditRate: 0.1, colludingShare: 1 / 3 })).toBeCloseTo(0.1 / 9, 12)
  })

  it('enter the deterrence with the third node as detection: d = 1 - r', () => {
    const audit = { computeCost: 0.9, reward: 1, colludingShare: 0.1, detection: 0.9, falseAlarmRate: 0 }
    const rate = auditRateToDeter({ ...audit, stake: 100 })
    // C = p·(R + S)·(1 - r)²
    expect(caughtRate({ auditRate: rate, colludingShare: 0.1 }) * 101).toBeCloseTo(0.9, 12)
    expect(cheatingLoses({ ...audit, stake: 100, auditRate: 1.01 * rate })).toBe(true)
  })

  it('cost 1 + p, and a third run for each mismatch', () => {
    expect(expectedRuns({ auditRate: 0, mismatchRate: 0 })).toBe(1)
    expect(expectedRuns({ auditRate: 0.1, mismatchRate: 0 })).toBeCloseTo(1.1, 12)
    expect(expectedRuns({ auditRate: 0.1, mismatchRate: 0.01 })).toBeCloseTo(1.101, 12)
  })

  it('refuse what is no share', () => {
    expect(codeOf(() => caughtRate({ auditRate: 2, colludingShare: 0 })).code).toBe('statistics/parameters')
    expect(codeOf(() => accusedRate({ auditRate: 0.1, colludingShare: Number.NaN })).code).toBe(
      'statistics/parameters',
    )
  })
})

describe('the method', () => {
  it('states detection, price and size of a job', () => {
    const security = redundancyMethod.security(config, job)
    expect(security.detection).toBeCloseTo(1 - (1 - 0.1 * 0.81) ** 10, 12)
    expect(security.samples).toBeCloseTo(100, 9)
    expect(security.verifierShare).toBeCloseTo(0.1, 12)
    expect(security.verifierCost).toBeCloseTo(5, 9)
    expect(security.proofBytes).toBe(1100 * COMMITMENT_BYTES)
  })

  it('takes one wrong segment as the least, and catches nothing that it never audits', () => {
    expect(redundancyMethod.security({ ...config, wrongShare: 1e-9 }, job).detection).toBeCloseTo(0.081, 12)
    expect(redundancyMethod.security({ ...config, auditRate: 0 }, job)).toMatchObject({
      detection: 0,
      verifierCost: 0,
    })
    expect(
      redundancyMethod.security({ ...config, auditRate: 1, colludingShare: 0 }, { states: 1, runCost: 1 })
        .detection,
    ).toBe(1)
  })

  it('knows how long a commitment is', async () => {
    const key = ed25519KeyPair(sha256(new Uint8Array(1)))
    const digest = sha256(new Uint8Array(2))
    const execution = await signExecution(
      {
        requestId: new Uint8Array(32),
        taskDigest: digest,
        inputDigest: digest,
        resultDigest: digest,
        nodeId: nodeId(key.publicKey),
        nonce: new Uint8Array(32),
      },
      key,
    )
    expect(executionObject.encode(execution).length).toBe(COMMITMENT_BYTES)
  })
})

describe('a config', () => {
  it('is parsed strictly', () => {
    expect(parseRedundancy(config)).toEqual(config)
    for (const wrong of [
      { ...config, auditRate: 1.5 },
      { ...config, colludingShare: -0.1 },
      { ...config, wrongShare: 0 },
      { ...config, mismatchRate: Number.NaN },
      { ...config, rate: 0.1 },
      { auditRate: 0.1 },
      null,
    ]) {
      expect(codeOf(() => parseRedundancy(wrong)).code).toBe('codec/schema')
    }
  })
})
