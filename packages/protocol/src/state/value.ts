/**
 * States that are any JSON-like value, exact: what a task of one's own most often yields.
 *
 * The encoding is canonical DAG-CBOR in a tagged, versioned envelope (core/codec.ts), so records compare by
 * content: the order of keys does not matter, the order of lists and the length of everything does.
 */
import * as z from 'zod/mini'
import { defineObject } from '../core/codec.ts'
import { AssayError } from '../core/errors.ts'
import { exactKind } from './exact.ts'
import type { StateKind } from './kind.ts'

/** Bytes of one encoded value. A state is meant to be small: large data belong in tensors, or behind a digest. */
export const MAX_VALUE_BYTES = 2 ** 24

const MAX_NAME = 128

export interface ValueStateOptions<T> {
  /** Names the kind within the task id; change it when the meaning of the states changes. */
  readonly name: string
  /** Refuses what is not a state. It must leave what it accepts as it is: no defaults, no transforms. */
  readonly schema?: z.ZodMiniType<T>
  /** Probability of guessing one state; there is no default, since it depends on what the values are. */
  readonly guessProbability: number
}

/**
 * Values: null, booleans, Unicode text, `Uint8Array`, finite numbers, bigints of 64 bits, and arrays and plain
 * objects of these. `undefined` is refused, also in a field. Errors are those of core/codec.ts.
 *
 * @example
 * const rows = valueState<{ id: number }>({ name: 'row', guessProbability: 0 })
 */
export function valueState<T = unknown>(options: ValueStateOptions<T>): StateKind<T> {
  const { name, guessProbability } = options
  if (typeof name !== 'string' || name.length === 0 || name.length > MAX_NAME) {
    throw new AssayError('state/parameters', `expected a name of 1 to ${MAX_NAME} characters`)
  }
  const codec = defineObject<T>({
    type: 'assay/state/value',
    version: 1,
    schema: options.schema ?? (z.unknown() as z.ZodMiniType<T>),
    maxBytes: MAX_VALUE_BYTES,
  })
  return exactKind<T>({
    name: 'value',
    parameters: { name },
    guessProbability,
    assert(value): asserts value is T {
      codec.encode(value as T)
    },
    encode: codec.encode,
    decode: codec.decode,
  })
}
