/**
 * Integer states: one number of 64 bits with a sign, exact (the paper's section 5.4.2).
 *
 * The published package hashes an integer array by its wrapping sum, so that [1,2,3], [6] and [3,2,1] are
 * one state. `hashIntegerArray` reproduces that for interchange; a task that yields arrays should use
 * array.ts, tensor-state.ts or value.ts, whose encodings hold length and order.
 */
import { AssayError } from '../core/errors.ts'
import { hashInteger } from '../core/hash-int.ts'
import { describeValue } from '../core/inspect.ts'
import { malformed } from './binary.ts'
import { exactKind } from './exact.ts'
import type { StateKind } from './kind.ts'
import { numpySum } from './numpy-sum.ts'

/** Bytes of an encoded integer. */
export const INTEGER_BYTES = 8

const MIN_FLOAT_SUM = -(2 ** 63)
/** A float sum becomes an unsigned integer, which reaches further than the signed one. */
const END_FLOAT_SUM = 2 ** 64

const SCRATCH = new Uint8Array(INTEGER_BYTES)
const SCRATCH_VIEW = new DataView(SCRATCH.buffer)

/**
 * States that are one integer: a safe `number`, or a `bigint` from -2^63 to 2^63 - 1; 3 and 3n are one state.
 * `decode` gives bigints. The encoding is two's complement in eight bytes, least significant first: the bytes
 * under the published hash.
 *
 * `guessProbability` defaults to 0. Give it where a state has few values: 0.1 for a digit.
 *
 * @example
 * integerState().encode(-2) // fe ff ff ff ff ff ff ff
 */
export function integerState(
  options: { readonly guessProbability?: number } = {},
): StateKind<bigint | number> {
  return exactKind<bigint | number>({
    name: 'integer',
    parameters: {},
    guessProbability: options.guessProbability ?? 0,
    assert: assertInt64,
    encode(state) {
      assertInt64(state)
      return encodeInt64(state)
    },
    decode: decodeInt64,
  })
}

/** Throws `state/type` unless `value` is a safe integer, or a bigint of 64 bits with a sign. */
export function assertInt64(value: unknown): asserts value is bigint | number {
  const fits = typeof value === 'bigint' ? BigInt.asIntN(64, value) === value : Number.isSafeInteger(value)
  if (!fits) {
    throw new AssayError(
      'state/type',
      `expected an integer of 64 bits (a number within ±(2^53 - 1), or a bigint), got ${describeValue(value)}`,
    )
  }
}

/** Two's complement, eight bytes, least significant first. */
export function encodeInt64(value: bigint | number): Uint8Array {
  // One view for all: a buffer of its own for each integer costs five times as much as the copy.
  SCRATCH_VIEW.setBigInt64(0, BigInt(value), true)
  return SCRATCH.slice()
}

/** Inverse of `encodeInt64`. Throws `state/malformed` for another length. */
export function decodeInt64(bytes: Uint8Array): bigint {
  if (bytes.length !== INTEGER_BYTES) {
    throw malformed(`expected ${INTEGER_BYTES} bytes of integer, got ${bytes.length}`)
  }
  SCRATCH.set(bytes)
  return SCRATCH_VIEW.getBigInt64(0, true)
}

/**
 * The published hash of an array: integers sum modulo 2^64, floats sum as numpy does and lose their fraction,
 * and the sum is hashed as an integer. Compatible, and weak: see the head of this file.
 *
 * @throws AssayError `state/non-finite`, or `state/out-of-range` for a float sum that no 64-bit integer holds
 * (where numpy's result depends on the processor).
 */
export function hashIntegerArray(values: BigInt64Array | Float64Array | readonly bigint[]): Uint8Array {
  if (values instanceof Float64Array) return hashInteger(truncatedSum(values))
  let sum = 0n
  for (const value of values) sum = BigInt.asIntN(64, sum + value)
  return hashInteger(sum)
}

function truncatedSum(values: Float64Array): bigint {
  const sum = Math.trunc(numpySum(values))
  if (!Number.isFinite(sum)) {
    throw new AssayError('state/non-finite', `expected a finite sum to hash, got ${sum}`)
  }
  if (sum < MIN_FLOAT_SUM || sum >= END_FLOAT_SUM) {
    throw new AssayError('state/out-of-range', `expected a sum from -2^63 to below 2^64, got ${sum}`)
  }
  return BigInt(sum)
}
