/**
 * Tensors as JSON, for inputs small enough to be written by hand.
 *
 *     { "name": { "dtype": "float32", "shape": [1, 2], "data": [0.5, 1] }, "other": [[1, 2], [3, 4]] }
 *
 * A tensor is an object with dtype, shape and flat row-major data, or nested arrays, whose shape follows
 * from the nesting and whose element type is the one that the model expects (float32 where that is not
 * known). Numbers must be exact in their type, floats are rounded; int64 and uint64 may also be written as
 * decimal strings. At the top stands an object of tensors by name, or one tensor without a name.
 *
 * Threat: hostile files. JSON takes many times its size in memory, hence its own, smaller cap.
 */
import { AssayError } from '../core/errors.ts'
import { type Dtype, MAX_RANK, type Tensor, type TensorData, tensor } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { toHalfBits } from './float16.ts'
import { MAX_JSON_BYTES } from './limits.ts'
import { isDtype } from './tensor-proto.ts'

/** Name of an array that comes without one; NumPy's own choice in `savez`. */
export const UNNAMED = 'arr_0'

const DECIMAL = /^-?\d{1,20}$/

export interface JsonInputOptions {
  readonly maxBytes?: number
  /** Element types of nested arrays, by name. */
  readonly dtypeOf?: (name: string) => Dtype | undefined
}

/** @throws AssayError `input/malformed`, `input/too-large`, `input/unsupported-type`; messages name the tensor and the position. */
export function decodeJsonInputs(bytes: Uint8Array, options: JsonInputOptions = {}): NamedTensors {
  const { maxBytes = MAX_JSON_BYTES, dtypeOf = () => undefined } = options
  if (bytes.length > maxBytes) {
    throw new AssayError(
      'input/too-large',
      `a JSON input of ${bytes.length} bytes is above the cap of ${maxBytes}: use .npy or .npz`,
    )
  }
  const root = parse(bytes)
  if (Array.isArray(root) || isTensorObject(root)) {
    return { [UNNAMED]: toTensor(root, { name: UNNAMED, dtype: dtypeOf(UNNAMED) ?? 'float32' }) }
  }
  if (typeof root !== 'object' || root === null) {
    throw new AssayError('input/malformed', 'expected a JSON object of tensors by name, or one nested array')
  }
  const tensors = Object.entries(root).map(([name, value]): [string, Tensor] => [
    name,
    toTensor(value, { name, dtype: dtypeOf(name) ?? 'float32' }),
  ])
  return Object.fromEntries(tensors)
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new AssayError('input/malformed', `the input is not JSON: ${reason.slice(0, 200)}`, { cause })
  }
}

interface TensorObject {
  readonly dtype: unknown
  readonly shape: unknown
  readonly data: unknown
}

function isTensorObject(value: unknown): value is TensorObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as TensorObject).dtype === 'string' &&
    Array.isArray((value as TensorObject).shape)
  )
}

interface Target {
  readonly name: string
  readonly dtype: Dtype
}

function toTensor(value: unknown, target: Target): Tensor {
  if (!isTensorObject(value)) {
    const shape = shapeOf(value, target.name)
    return tensor(target.dtype, shape, toData(flatten(value, shape, target.name), target))
  }
  const { dtype, shape, data } = value
  const label = JSON.stringify(target.name)
  if (!isDtype(dtype)) {
    throw new AssayError(
      'input/unsupported-type',
      `${label} has dtype ${JSON.stringify(dtype)}, which is not known`,
    )
  }
  const extra = Object.keys(value).find((key) => !['dtype', 'shape', 'data'].includes(key))
  if (extra !== undefined)
    throw malformed(target.name, `has an unknown field ${JSON.stringify(extra.slice(0, 80))}`)
  if (!isShape(shape)) {
    throw malformed(target.name, `needs a shape of at most ${MAX_RANK} integers >= 0, got ${clip(shape)}`)
  }
  const count = shape.reduce((product, dim) => product * dim, 1)
  if (!Array.isArray(data) || data.length !== count) {
    const got = Array.isArray(data) ? `${data.length} elements` : clip(data)
    throw malformed(target.name, `needs ${count} elements of data for shape [${shape}], got ${got}`)
  }
  return tensor(dtype, shape, toData(data, { name: target.name, dtype }))
}

function isShape(shape: unknown): shape is number[] {
  return (
    Array.isArray(shape) &&
    shape.length <= MAX_RANK &&
    shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)
  )
}

/** The lengths along the first elements; `flatten` then holds all others to them. */
function shapeOf(value: unknown, name: string): number[] {
  const shape: number[] = []
  for (let at = value; Array.isArray(at); at = at[0]) {
    if (shape.push(at.length) > MAX_RANK) throw malformed(name, `is nested more than ${MAX_RANK} deep`)
  }
  if (typeof value === 'object' && !Array.isArray(value)) {
    throw malformed(name, 'must be nested arrays, or an object with dtype, shape and data')
  }
  return shape
}

function flatten(value: unknown, shape: readonly number[], name: string): unknown[] {
  const flat: unknown[] = []
  const walk = (part: unknown, axis: number): void => {
    if (axis === shape.length) {
      if (Array.isArray(part)) throw malformed(name, `is nested unevenly near element ${flat.length}`)
      flat.push(part)
      return
    }
    if (!Array.isArray(part) || part.length !== shape[axis]) {
      throw malformed(
        name,
        `is nested unevenly near element ${flat.length}: expected ${shape[axis]} items on axis ${axis}`,
      )
    }
    for (const item of part) walk(item, axis + 1)
  }
  walk(value, 0)
  return flat
}

const FLOATS = { float32: Float32Array, float64: Float64Array } as const
const INTEGERS = {
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
} as const
const BIG_INTEGERS = { int64: BigInt64Array, uint64: BigUint64Array } as const

function toData(values: readonly unknown[], target: Target): TensorData {
  const { dtype } = target
  if (dtype === 'string')
    return values.map((value, i) => (typeof value === 'string' ? value : refuse(value, i, target)))
  if (dtype === 'bool') {
    return Uint8Array.from(values, (value, i) =>
      value === true || value === 1 ? 1 : value === false || value === 0 ? 0 : refuse(value, i, target),
    )
  }
  if (dtype === 'int64' || dtype === 'uint64') {
    return fillExact(
      new BIG_INTEGERS[dtype](values.length),
      values.map((value, i) => toBigInt(value, i, target)),
      target,
    )
  }
  const numbers = values.map((value, i) => (typeof value === 'number' ? value : refuse(value, i, target)))
  if (dtype === 'float16') return Uint16Array.from(numbers, toHalfBits)
  if (dtype === 'float32' || dtype === 'float64') return FLOATS[dtype].from(numbers)
  return fillExact(new INTEGERS[dtype](values.length), numbers, target)
}

function toBigInt(value: unknown, index: number, target: Target): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  if (typeof value === 'string' && DECIMAL.test(value)) return BigInt(value)
  return refuse(value, index, target)
}

/** Typed arrays wrap what does not fit; so each element is compared after it was written. */
function fillExact<V extends number | bigint, T extends { [index: number]: V }>(
  data: T,
  values: readonly V[],
  target: Target,
): T {
  for (const [i, value] of values.entries()) {
    data[i] = value
    if (data[i] !== value) refuse(value, i, target)
  }
  return data
}

function refuse(value: unknown, index: number, { name, dtype }: Target): never {
  throw malformed(name, `has ${clip(value)} at element ${index}, which is not a ${dtype}`)
}

function clip(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? 'nothing')
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

function malformed(name: string, message: string): AssayError {
  return new AssayError('input/malformed', `input ${JSON.stringify(name)} ${message}`, {
    detail: { input: name },
  })
}
