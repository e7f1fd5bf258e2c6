import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, toHex, utf8 } from '../core/bytes.ts'
import { codeOf } from '../core/testing/code-of.ts'
import {
  type Dtype,
  decodeTensor,
  encodeTensor,
  equalTensors,
  MAX_RANK,
  sliceFirstAxis,
  stackFirstAxis,
  type Tensor,
  type TensorData,
  tensor,
  tensorBytes,
} from './tensor.ts'
import { tensorState, tensorsState } from './tensor-state.ts'
import { decodeTensors, encodeTensors } from './tensors.ts'
import { checkKind } from './testing/kind-laws.ts'
import { anyTensor, anyTensors } from './testing/tensors.ts'

const decode = (bytes: Uint8Array) => decodeTensor(bytes, { maxBytes: 1 << 20 })

describe('tensors', () => {
  it('have the bytes of the documented layout', () => {
    const encoded = encodeTensor(tensor('float32', [1, 2], Float32Array.of(1, -2)))
    const header = `${toHex(utf8('tensr'))}010102`
    const lengths = '0000000000000001' + '0000000000000002' + '0000000000000008'
    expect(toHex(encoded)).toBe(`${header}${lengths}0000803f000000c0`)
    expect(toHex(encodeTensor(tensor('string', [2], ['', 'é'])).subarray(24))).toBe('0000000000000002c3a9')
  })

  it('are one encoding exactly when they are equal', () => {
    fc.assert(
      fc.property(anyTensor, anyTensor, (a, b) => {
        const same = toHex(encodeTensor(a)) === toHex(encodeTensor(b))
        return same === equalTensors(a, b) && equalTensors(a, decode(encodeTensor(a)))
      }),
    )
  })

  it('keep NaN payloads and the sign of zero', () => {
    const bits = (...words: number[]) =>
      tensor('float32', [words.length], new Float32Array(Uint32Array.from(words).buffer))
    const [quiet, payload] = [bits(0x7fc00000), bits(0x7fc00001)]
    expect(equalTensors(quiet, payload)).toBe(false)
    expect(toHex(encodeTensor(decode(encodeTensor(payload))))).toBe(toHex(encodeTensor(payload)))
    expect(equalTensors(bits(0x80000000), bits(0))).toBe(false)
    expect(equalTensors(quiet, quiet)).toBe(true)
  })

  it('differ by dtype and shape where the data agree', () => {
    const data = Uint8Array.of(0, 1, 1, 0)
    const forms = [
      tensor('uint8', [4], data),
      tensor('bool', [4], data),
      tensor('uint8', [2, 2], data),
      tensor('uint8', [4, 1], data),
    ]
    expect(new Set(forms.map((form) => toHex(encodeTensor(form)))).size).toBe(4)
    expect(equalTensors(forms[0]!, forms[1]!)).toBe(false)
  })

  it('decode from any offset, and share no memory', () => {
    const encoded = encodeTensor(tensor('float64', [1], Float64Array.of(7)))
    const shifted = concatBytes(Uint8Array.of(0), encoded).subarray(1)
    const decoded = decode(Buffer.from(shifted.buffer, 1, encoded.length))
    shifted.fill(0)
    expect(decoded.data).toEqual(Float64Array.of(7))
  })

  it.each<[string, Dtype, readonly number[], TensorData]>([
    ['another length', 'float32', [3], new Float32Array(2)],
    ['a negative dimension', 'float32', [-1], new Float32Array(0)],
    ['a fractional dimension', 'float32', [0.5], new Float32Array(0)],
    ['too many dimensions', 'float32', new Array(MAX_RANK + 1).fill(1), new Float32Array(1)],
  ])('refuse %s', (_, dtype, shape, data) => {
    expect(codeOf(() => tensor(dtype, shape, data)).code).toBe('state/shape')
  })

  it.each<[string, Dtype, TensorData]>([
    ['another class', 'float32', new Float64Array(1)],
    ['a wide bool', 'bool', Uint8Array.of(2)],
    ['a lone surrogate', 'string', ['\ud800']],
    ['a number for text', 'string', [1 as unknown as string]],
    ['an unknown dtype', 'bfloat16' as Dtype, new Uint16Array(1)],
    ['a name of Object.prototype', 'toString' as Dtype, new Uint16Array(1)],
  ])('refuse %s', (_, dtype, data) => {
    expect(codeOf(() => tensor(dtype, [1], data)).code).toBe('state/type')
  })

  it.each([null, undefined, 1, 'x', [], {}, { dtype: 'int8', shape: null, data: new Int8Array(1) }])(
    'are not %j',
    (value) => {
      expect(codeOf(() => tensorState().assert(value)).code).toMatch(/^state\/(type|shape)$/)
    },
  )

  it('refuse shapes whose product overflows', () => {
    const shape = [2 ** 30, 2 ** 30]
    expect(codeOf(() => tensor('int8', shape, new Int8Array(0))).code).toBe('state/too-large')
  })

  it('refuse claims that the bytes do not pay for', () => {
    const encoded = encodeTensor(tensor('uint8', [4], new Uint8Array(4)))
    const claim = (offset: number, value: number) => {
      const bytes = encoded.slice()
      new DataView(bytes.buffer).setBigUint64(offset, BigInt(value))
      return codeOf(() => decode(bytes)).code
    }
    expect(claim(8, 2 ** 40)).toBe('state/malformed')
    expect(claim(16, 2 ** 40)).toBe('state/malformed')
    const strings = encodeTensor(tensor('string', [1], ['abc']))
    new DataView(strings.buffer).setBigUint64(8, 2n ** 40n)
    expect(codeOf(() => decode(strings)).code).toBe('state/malformed')
    expect(codeOf(() => decodeTensor(encoded, { maxBytes: 27 })).code).toBe('state/too-large')
    const empty = concatBytes(encodeTensor(tensor('string', [0], [])))
    new DataView(empty.buffer).setBigUint64(8, 2n ** 53n)
    expect(codeOf(() => decode(empty)).code).toBe('state/malformed')
  })

  it('name the version and dtype that they do not know', () => {
    const encoded = encodeTensor(tensor('uint8', [1], new Uint8Array(1)))
    for (const [offset, pattern] of [
      [5, /version 1, got 9/],
      [6, /dtype code 99/],
    ] as const) {
      const bytes = encoded.slice()
      bytes[offset] = offset === 5 ? 9 : 99
      expect(codeOf(() => decode(bytes)).message).toMatch(pattern)
    }
  })

  it('slice into rows and stack again', () => {
    fc.assert(
      fc.property(
        anyTensor.filter(({ shape }) => shape.length > 0 && shape[0]! > 0),
        (whole) => {
          const rows = Array.from({ length: whole.shape[0]! }, (_, i) => sliceFirstAxis(whole, i))
          return (
            rows.every(({ shape }) => shape[0] === 1) &&
            equalTensors(stackFirstAxis(rows), whole) &&
            rows.reduce((sum, row) => sum + tensorBytes(row), 0) === tensorBytes(whole)
          )
        },
      ),
    )
  })

  it('refuse rows that are not there or do not fit', () => {
    const whole = tensor('int8', [2, 3], new Int8Array(6))
    for (const index of [-1, 2, 0.5, Number.NaN]) {
      expect(codeOf(() => sliceFirstAxis(whole, index)).code).toBe('state/shape')
    }
    expect(codeOf(() => sliceFirstAxis(tensor('int8', [], new Int8Array(1)), 0)).code).toBe('state/shape')
    expect(codeOf(() => stackFirstAxis([])).code).toBe('state/shape')
    expect(codeOf(() => stackFirstAxis([whole, tensor('int8', [2, 2], new Int8Array(4))])).code).toBe(
      'state/shape',
    )
    expect(codeOf(() => stackFirstAxis([whole, tensor('uint8', [2, 3], new Uint8Array(6))])).code).toBe(
      'state/shape',
    )
  })
})

describe('tensor states', () => {
  it('keep the laws of kinds', () => {
    checkKind<Tensor>(tensorState(), anyTensor, 300)
    checkKind(tensorsState(), anyTensors, 200)
  })

  it('hold what they were told', () => {
    const kind = tensorState({ dtype: 'int8', shape: [null, 2] })
    expect(codeOf(() => kind.assert(tensor('int8', [3, 2], new Int8Array(6)))).code).toBeUndefined()
    const others = [
      tensor('uint8', [3, 2], new Uint8Array(6)),
      tensor('int8', [2, 3], new Int8Array(6)),
      tensor('int8', [6], new Int8Array(6)),
    ]
    for (const other of others) {
      expect(codeOf(() => kind.assert(other)).code).toBe('state/shape')
      expect(codeOf(() => kind.encode(other)).code).toBe('state/shape')
      expect(codeOf(() => kind.decode(encodeTensor(other))).code).toBe('state/shape')
    }
  })

  it('hold the names that they were told', () => {
    const one = tensor('int8', [], Int8Array.of(1))
    const kind = tensorsState({ names: ['b', 'a'] })
    expect(kind.encode({ a: one, b: one })).toEqual(kind.encode({ b: one, a: one }))
    for (const state of [{ a: one }, { a: one, c: one }, { a: one, b: one, c: one }]) {
      expect(codeOf(() => kind.assert(state)).code).toBe('state/shape')
    }
  })

  it('refuse records out of order, doubled, or with bad names', () => {
    const one = encodeTensor(tensor('int8', [], Int8Array.of(1)))
    const entry = (name: string) =>
      concatBytes(u32(utf8(name).length), utf8(name), u32(0), u32(one.length), one)
    const record = (...names: string[]) =>
      concatBytes(utf8('tensors'), Uint8Array.of(1), u32(names.length), ...names.map(entry))
    const decoded = (...names: string[]) =>
      codeOf(() => decodeTensors(record(...names), { maxBytes: 1 << 16 }))
    expect(decoded('a', 'b').value).toHaveProperty('b')
    expect(decoded('b', 'a').code).toBe('state/malformed')
    expect(decoded('a', 'a').code).toBe('state/malformed')
    expect(decoded('').code).toBe('state/type')
    expect(Object.keys(decoded('__proto__').value!)).toEqual(['__proto__'])
    for (const value of [null, [], new Uint8Array(1), { a: 1 }]) {
      expect(codeOf(() => encodeTensors(value as never)).code).toBe('state/type')
    }
  })
})

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}
