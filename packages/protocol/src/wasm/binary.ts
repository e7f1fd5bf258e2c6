/**
 * Reading the WebAssembly binary format: bytes, LEB128 numbers, names; and the typed refusals.
 *
 * Threat: the bytes come from anybody. A reader never leaves its range, and every count is checked against a cap
 * before anything is counted. Values that only the engine cares about are stepped over: here it only matters
 * where they end, and the format leaves no choice about that.
 */
import { AssayError } from '../core/errors.ts'
import { clipText } from '../core/inspect.ts'

export interface BinaryReader {
  readonly bytes: Uint8Array
  /** Where the next byte is read. */
  at: number
  /** Exclusive; a section or a function body narrows it. */
  end: number
}

export function malformed(what: string, at: number): AssayError {
  return new AssayError('wasm/malformed', `not a WebAssembly module: at byte ${at}: ${what}`, {
    detail: { byte: at },
  })
}

export function unsupported(what: string, at: number): AssayError {
  return new AssayError(
    'wasm/feature',
    `expected WebAssembly 2.0 without what engines may differ on, got ${what} at byte ${at}`,
    { detail: { byte: at } },
  )
}

export function tooLarge(what: string, cap: number, got: number): AssayError {
  return new AssayError('wasm/too-large', `expected at most ${cap} ${what}, got ${got}`, {
    detail: { cap, got },
  })
}

export function readByte(reader: BinaryReader): number {
  if (reader.at >= reader.end) throw malformed('it ends too early', reader.at)
  return reader.bytes[reader.at++] as number
}

export function skipBytes(reader: BinaryReader, count: number): void {
  if (count > reader.end - reader.at) {
    throw malformed(`expected ${count} more bytes, got ${reader.end - reader.at}`, reader.at)
  }
  reader.at += count
}

/** Unsigned, at most 32 bits in five bytes. */
export function readU32(reader: BinaryReader): number {
  const start = reader.at
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = readByte(reader)
    if (shift === 28 && byte > 15) break
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return value
  }
  throw malformed('expected a number of at most 32 bits', start)
}

/** Steps over a number of at most `maxBytes` bytes: 5 for 32 and 33 bits, 10 for 64. */
export function skipLeb(reader: BinaryReader, maxBytes: number): void {
  const start = reader.at
  for (let i = 0; i < maxBytes; i++) if (readByte(reader) < 0x80) return
  throw malformed(`expected a number of at most ${maxBytes} bytes`, start)
}

/** A count of things that take a byte each at the least, of which a cap allows so many. */
export function readCount(reader: BinaryReader, what: string, cap: number): number {
  const count = readU32(reader)
  if (count > cap) throw tooLarge(what, cap, count)
  return count
}

const NAME_BYTES = 2 ** 10

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** A name; of one that is long or not UTF-8 (which the engine refuses), only what a message can show. */
export function readName(reader: BinaryReader): string {
  const length = readU32(reader)
  const start = reader.at
  skipBytes(reader, length)
  return decoder.decode(reader.bytes.subarray(start, start + Math.min(length, NAME_BYTES)))
}

export function showName(name: string): string {
  return clipText(name).slice(1, -1)
}

export const VALUE_TYPES: { readonly [byte: number]: string } = {
  127: 'i32',
  126: 'i64',
  125: 'f32',
  124: 'f64',
  123: 'v128',
  112: 'funcref',
  111: 'externref',
}

/** One of the value types of WebAssembly 2.0. */
export function readValueType(reader: BinaryReader): string {
  const byte = readByte(reader)
  const type = VALUE_TYPES[byte]
  if (type === undefined) throw unsupported(`a value type ${hexByte(byte)}`, reader.at - 1)
  return type
}

export function readReferenceType(reader: BinaryReader): void {
  const type = readValueType(reader)
  if (type !== 'funcref' && type !== 'externref') {
    throw malformed(`expected a reference type, got ${type}`, reader.at - 1)
  }
}

/** A byte that WebAssembly 2.0 reserves as zero. */
export function expectZero(reader: BinaryReader, feature: string): void {
  if (readByte(reader) !== 0) throw unsupported(feature, reader.at - 1)
}

export function hexByte(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`
}
