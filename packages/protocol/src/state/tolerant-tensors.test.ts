import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../core/testing/code-of.ts'
import { type Tensor, tensor } from './tensor.ts'
import { encodeTensors, type NamedTensors } from './tensors.ts'
import { checkKind, hits, passes } from './testing/kind-laws.ts'
import { fromHalf, tolerantTensorsState } from './tolerant-tensors.ts'

const EPSILON = 0.01
const kind = tolerantTensorsState({ elements: 5, epsilon: EPSILON })

const record = (
  logits: readonly number[],
  label = 3n,
  half: readonly number[] = [0x3c00, 0x3c00],
): NamedTensors => ({
  logits: tensor('float32', [1, 3], Float32Array.from(logits)),
  label: tensor('int64', [1], BigInt64Array.of(label)),
  half: tensor('float16', [2], Uint16Array.from(half)),
})
const records = fc
  .tuple(
    fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 3, maxLength: 3 }),
    fc.bigInt({ min: -9n, max: 9n }),
    fc.array(fc.nat({ max: 0x7bff }), { minLength: 2, maxLength: 2 }),
  )
  .map(([logits, label, half]) => record(logits, label, half))

describe('tolerant tensors', () => {
  it('keep the laws of kinds', () => {
    checkKind<NamedTensors>(kind, records)
  })

  it('pass small differences of floats and nothing else', () => {
    const honest = record([1, 2, 3])
    expect(passes(kind, record([1.005, 1.995, 3]), honest)).toBe(true)
    expect(hits(kind, record([1.05, 2, 3]), honest)).toBe(kind.slots - 1)
    expect(passes(kind, record([1.05, 2, 3]), honest)).toBe(false)
    expect(passes(kind, record([1, 2, 3], 4n), honest)).toBe(false)
    expect(passes(kind, record([1, 2, 3], 3n, [0x3c00, 0x4000]), honest)).toBe(false)
    expect(passes(kind, record([3, 2, 1]), honest)).toBe(false)
  })

  it('take name, dtype and shape exactly', () => {
    const one = tolerantTensorsState({ elements: 2, epsilon: EPSILON })
    const of = (name: string, value: Tensor): NamedTensors => ({ [name]: value })
    const honest = of('y', tensor('float32', [2], Float32Array.of(1, 2)))
    const others = [
      of('z', tensor('float32', [2], Float32Array.of(1, 2))),
      of('y', tensor('float64', [2], Float64Array.of(1, 2))),
      of('y', tensor('float32', [2, 1], Float32Array.of(1, 2))),
    ]
    expect(passes(one, honest, honest)).toBe(true)
    for (const other of others) expect(hits(one, other, honest)).toBe(2)
  })

  it('take NaN and the infinities as values of their own', () => {
    const special = record([Number.NaN, Number.NEGATIVE_INFINITY, 0])
    expect(passes(kind, special, special)).toBe(true)
    expect(passes(kind, record([Number.NaN, Number.POSITIVE_INFINITY, 0]), special)).toBe(false)
    expect(passes(kind, record([0, Number.NEGATIVE_INFINITY, 0]), special)).toBe(false)
    expect(kind.accept(special).map((list) => list.length)).toEqual([1, 3, 3, 1, 1, 3])
  })

  it('refuse another number of floats, and what no bucket holds', () => {
    const fewer = { logits: tensor('float32', [4], new Float32Array(4)) }
    expect(codeOf(() => kind.assert(fewer)).code).toBe('state/shape')
    expect(codeOf(() => kind.decode(encodeTensors(fewer))).code).toBe('state/shape')
    expect(codeOf(() => kind.commit(record([1e20, 0, 0]))).code).toBe('state/out-of-range')
    expect(codeOf(() => kind.assert(new Map())).code).toBe('state/type')
    expect(codeOf(() => kind.assert(null)).code).toBe('state/type')
  })

  it('count the chance of a guess from the range', () => {
    const { guessProbability } = tolerantTensorsState({ elements: 1, epsilon: EPSILON, range: [0, 1] })
    expect(guessProbability).toBeCloseTo(0.03, 3)
    expect(codeOf(() => tolerantTensorsState({ elements: 0, epsilon: 1 })).code).toBe('state/parameters')
  })

  it.each([
    [0x0001, 2 ** -24],
    [0x03ff, 6.097555160522461e-5],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x3555, 0.333251953125],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x7e00, Number.NaN],
  ])('read half %i as numpy does: %d', (bits, value) => {
    expect(fromHalf(bits)).toBe(value)
  })
})
