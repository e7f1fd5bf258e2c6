/**
 * Reading and writing the binary encodings of states: lengths, byte order, strict text.
 */
import { AssayError } from '../core/errors.ts'

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1
const LONE_SURROGATE = /\p{Surrogate}/u

/** Reads from the front of some bytes; every read past the end is a typed refusal. */
export interface ByteReader {
  take(length: number): Uint8Array
  u32(): number
  /** Refuses what is not a safe integer. */
  u64(): number
  /** Refuses bytes that are left. */
  end(): void
}

export function malformed(message: string): AssayError {
  return new AssayError('state/malformed', message)
}

export function byteReader(bytes: Uint8Array): ByteReader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let offset = 0
  const advance = (length: number): number => {
    if (length > bytes.length - offset) {
      throw malformed(`expected ${length} more bytes, got ${bytes.length - offset}`)
    }
    offset += length
    return offset - length
  }
  return {
    take(length) {
      const start = advance(length)
      return bytes.subarray(start, start + length)
    },
    u32: () => view.getUint32(advance(4)),
    u64: () => getLength(view, advance(8)),
    end() {
      if (offset !== bytes.length) throw malformed(`expected no more bytes, got ${bytes.length - offset}`)
    },
  }
}

/** `value` as four bytes, most significant first. `value` is an integer from 0 to 2^32 - 1. */
export function u32be(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

/** Writes a safe integer >= 0 as eight bytes, most significant first. */
export function setLength(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / 2 ** 32))
  view.setUint32(offset + 4, value >>> 0)
}

/** Reads what `setLength` writes; refuses what is not a safe integer. */
export function getLength(view: DataView, offset: number): number {
  const value = view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4)
  if (!Number.isSafeInteger(value)) throw malformed('expected a length below 2^53')
  return value
}

/** As `concatBytes`, for lists longer than an engine's limit on arguments. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}

/** Between this machine's order and little-endian. Returns `bytes` itself where the two are the same. */
export function littleEndian(bytes: Uint8Array<ArrayBuffer>, width: number): Uint8Array<ArrayBuffer>
export function littleEndian(bytes: Uint8Array, width: number): Uint8Array
export function littleEndian(bytes: Uint8Array, width: number): Uint8Array {
  if (LITTLE_ENDIAN || width < 2) return bytes
  const swapped = new Uint8Array(bytes.length)
  for (let i = 0; i < bytes.length; i++) swapped[i] = bytes[i - (i % width) + (width - 1 - (i % width))]!
  return swapped
}

/** UTF-8, strictly: no replacement characters, no byte order mark dropped. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new AssayError('state/malformed', 'expected text in UTF-8', { cause })
  }
}

/** Whether a string has no lone surrogate, and so survives UTF-8. */
export function isWellFormed(text: string): boolean {
  return !LONE_SURROGATE.test(text)
}

/** Order of byte strings: the first difference decides, then the length. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length)
  for (let i = 0; i < common; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}

/** Plain in any realm: its prototype is null, or an object whose prototype is null. */
export function isPlainObject(value: unknown): value is { readonly [key: string]: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
