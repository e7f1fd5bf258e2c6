import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../core/bytes.ts'
import { sha256 } from '../core/digest.ts'
import { hashInteger, itemToSigned } from '../core/hash-int.ts'
import { codeOf } from '../core/testing/code-of.ts'
import { hashIntegerArray, integerState } from './integer.ts'
import { checkKind } from './testing/kind-laws.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/spex.json', import.meta.url), 'utf8'))
const kind = integerState()

describe('integer states', () => {
  it('keep the laws of kinds', () => {
    checkKind<bigint | number>(
      kind,
      fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.maxSafeInteger()),
    )
  })

  it("encode in two's complement, least significant byte first, the same for number and bigint", () => {
    expect(toHex(kind.encode(-2))).toBe('feffffffffffffff')
    expect(toHex(kind.encode(2 ** 40 + 1))).toBe('0100000000010000')
    expect(toHex(kind.encode(-(2 ** 53) + 1))).toBe('010000000000e0ff')
    fc.assert(
      fc.property(fc.maxSafeInteger(), (n) => toHex(kind.encode(n)) === toHex(kind.encode(BigInt(n)))),
    )
    expect(toHex(kind.encode(-0))).toBe(toHex(kind.encode(0)))
  })

  it('are the message under the published hash', () => {
    fc.assert(
      fc.property(
        fc.maxSafeInteger(),
        (n) => toHex(sha256(kind.encode(n)).slice(0, 16)) === toHex(hashInteger(n)),
      ),
    )
  })

  it('decode to bigints', () => {
    expect(kind.decode(kind.encode(-5))).toBe(-5n)
  })

  it.each([0.5, Number.NaN, 2 ** 53, 2n ** 63n, -(2n ** 63n) - 1n, '1', null, undefined, {}])(
    'refuse %s',
    (value) => {
      expect(codeOf(() => kind.assert(value)).code).toBe('state/type')
      expect(codeOf(() => kind.encode(value as number)).code).toBe('state/type')
    },
  )

  it.each([0, 7, 9])('refuse %i bytes', (length) => {
    expect(codeOf(() => kind.decode(new Uint8Array(length))).code).toBe('state/malformed')
  })

  it('carry a guess probability and refuse one out of range', () => {
    expect(integerState({ guessProbability: 0.1 }).guessProbability).toBe(0.1)
    for (const guessProbability of [-0.1, 1.1, Number.NaN]) {
      expect(codeOf(() => integerState({ guessProbability })).code).toBe('state/parameters')
    }
  })
})

describe('the published hash of arrays', () => {
  it('gives what the package gives', () => {
    for (const { values, hash } of vectors.sums) {
      const integers = (values as string[]).map(BigInt)
      expect(String(itemToSigned(hashIntegerArray(integers)))).toBe(hash)
      expect(String(itemToSigned(hashIntegerArray(BigInt64Array.from(integers))))).toBe(hash)
    }
  })

  it('truncates float sums', () => {
    const hash = (...values: number[]) => itemToSigned(hashIntegerArray(Float64Array.from(values)))
    expect(hash(1.5, 2.7)).toBe(-20436078149945820168184944684092502034n)
    expect(hash(-1.5)).toBe(itemToSigned(hashInteger(-1)))
    expect(hash(1e19)).toBe(itemToSigned(hashInteger(10n ** 19n)))
  })

  it('shows the hole: sums collide', () => {
    expect(hashIntegerArray([1n, 2n, 3n])).toEqual(hashIntegerArray([6n]))
  })

  it('refuses sums that no integer holds', () => {
    expect(codeOf(() => hashIntegerArray(Float64Array.of(1e20))).code).toBe('state/out-of-range')
    expect(codeOf(() => hashIntegerArray(Float64Array.of(-1e19))).code).toBe('state/out-of-range')
    expect(codeOf(() => hashIntegerArray(Float64Array.of(Number.NaN))).code).toBe('state/non-finite')
  })
})
