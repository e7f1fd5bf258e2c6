import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { attempt, type Json } from '../core/errors.ts'
import { tensor } from '../state/tensor.ts'
import { assertFinite, decodeInputs, inputFormatOf } from './inputs.ts'
import type { ValueInfo } from './model.ts'
import { encodeNpy } from './npy.ts'
import { encodeNpz } from './npz.ts'
import { encodeTensorProto, floats } from './testing/models.ts'

const X: ValueInfo = { name: 'x', dtype: 'int64', dims: ['n', 2] }
const array = tensor('float32', [1, 2], Float32Array.of(1, 2))

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
}

function refusal(value: unknown): { code: string; message: string } {
  const verdict = attempt(() => decodeInputs(json(value), 'json'))
  return verdict.ok ? { code: 'accepted', message: '' } : verdict
}

describe('decodeInputs', () => {
  test('tells formats by their ending', () => {
    expect(['a.npy', 'B.NPZ', 'dir.x/input_0.pb', 'json'].map(inputFormatOf)).toEqual([
      'npy',
      'npz',
      'pb',
      'json',
    ])
    expect(() => inputFormatOf('x.csv')).toThrow(/x\.csv.*\.npy/)
  })

  test('every format gives the same tensor', () => {
    const pb = encodeTensorProto(floats('x', [1, 2], [1, 2]))
    expect(decodeInputs(pb, 'a.pb')).toEqual({ x: array })
    expect(decodeInputs(encodeNpz({ x: array }), 'a.npz')).toEqual({ x: array })
    expect(decodeInputs(json({ x: [[1, 2]] }), 'a.json')).toEqual({ x: array })
    expect(decodeInputs(encodeNpy(array), 'a.npy', { name: 'x' })).toEqual({ x: array })
  })

  test('an array without a name gets that of the one expected input', () => {
    const nameless = encodeTensorProto(floats('', [1, 2], [1, 2]))
    for (const [bytes, format] of [
      [encodeNpy(array), 'npy'],
      [nameless, 'pb'],
      [encodeNpz({ arr_0: array }), 'npz'],
    ] as const) {
      expect(Object.keys(decodeInputs(bytes, format))).toEqual(['arr_0'])
      expect(Object.keys(decodeInputs(bytes, format, { expect: [X] }))).toEqual(['x'])
      expect(Object.keys(decodeInputs(bytes, format, { expect: [X], name: 'z' }))).toEqual(['z'])
      expect(Object.keys(decodeInputs(bytes, format, { expect: [X, { ...X, name: 'y' }] }))).toEqual([
        'arr_0',
      ])
    }
    expect(
      attempt(() => decodeInputs(encodeNpz({ a: array, b: array }), 'npz', { name: 'x' })),
    ).toMatchObject({ code: 'input/malformed' })
  })

  test('a name that the file gives stands', () => {
    expect(Object.keys(decodeInputs(encodeNpz({ y: array }), 'npz', { expect: [X] }))).toEqual(['y'])
  })

  test('files above the cap of the caller', () => {
    for (const [bytes, format] of [
      [encodeNpy(array), 'npy'],
      [encodeNpz({ array }), 'npz'],
      [json([1]), 'json'],
      [encodeTensorProto(floats('', [1], [1])), 'pb'],
    ] as const) {
      expect(attempt(() => decodeInputs(bytes, format, { maxBytes: 2 }))).toMatchObject({
        code: 'input/too-large',
      })
    }
  })
})

describe('JSON inputs', () => {
  test.each<[string, Json, unknown[], number[]]>([
    ['float32', [0.1, -2], [Math.fround(0.1), -2], [2]],
    ['float64', [0.1, 1e300], [0.1, 1e300], [2]],
    ['float16', [1, 65504], [0x3c00, 0x7bff], [2]],
    ['int8', [-128, 127], [-128, 127], [2]],
    ['uint32', [4294967295], [4294967295], [1]],
    ['int64', ['-9223372036854775808', 5], [-(2n ** 63n), 5n], [2]],
    ['uint64', ['18446744073709551615'], [2n ** 64n - 1n], [1]],
    ['bool', [true, 0, 1, false], [1, 0, 1, 0], [2, 2]],
    ['string', ['a', 'ü'], ['a', 'ü'], [2, 1]],
  ])('typed tensors: %s', (dtype, data, expected, shape) => {
    const { x } = decodeInputs(json({ x: { dtype, shape, data } }), 'json')
    expect(x?.dtype).toBe(dtype)
    expect(x?.shape).toEqual(shape)
    expect(Array.from(x!.data as ArrayLike<unknown>)).toEqual(expected)
  })

  test('nested arrays take the type that the model expects', () => {
    expect(decodeInputs(json({ x: [[1, 2]] }), 'json', { expect: [X] }).x?.dtype).toBe('int64')
    expect(decodeInputs(json([[1, 2]]), 'json', { expect: [X] }).x).toEqual(
      tensor('int64', [1, 2], BigInt64Array.of(1n, 2n)),
    )
    expect(decodeInputs(json({ x: 3 }), 'json').x).toEqual(tensor('float32', [], Float32Array.of(3)))
    expect(decodeInputs(json({ x: [[], []] }), 'json').x?.shape).toEqual([2, 0])
  })

  test.each<[string, unknown, RegExp]>([
    ['no JSON', '{"x": [1,', /not JSON/],
    ['a number', 3, /object of tensors/],
    ['nothing', {}, /no array/],
    ['uneven nesting', { x: [[1, 2], [3]] }, /"x".*unevenly/],
    ['deeper nesting', { x: [1, [2]] }, /"x".*unevenly/],
    ['null', { x: [1, null] }, /"x" has null at element 1/],
    ['NaN as text', { x: ['NaN'] }, /"NaN" at element 0/],
    ['an unknown dtype', { x: { dtype: 'float128', shape: [1], data: [1] } }, /float128/],
    ['a wrong count', { x: { dtype: 'int8', shape: [2], data: [1] } }, /2 elements/],
    ['a huge shape', { x: { dtype: 'int8', shape: [2 ** 52, 2 ** 52], data: [] } }, /elements/],
    ['a negative shape', { x: { dtype: 'int8', shape: [-1], data: [] } }, /shape/],
    ['an unknown field', { x: { dtype: 'int8', shape: [0], data: [], order: 'F' } }, /"order"/],
    ['an integer out of range', { x: { dtype: 'int8', shape: [1], data: [128] } }, /128 at element 0.*int8/],
    ['a fraction for an integer', { x: { dtype: 'int32', shape: [1], data: [0.5] } }, /0\.5 at element 0/],
    ['an inexact int64', { x: { dtype: 'int64', shape: [1], data: [2 ** 60] } }, /int64/],
    ['a uint64 below zero', { x: { dtype: 'uint64', shape: [1], data: ['-1'] } }, /-1 at element 0/],
    ['an object for a tensor', { x: { values: [1] } }, /"x"/],
    ['deep nesting', `${'['.repeat(40)}1${']'.repeat(40)}`, /deep/],
    ['very deep nesting', '['.repeat(1_000_000), /not JSON/],
  ])('refuses %s', (_, value, message) => {
    const { code, message: text } = refusal(value)
    expect(code).toMatch(/^input\/(malformed|unsupported-type)$/)
    expect(text).toMatch(message)
  })

  test('any JSON is tensors or a typed error', () => {
    fc.assert(
      fc.property(fc.json(), (text) => void refusal(text)),
      { numRuns: 1000 },
    )
  })

  test('names of object prototypes are names', () => {
    expect(Object.keys(decodeInputs(json('{"__proto__": [1], "constructor": [2]}'), 'json'))).toEqual([
      '__proto__',
      'constructor',
    ])
  })
})

describe('assertFinite', () => {
  test.each([
    [tensor('float32', [2, 2], Float32Array.of(0, 0, Number.NaN, 0)), /"x" holds NaN at \[1, 0\]/],
    [tensor('float64', [1, 1, 2], Float64Array.of(0, Number.NEGATIVE_INFINITY)), /-Infinity at \[0, 0, 1\]/],
    [tensor('float16', [1], Uint16Array.of(0x7c00)), / Infinity at \[0\]/],
    [tensor('float16', [1], Uint16Array.of(0xfe00)), /NaN at \[0\]/],
    [tensor('float32', [], Float32Array.of(Number.NaN)), /NaN at \[\]/],
  ])('names tensor and position', (value, message) => {
    const verdict = attempt(() => assertFinite({ ok: array, x: value }))
    expect(verdict).toMatchObject({ code: 'input/not-finite', message: expect.stringMatching(message) })
  })

  test('passes finite floats and all other types', () => {
    assertFinite({
      a: array,
      h: tensor('float16', [1], Uint16Array.of(0x7bff)),
      i: tensor('uint16', [1], Uint16Array.of(0x7c00)),
      s: tensor('string', [1], ['NaN']),
    })
  })
})
