/**
 * Numerical arrays that may differ a little between honest machines (the paper's section 5.4.3).
 *
 * `hashArray` is Algorithm 4 as the published package computes it (`hash_array` of warden-spex 0.0.95), for
 * interchange, with its traps: the scale is 10^|floor(log10 epsilon)|, so that a tolerance of 10 multiplies by
 * 10 instead of dividing; both sides widen, so that numbers up to three tolerances apart can match; position
 * and length are not hashed; and a tolerance of 1,000 asks for two million hashes an element, which is
 * refused here before anything is hashed.
 *
 * `arrayState` is the hardened kind: one bucket an element from the solver, three from the verifier (bucket.ts),
 * the length in each encoding, the element's position as its slot.
 *
 * Threat: every accepted neighbour and every slot that a cheat can guess raises its chances. Declare the range
 * of the values, so that the chance is counted; a tolerance near the range makes every guess right.
 */
import { concatBytes } from '../core/bytes.ts'
import { AssayError, type Json } from '../core/errors.ts'
import { hashInteger, itemToSigned } from '../core/hash-int.ts'
import { describeValue } from '../core/inspect.ts'
import { u32be } from './binary.ts'
import { BUCKET_ALTERNATIVES, bucketOf, bucketWidth, guessFromRange, neighbours } from './bucket.ts'
import { assertInteger, assertProbability } from './exact.ts'
import { encodeInt64 } from './integer.ts'
import type { StateKind } from './kind.ts'
import { decodeTensor, encodeTensor, tensor } from './tensor.ts'

/** Hashes over all elements: some 200 bytes of heap each, about a second of hashing. */
export const MAX_ARRAY_HASHES = 2 ** 20
/** The package's default tolerance. */
export const DEFAULT_EPSILON = 1e-4
/** 10^19 wraps in the package's 64-bit integers. */
const MAX_EXPONENT = 18
const END_INT64 = 2 ** 63

/**
 * For each element the hashes of all integers from floor((x - epsilon)·10^N) to floor((x + epsilon)·10^N),
 * N = |floor(log10 epsilon)|, as the signed 128-bit integers of Python.
 *
 * @throws AssayError `state/parameters` (epsilon), `state/non-finite`, `state/out-of-range` (beyond 64 bits),
 * `state/too-large` (more than `MAX_ARRAY_HASHES` in all).
 */
export function hashArray(
  values: Float64Array | readonly number[],
  epsilon = DEFAULT_EPSILON,
): Set<bigint>[] {
  const scale = scaleOf(epsilon)
  const ranges = Array.from(values, (value, index) => quantise(value, { epsilon, scale, index }))
  const total = ranges.reduce((sum, { low, high }) => sum + (high - low + 1), 0)
  if (!(total <= MAX_ARRAY_HASHES)) {
    throw new AssayError(
      'state/too-large',
      `expected at most ${MAX_ARRAY_HASHES} hashes, got ${total} at a tolerance of ${epsilon}`,
    )
  }
  return ranges.map(({ low, high }) => hashRange(low, high))
}

/** Whether every element of two hashed arrays shares a hash; false for arrays of different length. */
export function arraysAgree(a: readonly ReadonlySet<bigint>[], b: readonly ReadonlySet<bigint>[]): boolean {
  return a.length === b.length && a.every((hashes, i) => intersects(hashes, b[i]!))
}

/** Most slots of one state: each costs the proof an item and the verifier three look-ups. */
export const MAX_SLOTS = 2 ** 16
/** Encoding of the longest array: 8 bytes an element, and the header of a tensor. */
const MAX_ARRAY_BYTES = 8 * MAX_SLOTS + 24

export interface ArrayStateOptions {
  /** Elements of every state; 1 to `MAX_SLOTS`. */
  readonly length: number
  /** Absolute tolerance an element: what differs by no more always passes, what differs by over twice never. */
  readonly epsilon: number
  /** Smallest and largest value that an element takes; gives the guess probability. */
  readonly range?: readonly [number, number]
  /** Overrides what `range` gives; 0 where neither is told. */
  readonly guessProbability?: number
}

/**
 * Tolerant states of `length` doubles: one slot an element, and every slot must hit. Finite numbers only.
 *
 * @throws AssayError `state/parameters` for the options; the kind itself throws `state/type`, `state/shape`,
 * `state/non-finite`, `state/out-of-range` (more than 2^50 tolerances from zero) and `state/malformed`.
 *
 * @example
 * const kind = arrayState({ length: 3, epsilon: 1e-4, range: [0, 1] })
 */
export function arrayState(options: ArrayStateOptions): StateKind<Float64Array> {
  const { length, epsilon, range } = options
  assertInteger(length, { name: 'length', min: 1, max: MAX_SLOTS })
  const width = bucketWidth(epsilon)
  const guessProbability =
    options.guessProbability ?? (range === undefined ? 0 : guessFromRange(range, width))
  assertProbability(guessProbability, 'guessProbability')
  const parameters: { readonly [key: string]: Json } = { length, epsilon }

  const prefix = u32be(length)
  const encodeBucket = (bucket: number): Uint8Array => concatBytes(prefix, encodeInt64(bucket))
  const buckets = (state: Float64Array): readonly number[] => {
    assertArray(state, length)
    return Array.from(state, (value, index) => bucketOf(value, { width, place: `element ${index}` }))
  }
  return {
    name: 'array',
    parameters,
    slots: length,
    quorum: length,
    alternatives: BUCKET_ALTERNATIVES,
    guessProbability,
    assert(value): asserts value is Float64Array {
      assertArray(value, length)
      buckets(value)
    },
    encode(state) {
      buckets(state)
      return encodeTensor(tensor('float64', [length], state))
    },
    decode(bytes) {
      const { data } = decodeTensor(bytes, { maxBytes: MAX_ARRAY_BYTES })
      assertArray(data, length)
      buckets(data)
      return data
    },
    commit: (state) => buckets(state).map(encodeBucket),
    accept: (state) => buckets(state).map((bucket) => neighbours(bucket).map(encodeBucket)),
  }
}

function assertArray(value: unknown, length: number): asserts value is Float64Array {
  if (!(value instanceof Float64Array)) {
    throw new AssayError('state/type', `expected a Float64Array, got ${describeValue(value)}`)
  }
  if (value.length !== length) {
    throw new AssayError('state/shape', `expected ${length} elements, got ${value.length}`)
  }
}

function scaleOf(epsilon: number): number {
  const exponent = Math.abs(Math.floor(Math.log10(Math.abs(epsilon))))
  if (!(epsilon > 0 && exponent <= MAX_EXPONENT)) {
    throw new AssayError('state/parameters', `expected epsilon from 1e-18 to below 1e19, got ${epsilon}`)
  }
  return Number(10n ** BigInt(exponent))
}

function quantise(
  value: number,
  { epsilon, scale, index }: { readonly epsilon: number; readonly scale: number; readonly index: number },
): { readonly low: number; readonly high: number } {
  if (!Number.isFinite(value)) {
    throw new AssayError('state/non-finite', `expected finite numbers, got ${value} at ${index}`)
  }
  const low = Math.floor((value - epsilon) * scale)
  const high = Math.floor((value + epsilon) * scale)
  if (!(low >= -END_INT64 && high < END_INT64)) {
    throw new AssayError(
      'state/out-of-range',
      `expected numbers below 2^63 after scaling by ${scale}, got ${value} at ${index}`,
    )
  }
  return { low, high }
}

/** Bigints, since ends beyond 2^53 cannot be counted through as numbers. */
function hashRange(low: number, high: number): Set<bigint> {
  const hashes = new Set<bigint>()
  for (let q = BigInt(low); q <= BigInt(high); q++) hashes.add(itemToSigned(hashInteger(q)))
  return hashes
}

function intersects(a: ReadonlySet<bigint>, b: ReadonlySet<bigint>): boolean {
  for (const hash of a) if (b.has(hash)) return true
  return false
}
