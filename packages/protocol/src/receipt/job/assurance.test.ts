import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, utf8 } from '../../core/bytes.ts'
import { type Digest, hashFields, sha256 } from '../../core/digest.ts'
import { binomialInterval } from '../../core/interval.ts'
import { codeOf } from '../../core/testing/code-of.ts'
import { fractionOf, isAudited } from '../../method/redundancy/audit.ts'
import { assuranceOf } from './assurance.ts'
import { isSampled, jobSeedContext, openJobSeed } from './draws.ts'
import type { AskedValidation } from './statement.ts'
import { JOB_ID, seed, seedSource } from './testing/job-world.ts'

const sampling = {
  share: 0.5,
  confidence: 0.9,
  fakedShare: 0.1,
  falsePositiveRate: 0.01,
  guessProbability: 0,
}
const share = fc.double({ min: 0, max: 1, noNaN: true })
const asked = fc.record({
  sampling: fc.option(fc.record({ share, confidence: share }).map((own) => ({ ...sampling, ...own }))),
  redundancy: fc.option(fc.record({ share })),
})

describe('the figures', () => {
  it('of both methods together', () => {
    const both = assuranceOf({ sampling, redundancy: { share: 0.2 } }, { segments: 1000 })
    expect(both.segmentCaught).toBeCloseTo(1 - 0.8 * 0.55, 12)
    expect(both.jobCaught).toBeCloseTo(1 - (0.8 * 0.55) ** 10, 12)
    expect(both.proves).toHaveLength(3)
    expect(both.doesNotProve).toHaveLength(4)
  })

  it('nothing asked, nothing caught; everything audited, everything caught', () => {
    const none = assuranceOf({ sampling: null, redundancy: null }, { segments: 10 })
    expect(none).toMatchObject({ segmentCaught: 0, jobCaught: 0 })
    expect(none.doesNotProve.join()).toContain('not drawn')
    const all = assuranceOf({ sampling: null, redundancy: { share: 1 } }, { segments: 10 })
    expect(all).toMatchObject({ segmentCaught: 1, jobCaught: 1 })
    expect(all.doesNotProve.join()).not.toContain('not drawn')
  })

  it('property: are probabilities, and grow with the shares and with the number of segments', () => {
    fc.assert(
      fc.property(asked, fc.integer({ min: 1, max: 1e6 }), share, (policy, segments, more) => {
        const { segmentCaught, jobCaught } = assuranceOf(policy as AskedValidation, { segments })
        expect(segmentCaught).toBeGreaterThanOrEqual(0)
        expect(jobCaught).toBeLessThanOrEqual(1)
        expect(jobCaught).toBeGreaterThanOrEqual(segmentCaught - 1e-12)
        const raised = { ...policy, redundancy: { share: Math.max(more, policy.redundancy?.share ?? 0) } }
        const other = assuranceOf(raised as AskedValidation, { segments: 2 * segments })
        expect(other.segmentCaught).toBeGreaterThanOrEqual(segmentCaught - 1e-12)
        expect(other.jobCaught).toBeGreaterThanOrEqual(jobCaught - 1e-12)
      }),
    )
  })
})

describe('draws', () => {
  it('follow from the seed as they are described, apart for both methods', () => {
    const commitment = sha256(utf8('a commitment'))
    const fraction = fractionOf(hashFields('assay/check/v1', [seed, commitment]))
    expect(isSampled({ seed, commitment, rate: fraction })).toBe(false)
    expect(isSampled({ seed, commitment, rate: fraction + 2 ** -53 })).toBe(true)
    const trials = 20_000
    let [audited, sampled, both] = [0, 0, 0]
    for (let i = 0; i < trials; i++) {
      const draw = { seed, commitment: sha256(utf8(`commitment ${i}`)) as Digest, rate: 0.3 }
      const [a, b] = [isAudited(draw), isSampled(draw)]
      audited += Number(a)
      sampled += Number(b)
      both += Number(a && b)
    }
    for (const [successes, expected] of [
      [audited, 0.3],
      [sampled, 0.3],
      [both, 0.09],
    ] as const) {
      const { lower, upper } = binomialInterval({ successes, trials, confidence: 0.9999 })
      expect(lower).toBeLessThan(expected)
      expect(upper).toBeGreaterThan(expected)
    }
  })

  it("open with the job's own seed alone", () => {
    expect(openJobSeed(seedSource, JOB_ID)).toEqual(seed)
    expect(seed).toHaveLength(32)
    const code = (source: unknown, id = JOB_ID) => codeOf(() => openJobSeed(source as never, id)).code
    expect(code(seedSource, 'another')).toBe('seed/reveal-mismatch')
    expect(code({ ...seedSource, secret: '0'.repeat(64) })).toBe('seed/reveal-mismatch')
    expect(code({ kind: 'local', seed: '0'.repeat(64) })).toBe('seed/malformed')
    expect(code({ ...seedSource, context: 'x' })).toBe('seed/malformed')
    expect(code(null)).toBe('seed/malformed')
    if (seedSource.kind === 'commit-reveal')
      expect(fromHex(seedSource.context)).toEqual(jobSeedContext(JOB_ID))
  })
})
