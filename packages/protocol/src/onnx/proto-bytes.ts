/**
 * Protobuf messages as bytes: their fields as they stand in a file, and messages put together from fields.
 *
 * Cutting a model moves nodes and weights from one file into another. Decoding and encoding them again would
 * lose what the decoder does not know (fields of newer versions of ONNX) and, where the engine has no exact
 * 64-bit integers, change attributes; so the encoded fields are moved as they are.
 * Format: Protocol Buffers, "Encoding".
 *
 * Threat: callers read models that `assertProtoWire` has passed. Bytes that have not been scanned end in an
 * `onnx/malformed`, never in a loop.
 */
import { concatBytes } from '../core/bytes.ts'
import { AssayError } from '../core/errors.ts'

export const WIRE_VARINT = 0
export const WIRE_LENGTH = 2

export interface RawField {
  readonly field: number
  readonly wire: number
  /** Tag, length and value, as a view. */
  readonly whole: Uint8Array
  /** The value alone, as a view: without the length of a length-delimited field. */
  readonly value: Uint8Array
}

/** The fields of an encoded message, in the order of the bytes. */
export function* fieldsOf(message: Uint8Array): Generator<RawField> {
  let at = 0
  while (at < message.length) {
    const start = at
    const tag = readVarint(message, at)
    at = tag.end
    const wire = tag.value % 8
    let from = at
    if (wire === WIRE_VARINT) at = readVarint(message, at).end
    else if (wire === 1) at += 8
    else if (wire === 5) at += 4
    else if (wire === WIRE_LENGTH) {
      const length = readVarint(message, at)
      from = length.end
      at = from + length.value
    } else throw malformed(start)
    if (at > message.length) throw malformed(start)
    yield {
      field: Math.floor(tag.value / 8),
      wire,
      whole: message.subarray(start, at),
      value: message.subarray(from, at),
    }
  }
}

/** The integers of a repeated field of an encoded message, packed or not. Exact up to 2^53. */
export function integersOf(message: Uint8Array, field: number): readonly number[] {
  const integers: number[] = []
  for (const { field: number, value } of fieldsOf(message)) {
    if (number !== field) continue
    for (let at = 0; at < value.length; ) {
      const read = readVarint(value, at)
      integers.push(read.value)
      at = read.end
    }
  }
  return integers
}

/** A length-delimited field: a message, a string or bytes. */
export function lengthField(field: number, ...value: readonly Uint8Array[]): Uint8Array {
  const length = value.reduce((sum, part) => sum + part.length, 0)
  return concatBytes(varint(field * 8 + WIRE_LENGTH), varint(length), ...value)
}

/** An integer field; `value` is a safe integer >= 0. */
export function varintField(field: number, value: number): Uint8Array {
  return concatBytes(varint(field * 8 + WIRE_VARINT), varint(value))
}

/** The shortest encoding of a safe integer >= 0. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

/** Values beyond 2^53 lose bits; tags, lengths and sizes do not reach it. */
function readVarint(bytes: Uint8Array, at: number): { readonly value: number; readonly end: number } {
  let value = 0
  for (let i = 0; i < 10; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) break
    value += (byte & 127) * 2 ** (7 * i)
    if (byte < 128) return { value, end: at + i + 1 }
  }
  throw malformed(at)
}

function malformed(at: number): AssayError {
  return new AssayError('onnx/malformed', `not a valid protobuf message: byte ${at} opens no whole field`)
}
