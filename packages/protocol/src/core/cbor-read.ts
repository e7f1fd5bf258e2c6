/**
 * A strict reader of DAG-CBOR (RFC 8949 narrowed by the IPLD DAG-CBOR specification, "Strictness").
 *
 * The bytes come from whoever wants to harm us. One pass, and at each item: the claimed length is compared
 * with what is left before anything is allocated, depth and number of items are counted down, and every
 * form but the canonical one is refused: long integers, short floats, indefinite lengths, unsorted or
 * repeated keys, tags other than 42. Nothing of the result shares memory with the input.
 */
import { CID } from 'multiformats/cid'
import { isReservedKey } from './encodable.ts'
import { AssayError, type ErrorCode } from './errors.ts'
import { clipText } from './inspect.ts'

const MAJOR_NEGATIVE = 1
const MAJOR_BYTES = 2
const MAJOR_TEXT = 3
const MAJOR_ARRAY = 4
const MAJOR_MAP = 5
const MAJOR_TAG = 6
const MAJOR_SIMPLE = 7
const LINK_TAG = 42
/** Below this length, reading ASCII in a loop beats a call of TextDecoder. */
const SHORT_TEXT = 32

/** What one read may cost. */
export interface ReadLimits {
  readonly maxDepth: number
  readonly maxItems: number
}

interface Reader {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly limits: ReadLimits
  position: number
  items: number
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The one value that `bytes` encode. Throws `codec/malformed`, `codec/not-canonical`, `codec/too-large`. */
export function readCanonical(bytes: Uint8Array, limits: ReadLimits): unknown {
  const plain = plainBytes(bytes)
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
  const reader: Reader = { bytes: plain, view, limits, position: 0, items: 0 }
  const value = readItem(reader, 0)
  if (reader.position !== bytes.length) {
    throw refusal(reader, 'codec/malformed', `${bytes.length - reader.position} bytes after the value`)
  }
  return value
}

function readItem(reader: Reader, depth: number): unknown {
  countItem(reader)
  const head = readByte(reader)
  const major = head >> 5
  const minor = head & 31
  if (major === MAJOR_SIMPLE) return readSimple(reader, minor)
  const argument = readArgument(reader, minor)
  switch (major) {
    case MAJOR_NEGATIVE:
      return negative(argument)
    case MAJOR_BYTES:
      return takeSpan(reader, argument).slice()
    case MAJOR_TEXT:
      return readText(reader, takeSpan(reader, argument))
    case MAJOR_ARRAY:
      return readArray(reader, checkCount(reader, argument, 1), enter(reader, depth))
    case MAJOR_MAP:
      return readMap(reader, checkCount(reader, argument, 2), enter(reader, depth))
    case MAJOR_TAG:
      return readLink(reader, argument)
    default:
      return argument
  }
}

function readArray(reader: Reader, count: number, depth: number): unknown[] {
  const values: unknown[] = []
  for (let i = 0; i < count; i++) values.push(readItem(reader, depth))
  return values
}

function readMap(reader: Reader, count: number, depth: number): { [key: string]: unknown } {
  const map: { [key: string]: unknown } = {}
  let previous: Uint8Array | undefined
  for (let i = 0; i < count; i++) {
    countItem(reader)
    const head = readByte(reader)
    if (head >> 5 !== MAJOR_TEXT) throw refusal(reader, 'codec/malformed', 'a map key that is no text')
    const span = takeSpan(reader, readArgument(reader, head & 31))
    if (previous !== undefined && compareKeys(previous, span) >= 0) {
      throw refusal(reader, 'codec/not-canonical', 'map keys that repeat or are out of order')
    }
    previous = span
    const key = readText(reader, span)
    if (isReservedKey(key)) throw refusal(reader, 'codec/malformed', `the reserved map key ${clipText(key)}`)
    map[key] = readItem(reader, depth)
  }
  return map
}

function readSimple(reader: Reader, minor: number): unknown {
  switch (minor) {
    case 20:
      return false
    case 21:
      return true
    case 22:
      return null
    case 25:
    case 26:
      throw refusal(reader, 'codec/not-canonical', 'a float of fewer than 64 bits')
    case 27:
      return readFloat(reader)
    default:
      throw refusal(reader, 'codec/malformed', `simple value ${minor}, which DAG-CBOR does not have`)
  }
}

function readFloat(reader: Reader): number {
  const start = take(reader, 8)
  const value = reader.view.getFloat64(start)
  if (!Number.isFinite(value)) throw refusal(reader, 'codec/malformed', `the float ${value}`)
  if (Number.isInteger(value)) throw refusal(reader, 'codec/not-canonical', 'an integer written as a float')
  return value
}

/** The argument of a head: the shortest form only. Beyond 2^53 - 1 as a bigint. */
function readArgument(reader: Reader, minor: number): number | bigint {
  if (minor < 24) return minor
  if (minor === 31) throw refusal(reader, 'codec/not-canonical', 'an item of indefinite length')
  if (minor > 27) throw refusal(reader, 'codec/malformed', `additional information ${minor}`)
  const width = 1 << (minor - 24)
  const start = take(reader, width)
  const value = readUint(reader.view, start, width)
  const least = width === 1 ? 24 : width === 2 ? 0x100 : width === 4 ? 0x1_0000 : 0x1_0000_0000
  if (value < least)
    throw refusal(reader, 'codec/not-canonical', 'an integer or length in more bytes than it needs')
  return value
}

function readUint(view: DataView, start: number, width: number): number | bigint {
  if (width === 1) return view.getUint8(start)
  if (width === 2) return view.getUint16(start)
  if (width === 4) return view.getUint32(start)
  const value = view.getBigUint64(start)
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

function negative(argument: number | bigint): number | bigint {
  if (typeof argument === 'number' && argument < Number.MAX_SAFE_INTEGER) return -1 - argument
  return -1n - BigInt(argument)
}

function readText(reader: Reader, span: Uint8Array): string {
  if (span.length < SHORT_TEXT) {
    let text = ''
    for (const byte of span) {
      if (byte >= 0x80) return decodeText(reader, span)
      text += String.fromCharCode(byte)
    }
    return text
  }
  return decodeText(reader, span)
}

function decodeText(reader: Reader, span: Uint8Array): string {
  try {
    return decoder.decode(span)
  } catch (cause) {
    throw refusal(reader, 'codec/malformed', 'text that is not UTF-8', cause)
  }
}

function readLink(reader: Reader, tag: number | bigint): CID {
  if (tag !== LINK_TAG) throw refusal(reader, 'codec/malformed', `tag ${tag}; DAG-CBOR has tag 42 only`)
  countItem(reader)
  const head = readByte(reader)
  if (head >> 5 !== MAJOR_BYTES) throw refusal(reader, 'codec/malformed', 'a link that is no byte string')
  const span = takeSpan(reader, readArgument(reader, head & 31))
  if (span[0] !== 0) throw refusal(reader, 'codec/malformed', 'a link without its leading zero')
  try {
    return CID.decode(span.slice(1))
  } catch (cause) {
    throw refusal(reader, 'codec/malformed', 'a link that is no content address', cause)
  }
}

/** The number of elements a head claims: each takes at least `itemBytes`, so a lie shows at once. */
function checkCount(reader: Reader, claimed: number | bigint, itemBytes: number): number {
  const left = reader.bytes.length - reader.position
  if (claimed > left / itemBytes) {
    throw refusal(reader, 'codec/malformed', `a count of ${claimed} with ${left} bytes left`)
  }
  if (claimed > reader.limits.maxItems) throw tooManyItems(reader)
  return Number(claimed)
}

function takeSpan(reader: Reader, length: number | bigint): Uint8Array {
  const start = take(reader, length)
  return reader.bytes.subarray(start, reader.position)
}

function take(reader: Reader, length: number | bigint): number {
  const left = reader.bytes.length - reader.position
  if (length > left) throw refusal(reader, 'codec/malformed', `an item of ${length} bytes with ${left} left`)
  const start = reader.position
  reader.position += Number(length)
  return start
}

function readByte(reader: Reader): number {
  const byte = reader.bytes[reader.position]
  if (byte === undefined) throw refusal(reader, 'codec/malformed', 'the end of the bytes inside a value')
  reader.position++
  return byte
}

function enter(reader: Reader, depth: number): number {
  const { maxDepth } = reader.limits
  if (depth >= maxDepth) {
    throw new AssayError('codec/too-large', `expected at most ${maxDepth} nested arrays and maps, got more`, {
      detail: { maxDepth, position: reader.position },
    })
  }
  return depth + 1
}

function countItem(reader: Reader): void {
  if (reader.items >= reader.limits.maxItems) throw tooManyItems(reader)
  reader.items++
}

function tooManyItems(reader: Reader): AssayError {
  const { maxItems } = reader.limits
  return new AssayError(
    'codec/too-large',
    `expected at most ${maxItems} items, got more; hold large arrays as bytes, or raise maxItems`,
    { detail: { maxItems, position: reader.position } },
  )
}

/** No subclass (a Buffer's `slice` is a view), and nothing that another thread may change meanwhile. */
function plainBytes(bytes: Uint8Array): Uint8Array {
  return bytes.buffer instanceof ArrayBuffer
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes)
}

/** Canonical order of keys: the shorter first, then byte by byte. */
function compareKeys(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return 0
}

function refusal(reader: Reader, code: ErrorCode, found: string, cause?: unknown): AssayError {
  return new AssayError(code, `expected canonical DAG-CBOR, got ${found} at byte ${reader.position}`, {
    detail: { position: reader.position },
    cause,
  })
}
