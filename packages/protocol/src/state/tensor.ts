/**
 * Typed tensors, the states of machine learning, and their one canonical encoding.
 *
 * The published protocol hashes an array by its sum, so that [1,2,3], [6] and [3,2,1] are one state. Here
 * dtype and shape come first and the data follow as raw bytes: two tensors have the same encoding exactly
 * when they agree in dtype, shape and every bit, NaN payloads and the sign of zero included.
 *
 *     "tensr" ‖ version 1 ‖ dtype code ‖ rank      8 bytes
 *     dims                                         rank × u64, most significant byte first
 *     data length in bytes                         u64, most significant byte first
 *     data                                         elements in row-major order, little-endian
 *
 * A string element is its length in UTF-8 bytes (u32, most significant byte first) and those bytes.
 *
 * Threat: hostile bytes. Nothing is allocated that the input's own length does not pay for.
 */
import { concatBytes, equalBytes, utf8 } from '../core/bytes.ts'
import { AssayError } from '../core/errors.ts'
import { describeValue } from '../core/inspect.ts'
import {
  byteReader,
  decodeText,
  getLength,
  isWellFormed,
  joinBytes,
  littleEndian,
  malformed,
  setLength,
  u32be,
} from './binary.ts'

/** Element types: [code on the wire, bytes an element, class of the data]. Codes never change. */
const DTYPES = {
  float32: [1, 4, 'Float32Array'],
  float64: [2, 8, 'Float64Array'],
  float16: [3, 2, 'Uint16Array'],
  int8: [4, 1, 'Int8Array'],
  int16: [5, 2, 'Int16Array'],
  int32: [6, 4, 'Int32Array'],
  int64: [7, 8, 'BigInt64Array'],
  uint8: [8, 1, 'Uint8Array'],
  uint16: [9, 2, 'Uint16Array'],
  uint32: [10, 4, 'Uint32Array'],
  uint64: [11, 8, 'BigUint64Array'],
  bool: [12, 1, 'Uint8Array'],
  string: [13, 0, 'Array'],
} as const satisfies { readonly [dtype: string]: readonly [number, number, string] }

const CLASSES = {
  Float32Array,
  Float64Array,
  Int8Array,
  Int16Array,
  Int32Array,
  BigInt64Array,
  Uint8Array,
  Uint16Array,
  Uint32Array,
  BigUint64Array,
}

export type Dtype = keyof typeof DTYPES

export type NumericData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array

/** float16 is its bits in a Uint16Array; bool is 0 or 1 in a Uint8Array; int64 and uint64 are bigint arrays. */
export type TensorData = NumericData | readonly string[]

/** Row-major. Made by `tensor` or `decodeTensor`, which check it; treat it as immutable. */
export interface Tensor {
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly data: TensorData
}

/** More dimensions than any ONNX operator makes use of; numpy allows 64. */
export const MAX_RANK = 32
/** 1 GiB of data: below the limit of one ArrayBuffer everywhere, above any row and most batches. */
export const MAX_TENSOR_BYTES = 2 ** 30
/** Elements of a string tensor. Each costs a JavaScript string, so fewer than numbers. */
export const MAX_STRINGS = 2 ** 24

const VERSION = 1
const HEADER_BYTES = 8
const MAGIC = utf8('tensr')
const DTYPE_BY_CODE = new Map<number, Dtype>(
  (Object.keys(DTYPES) as Dtype[]).map((dtype) => [DTYPES[dtype][0], dtype]),
)

/**
 * The checked constructor. `data` is kept, not copied.
 *
 * @throws AssayError `state/shape` (shape and data disagree), `state/type` (dtype and data disagree, a bool
 * that is neither 0 nor 1, a string that is not well-formed Unicode), `state/too-large`.
 */
export function tensor(dtype: Dtype, shape: readonly number[], data: TensorData): Tensor {
  const made = { dtype, shape: [...shape], data }
  assertTensor(made)
  return made
}

/** See `tensor` for what is refused. */
export function assertTensor(value: unknown): asserts value is Tensor {
  if (typeof value !== 'object' || value === null) {
    throw new AssayError('state/type', `expected a tensor {dtype, shape, data}, got ${typeName(value)}`)
  }
  const { dtype, shape, data } = value as { [key: string]: unknown }
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPES, dtype)) {
    throw new AssayError(
      'state/type',
      `expected a dtype of ${Object.keys(DTYPES).join(', ')}, got ${describeValue(dtype)}`,
    )
  }
  const [, width, className] = DTYPES[dtype as Dtype]
  if (typeName(data) !== className) {
    throw new AssayError('state/type', `expected ${dtype} data in a ${className}, got ${typeName(data)}`)
  }
  const count = elementCount(shape)
  const { length } = data as TensorData
  if (count !== length) {
    throw new AssayError(
      'state/shape',
      `expected ${count} elements for shape [${(shape as number[]).join()}], got ${length}`,
    )
  }
  if (count * width > MAX_TENSOR_BYTES || (width === 0 && count > MAX_STRINGS)) {
    throw new AssayError('state/too-large', `a ${dtype} tensor of ${count} elements is above the cap`)
  }
  if (dtype === 'bool') assertBooleans(data as Uint8Array)
  if (dtype === 'string') assertStrings(data as readonly unknown[])
}

/** Bytes of one element, 0 for strings; undefined for what is no name of a dtype. */
export function dtypeBytes(dtype: unknown): number | undefined {
  return typeof dtype === 'string' && Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype as Dtype][1] : undefined
}

/** Size of the data in bytes; of a string tensor, with the length prefixes. */
export function tensorBytes(tensor: Tensor): number {
  if (tensor.dtype === 'string') {
    return (tensor.data as readonly string[]).reduce((sum, text) => sum + 4 + utf8(text).length, 0)
  }
  return (tensor.data as NumericData).byteLength
}

/** Equality of dtype, shape and every bit: a NaN equals itself, and 0 is not -0. */
export function equalTensors(a: Tensor, b: Tensor): boolean {
  if (a.dtype !== b.dtype || a.shape.length !== b.shape.length) return false
  if (a.shape.some((dim, axis) => dim !== b.shape[axis])) return false
  if (a.dtype === 'string') {
    return (a.data as readonly string[]).every((text, i) => text === b.data[i])
  }
  return equalBytes(nativeBytes(a.data as NumericData), nativeBytes(b.data as NumericData))
}

/** Row `index` of the first axis, as a tensor whose first dimension is 1. Numeric data are a view. */
export function sliceFirstAxis(tensor: Tensor, index: number): Tensor {
  return rangeOfFirstAxis(tensor, { from: index, to: index + 1 })
}

/** Rows `from` to before `to` of the first axis, at least one. Numeric data are a view. */
export function rangeOfFirstAxis(
  tensor: Tensor,
  { from, to }: { readonly from: number; readonly to: number },
): Tensor {
  const [rows, ...rest] = tensor.shape
  const isInside = Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 0 && from < to
  if (rows === undefined || !isInside || to > rows) {
    throw new AssayError(
      'state/shape',
      `expected rows within the first axis of shape [${tensor.shape.join()}], got ${from} to before ${to}`,
    )
  }
  const step = tensor.data.length / rows
  const [start, end] = [from * step, to * step]
  const data =
    tensor.dtype === 'string'
      ? (tensor.data as readonly string[]).slice(start, end)
      : (tensor.data as NumericData).subarray(start, end)
  return { dtype: tensor.dtype, shape: [to - from, ...rest], data }
}

/** Joins tensors of one dtype along the first axis; all other dimensions must agree. The inverse of slicing. */
export function stackFirstAxis(tensors: readonly Tensor[]): Tensor {
  const [first] = tensors
  if (first === undefined || first.shape.length === 0) {
    throw new AssayError('state/shape', 'expected at least one tensor of rank 1 or more to stack')
  }
  const rest = first.shape.slice(1)
  let rows = 0
  for (const { dtype, shape } of tensors) {
    if (
      dtype !== first.dtype ||
      shape.length !== first.shape.length ||
      rest.some((dim, i) => dim !== shape[i + 1])
    ) {
      throw new AssayError(
        'state/shape',
        `expected ${first.dtype} rows of [${rest.join()}] to stack, got ${dtype} of shape [${shape.join()}]`,
      )
    }
    rows += shape[0]!
  }
  if (first.dtype === 'string') {
    return tensor(
      'string',
      [rows, ...rest],
      tensors.flatMap(({ data }) => data as readonly string[]),
    )
  }
  const raw = joinBytes(tensors.map(({ data }) => nativeBytes(data as NumericData)))
  return tensor(first.dtype, [rows, ...rest], dataFromNative(first.dtype, raw))
}

/** The canonical bytes; the layout stands at the head of this file. */
export function encodeTensor(tensor: Tensor): Uint8Array {
  assertTensor(tensor)
  const encoding = prepareTensor(tensor)
  const bytes = new Uint8Array(encoding.length)
  writeTensor(encoding, { bytes, view: new DataView(bytes.buffer), offset: 0 })
  return bytes
}

/** A tensor that `assertTensor` accepted, ready to be written. */
export interface TensorEncoding {
  readonly tensor: Tensor
  /** Little-endian; of strings, with their lengths. */
  readonly data: Uint8Array
  /** Bytes of the whole encoding. */
  readonly length: number
}

export function prepareTensor(tensor: Tensor): TensorEncoding {
  const data =
    tensor.dtype === 'string'
      ? joinBytes((tensor.data as readonly string[]).map(prefixedText))
      : littleEndian(nativeBytes(tensor.data as NumericData), DTYPES[tensor.dtype][1])
  return { tensor, data, length: HEADER_BYTES * (tensor.shape.length + 2) + data.length }
}

/** Writes the canonical bytes; `view` covers the same memory as `bytes`. */
export function writeTensor(
  { tensor: { dtype, shape }, data }: TensorEncoding,
  target: { readonly bytes: Uint8Array; readonly view: DataView; readonly offset: number },
): void {
  const { bytes, view, offset } = target
  const rank = shape.length
  bytes.set(MAGIC, offset)
  bytes[offset + MAGIC.length] = VERSION
  bytes[offset + MAGIC.length + 1] = DTYPES[dtype][0]
  bytes[offset + MAGIC.length + 2] = rank
  for (let axis = 0; axis < rank; axis++) setLength(view, offset + HEADER_BYTES * (axis + 1), shape[axis]!)
  setLength(view, offset + HEADER_BYTES * (rank + 1), data.length)
  bytes.set(data, offset + HEADER_BYTES * (rank + 2))
}

/**
 * Strict inverse of `encodeTensor`. The data are copied, so the result does not alias `bytes`.
 *
 * @throws AssayError `state/too-large` above `maxBytes`, `state/malformed`, and what `tensor` refuses.
 */
export function decodeTensor(bytes: Uint8Array, options: { readonly maxBytes: number }): Tensor {
  if (bytes.length > options.maxBytes) {
    throw new AssayError(
      'state/too-large',
      `expected at most ${options.maxBytes} bytes of tensor, got ${bytes.length}`,
    )
  }
  if (bytes.length < 2 * HEADER_BYTES || !equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) {
    throw malformed('the bytes do not open as a tensor')
  }
  const [version, code, rank] = bytes.subarray(MAGIC.length) as unknown as [number, number, number]
  const dtype = DTYPE_BY_CODE.get(code)
  if (version !== VERSION) throw malformed(`expected tensor version ${VERSION}, got ${version}`)
  if (dtype === undefined) throw malformed(`unknown dtype code ${code}`)
  const start = HEADER_BYTES * (rank + 2)
  if (rank > MAX_RANK || bytes.length < start) throw malformed(`rank ${rank} does not fit the bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const shape = Array.from({ length: rank }, (_, axis) => getLength(view, HEADER_BYTES * (axis + 1)))
  const count = elementCount(shape)
  const dataBytes = getLength(view, HEADER_BYTES * (rank + 1))
  const width = DTYPES[dtype][1]
  if (dataBytes !== bytes.length - start || (width > 0 && dataBytes !== count * width)) {
    throw malformed(
      `expected ${width > 0 ? count * width : dataBytes} bytes of data for ${dtype} [${shape.join()}], got ${bytes.length - start}`,
    )
  }
  if (dtype === 'string') return tensor(dtype, shape, decodeStrings(bytes.subarray(start), count))
  return tensor(
    dtype,
    shape,
    dataFromNative(dtype, littleEndian(new Uint8Array(bytes.subarray(start)), width)),
  )
}

function elementCount(shape: unknown): number {
  if (!Array.isArray(shape) || shape.length > MAX_RANK) {
    throw new AssayError(
      'state/shape',
      `expected a shape of at most ${MAX_RANK} dimensions, got ${typeName(shape)}`,
    )
  }
  let count = 1
  for (const dim of shape as readonly unknown[]) {
    if (!Number.isSafeInteger(dim) || (dim as number) < 0) {
      throw new AssayError(
        'state/shape',
        `expected dimensions that are integers >= 0, got ${describeValue(dim)}`,
      )
    }
    count *= dim as number
  }
  if (!Number.isSafeInteger(count)) {
    throw new AssayError('state/too-large', `a shape of [${shape.join()}] has too many elements`)
  }
  return count
}

function assertBooleans(data: Uint8Array): void {
  const index = data.findIndex((byte) => byte > 1)
  if (index >= 0) {
    throw new AssayError('state/type', `expected bool elements of 0 or 1, got ${data[index]} at ${index}`)
  }
}

function assertStrings(data: readonly unknown[]): void {
  const index = data.findIndex((text) => typeof text !== 'string' || !isWellFormed(text))
  if (index >= 0) {
    throw new AssayError(
      'state/type',
      `expected strings of well-formed Unicode, got another element at ${index}`,
    )
  }
}

/** The data as bytes in the order of this machine, as a view. */
function nativeBytes(data: NumericData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

/** Typed view of `raw`, which starts its own buffer and is in the order of this machine. */
function dataFromNative(dtype: Exclude<Dtype, 'string'>, raw: Uint8Array<ArrayBuffer>): NumericData {
  const length = raw.length / DTYPES[dtype][1]
  return new CLASSES[DTYPES[dtype][2]](raw.buffer, raw.byteOffset, length)
}

function prefixedText(text: string): Uint8Array {
  const bytes = utf8(text)
  return concatBytes(u32be(bytes.length), bytes)
}

function decodeStrings(raw: Uint8Array, count: number): string[] {
  if (count > MAX_STRINGS || count * 4 > raw.length) {
    throw malformed(`${raw.length} bytes cannot hold ${count} strings`)
  }
  const read = byteReader(raw)
  const texts = Array.from({ length: count }, () => decodeText(read.take(read.u32())))
  read.end()
  return texts
}

/** Name of a value's class; unlike `instanceof` it holds across realms. */
function typeName(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1)
}
