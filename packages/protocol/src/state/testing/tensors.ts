/** For tests: tensors of every dtype, with few elements and many shapes. */
import fc from 'fast-check'
import { type Dtype, type Tensor, type TensorData, tensor } from '../tensor.ts'
import type { NamedTensors } from '../tensors.ts'

const WIDTHS: readonly (readonly [Dtype, number, (raw: ArrayBuffer) => TensorData])[] = [
  ['float32', 4, (raw) => new Float32Array(raw)],
  ['float64', 8, (raw) => new Float64Array(raw)],
  ['float16', 2, (raw) => new Uint16Array(raw)],
  ['int8', 1, (raw) => new Int8Array(raw)],
  ['int16', 2, (raw) => new Int16Array(raw)],
  ['int32', 4, (raw) => new Int32Array(raw)],
  ['int64', 8, (raw) => new BigInt64Array(raw)],
  ['uint8', 1, (raw) => new Uint8Array(raw)],
  ['uint16', 2, (raw) => new Uint16Array(raw)],
  ['uint32', 4, (raw) => new Uint32Array(raw)],
  ['uint64', 8, (raw) => new BigUint64Array(raw)],
  ['bool', 1, (raw) => new Uint8Array(raw).map((byte) => byte & 1)],
]

const shapes = fc.array(fc.nat({ max: 3 }), { maxLength: 3 })

const numericTensor = fc.tuple(fc.constantFrom(...WIDTHS), shapes).chain(([[dtype, width, view], shape]) => {
  const length = width * shape.reduce((count, dim) => count * dim, 1)
  return fc
    .uint8Array({ minLength: length, maxLength: length })
    .map((bytes) => tensor(dtype, shape, view(new Uint8Array(bytes).buffer)))
})

const stringTensor = shapes.chain((shape) => {
  const length = shape.reduce((count, dim) => count * dim, 1)
  return fc
    .array(fc.string({ unit: 'binary', maxLength: 4 }), { minLength: length, maxLength: length })
    .map((texts) => tensor('string', shape, texts))
})

export const anyTensor: fc.Arbitrary<Tensor> = fc.oneof({ arbitrary: numericTensor, weight: 4 }, stringTensor)

export const anyTensors: fc.Arbitrary<NamedTensors> = fc.dictionary(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }),
  anyTensor,
  { maxKeys: 3 },
)
