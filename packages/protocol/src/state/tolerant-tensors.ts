/**
 * Records of tensors whose floats may differ a little: rows from a native runtime or a GPU.
 *
 * Slot 0 is the structure, exact: names, dtypes, shapes, and the whole content of every tensor that is not
 * float. Each float element follows in its own slot, in the order of the sorted names and of its tensor, as a
 * bucket (bucket.ts). NaN and the infinities are values of their own: an honest mask of -Infinity must not
 * fail, and only the same one passes. Every slot must hit.
 *
 * The tolerance is absolute: one number for all elements. Where magnitudes differ widely, rescale in the
 * computation (log, softmax), or use an exact kind on a deterministic runtime.
 *
 * Threat: a solver whose outputs are near a constant is matched by that constant. Declare the range; choose
 * epsilon from measured honest differences, not from comfort.
 */
import { concatBytes, utf8 } from '../core/bytes.ts'
import { hashFields } from '../core/digest.ts'
import { AssayError } from '../core/errors.ts'
import { MAX_SLOTS } from './array.ts'
import { compareBytes } from './binary.ts'
import { BUCKET_ALTERNATIVES, bucketOf, bucketWidth, guessFromRange, neighbours } from './bucket.ts'
import { assertInteger, assertProbability } from './exact.ts'
import { encodeInt64 } from './integer.ts'
import type { StateKind } from './kind.ts'
import { encodeTensor, MAX_TENSOR_BYTES, type Tensor } from './tensor.ts'
import { assertNamedTensors, decodeTensors, encodeTensors, type NamedTensors } from './tensors.ts'

const STRUCTURE_TAG = 'assay/state/tensor-structure/v1'
/** First byte of an element's encoding. */
const FINITE = 0
const NOT_A_NUMBER = 1
const POSITIVE_INFINITY = 2
const NEGATIVE_INFINITY = 3

const FLOAT_DTYPES: ReadonlySet<string> = new Set(['float16', 'float32', 'float64'])

export interface TolerantTensorsOptions {
  /** Float elements of every state, over all its tensors; 1 to 65,535. */
  readonly elements: number
  /** Absolute tolerance an element: what differs by no more always passes, what differs by over twice never. */
  readonly epsilon: number
  /** Smallest and largest value that an element takes; gives the guess probability. */
  readonly range?: readonly [number, number]
  /** Overrides what `range` gives; 0 where neither is told. */
  readonly guessProbability?: number
}

/**
 * Tolerant states that are records of named tensors with `elements` floats in all.
 *
 * @throws AssayError `state/parameters` for the options; the kind itself throws `state/type`, `state/shape`,
 * `state/out-of-range` and `state/malformed`.
 */
export function tolerantTensorsState(options: TolerantTensorsOptions): StateKind<NamedTensors> {
  const { elements, epsilon, range } = options
  assertInteger(elements, { name: 'elements', min: 1, max: MAX_SLOTS - 1 })
  const width = bucketWidth(epsilon)
  const guessProbability =
    options.guessProbability ?? (range === undefined ? 0 : guessFromRange(range, width))
  assertProbability(guessProbability, 'guessProbability')

  const read = (state: NamedTensors): Float64Array => {
    const values = floatElements(state)
    if (values.length !== elements) {
      throw new AssayError('state/shape', `expected ${elements} float elements, got ${values.length}`)
    }
    return values
  }
  const slots = <T>(state: NamedTensors, forms: SlotForms<T>): T[] => {
    const encoded = [forms.exact(structureDigest(state))]
    for (const [index, value] of read(state).entries()) {
      const special = encodeSpecial(value)
      encoded.push(
        special === undefined
          ? forms.bucket(bucketOf(value, { width, place: `float element ${index}` }))
          : forms.exact(special),
      )
    }
    return encoded
  }
  const check = (state: NamedTensors): void => {
    slots(state, { exact: () => null, bucket: () => null })
  }
  return {
    name: 'tolerant-tensors',
    parameters: { elements, epsilon },
    slots: elements + 1,
    quorum: elements + 1,
    alternatives: BUCKET_ALTERNATIVES,
    guessProbability,
    assert(value): asserts value is NamedTensors {
      assertNamedTensors(value)
      check(value)
    },
    encode(state) {
      check(state)
      return encodeTensors(state)
    },
    decode(bytes) {
      const state = decodeTensors(bytes, { maxBytes: MAX_TENSOR_BYTES })
      check(state)
      return state
    },
    commit: (state) => slots(state, { exact: (bytes) => bytes, bucket: encodeBucket }),
    accept: (state) =>
      slots<readonly Uint8Array[]>(state, {
        exact: (bytes) => [bytes],
        bucket: (bucket) => neighbours(bucket).map(encodeBucket),
      }),
  }
}

interface SlotForms<T> {
  exact(bytes: Uint8Array): T
  bucket(bucket: number): T
}

function encodeBucket(bucket: number): Uint8Array {
  return concatBytes(Uint8Array.of(FINITE), encodeInt64(bucket))
}

function encodeSpecial(value: number): Uint8Array | undefined {
  if (Number.isNaN(value)) return Uint8Array.of(NOT_A_NUMBER)
  if (value === Number.POSITIVE_INFINITY) return Uint8Array.of(POSITIVE_INFINITY)
  return value === Number.NEGATIVE_INFINITY ? Uint8Array.of(NEGATIVE_INFINITY) : undefined
}

/** Everything of a record but the values of its floats. */
function structureDigest(state: NamedTensors): Uint8Array {
  const fields: Uint8Array[] = []
  for (const [name, tensor] of sortedTensors(state)) {
    const float = FLOAT_DTYPES.has(tensor.dtype)
    const form = `${float ? 'float' : 'exact'} ${tensor.dtype} ${tensor.shape.join()}`
    fields.push(utf8(name), utf8(form), float ? new Uint8Array(0) : encodeTensor(tensor))
  }
  return hashFields(STRUCTURE_TAG, fields)
}

function floatElements(state: NamedTensors): Float64Array {
  const floats = sortedTensors(state).filter(([, { dtype }]) => FLOAT_DTYPES.has(dtype))
  const values = new Float64Array(floats.reduce((sum, [, { data }]) => sum + data.length, 0))
  let offset = 0
  for (const [, { dtype, data }] of floats) {
    values.set(
      dtype === 'float16' ? Float64Array.from(data as Uint16Array, fromHalf) : (data as Float32Array),
      offset,
    )
    offset += data.length
  }
  return values
}

function sortedTensors(state: NamedTensors): [string, Tensor][] {
  const named = Object.entries(state).map(([name, tensor]) => ({ name, tensor, key: utf8(name) }))
  named.sort((a, b) => compareBytes(a.key, b.key))
  return named.map(({ name, tensor }) => [name, tensor])
}

/** The value of an IEEE 754 half-precision number from its bits. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}
