/**
 * A dry run over the wire format of ONNX files, before anything is decoded.
 *
 * The decoder (onnx-proto on protobufjs) trusts its input: it recurses as deep as the file says, makes an
 * object of a hundred bytes out of two, ignores wire types, and where a message field comes twice it keeps
 * the last one while the runtimes merge both. A hostile file could so exhaust stack or memory, or show this
 * library another graph than the one that runs. The scan refuses such files in one pass, without allocating:
 * after it, decoding costs at most a fixed multiple of the limits, and means what the runtimes mean.
 *
 * Measured: malformed bytes are refused within a millisecond; the most expensive files that pass (2 to 4 MB,
 * a million empty messages or four million integers) take the decoder 0.9 s and 320 MB.
 *
 * Field numbers: onnx.proto of ONNX 1.10 (what onnx-proto 8 decodes). Unknown fields are allowed, as
 * protobuf requires, and skipped by the decoder as well.
 */
import { AssayError, type ErrorCode } from '../core/errors.ts'

/** Nesting of messages: about 20 subgraphs within one another. The runtimes themselves stop at 100. */
export const MAX_PROTO_DEPTH = 64
/** Messages, strings and byte fields in one file. A model of 50,000 nodes has about this many; each costs the decoder up to 300 bytes. */
export const MAX_PROTO_OBJECTS = 1 << 20
/** Integers in typed repeated fields (tree ensembles, int64_data); each costs the decoder up to 48 bytes. Large weights come as raw bytes. */
export const MAX_PROTO_INTEGERS = 1 << 22

export type ProtoRoot = 'ModelProto' | 'TensorProto'

export interface ScanOptions {
  /** Code for bytes that are not the message; 'onnx/malformed' by default. */
  readonly malformed?: ErrorCode
  /** Code for what passes a cap; 'onnx/too-large' by default. */
  readonly tooLarge?: ErrorCode
}

/**
 * Field kinds: `int` varint, `f32`, `f64` fixed width, `bytes` strings and bytes, a trailing `*` repeated
 * (numbers then also packed); anything else names a message.
 */
const SCHEMA: { readonly [message: string]: { readonly [field: number]: string } } = {
  ModelProto: {
    1: 'int',
    2: 'bytes',
    3: 'bytes',
    4: 'bytes',
    5: 'int',
    6: 'bytes',
    7: 'GraphProto',
    8: 'OperatorSetIdProto*',
    14: 'StringStringEntryProto*',
    20: 'TrainingInfoProto*',
    25: 'FunctionProto*',
  },
  OperatorSetIdProto: { 1: 'bytes', 2: 'int' },
  StringStringEntryProto: { 1: 'bytes', 2: 'bytes' },
  TrainingInfoProto: {
    1: 'GraphProto',
    2: 'GraphProto',
    3: 'StringStringEntryProto*',
    4: 'StringStringEntryProto*',
  },
  FunctionProto: {
    1: 'bytes',
    4: 'bytes*',
    5: 'bytes*',
    6: 'bytes*',
    7: 'NodeProto*',
    8: 'bytes',
    9: 'OperatorSetIdProto*',
    10: 'bytes',
  },
  GraphProto: {
    1: 'NodeProto*',
    2: 'bytes',
    5: 'TensorProto*',
    10: 'bytes',
    11: 'ValueInfoProto*',
    12: 'ValueInfoProto*',
    13: 'ValueInfoProto*',
    14: 'TensorAnnotation*',
    15: 'SparseTensorProto*',
  },
  NodeProto: {
    1: 'bytes*',
    2: 'bytes*',
    3: 'bytes',
    4: 'bytes',
    5: 'AttributeProto*',
    6: 'bytes',
    7: 'bytes',
  },
  AttributeProto: {
    1: 'bytes',
    2: 'f32',
    3: 'int',
    4: 'bytes',
    5: 'TensorProto',
    6: 'GraphProto',
    7: 'f32*',
    8: 'int*',
    9: 'bytes*',
    10: 'TensorProto*',
    11: 'GraphProto*',
    13: 'bytes',
    14: 'TypeProto',
    15: 'TypeProto*',
    20: 'int',
    21: 'bytes',
    22: 'SparseTensorProto',
    23: 'SparseTensorProto*',
  },
  ValueInfoProto: { 1: 'bytes', 2: 'TypeProto', 3: 'bytes' },
  TensorAnnotation: { 1: 'bytes', 2: 'StringStringEntryProto*' },
  TensorProto: {
    1: 'int*',
    2: 'int',
    3: 'Segment',
    4: 'f32*',
    5: 'int*',
    6: 'bytes*',
    7: 'int*',
    8: 'bytes',
    9: 'bytes',
    10: 'f64*',
    11: 'int*',
    12: 'bytes',
    13: 'StringStringEntryProto*',
    14: 'int',
  },
  Segment: { 1: 'int', 2: 'int' },
  SparseTensorProto: { 1: 'TensorProto', 2: 'TensorProto', 3: 'int*' },
  TensorShapeProto: { 1: 'Dimension*' },
  Dimension: { 1: 'int', 2: 'bytes', 3: 'bytes' },
  TypeProto: { 1: 'TensorType', 4: 'NestedType', 5: 'MapType', 6: 'bytes', 8: 'TensorType', 9: 'NestedType' },
  TensorType: { 1: 'int', 2: 'TensorShapeProto' },
  NestedType: { 1: 'TypeProto' },
  MapType: { 1: 'int', 2: 'TypeProto' },
}

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const FIXED32 = 5

interface Field {
  readonly name: string
  readonly wire: number
  readonly repeated: boolean
  readonly message: Message | undefined
  /** Bit of a message field that may come once; 0 where it may come again. */
  readonly onceBit: number
}

interface Message {
  readonly name: string
  readonly fields: (Field | undefined)[]
}

const MESSAGES = compileSchema()

interface Cursor {
  readonly bytes: Uint8Array
  readonly malformed: ErrorCode
  readonly tooLarge: ErrorCode
  position: number
  objects: number
  integers: number
}

/** Refuses, with a typed error, bytes that are not a well-formed message `root` within the limits. */
export function assertProtoWire(bytes: Uint8Array, root: ProtoRoot, options: ScanOptions = {}): void {
  const cursor: Cursor = {
    bytes,
    malformed: options.malformed ?? 'onnx/malformed',
    tooLarge: options.tooLarge ?? 'onnx/too-large',
    position: 0,
    objects: 0,
    integers: 0,
  }
  scanMessage(cursor, MESSAGES.get(root)!, bytes.length, 1)
}

function scanMessage(cursor: Cursor, message: Message, end: number, depth: number): void {
  if (depth > MAX_PROTO_DEPTH) {
    throw new AssayError(
      cursor.tooLarge,
      `messages are nested more than ${MAX_PROTO_DEPTH} deep at byte ${cursor.position}: flatten the subgraphs`,
    )
  }
  let seen = 0
  while (cursor.position < end) {
    const start = cursor.position
    const tag = readTag(cursor, end)
    const wire = tag & 7
    const field = message.fields[tag >>> 3]
    if (field === undefined) {
      skipValue(cursor, wire, end)
      continue
    }
    if (wire !== field.wire && !(wire === LENGTH && field.repeated)) {
      throw malformed(
        cursor,
        `field ${tag >>> 3} of ${message.name} has wire type ${wire}, expected ${field.wire}`,
        start,
      )
    }
    if ((seen & field.onceBit) !== 0) {
      throw malformed(cursor, `field ${tag >>> 3} of ${message.name} comes twice, expected once`, start)
    }
    seen |= field.onceBit
    scanField(cursor, field, { wire, end, depth })
  }
}

interface Frame {
  readonly wire: number
  readonly end: number
  readonly depth: number
}

function scanField(cursor: Cursor, field: Field, { wire, end, depth }: Frame): void {
  if (wire !== LENGTH) {
    if (wire === VARINT && field.repeated) countInteger(cursor)
    skipValue(cursor, wire, end)
    return
  }
  const fieldEnd = readLength(cursor, end)
  if (field.message !== undefined) {
    countObject(cursor)
    scanMessage(cursor, field.message, fieldEnd, depth + 1)
  } else if (field.wire === LENGTH) {
    countObject(cursor)
    cursor.position = fieldEnd
  } else if (field.wire === VARINT) {
    while (cursor.position < fieldEnd) {
      countInteger(cursor)
      skipVarint(cursor, fieldEnd)
    }
  } else {
    const width = field.wire === FIXED32 ? 4 : 8
    if ((fieldEnd - cursor.position) % width !== 0) {
      throw malformed(
        cursor,
        `a packed field of ${fieldEnd - cursor.position} bytes is not a whole number of ${width}-byte values`,
        cursor.position,
      )
    }
    cursor.position = fieldEnd
  }
}

function skipValue(cursor: Cursor, wire: number, end: number): void {
  if (wire === VARINT) skipVarint(cursor, end)
  else if (wire === LENGTH) cursor.position = readLength(cursor, end)
  else if (wire === FIXED32) advance(cursor, 4, end)
  else if (wire === FIXED64) advance(cursor, 8, end)
  else throw malformed(cursor, `wire type ${wire} is not used by ONNX`, cursor.position)
}

function advance(cursor: Cursor, count: number, end: number): void {
  if (end - cursor.position < count) {
    throw malformed(
      cursor,
      `truncated: ${count} bytes expected, ${end - cursor.position} left`,
      cursor.position,
    )
  }
  cursor.position += count
}

function skipVarint(cursor: Cursor, end: number): void {
  const { bytes } = cursor
  const limit = Math.min(end, cursor.position + 10)
  for (let i = cursor.position; i < limit; i++) {
    if (bytes[i]! < 0x80) {
      cursor.position = i + 1
      return
    }
  }
  throw malformed(cursor, 'a variable-length integer is truncated or longer than 10 bytes', cursor.position)
}

/** A tag: field number >= 1 and wire type, at most 32 bits in five bytes. */
function readTag(cursor: Cursor, end: number): number {
  const start = cursor.position
  const tag = readUint32(cursor, end)
  if (tag >>> 3 === 0) throw malformed(cursor, 'field number 0 does not exist', start)
  return tag
}

/** Reads a length and returns where its value ends. */
function readLength(cursor: Cursor, end: number): number {
  const start = cursor.position
  const length = readUint32(cursor, end)
  if (length > end - cursor.position) {
    throw malformed(
      cursor,
      `truncated: a value of ${length} bytes is announced, ${end - cursor.position} are left`,
      start,
    )
  }
  return cursor.position + length
}

function readUint32(cursor: Cursor, end: number): number {
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    if (cursor.position >= end) throw malformed(cursor, 'truncated inside a number', cursor.position)
    const byte = cursor.bytes[cursor.position++]!
    if (shift === 28 && byte > 15) break
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return value
  }
  throw malformed(cursor, 'a tag or length does not fit into 32 bits', cursor.position)
}

function countObject(cursor: Cursor): void {
  if (++cursor.objects > MAX_PROTO_OBJECTS) {
    throw new AssayError(
      cursor.tooLarge,
      `more than ${MAX_PROTO_OBJECTS} messages and strings: split the model, or store weights as raw data`,
    )
  }
}

function countInteger(cursor: Cursor): void {
  if (++cursor.integers > MAX_PROTO_INTEGERS) {
    throw new AssayError(
      cursor.tooLarge,
      `more than ${MAX_PROTO_INTEGERS} integers in typed fields: store them as raw data`,
    )
  }
}

function malformed(cursor: Cursor, what: string, position: number): AssayError {
  return new AssayError(cursor.malformed, `not a valid ONNX file: at byte ${position}: ${what}`, {
    detail: { position },
  })
}

function compileSchema(): ReadonlyMap<string, Message> {
  const messages = new Map<string, Message>()
  for (const name of Object.keys(SCHEMA)) messages.set(name, { name, fields: [] })
  for (const [name, fields] of Object.entries(SCHEMA)) {
    let bit = 1
    for (const [number, kind] of Object.entries(fields)) {
      const repeated = kind.endsWith('*')
      const type = repeated ? kind.slice(0, -1) : kind
      const message = messages.get(type)
      const once = message !== undefined && !repeated
      messages.get(name)!.fields[Number(number)] = {
        name: type,
        wire: wireOf(type),
        repeated,
        message,
        onceBit: once ? bit : 0,
      }
      if (once) bit <<= 1
    }
  }
  return messages
}

function wireOf(type: string): number {
  if (type === 'int') return VARINT
  if (type === 'f32') return FIXED32
  return type === 'f64' ? FIXED64 : LENGTH
}
