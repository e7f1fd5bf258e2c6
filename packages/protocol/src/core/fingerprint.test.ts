import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes } from './bytes.ts'
import { AssayError } from './errors.ts'
import {
  createFingerprint,
  fingerprintBits,
  fingerprintBytes,
  loadFingerprint,
  matchesFingerprint,
  mergeFingerprint,
  saveFingerprint,
  setFingerprint,
  setFingerprints,
} from './fingerprint.ts'
import { hashIntegers } from './kernel.ts'

const widths = fc.integer({ min: 1, max: 32 })
const counts = fc.integer({ min: 1, max: 200 })
const items = (count: number, salt = 0) =>
  hashIntegers(BigInt64Array.from({ length: count }, (_, i) => BigInt(i + 1000 * salt)))
const item = (all: Uint8Array, index: number) => all.subarray(16 * index, 16 * index + 16)

function filled(count: number, bits: number, salt = 0) {
  const vector = createFingerprint(count, bits)
  setFingerprints(vector, 0, items(count, salt))
  return vector
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof AssayError) return error.code
    throw error
  }
  return 'accepted'
}

describe('the packing', () => {
  it('is least significant bit first, one fingerprint after the other', () => {
    const vector = createFingerprint(3, 11)
    const first = new Uint8Array(16)
    first.set([0b1010_0101, 0b1111_1110])
    const second = new Uint8Array(16).fill(0xff)
    setFingerprint(vector, 0, first)
    setFingerprint(vector, 1, second)
    expect([...vector.packed]).toEqual([0b1010_0101, 0b1111_1110, 0b0011_1111, 0, 0])
  })

  it('equals the definition bit by bit', () => {
    fc.assert(
      fc.property(counts, widths, fc.integer({ min: 0, max: 9 }), (count, bits, salt) => {
        const all = items(count, salt)
        const expected = new Uint8Array(fingerprintBytes(count, bits))
        for (let at = 0; at < count * bits; at++) {
          const [index, bit] = [Math.floor(at / bits), at % bits]
          if ((all[16 * index + (bit >> 3)]! >> (bit & 7)) & 1) expected[at >> 3]! |= 1 << (at & 7)
        }
        expect(filled(count, bits, salt).packed).toEqual(expected)
      }),
    )
  })

  it('replaces what was there and leaves the neighbours', () => {
    fc.assert(
      fc.property(counts, widths, fc.nat(), (count, bits, pick) => {
        const vector = filled(count, bits, 1)
        const index = pick % count
        setFingerprint(vector, index, item(items(count), index))
        const mixed = concatBytes(
          items(count, 1).subarray(0, 16 * index),
          item(items(count), index),
          items(count, 1).subarray(16 * index + 16),
        )
        const expected = createFingerprint(count, bits)
        setFingerprints(expected, 0, mixed)
        expect(vector).toEqual(expected)
      }),
    )
  })
})

describe('look-ups', () => {
  it('match what was committed, at its index', () => {
    fc.assert(
      fc.property(counts, widths, (count, bits) => {
        const vector = filled(count, bits)
        const all = items(count)
        for (let i = 0; i < count; i++) expect(matchesFingerprint(vector, i, item(all, i))).toBe(true)
      }),
    )
  })

  it.each([1, 4, 7, 10])('match others about 2^-%i of the time', (bits) => {
    const count = 20_000
    const vector = filled(count, bits)
    const others = items(count, 77)
    let matches = 0
    for (let i = 0; i < count; i++) if (matchesFingerprint(vector, i, item(others, i))) matches++
    const rate = 2 ** -bits
    expect(Math.abs(matches / count - rate)).toBeLessThan(5 * Math.sqrt((rate * (1 - rate)) / count))
  })

  it('bind the position: a swap of two states is seen', () => {
    const vector = filled(10, 32)
    const all = items(10)
    expect(matchesFingerprint(vector, 3, item(all, 4))).toBe(false)
    expect(matchesFingerprint(vector, 4, item(all, 3))).toBe(false)
  })

  it('refuse an index or an item out of range', () => {
    const vector = filled(10, 7)
    const one = items(1)
    for (const index of [-1, 10, 0.5, Number.NaN]) {
      expect(() => matchesFingerprint(vector, index, one)).toThrow(RangeError)
      expect(() => setFingerprint(vector, index, one)).toThrow(RangeError)
    }
    expect(() => matchesFingerprint(vector, 0, one.subarray(1))).toThrow(RangeError)
    expect(() => setFingerprints(vector, 8, items(3))).toThrow(RangeError)
    expect(() => setFingerprints(vector, 0, new Uint8Array(17))).toThrow(RangeError)
  })
})

describe('merging', () => {
  it('joins disjoint ranges that share a byte', () => {
    const all = items(100)
    const [left, right] = [createFingerprint(100, 7), createFingerprint(100, 7)]
    setFingerprints(left, 0, all.subarray(0, 16 * 33))
    setFingerprints(right, 33, all.subarray(16 * 33))
    mergeFingerprint(left, right)
    expect(left).toEqual(filled(100, 7))
    expect(codeOf(() => mergeFingerprint(left, createFingerprint(100, 8)))).toBe('fingerprint/parameters')
  })
})

describe('saving and loading', () => {
  it('return what was saved; every other length and padding is refused', () => {
    fc.assert(
      fc.property(counts, widths, (count, bits) => {
        const vector = filled(count, bits)
        const bytes = saveFingerprint(vector)
        expect(loadFingerprint(bytes, { count, bits })).toEqual(vector)
        for (const other of [bytes.subarray(1), concatBytes(bytes, Uint8Array.of(0)), new Uint8Array(0)]) {
          expect(codeOf(() => loadFingerprint(other, { count, bits }))).toBe('fingerprint/malformed')
        }
        for (let bit = count * bits; bit < bytes.length * 8; bit++) {
          const padded = bytes.slice()
          padded[bit >> 3]! |= 1 << (bit & 7)
          expect(codeOf(() => loadFingerprint(padded, { count, bits }))).toBe('fingerprint/malformed')
        }
      }),
    )
  })

  it('make a mismatch of every flipped bit', () => {
    const bytes = saveFingerprint(filled(20, 7))
    const all = items(20)
    for (let bit = 0; bit < 140; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      const vector = loadFingerprint(flipped, { count: 20, bits: 7 })
      const index = Math.floor(bit / 7)
      for (let i = 0; i < 20; i++) expect(matchesFingerprint(vector, i, item(all, i))).toBe(i !== index)
    }
  })

  it.each([
    [0, 7],
    [-1, 7],
    [1.5, 7],
    [Number.NaN, 7],
    [10, 0],
    [10, 33],
    [10, 7.5],
    [10, Number.NaN],
    [2 ** 40, 7],
  ])('refuse %d fingerprints of %d bits', (count, bits) => {
    expect(codeOf(() => createFingerprint(count, bits))).toBe('fingerprint/parameters')
    expect(codeOf(() => loadFingerprint(new Uint8Array(8), { count, bits }))).toBe('fingerprint/parameters')
  })
})

describe('fingerprintBits', () => {
  it('is the smallest width that reaches the rate', () => {
    for (let bits = 1; bits <= 32; bits++) {
      expect(fingerprintBits(2 ** -bits)).toBe(bits)
      expect(fingerprintBits(2 ** -bits * 1.000001)).toBe(bits)
      if (bits < 32) expect(fingerprintBits(2 ** -bits * 0.999999)).toBe(bits + 1)
    }
    expect(fingerprintBits(0.01)).toBe(7)
    expect(fingerprintBits(0.9)).toBe(1)
  })

  it.each([0, 1, -1, 2, Number.NaN, 2 ** -33])('refuses %d', (rate) => {
    expect(codeOf(() => fingerprintBits(rate))).toBe('fingerprint/parameters')
  })
})
