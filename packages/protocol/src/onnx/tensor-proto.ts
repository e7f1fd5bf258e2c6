/**
 * ONNX tensors as protobuf: `TensorProto`, alone in a `.pb` file or inside a model.
 *
 * Format: onnx.proto, message TensorProto. Elements come as raw little-endian bytes or in a typed field;
 * int64 and uint64 in typed fields are read exactly or refused.
 *
 * Threat: hostile files. The wire is scanned before it is decoded (wire-scan.ts), and the dimensions must
 * agree with the data that are there before anything is allocated for them.
 */
import onnxProto from 'onnx-proto'
import { AssayError, type ErrorCode } from '../core/errors.ts'
import {
  type Dtype,
  MAX_RANK,
  type NumericData,
  type Tensor,
  type TensorData,
  tensor,
} from '../state/tensor.ts'
import { MAX_INPUT_BYTES } from './limits.ts'
import { assertProtoWire } from './wire-scan.ts'

type ITensorProto = onnxProto.onnx.ITensorProto

const EXTERNAL = 1
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

type TypedField = 'floatData' | 'int32Data' | 'int64Data' | 'uint64Data' | 'doubleData' | 'stringData'

interface ElementType {
  readonly dtype: Dtype
  /** Bytes an element in raw data; 0 for strings, which never come raw. */
  readonly width: number
  /** Where elements stand when they do not come raw. */
  readonly field: TypedField
}

/** TensorProto.DataType to what we call it. Types that are absent have no tensors here. */
const ELEMENT_TYPES: ReadonlyMap<number, ElementType> = new Map([
  [1, { dtype: 'float32', width: 4, field: 'floatData' }],
  [2, { dtype: 'uint8', width: 1, field: 'int32Data' }],
  [3, { dtype: 'int8', width: 1, field: 'int32Data' }],
  [4, { dtype: 'uint16', width: 2, field: 'int32Data' }],
  [5, { dtype: 'int16', width: 2, field: 'int32Data' }],
  [6, { dtype: 'int32', width: 4, field: 'int32Data' }],
  [7, { dtype: 'int64', width: 8, field: 'int64Data' }],
  [8, { dtype: 'string', width: 0, field: 'stringData' }],
  [9, { dtype: 'bool', width: 1, field: 'int32Data' }],
  [10, { dtype: 'float16', width: 2, field: 'int32Data' }],
  [11, { dtype: 'float64', width: 8, field: 'doubleData' }],
  [12, { dtype: 'uint32', width: 4, field: 'uint64Data' }],
  [13, { dtype: 'uint64', width: 8, field: 'uint64Data' }],
])

/** Names of the other types, for messages. */
const OTHER_TYPES: { readonly [type: number]: string } = {
  0: 'undefined',
  14: 'complex64',
  15: 'complex128',
  16: 'bfloat16',
  17: 'float8e4m3fn',
  18: 'float8e4m3fnuz',
  19: 'float8e5m2',
  20: 'float8e5m2fnuz',
  21: 'uint4',
  22: 'int4',
  23: 'float4e2m1',
}

/** The element type of a TensorProto.DataType number; undefined for one that is not supported. */
export function dtypeOf(dataType: number): Dtype | undefined {
  return ELEMENT_TYPES.get(dataType)?.dtype
}

/** The TensorProto.DataType number of an element type. */
export function dataTypeOf(dtype: Dtype): number {
  for (const [number, element] of ELEMENT_TYPES) if (element.dtype === dtype) return number
  throw new RangeError(`no ONNX type for ${dtype}`)
}

const DTYPES: ReadonlySet<unknown> = new Set(Array.from(ELEMENT_TYPES.values(), ({ dtype }) => dtype))

export function isDtype(text: unknown): text is Dtype {
  return DTYPES.has(text)
}

export function dataTypeName(dataType: number): string {
  return dtypeOf(dataType) ?? OTHER_TYPES[dataType] ?? `type ${dataType}`
}

/**
 * A `.pb` file as the ONNX test data have them: the tensor and its name, which may be empty.
 *
 * @throws AssayError `input/malformed`, `input/too-large`, `input/unsupported-type`, `onnx/external-data`.
 */
export function decodeTensorProto(
  bytes: Uint8Array,
  options: { readonly maxBytes?: number } = {},
): { readonly name: string; readonly tensor: Tensor } {
  const { maxBytes = MAX_INPUT_BYTES } = options
  if (bytes.length > maxBytes) {
    throw new AssayError(
      'input/too-large',
      `a tensor file of ${bytes.length} bytes is above the cap of ${maxBytes}`,
    )
  }
  assertProtoWire(bytes, 'TensorProto', { malformed: 'input/malformed', tooLarge: 'input/too-large' })
  const proto = decodeProto(bytes)
  const dataType = proto.dataType ?? 0
  const element = ELEMENT_TYPES.get(dataType)
  if (element === undefined) {
    throw new AssayError(
      'input/unsupported-type',
      `expected a tensor of numbers, bool or text, got ${dataTypeName(dataType)}`,
    )
  }
  const shape = assertTensorProto(proto, { label: 'the tensor', malformed: 'input/malformed' })
  const data = element.width > 0 && hasRaw(proto) ? rawData(proto, element) : typedData(proto, element)
  if (element.dtype === 'bool') {
    const at = (data as Uint8Array).findIndex((bit) => bit > 1)
    if (at !== -1)
      throw new AssayError('input/malformed', `expected bool elements of 0 or 1 at element ${at}`)
  }
  return { name: proto.name ?? '', tensor: tensor(element.dtype, shape, data) }
}

function decodeProto(bytes: Uint8Array): ITensorProto {
  try {
    return onnxProto.onnx.TensorProto.decode(plainBytes(bytes))
  } catch (cause) {
    throw new AssayError('input/malformed', 'the bytes do not decode as an ONNX tensor', { cause })
  }
}

/**
 * Refuses a tensor whose data are elsewhere, or do not agree with its dimensions; returns the dimensions.
 * Types that we cannot hold (they occur inside models) are left to the runtime.
 */
export function assertTensorProto(
  proto: ITensorProto,
  options: { readonly label: string; readonly malformed: ErrorCode },
): readonly number[] {
  const { label, malformed } = options
  if (proto.dataLocation === EXTERNAL || (proto.externalData ?? []).length > 0) {
    throw new AssayError(
      'onnx/external-data',
      `${label} keeps its data in another file: save it as one file, without external data`,
    )
  }
  if (proto.segment != null) {
    throw new AssayError('onnx/unsupported-feature', `${label} is stored in segments, which no runtime reads`)
  }
  const shape = (proto.dims ?? []).map((dim) => toSafeInteger(dim))
  if (shape.length > MAX_RANK || shape.some((dim) => dim === undefined || dim < 0)) {
    throw new AssayError(
      malformed,
      `${label} has dimensions [${(proto.dims ?? []).slice(0, MAX_RANK).map(String)}]; expected at most ${MAX_RANK}, each >= 0`,
    )
  }
  const dims = shape as number[]
  const element = ELEMENT_TYPES.get(proto.dataType ?? 0)
  if (element !== undefined) assertElementCount(proto, element, { ...options, dims })
  return dims
}

function assertElementCount(
  proto: ITensorProto,
  element: ElementType,
  {
    label,
    malformed,
    dims,
  }: { readonly label: string; readonly malformed: ErrorCode; readonly dims: readonly number[] },
): void {
  const expected = dims.reduce((product, dim) => product * dim, 1)
  const raw = element.width > 0 && hasRaw(proto)
  const got = raw ? proto.rawData!.length / element.width : (proto[element.field] ?? []).length
  if (got !== expected) {
    throw new AssayError(
      malformed,
      `${label} of ${element.dtype} [${dims}] needs ${expected} elements, got ${got}`,
      { detail: { expected, got } },
    )
  }
}

function hasRaw(proto: ITensorProto): boolean {
  return (proto.rawData?.length ?? 0) > 0
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const

function rawData(proto: ITensorProto, { dtype, width }: ElementType): NumericData {
  const bytes = proto.rawData!.slice()
  if (!LITTLE_ENDIAN) for (let i = 0; i < bytes.length; i += width) bytes.subarray(i, i + width).reverse()
  return new ARRAYS[dtype as keyof typeof ARRAYS](bytes.buffer as ArrayBuffer)
}

function typedData(proto: ITensorProto, { dtype, field }: ElementType): TensorData {
  const values: readonly unknown[] = proto[field] ?? []
  if (dtype === 'string') return values.map((value) => decodeText(value as Uint8Array))
  if (dtype === 'int64') return BigInt64Array.from(values, (value) => toBigInt(value))
  if (dtype === 'uint64') return BigUint64Array.from(values, (value) => toBigInt(value))
  const data = new ARRAYS[dtype as Exclude<keyof typeof ARRAYS, 'int64' | 'uint64'>](values.length)
  const exact = dtype === 'float32' || dtype === 'float64'
  for (let i = 0; i < values.length; i++) {
    const value = typeof values[i] === 'number' ? (values[i] as number) : Number(toBigInt(values[i]))
    data[i] = value
    if (!exact && data[i] !== value) {
      throw new AssayError(
        'input/malformed',
        `element ${i} of the tensor is ${value}, which is not a ${dtype}`,
      )
    }
  }
  return data
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new AssayError('input/malformed', 'a text element of the tensor is not UTF-8', { cause })
  }
}

/** protobufjs hands out 64-bit integers as `Long` where that package is there, and as numbers elsewhere. */
interface LongLike {
  readonly low: number
  readonly high: number
  readonly unsigned: boolean
}

function toBigInt(value: unknown): bigint {
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return BigInt(value)
    throw new AssayError(
      'input/malformed',
      `integer ${value} cannot be read exactly here: store it as raw data`,
    )
  }
  const { low, high, unsigned } = value as LongLike
  return (BigInt(unsigned ? high >>> 0 : high) << 32n) | BigInt(low >>> 0)
}

/** A 64-bit field as a number; undefined beyond 2^53. */
export function toSafeInteger(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
  const { low, high } = value as LongLike
  const number = high * 2 ** 32 + (low >>> 0)
  return Number.isSafeInteger(number) ? number : undefined
}

/** A Node Buffer is a Uint8Array whose slice() does not copy; the decoder gets a plain one. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}
