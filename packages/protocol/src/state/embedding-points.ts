/**
 * Vantage points and hyperplanes from a seed: the same bits in every implementation.
 *
 * A coordinate is the sum of the eight bytes of one 64-bit word, less its mean, over its standard deviation
 * (an Irwin-Hall variable): near enough to Gaussian for directions and distances (excess kurtosis -0.15), and
 * made of exact integers, divisions and square roots, where logarithms and sines differ in the last bit from engine to
 * engine. The words are those of core/sampling.ts under the labels "vantage-points" and "hyperplanes", one a
 * coordinate, point after point.
 *
 * Threat: whoever chooses the points can choose them so that they tell nothing. Take the seed from the task's
 * author, or from a beacon, and publish it.
 */
import { type RandomStream, randomStream } from '../core/sampling.ts'
import { dot } from './distance.ts'
import { assertInteger } from './exact.ts'

export interface PointsOptions {
  readonly count: number
  readonly dimensions: number
}

/** Above the widest embeddings in use (16,384 would be twice those). */
export const MAX_DIMENSIONS = 2 ** 15
/** 512 vantage points are 130,816 pairs; see `MAX_PAIRS` in embedding.ts for what a kind accepts. */
export const MAX_POINTS = 2 ** 16
/** Coordinates in one set of points: 128 MiB of doubles, and some five seconds to draw. */
const MAX_COORDINATES = 2 ** 24

const BYTES_MEAN = 8 * 127.5
/** The standard deviation of a sum of eight bytes: the root of 8·(256² - 1)/12. */
const BYTES_DEVIATION = Math.sqrt(43690)

/**
 * `count` vantage points from a seed of 32 bytes: on the unit sphere, or with `unit: false` with independent
 * coordinates of mean 0 and variance 1.
 *
 * On the sphere is right for embeddings, which have unit length in most models: points of other lengths lie
 * at distances that their own length decides, and tell little about what they are compared with. Where distance
 * from the origin means something, bring vantage points from among the data instead.
 *
 * @throws AssayError `state/parameters`, or `seed/malformed`.
 */
export function randomVantagePoints(
  seed: Uint8Array,
  { unit = true, ...options }: PointsOptions & { readonly unit?: boolean },
): Float64Array[] {
  const points = gaussianPoints(randomStream(seed, 'vantage-points'), options)
  return unit ? points.map(toUnitLength) : points
}

/** Normals of `count` hyperplanes through the origin, of any length. Same errors as `randomVantagePoints`. */
export function randomHyperplanes(seed: Uint8Array, options: PointsOptions): Float64Array[] {
  return gaussianPoints(randomStream(seed, 'hyperplanes'), options)
}

export function gaussianPoints(stream: RandomStream, { count, dimensions }: PointsOptions): Float64Array[] {
  assertInteger(count, { name: 'count', min: 1, max: MAX_POINTS })
  assertInteger(dimensions, { name: 'dimensions', min: 1, max: MAX_DIMENSIONS })
  assertInteger(count * dimensions, { name: 'count times dimensions', min: 1, max: MAX_COORDINATES })
  return Array.from({ length: count }, () =>
    Float64Array.from({ length: dimensions }, () => gaussian(stream)),
  )
}

/** A point at the origin, which has no direction, stays there. */
function toUnitLength(point: Float64Array): Float64Array {
  const length = Math.sqrt(dot(point, point))
  return length === 0 ? point : point.map((coordinate) => coordinate / length)
}

function gaussian(stream: RandomStream): number {
  const { high, low } = stream.next()
  return (sumOfBytes(high) + sumOfBytes(low) - BYTES_MEAN) / BYTES_DEVIATION
}

function sumOfBytes(word: number): number {
  return (word >>> 24) + ((word >>> 16) & 0xff) + ((word >>> 8) & 0xff) + (word & 0xff)
}
