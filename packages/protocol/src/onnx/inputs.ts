/**
 * Input files to named tensors, whatever their format, and the check that data are finite.
 *
 * Formats: .npy and .npz (NumPy), .pb (ONNX TensorProto), .json (json-input.ts). Formats without names give
 * the one input of the model its name.
 */
import { AssayError } from '../core/errors.ts'
import type { Tensor } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { HALF_EXPONENT } from './float16.ts'
import { decodeJsonInputs, UNNAMED } from './json-input.ts'
import type { ValueInfo } from './model.ts'
import { decodeNpy } from './npy.ts'
import { decodeNpz } from './npz.ts'
import { decodeTensorProto } from './tensor-proto.ts'

export type InputFormat = 'npy' | 'npz' | 'pb' | 'json'

const FORMATS: readonly InputFormat[] = ['npy', 'npz', 'pb', 'json']

export interface DecodeInputsOptions {
  /** Cap on the file and on what it unpacks to; each format has its own default. */
  readonly maxBytes?: number
  /** The model's inputs: they name an array that has no name, and type nested JSON arrays. */
  readonly expect?: readonly ValueInfo[]
  /** Name of an array that comes alone: overrides the name within the file. */
  readonly name?: string
}

/** The format by the ending of a file name, or by its own name. Throws `input/unknown-format`. */
export function inputFormatOf(fileName: string): InputFormat {
  const ending = fileName.slice(fileName.lastIndexOf('.') + 1).toLowerCase()
  const format = FORMATS.find((known) => known === ending)
  if (format !== undefined) return format
  throw new AssayError(
    'input/unknown-format',
    `cannot tell the format of ${JSON.stringify(fileName)}: expected a name ending in .npy, .npz, .pb or .json`,
  )
}

/**
 * The tensors in a file by name. `fileName` may also be a format: 'npy', 'npz', 'pb', 'json'. An array
 * without a name is called `options.name`, else as the one expected input, else 'arr_0'.
 *
 * @throws AssayError every code `input/...` of decoding; `onnx/external-data` for a `.pb` without its data.
 */
export function decodeInputs(
  bytes: Uint8Array,
  fileName: string,
  options: DecodeInputsOptions = {},
): NamedTensors {
  const tensors = decodeFormat(bytes, inputFormatOf(fileName), options)
  const names = Object.keys(tensors)
  const [only] = names
  if (only === undefined) throw new AssayError('input/malformed', 'the input file holds no array')
  if (names.length > 1) {
    if (options.name === undefined) return tensors
    throw new AssayError(
      'input/malformed',
      `expected one array to be named ${JSON.stringify(options.name)}, got ${names.length}: ${names.slice(0, 8).join(', ')}`,
    )
  }
  const { expect } = options
  const fallback = only === UNNAMED && expect?.length === 1 ? expect[0]!.name : only
  return Object.fromEntries([[options.name ?? fallback, tensors[only]!]])
}

function decodeFormat(bytes: Uint8Array, format: InputFormat, options: DecodeInputsOptions): NamedTensors {
  const cap = options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }
  switch (format) {
    case 'npy':
      return { [UNNAMED]: decodeNpy(bytes, cap) }
    case 'npz':
      return decodeNpz(bytes, cap)
    case 'pb': {
      const { name, tensor } = decodeTensorProto(bytes, cap)
      return Object.fromEntries([[name === '' ? UNNAMED : name, tensor]])
    }
    case 'json': {
      const { expect = [], name } = options
      const sole = name ?? (expect.length === 1 ? expect[0]!.name : undefined)
      const typeOf = (key: string) =>
        expect.find((info) => info.name === (key === UNNAMED ? (sole ?? key) : key))?.dtype
      return decodeJsonInputs(bytes, { ...cap, dtypeOf: typeOf })
    }
  }
}

/** Throws `input/not-finite` for the first NaN or infinity in a floating point tensor; names tensor and position. */
export function assertFinite(tensors: NamedTensors): void {
  for (const [name, value] of Object.entries(tensors)) {
    const at = firstNonFinite(value)
    if (at === -1) continue
    const position = positionOf(at, value.shape)
    throw new AssayError(
      'input/not-finite',
      `input ${JSON.stringify(name)} holds ${showNonFinite(value, at)} at [${position.join(', ')}]: clean the data`,
      { detail: { input: name, position } },
    )
  }
}

function firstNonFinite({ dtype, data }: Tensor): number {
  if (dtype === 'float16') {
    return (data as Uint16Array).findIndex((bits) => (bits & HALF_EXPONENT) === HALF_EXPONENT)
  }
  if (dtype !== 'float32' && dtype !== 'float64') return -1
  const numbers = data as Float32Array | Float64Array
  // A plain loop: findIndex with a callback takes four times as long over a large batch.
  for (let i = 0; i < numbers.length; i++) if (!Number.isFinite(numbers[i])) return i
  return -1
}

function showNonFinite({ dtype, data }: Tensor, at: number): string {
  if (dtype !== 'float16') return String(data[at])
  const bits = data[at] as number
  if ((bits & 0x3ff) !== 0) return 'NaN'
  return bits & 0x8000 ? '-Infinity' : 'Infinity'
}

/** Row-major position of element `at`. */
function positionOf(at: number, shape: readonly number[]): number[] {
  const position: number[] = []
  let rest = at
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    position[axis] = rest % shape[axis]!
    rest = Math.floor(rest / shape[axis]!)
  }
  return position
}
