/**
 * Which JavaScript values have a canonical encoding (codec.ts), and the path to the first part that has none.
 *
 * The encoder underneath is lenient: it writes large integers as floats and lone surrogates as U+FFFD, and
 * takes class instances, `Map`s and typed arrays for maps and bytes. Each of these would give two values one
 * encoding, or one value two, so they are refused here before it runs.
 */
import { CID } from 'multiformats/cid'
import { AssayError } from './errors.ts'
import { describeValue } from './inspect.ts'
import { schemaError } from './schema-issue.ts'

/** Nested arrays and maps in one value. Far more than any object here, and shallow for a recursion. */
export const MAX_DEPTH = 64
/** CBOR integers have 64 bits and a sign. */
const MAX_INTEGER = 2n ** 64n - 1n
const MIN_INTEGER = -(2n ** 64n)

const LONE_SURROGATE = /\p{Surrogate}/u

/**
 * Refuses what DAG-CBOR cannot hold: `codec/schema`, naming the path; `codec/too-large` beyond 64 levels, which
 * a cycle reaches. Returns the number of items, keys included.
 */
export function checkEncodable(value: unknown): number {
  return checkItem(value, [])
}

function checkItem(value: unknown, path: PropertyKey[]): number {
  if (typeof value !== 'object' || value === null) {
    const fault = scalarFault(value)
    if (fault === undefined) return 1
    throw schemaError('canonical encoding', path, { expected: fault, got: describeValue(value) })
  }
  if (value instanceof Uint8Array) return 1
  if (path.length >= MAX_DEPTH) {
    const message = `expected at most ${MAX_DEPTH} nested arrays and maps, got more`
    throw new AssayError('codec/too-large', message, { detail: { maxDepth: MAX_DEPTH } })
  }
  if (Array.isArray(value)) return checkArray(value, path)
  if (isPlainObject(value)) return checkObject(value, path)
  if (CID.asCID(value) !== null) return 2
  throw schemaError('canonical encoding', path, {
    expected: 'a plain object, an array, a Uint8Array or a CID',
    got: describeValue(value),
  })
}

function checkArray(value: readonly unknown[], path: PropertyKey[]): number {
  let items = 1
  for (let i = 0; i < value.length; i++) {
    path.push(i)
    items += checkItem(value[i], path)
    path.pop()
  }
  return items
}

function checkObject(value: { readonly [key: string]: unknown }, path: PropertyKey[]): number {
  let items = 1
  for (const key of Object.keys(value)) {
    path.push(key)
    if (isReservedKey(key) || LONE_SURROGATE.test(key)) {
      throw schemaError('canonical encoding', path, {
        expected: 'no such key (it is reserved, or not Unicode)',
        got: describeValue(value[key]),
      })
    }
    items += 1 + checkItem(value[key], path)
    path.pop()
  }
  return items
}

/** What a scalar should have been, or undefined when it is fine. */
function scalarFault(value: unknown): string | undefined {
  switch (typeof value) {
    case 'number':
      if (!Number.isFinite(value)) return 'a finite number'
      return Number.isInteger(value) && !Number.isSafeInteger(value)
        ? 'an integer within ±(2^53 - 1), or a bigint'
        : undefined
    case 'bigint':
      return value > MAX_INTEGER || value < MIN_INTEGER ? 'an integer of at most 64 bits' : undefined
    case 'string':
      return LONE_SURROGATE.test(value) ? 'Unicode text without lone surrogates' : undefined
    case 'boolean':
      return undefined
    default:
      return value === null ? undefined : 'a value that DAG-CBOR can hold'
  }
}

/**
 * Keys that no object may have: `__proto__` reaches the prototype wherever an object is copied by
 * assignment, and `/` marks a link in DAG-JSON and in the JavaScript encoders.
 */
export function isReservedKey(key: string): boolean {
  return key === '__proto__' || key === '/'
}

/** Plain in any realm: its prototype is null, or an object whose prototype is null. */
export function isPlainObject(value: unknown): value is { readonly [key: string]: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
