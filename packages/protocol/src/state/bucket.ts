/**
 * Buckets: how a number with a tolerance becomes an integer that can be looked up.
 *
 * Algorithm 4 of the paper widens both sides to intervals and compares sets, so that two numbers match up to
 * twice the tolerance apart, and at times three times. Here the solver commits one bucket, q = floor(x / w),
 * and the verifier accepts q - 1, q and q + 1 of its own number. With w a hair above the tolerance:
 *
 * - |a - b| <= tolerance: always accepted;
 * - |a - b| > 2w: always refused;
 * - between: by where the edges fall.
 *
 * The first two hold without exception because the floor is that of the exact quotient, not of the rounded
 * one: x / w rounds to an integer from both sides, and the remainder, which IEEE 754 computes exactly, tells
 * on which side x lies.
 */
import { AssayError } from '../core/errors.ts'
import { assertPositive } from './exact.ts'

/** Buckets a verifier accepts: its own and both neighbours. */
export const BUCKET_ALTERNATIVES = 3
/** Beyond 2^50 a double's own spacing comes near the width, and neighbours lose their meaning. */
export const MAX_BUCKET = 2 ** 50
/** Tolerances whose quotients neither overflow nor vanish. */
export const MIN_EPSILON = 1e-300
export const MAX_EPSILON = 1e300

/** Covers the rounding of |a - b| itself: what a user computes as <= tolerance may exceed it by one part in 2^53. */
const MARGIN = 1 + 2 ** -50

/** The width of the buckets for an absolute tolerance. Throws `state/parameters`. */
export function bucketWidth(epsilon: number): number {
  assertPositive(epsilon, 'epsilon')
  if (epsilon < MIN_EPSILON || epsilon > MAX_EPSILON) {
    throw new AssayError(
      'state/parameters',
      `expected epsilon from ${MIN_EPSILON} to ${MAX_EPSILON}, got ${epsilon}`,
    )
  }
  return epsilon * MARGIN
}

/** floor(x / width), exactly; undefined for what is not finite or lies beyond 2^50 buckets from zero. */
export function findBucket(x: number, width: number): number | undefined {
  const quotient = x / width
  if (!(Math.abs(quotient) < MAX_BUCKET)) return undefined
  if (!Number.isInteger(quotient)) return Math.floor(quotient)
  const remainder = x % width
  if (remainder === 0) return quotient + 0
  const roundedUp = remainder > 0 ? remainder > width / 2 : remainder > -width / 2
  return roundedUp ? quotient - 1 : quotient
}

/** As `findBucket`. Throws `state/non-finite` or `state/out-of-range`, naming the place. */
export function bucketOf(
  x: number,
  { width, place }: { readonly width: number; readonly place: string },
): number {
  const bucket = findBucket(x, width)
  if (bucket !== undefined) return bucket
  if (!Number.isFinite(x)) {
    throw new AssayError('state/non-finite', `expected a finite number at ${place}, got ${x}`)
  }
  throw new AssayError(
    'state/out-of-range',
    `expected at most 2^50 times the tolerance at ${place}, got ${x} with buckets of ${width}`,
  )
}

/** The bucket and its neighbours, its own first. */
export function neighbours(bucket: number): readonly number[] {
  return [bucket, bucket - 1, bucket + 1]
}

/**
 * Chance of hitting an accepted bucket by guessing uniformly over `range` (smallest, largest value). It takes
 * one number's chance for the whole state: numbers may depend on one another, so no credit is given for several.
 */
export function guessFromRange(range: readonly [number, number], width: number): number {
  const [low, high] = range
  const first = bucketOf(low, { width, place: 'range[0]' })
  const last = bucketOf(high, { width, place: 'range[1]' })
  if (!(first <= last)) {
    throw new AssayError('state/parameters', `expected a range that rises, got [${low}, ${high}]`)
  }
  return Math.min(1, BUCKET_ALTERNATIVES / (last - first + 1))
}
