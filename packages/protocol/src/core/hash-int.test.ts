import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { hashInteger, ITEM_BYTES, itemToSigned } from './hash-int.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/spex.json', import.meta.url), 'utf8'))

describe('hashInteger', () => {
  it.each([
    [0, -107223831334844208148594330433318394353n],
    [1, 165653116489793272355541538222779046285n],
    [-1, 24775982865589700165712399622265321005n],
    [123, 105266548169393929222442971458088679220n],
  ])('of %i is the published value', (value, expected) => {
    expect(itemToSigned(hashInteger(value))).toBe(expected)
  })

  it('equals the published package, at the edges of 64 bits too', () => {
    for (const [value, expected] of vectors.integers) {
      expect(itemToSigned(hashInteger(BigInt(value))).toString()).toBe(expected)
    }
  })

  it('equals the published package on wrapping sums', () => {
    for (const { values, hash } of vectors.sums) {
      const sum = values.map(BigInt).reduce((a: bigint, b: bigint) => a + b, 0n)
      expect(itemToSigned(hashInteger(sum)).toString()).toBe(hash)
    }
  })

  it('gives an item, and refuses what is not an integer', () => {
    expect(hashInteger(7n)).toHaveLength(ITEM_BYTES)
    expect(() => hashInteger(0.5)).toThrow(RangeError)
    expect(() => hashInteger(Number.NaN)).toThrow(RangeError)
  })
})
