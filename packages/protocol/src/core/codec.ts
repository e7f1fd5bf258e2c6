/**
 * Canonical encoding: DAG-CBOR (RFC 8949, IPLD DAG-CBOR), one encoding for each value, and the envelope
 * that every encoded object of this library carries.
 *
 * Two parties compare digests, so a value must have one encoding and an encoding one value. The reader
 * (cbor-read.ts) refuses every other form; what it read is encoded again with `@ipld/dag-cbor`, an
 * implementation that shares nothing with it, and must give the same bytes. Numbers that JavaScript holds
 * equal are one value: -0 is encoded as 0, 1.0 and 1n as 1.
 *
 * Threat: the bytes and the JSON come from anybody. Size is checked before anything else, then depth and
 * number of items; a refusal is always an `AssayError`.
 */
import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod/mini'
import { equalBytes } from './bytes.ts'
import { readCanonical } from './cbor-read.ts'
import { type Digest, tagged } from './digest.ts'
import { checkEncodable, isPlainObject, MAX_DEPTH } from './encodable.ts'
import { AssayError } from './errors.ts'
import { describeValue } from './inspect.ts'
import { describeIssue, mainIssue, schemaError } from './schema-issue.ts'

/**
 * Items (numbers, texts, keys, arrays …) in one decoded value. A hostile object can make one heap object of
 * each byte (some 200 bytes of heap for an empty byte string): this bounds them to about 6 MB, and a refusal
 * to some 40 ms, schema included (measured). Large arrays travel as byte strings, which count once.
 */
export const MAX_ITEMS = 2 ** 15

export interface DecodeLimits {
  /** Bytes of the whole encoding. */
  readonly maxBytes: number
  /** Nested arrays and maps; 64 unless told. */
  readonly maxDepth?: number
  /** Items in all; 2^15 unless told. */
  readonly maxItems?: number
}

/**
 * The one encoding of `value`: null, booleans, texts, `Uint8Array`s, CIDs, finite numbers, arrays and plain
 * objects of these. Integers beyond 2^53 - 1 come as bigints of at most 64 bits. Throws `codec/schema`,
 * naming the path, for anything else (`undefined` included), and `codec/too-large` beyond 64 levels.
 */
export function encodeCanonical(value: unknown): Uint8Array {
  checkEncodable(value)
  return dagCbor.encode(value)
}

/**
 * Strict inverse of `encodeCanonical`. Integers within ±(2^53 - 1) come as numbers, others as bigints. Nothing
 * of the result shares memory with `bytes`. Throws `codec/too-large`, `codec/malformed` and
 * `codec/not-canonical`.
 */
export function decodeCanonical(bytes: Uint8Array, limits: DecodeLimits): unknown {
  const { maxBytes, maxDepth = MAX_DEPTH, maxItems = MAX_ITEMS } = limits
  if (!(bytes instanceof Uint8Array)) {
    throw new AssayError('codec/malformed', `expected a Uint8Array to decode, got ${describeValue(bytes)}`)
  }
  if (bytes.length > maxBytes) throw tooManyBytes('an object', bytes.length, maxBytes)
  const value = readCanonical(bytes, { maxDepth: Math.min(maxDepth, MAX_DEPTH), maxItems })
  if (!equalBytes(encodeCanonical(value), bytes)) {
    throw new AssayError(
      'codec/not-canonical',
      'expected the one canonical encoding of its value, got another; encode with a strict DAG-CBOR encoder',
    )
  }
  return value
}

export interface ObjectDefinition<T> {
  /** Domain tag, unique in the library: `assay/receipt`. */
  readonly type: string
  /** The version that this definition writes and reads; counts from 1. */
  readonly version: number
  /** Of the body. Must accept values as they are (no transforms, no defaults): both are refused when met. */
  readonly schema: z.ZodMiniType<T>
  /** Cap of the whole encoding, on both sides. */
  readonly maxBytes: number
  readonly maxItems?: number
}

export interface ObjectCodec<T> {
  readonly type: string
  readonly version: number
  /** Throws `codec/schema` or `codec/too-large`. */
  encode(value: T): Uint8Array
  /** Throws any code of `codec/`. */
  decode(bytes: Uint8Array): T
  /** Digest of the encoding, under a tag of the type and the version. */
  digest(value: T): Digest
}

/**
 * The codec of one kind of object: the map `{ type, v, body }` in canonical DAG-CBOR.
 *
 * @example
 * const note = defineObject({
 *   type: 'example/note', version: 1, schema: z.strictObject({ text: z.string() }), maxBytes: 1024,
 * })
 * note.decode(note.encode({ text: 'hello' })).text // 'hello'
 */
export function defineObject<T>(definition: ObjectDefinition<T>): ObjectCodec<T> {
  const { type, version, schema, maxBytes, maxItems = MAX_ITEMS } = definition
  const digestTag = `${type}/v${version}`

  const encode = (value: T): Uint8Array => {
    checkBody(schema, value, type)
    const envelope = { type, v: version, body: value }
    const items = checkEncodable(envelope)
    if (items > maxItems) {
      throw new AssayError('codec/too-large', `${type}: expected at most ${maxItems} items, got ${items}`)
    }
    const bytes = dagCbor.encode(envelope)
    if (bytes.length > maxBytes) throw tooManyBytes(type, bytes.length, maxBytes)
    return bytes
  }

  const decode = (bytes: Uint8Array): T => {
    const envelope = decodeCanonical(bytes, { maxBytes, maxItems })
    return checkBody(schema, openEnvelope(envelope, type, version), type)
  }

  return { type, version, encode, decode, digest: (value) => tagged(digestTag, encode(value)) }
}

/**
 * `value`, checked against `schema`. `what` names it in the message ("solver request"). Throws `codec/schema`
 * with the path of the first fault, what was expected there and what came, in the message and in the detail.
 */
export function parseWith<T>(schema: z.ZodMiniType<T>, value: unknown, what: string): T {
  const result = z.safeParse(schema, value, { error: describeIssue })
  if (result.success) return result.data
  const { path, expected, found } = mainIssue(result.error.issues)
  throw schemaError(what, path, { expected, got: found ?? describeValue(valueAt(value, path)) })
}

/** Tag and version first: another version may have other fields. */
function openEnvelope(envelope: unknown, type: string, version: number): unknown {
  if (!isPlainObject(envelope)) {
    throw schemaError(type, [], { expected: 'a map of type, v and body', got: describeValue(envelope) })
  }
  if (envelope.type !== type) {
    const got = describeValue(envelope.type)
    throw new AssayError('codec/unknown-type', `expected an object of type "${type}", got ${got}`, {
      detail: { expected: type, got },
    })
  }
  if (envelope.v !== version) {
    const got = describeValue(envelope.v)
    const message = `${type}: version ${got} is not known; this release knows ${version}`
    throw new AssayError('codec/unknown-version', message, { detail: { type, known: [version], got } })
  }
  const stray = Object.keys(envelope).find((key) => key !== 'type' && key !== 'v' && key !== 'body')
  if (stray !== undefined)
    throw schemaError(type, [stray], { expected: 'no such field', got: describeValue(envelope[stray]) })
  if (!('body' in envelope)) throw schemaError(type, ['body'], { expected: 'a body', got: 'nothing' })
  return envelope.body
}

/** The body, if the schema accepts it and leaves it as it is: what a schema would drop must not be dropped. */
function checkBody<T>(schema: z.ZodMiniType<T>, body: unknown, what: string): T {
  const parsed = parseWith(schema, body, what)
  const changed = firstDifference(body, parsed, [])
  if (changed !== undefined) {
    throw schemaError(what, changed, {
      expected: 'only what the schema names',
      got: describeValue(valueAt(body, changed)),
    })
  }
  return parsed
}

function tooManyBytes(what: string, length: number, maxBytes: number): AssayError {
  return new AssayError('codec/too-large', `${what}: expected at most ${maxBytes} bytes, got ${length}`, {
    detail: { maxBytes, bytes: length },
  })
}

/** Path of the first place where two trees of encodable values differ. */
function firstDifference(a: unknown, b: unknown, path: PropertyKey[]): PropertyKey[] | undefined {
  if (a === b) return undefined
  if (a instanceof Uint8Array && b instanceof Uint8Array) return equalBytes(a, b) ? undefined : path
  if (!isTree(a) || !isTree(b) || Array.isArray(a) !== Array.isArray(b)) return path
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (!Object.hasOwn(a, key) || !Object.hasOwn(b, key)) return [...path, key]
    const difference = firstDifference(a[key], b[key], [...path, Array.isArray(a) ? Number(key) : key])
    if (difference !== undefined) return difference
  }
  return undefined
}

function isTree(value: unknown): value is { readonly [key: string]: unknown } {
  return Array.isArray(value) || isPlainObject(value)
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let current = value
  for (const key of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined
    current = (current as { readonly [key: PropertyKey]: unknown })[key]
  }
  return current
}
