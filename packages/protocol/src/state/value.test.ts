import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { toHex } from '../core/bytes.ts'
import { codeOf } from '../core/testing/code-of.ts'
import { checkKind } from './testing/kind-laws.ts'
import { MAX_VALUE_BYTES, valueCodec, valueState } from './value.ts'

const anything = valueState({ name: 'anything', guessProbability: 0 })
const text = fc.string({ unit: 'binary' })
const values: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(text, fc.maxSafeInteger(), fc.boolean(), fc.constant(null), fc.uint8Array({ maxLength: 8 })),
    fc.double({ noDefaultInfinity: true, noNaN: true, min: -1e6, max: 1e6 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      text.filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 4 },
    ),
  ),
})).value

describe('value states', () => {
  it('keep the laws of kinds', () => {
    checkKind(anything, values, 200)
  })

  it('do not depend on the order of keys, but on that of lists', () => {
    expect(anything.encode({ a: 1, b: 2 })).toEqual(anything.encode({ b: 2, a: 1 }))
    expect(anything.encode([1, 2, 3])).not.toEqual(anything.encode([3, 2, 1]))
    expect(anything.encode([1, 2, 3])).not.toEqual(anything.encode([6]))
    expect(anything.encode('1')).not.toEqual(anything.encode(1))
  })

  it('apply the schema to what comes in and to what is decoded', () => {
    const schema = z.strictObject({ id: z.int() })
    const strict = valueState({ name: 'row', schema, guessProbability: 0 })
    const free = valueState({ name: 'row', guessProbability: 0 })
    expect(strict.decode(strict.encode({ id: 7 }))).toEqual({ id: 7 })
    expect(codeOf(() => strict.encode({ id: 'x' } as never)).code).toBe('codec/schema')
    expect(codeOf(() => strict.assert({ id: 1, more: 2 })).code).toBe('codec/schema')
    expect(codeOf(() => strict.decode(free.encode({ id: 'x' }))).code).toBe('codec/schema')
  })

  it.each([
    undefined,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    () => 0,
    { a: undefined },
    '\ud800',
    new Date(0),
  ])('refuse what has no encoding (%#)', (value) => {
    expect(codeOf(() => anything.assert(value)).code).toBe('codec/schema')
  })

  it('refuse what is too large', () => {
    expect(codeOf(() => anything.encode(new Uint8Array(MAX_VALUE_BYTES))).code).toBe('codec/too-large')
    expect(codeOf(() => anything.decode(new Uint8Array(MAX_VALUE_BYTES + 1))).code).toBe('codec/too-large')
  })

  it('separate names', () => {
    const [a, b] = ['a', 'b'].map((name) => valueCodec({ name }))
    expect(toHex(a!.encode(1))).not.toBe(toHex(b!.encode(1)))
    expect(codeOf(() => b!.decode(a!.encode(1))).code).toBe('codec/unknown-type')
  })

  it.each(['', ' ', 'a b', 'x'.repeat(129)])('refuse the name %j', (name) => {
    expect(codeOf(() => valueCodec({ name })).code).toBe('state/parameters')
  })
})
