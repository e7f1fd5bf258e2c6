/**
 * States that are any JSON-like value, exact: what a task of one's own most often yields.
 *
 * The encoding is canonical DAG-CBOR in a tagged, versioned envelope (core/codec.ts), so records compare by
 * content: the order of keys does not matter, the order of lists and the length of everything does.
 */
import * as z from 'zod/mini'
import { defineObject, MAX_ITEMS } from '../core/codec.ts'
import { AssayError } from '../core/errors.ts'
import { describeValue } from '../core/inspect.ts'
import { exactKind } from './exact.ts'
import type { StateKind, ValueCodec } from './kind.ts'

/** Bytes of one encoded value. A state is meant to be small: large data belong in tensors, or behind a digest. */
export const MAX_VALUE_BYTES = 2 ** 24

const NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/

export interface ValueCodecOptions<T> {
  /** Names the meaning of the values; part of each encoding, so that values of different names never meet. */
  readonly name: string
  /** Refuses what is not a value. It must leave what it accepts as it is: no defaults, no transforms. */
  readonly schema?: z.ZodMiniType<T>
  /**
   * Cap on the numbers, texts, keys and lists in one value; 2^20 unless told. Each can cost a decoder some 200
   * bytes of heap, so lower it where values come from strangers. Large arrays belong in tensors.
   */
  readonly maxItems?: number
}

/** A task's input may be a list of many numbers; decoding one this long takes a fraction of a second. */
const MAX_VALUE_ITEMS = 2 ** 20

export interface ValueStateOptions<T> extends ValueCodecOptions<T> {
  /** Probability of guessing one state; there is no default, since it depends on what the values are. */
  readonly guessProbability: number
}

/**
 * The codec of values that are null, booleans, Unicode text, `Uint8Array`, finite numbers, bigints of 64 bits,
 * or arrays and plain objects of these. `undefined` is refused, also in a field. For the inputs and outputs of
 * tasks. Errors are those of core/codec.ts.
 *
 * @throws AssayError `state/parameters` unless `name` is 1 to 128 letters, digits and `._/-`.
 */
export function valueCodec<T = unknown>(options: ValueCodecOptions<T>): ValueCodec<T> {
  const { name, schema = z.unknown() as z.ZodMiniType<T>, maxItems = MAX_VALUE_ITEMS } = options
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new AssayError(
      'state/parameters',
      `expected a name of 1 to 128 letters, digits and ._/-, got ${describeValue(name)}`,
    )
  }
  const codec = defineObject<T>({
    type: `assay/value/${name}`,
    version: 1,
    schema,
    maxBytes: MAX_VALUE_BYTES,
    maxItems,
  })
  return {
    assert(value): asserts value is T {
      codec.encode(value as T)
    },
    encode: codec.encode,
    decode: codec.decode,
  }
}

/**
 * Exact states that are values of `valueCodec`.
 *
 * @example
 * const rows = valueState<{ id: number }>({ name: 'row', guessProbability: 0 })
 */
export function valueState<T = unknown>(options: ValueStateOptions<T>): StateKind<T> {
  const { name, guessProbability } = options
  // States come from solvers, and are small: they keep the cap of the codec unless told otherwise.
  const codec: ValueCodec<T> = valueCodec<T>({ maxItems: MAX_ITEMS, ...options })
  return exactKind<T>({
    name: 'value',
    parameters: { name },
    guessProbability,
    assert(value): asserts value is T {
      codec.assert(value)
    },
    encode: codec.encode,
    decode: codec.decode,
  })
}
