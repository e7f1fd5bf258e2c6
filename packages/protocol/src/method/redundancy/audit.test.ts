import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex } from '../../core/bytes.ts'
import { type Digest, sha256 } from '../../core/digest.ts'
import { binomialInterval } from '../../core/interval.ts'
import { codeOf } from '../../core/testing/code-of.ts'
import { auditFraction, fractionOf, isAudited } from './audit.ts'

interface Vector {
  readonly seed: string
  readonly commitment: string
  readonly fraction: number
  readonly audited: { readonly [rate: string]: boolean }
}

const vectors: { readonly cases: Vector[] } = JSON.parse(
  readFileSync(new URL('../../../../../vectors/audit.json', import.meta.url), 'utf8'),
)

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const digest = (text: string) => sha256(new TextEncoder().encode(text))

describe('the draw', () => {
  it.each(vectors.cases)('vector: seed $seed, commitment $commitment', (vector) => {
    const draw = { seed: fromHex(vector.seed), commitment: fromHex(vector.commitment) as Digest }
    expect(auditFraction(draw)).toBe(vector.fraction)
    for (const [rate, expected] of Object.entries(vector.audited)) {
      expect(isAudited({ ...draw, rate: Number(rate) }), rate).toBe(expected)
    }
  })

  it('audits nothing at rate 0, all at rate 1, and more at a higher rate', () => {
    fc.assert(
      fc.property(
        bytes32,
        bytes32,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (seed, commitment, a, b) => {
          const audited = (rate: number) => isAudited({ seed, commitment: commitment as Digest, rate })
          expect(audited(0)).toBe(false)
          expect(audited(1)).toBe(true)
          if (audited(Math.min(a, b))) expect(audited(Math.max(a, b))).toBe(true)
        },
      ),
    )
  })

  it('takes the stated share', () => {
    const seed = digest('seed')
    const trials = 20_000
    let audited = 0
    for (let i = 0; i < trials; i++) {
      if (isAudited({ seed, commitment: digest(`commitment ${i}`), rate: 0.07 })) audited++
    }
    const { lower, upper } = binomialInterval({ successes: audited, trials, confidence: 0.999 })
    expect(lower).toBeLessThan(0.07)
    expect(upper).toBeGreaterThan(0.07)
  })

  it('reads a digest from 0 to just under 1', () => {
    expect(fractionOf(new Uint8Array(32) as Digest)).toBe(0)
    expect(fractionOf(new Uint8Array(32).fill(255) as Digest)).toBe(1 - 2 ** -53)
    // A view into a larger buffer is read where it begins.
    const within = new Uint8Array(64).fill(255).subarray(16, 48)
    within.fill(0)
    expect(fractionOf(within as Digest)).toBe(0)
  })

  it.each([[-0.1], [1.1], [Number.NaN]])('refuses the rate %d', (rate) => {
    expect(codeOf(() => isAudited({ seed: digest('a'), commitment: digest('b'), rate })).code).toBe(
      'redundancy/draw',
    )
  })

  it('refuses seeds and commitments of another length', () => {
    const short = new Uint8Array(31) as Digest
    for (const draw of [
      { seed: short, commitment: digest('b') },
      { seed: digest('a'), commitment: short },
    ]) {
      expect(codeOf(() => auditFraction(draw)).code).toBe('seed/malformed')
    }
  })
})
