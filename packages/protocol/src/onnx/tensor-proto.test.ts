import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { attempt } from '../core/errors.ts'
import type { TensorData } from '../state/tensor.ts'
import { decodeTensorProto } from './tensor-proto.ts'
import { encodeTensorProto, floats } from './testing/models.ts'

type Proto = Parameters<typeof encodeTensorProto>[0]

function codeOf(proto: Proto): string {
  const verdict = attempt(() => decodeTensorProto(encodeTensorProto(proto)))
  return verdict.ok ? 'accepted' : verdict.code
}

const raw = (data: { readonly buffer: ArrayBufferLike }) => new Uint8Array(data.buffer as ArrayBuffer)
const long = (low: number, high: number, unsigned = false) => ({ low, high, unsigned })

describe('TensorProto', () => {
  test.each<[string, Proto, string, TensorData]>([
    ['float', { dataType: 1, dims: [2], floatData: [1.5, -0.25] }, 'float32', Float32Array.of(1.5, -0.25)],
    [
      'float, raw',
      { dataType: 1, dims: [2], rawData: raw(Float32Array.of(1.5, -0.25)) },
      'float32',
      Float32Array.of(1.5, -0.25),
    ],
    ['double', { dataType: 11, dims: [1], doubleData: [Math.PI] }, 'float64', Float64Array.of(Math.PI)],
    ['half', { dataType: 10, dims: [1], int32Data: [0x3c00] }, 'float16', Uint16Array.of(0x3c00)],
    [
      'half, raw',
      { dataType: 10, dims: [1], rawData: raw(Uint16Array.of(0x3c00)) },
      'float16',
      Uint16Array.of(0x3c00),
    ],
    ['uint8', { dataType: 2, dims: [1, 2], int32Data: [0, 255] }, 'uint8', Uint8Array.of(0, 255)],
    ['int8', { dataType: 3, dims: [2], int32Data: [-128, 127] }, 'int8', Int8Array.of(-128, 127)],
    ['int32', { dataType: 6, dims: [1], int32Data: [-(2 ** 31)] }, 'int32', Int32Array.of(-(2 ** 31))],
    [
      'int64',
      { dataType: 7, dims: [2], int64Data: [long(-1, -1), long(1, 0x7fffffff)] } as Proto,
      'int64',
      BigInt64Array.of(-1n, 0x7fffffff00000001n),
    ],
    [
      'uint64',
      { dataType: 13, dims: [1], uint64Data: [long(-1, -1, true)] } as Proto,
      'uint64',
      BigUint64Array.of(2n ** 64n - 1n),
    ],
    ['uint32', { dataType: 12, dims: [1], uint64Data: [2 ** 32 - 1] }, 'uint32', Uint32Array.of(2 ** 32 - 1)],
    ['bool', { dataType: 9, dims: [2], int32Data: [1, 0] }, 'bool', Uint8Array.of(1, 0)],
    [
      'string',
      { dataType: 8, dims: [2], stringData: [new TextEncoder().encode('ü'), new Uint8Array()] },
      'string',
      ['ü', ''],
    ],
    ['scalar', { dataType: 1, floatData: [3] }, 'float32', Float32Array.of(3)],
    ['empty', { dataType: 1, dims: [0, 5] }, 'float32', new Float32Array()],
  ])('%s', (_, proto, dtype, data) => {
    const { tensor, name } = decodeTensorProto(encodeTensorProto({ name: 'n', ...proto }))
    expect(name).toBe('n')
    expect(tensor.dtype).toBe(dtype)
    expect(tensor.data).toEqual(data)
    expect(tensor.shape).toEqual(proto.dims ?? [])
  })

  test.each<[string, Proto, string]>([
    ['no type', { dims: [] }, 'input/unsupported-type'],
    ['bfloat16', { dataType: 16, dims: [1], int32Data: [1] }, 'input/unsupported-type'],
    ['too few elements', { dataType: 1, dims: [3], floatData: [1] }, 'input/malformed'],
    ['too many elements', { dataType: 1, dims: [1], floatData: [1, 2] }, 'input/malformed'],
    [
      'raw data of a broken length',
      { dataType: 1, dims: [1], rawData: new Uint8Array(5) },
      'input/malformed',
    ],
    ['a negative dimension', { dataType: 1, dims: [-1] }, 'input/malformed'],
    ['33 dimensions', { dataType: 1, dims: new Array(33).fill(1), floatData: [1] }, 'input/malformed'],
    ['an element out of range', { dataType: 2, dims: [1], int32Data: [256] }, 'input/malformed'],
    ['a bool of 2', { dataType: 9, dims: [1], int32Data: [2] }, 'input/malformed'],
    [
      'text that is not UTF-8',
      { dataType: 8, dims: [1], stringData: [Uint8Array.of(255)] },
      'input/malformed',
    ],
    ['data elsewhere', { dataType: 1, dims: [1], dataLocation: 1 }, 'onnx/external-data'],
    ['segments', { dataType: 1, dims: [1], floatData: [1], segment: {} }, 'onnx/unsupported-feature'],
  ])('refuses %s', (_, proto, code) => {
    expect(codeOf(proto)).toBe(code)
  })

  test('a cap that the caller sets', () => {
    const bytes = encodeTensorProto(floats('x', [2], [1, 2]))
    expect(attempt(() => decodeTensorProto(bytes, { maxBytes: 5 }))).toMatchObject({
      code: 'input/too-large',
    })
  })

  test('mutated files decode or are refused with a typed error', () => {
    const bytes = encodeTensorProto(floats('x', [2, 3], [1, 2, 3, 4, 5, 6]))
    fc.assert(
      fc.property(fc.nat(bytes.length), fc.nat(255), fc.nat(bytes.length), (at, byte, length) => {
        const changed = bytes.slice(0, length)
        changed[at] = byte
        attempt(() => decodeTensorProto(changed))
      }),
      { numRuns: 3000 },
    )
  })
})
