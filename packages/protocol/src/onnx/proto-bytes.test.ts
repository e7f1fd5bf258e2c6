import onnxProto from 'onnx-proto'
import { expect, test } from 'vitest'
import { concatBytes, utf8 } from '../core/bytes.ts'
import { fieldsOf, integersOf, lengthField, varintField } from './proto-bytes.ts'
import { denseModel } from './testing/models.ts'

test('the fields of a message are its bytes, in order', () => {
  const bytes = denseModel()
  const fields = [...fieldsOf(bytes)]
  expect(concatBytes(...fields.map(({ whole }) => whole))).toEqual(bytes)
  expect(fields.map(({ field }) => field)).toEqual([1, 7, 8])
})

test('what is put together decodes', () => {
  const { TensorProto } = onnxProto.onnx
  for (const size of [0, 1, 127, 128, 300, 2 ** 31, 2 ** 40 + 5]) {
    const bytes = concatBytes(varintField(1, size), varintField(2, 7), lengthField(8, utf8('née')))
    const tensor = TensorProto.decode(bytes)
    expect([Number(tensor.dims[0]), tensor.dataType, tensor.name]).toEqual([size, 7, 'née'])
    expect(integersOf(bytes, 1)).toEqual([size])
  }
  const packed = TensorProto.encode({ dims: [3, 200, 70000] }).finish()
  expect(integersOf(packed, 1)).toEqual([3, 200, 70000])
})

test.each([
  ['a truncated length', [0x0a]],
  ['a value that is cut', [0x0a, 5, 1]],
  ['an endless integer', Array<number>(12).fill(0xff)],
  ['groups', [0x0b]],
])('refuses %s', (_, bytes) => {
  expect(() => [...fieldsOf(Uint8Array.from(bytes))]).toThrowError(
    expect.objectContaining({ code: 'onnx/malformed' }),
  )
})
