/**
 * Arbitrary tensors for the property tests of this folder.
 */
import fc from 'fast-check'
import { type Dtype, type Tensor, type TensorData, tensor } from '../../state/tensor.ts'

const CLASSES = {
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
} as const

function dataOf(dtype: Dtype, count: number): fc.Arbitrary<TensorData> {
  if (dtype === 'bool') {
    return fc.array(fc.nat(1), { minLength: count, maxLength: count }).map((bits) => Uint8Array.from(bits))
  }
  if (dtype === 'string') {
    const text = fc.string({ unit: 'binary', maxLength: 5 }).filter((word) => !word.endsWith('\0'))
    return fc.array(text, { minLength: count, maxLength: count })
  }
  const Class = CLASSES[dtype]
  const length = count * Class.BYTES_PER_ELEMENT
  return fc
    .uint8Array({ minLength: length, maxLength: length })
    .map((bytes) => new Class(Uint8Array.from(bytes).buffer))
}

/** Any dtype, rank 0 to 3, dimensions 0 to 4, any bits (NaN payloads included). */
export function anyTensor(): fc.Arbitrary<Tensor> {
  const dtype = fc.constantFrom<Dtype>(...(Object.keys(CLASSES) as Dtype[]), 'bool', 'string')
  const shape = fc.array(fc.nat(4), { maxLength: 3 })
  return fc.tuple(dtype, shape).chain(([type, dims]) =>
    dataOf(
      type,
      dims.reduce((a, b) => a * b, 1),
    ).map((data) => tensor(type, dims, data)),
  )
}
