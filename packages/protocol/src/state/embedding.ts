/**
 * Embeddings that mean the same without being equal (the paper's section 5.4.4, Algorithm 5).
 *
 * HashEmbedding-M compares a point's distances to fixed vantage points, pair by pair; HashEmbedding-H takes
 * the side of fixed hyperplanes on which the point lies. Each comparison is one bit, and near points share
 * most bits; the Jaccard index of the sets of codes measures how many.
 *
 * `hashEmbeddingM` and `jaccardIndex` are the published functions (warden-spex 0.0.95), for interchange;
 * `hashEmbeddingH` uses the same code with the paper's variant, which the package does not have.
 * embedding-state.ts makes a kind of state of either.
 */

import { toHex } from '../core/bytes.ts'
import { hashFields } from '../core/digest.ts'
import { AssayError, type Json } from '../core/errors.ts'
import { hashInteger, itemToSigned } from '../core/hash-int.ts'
import { describeValue } from '../core/inspect.ts'
import { assertPoint, type Distance, dot, type Metric, resolveMetric } from './distance.ts'
import { MAX_DIMENSIONS } from './embedding-points.ts'
import { assertInteger } from './exact.ts'
import { encodeTensor, tensor } from './tensor.ts'

/** Comparisons of one point: 363 vantage points make 65,703 pairs. Each costs the proof an item. */
export const MAX_COMPARISONS = 2 ** 16
const POINTS_TAG = 'assay/state/embedding-points/v1'

/** What the comparisons of points are made with. */
export type EmbeddingHashOptions =
  | { readonly dimensions: number; readonly vantagePoints: readonly Float64Array[]; readonly metric?: Metric }
  | { readonly dimensions: number; readonly hyperplanes: readonly Float64Array[] }

/** A checked set of comparisons. */
export interface EmbeddingHash {
  readonly dimensions: number
  /** Bits of a point: pairs of vantage points, or hyperplanes. */
  readonly comparisons: number
  /** Multiplications that the bits of one point take, about. */
  readonly cost: number
  /** Says which points and metric these are; part of the task id. */
  readonly parameters: { readonly [key: string]: Json }
  /** One byte, 0 or 1, a comparison. The point is one that `assertPoint` accepts. */
  bits(point: Float64Array): Uint8Array
}

/**
 * Checks vantage points (two or more) or hyperplanes (one or more) and makes their comparisons.
 *
 * @throws AssayError `state/parameters`, and what `assertPoint` throws for a point of the set.
 */
export function embeddingHash(options: EmbeddingHashOptions): EmbeddingHash {
  const { dimensions } = options
  assertInteger(dimensions, { name: 'dimensions', min: 1, max: MAX_DIMENSIONS })
  const planes = 'hyperplanes' in options
  const points = planes ? options.hyperplanes : options.vantagePoints
  const comparisons = planes ? points.length : (points.length * (points.length - 1)) / 2
  assertInteger(comparisons, { name: 'the number of comparisons', min: 1, max: MAX_COMPARISONS })
  for (const [i, point] of points.entries())
    assertPoint(point, { dimensions, name: `point ${i} of the kind` })
  const digest = toHex(hashFields(POINTS_TAG, points.map(encodePoint)))
  const cost = points.length * dimensions + comparisons
  if (planes) {
    return {
      dimensions,
      comparisons,
      cost,
      parameters: { dimensions, hyperplanes: digest },
      bits: (point) => sides(point, points),
    }
  }
  const metric = resolveMetric(options.metric ?? 'euclidean')
  return {
    dimensions,
    comparisons,
    cost,
    parameters: { dimensions, vantagePoints: digest, metric: metric.name },
    bits: (point) => rankings(point, { vantagePoints: points, distance: metric.distance }),
  }
}

/**
 * The published HashEmbedding-M: for each pair (j < k) of vantage points, in lexicographic order with running
 * index i, the hash of 2i + (D_j < D_k), as the signed 128-bit integers of Python. A tie counts as not less.
 */
export function hashEmbeddingM(
  point: Float64Array,
  vantagePoints: readonly Float64Array[],
  options: { readonly metric?: Metric } = {},
): Set<bigint> {
  const dimensions = point.length
  const hash = embeddingHash({ dimensions, vantagePoints, metric: options.metric ?? 'euclidean' })
  return hashCodes(hash, point)
}

/** HashEmbedding-H: for hyperplane i the hash of 2i + (point · normal >= 0). */
export function hashEmbeddingH(point: Float64Array, hyperplanes: readonly Float64Array[]): Set<bigint> {
  return hashCodes(embeddingHash({ dimensions: point.length, hyperplanes }), point)
}

/** |a ∩ b| / |a ∪ b|; 0 for two empty sets. */
export function jaccardIndex<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): number {
  let shared = 0
  for (const element of a) if (b.has(element)) shared += 1
  const union = a.size + b.size - shared
  return union === 0 ? 0 : shared / union
}

/** The fewest of `comparisons` that must agree for a Jaccard index of at least `similarity`: x / (2P - x). */
export function requiredMatches(comparisons: number, similarity: number): number {
  let matches = Math.ceil((2 * comparisons * similarity) / (1 + similarity))
  while (matches > 0 && (matches - 1) / (2 * comparisons - matches + 1) >= similarity) matches -= 1
  while (matches < comparisons && matches / (2 * comparisons - matches) < similarity) matches += 1
  return matches
}

/** Throws `state/parameters` unless the similarity lies above 0 and up to 1. */
export function assertSimilarity(similarity: unknown): asserts similarity is number {
  if (typeof similarity !== 'number' || !(similarity > 0 && similarity <= 1)) {
    throw new AssayError(
      'state/parameters',
      `expected similarity above 0 and up to 1, got ${describeValue(similarity)}`,
    )
  }
}

/** The canonical bytes of a point: a float64 tensor of rank 1. */
export function encodePoint(point: Float64Array): Uint8Array {
  return encodeTensor(tensor('float64', [point.length], point))
}

function rankings(
  point: Float64Array,
  {
    vantagePoints,
    distance,
  }: { readonly vantagePoints: readonly Float64Array[]; readonly distance: Distance },
): Uint8Array {
  const distances = Float64Array.from(vantagePoints, (vantagePoint) => distance(point, vantagePoint))
  const { length } = distances
  const bits = new Uint8Array((length * (length - 1)) / 2)
  let index = 0
  for (let j = 0; j < length; j++) {
    for (let k = j + 1; k < length; k++) bits[index++] = distances[j]! < distances[k]! ? 1 : 0
  }
  return bits
}

function sides(point: Float64Array, hyperplanes: readonly Float64Array[]): Uint8Array {
  return Uint8Array.from(hyperplanes, (normal) => (dot(point, normal) >= 0 ? 1 : 0))
}

function hashCodes(hash: EmbeddingHash, point: Float64Array): Set<bigint> {
  assertPoint(point, { dimensions: hash.dimensions, name: 'the point' })
  const codes = new Set<bigint>()
  for (const [i, bit] of hash.bits(point).entries()) codes.add(itemToSigned(hashInteger(2 * i + bit)))
  return codes
}
