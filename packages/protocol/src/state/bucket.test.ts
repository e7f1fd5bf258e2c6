import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../core/testing/code-of.ts'
import { bucketOf, bucketWidth, findBucket, MAX_BUCKET, neighbours } from './bucket.ts'

/** A double as the exact fraction [numerator, denominator]. */
function fraction(x: number): [bigint, bigint] {
  let denominator = 1n
  let scaled = x
  while (!Number.isInteger(scaled)) {
    scaled *= 2
    denominator *= 2n
  }
  return [BigInt(scaled), denominator]
}

/** floor(x / width) in integers. */
function exactFloor(x: number, width: number): number {
  const [[a, b], [c, d]] = [fraction(x), fraction(width)]
  const [numerator, denominator] = [a * d, b * c]
  const quotient = numerator / denominator
  return Number(numerator < 0n && quotient * denominator !== numerator ? quotient - 1n : quotient)
}

const epsilons = fc.oneof(
  fc.double({ min: 1e-9, max: 1e3, noNaN: true }),
  fc.constantFrom(1e-4, 0.1, 0.3, 1, 2, 0.5, 1e-12),
)
/** Numbers at, or a few spacings beside, the edges of buckets: where rounding decides. */
const atEdge = (width: number) =>
  fc
    .tuple(fc.integer({ min: -(2 ** 31), max: 2 ** 31 }), fc.integer({ min: -3, max: 3 }))
    .map(([q, ulps]) => {
      const edge = q * width
      return edge + ulps * Math.max(Math.abs(edge), width) * 2 ** -52
    })

describe('buckets', () => {
  it('are the floor of the exact quotient, at the edges too', () => {
    const cases = epsilons.chain((epsilon) =>
      fc.tuple(fc.constant(bucketWidth(epsilon)), atEdge(bucketWidth(epsilon))),
    )
    fc.assert(
      fc.property(cases, ([width, x]) => findBucket(x, width) === exactFloor(x, width)),
      { numRuns: 3000 },
    )
  })

  it('correct the rounded quotient where it matters', () => {
    // 3 · 0.1 rounds up, so that the double below it divides to exactly 3 although it lies below.
    let corrected = 0
    for (let q = 1; q < 2000; q++) {
      const x = q * 0.1 - q * 2 ** -56
      if (Math.floor(x / 0.1) !== findBucket(x, 0.1)) corrected += 1
      expect(findBucket(x, 0.1)).toBe(exactFloor(x, 0.1))
    }
    expect(corrected).toBeGreaterThan(0)
  })

  it('are neighbours for numbers within the tolerance, and not beyond twice the width', () => {
    const cases = epsilons.chain((epsilon) =>
      fc.tuple(
        fc.constant(epsilon),
        atEdge(bucketWidth(epsilon)),
        fc.double({ min: -3, max: 3, noNaN: true }),
      ),
    )
    let accepted = 0
    fc.assert(
      fc.property(cases, ([epsilon, a, share]) => {
        const width = bucketWidth(epsilon)
        for (const b of [a + share * epsilon, a + epsilon, a - epsilon]) {
          const near = Math.abs((findBucket(a, width) as number) - (findBucket(b, width) as number)) <= 1
          if (Math.abs(a - b) <= epsilon && !near) return false
          if (Math.abs(a - b) > 2 * width * (1 + 2 ** -52) && near) return false
          if (near) accepted += 1
        }
        return true
      }),
      { numRuns: 3000 },
    )
    expect(accepted).toBeGreaterThan(0)
  })

  it('take tiny negative numbers to -1, and both zeros to 0', () => {
    expect(findBucket(-5e-324, 1e300)).toBe(-1)
    expect(findBucket(5e-324, 1e300)).toBe(0)
    expect(Object.is(findBucket(-0, 1), 0)).toBe(true)
  })

  it('refuse what they cannot hold', () => {
    expect(findBucket(Number.NaN, 1)).toBeUndefined()
    expect(findBucket(MAX_BUCKET, 1)).toBeUndefined()
    expect(codeOf(() => bucketOf(Number.NaN, { width: 1, place: 'x' })).code).toBe('state/non-finite')
    expect(codeOf(() => bucketOf(2 ** 51, { width: 1, place: 'x' })).code).toBe('state/out-of-range')
  })

  it('have two neighbours', () => {
    expect(neighbours(5)).toEqual([5, 4, 6])
  })
})
