import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  approximateItems,
  BLOOM_HEADER_BYTES,
  bloomFalsePositiveRate,
  bloomParameters,
  countOnes,
  createBloom,
  hasItem,
  hasItems,
  insertItem,
  insertItems,
  loadBloom,
  loadPublishedBloom,
  mergeBloom,
  onesBound,
  probeFalsePositiveRate,
  saveBloom,
} from './bloom.ts'
import { concatBytes, fromBase64, toBase64 } from './bytes.ts'
import { AssayError } from './errors.ts'
import { hashInteger } from './hash-int.ts'
import { hashIntegers, insertIntegers } from './kernel.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/spex.json', import.meta.url), 'utf8'))

/** The stream of `splitmix64` in scripts/interop/make-vectors.py. */
function stream(seed: number, count: number): BigInt64Array {
  const mask = 2n ** 64n - 1n
  return BigInt64Array.from({ length: count }, (_, i) => {
    let z = (BigInt(seed) + BigInt(i + 1) * 0x9e3779b97f4a7c15n) & mask
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask
    return BigInt.asIntN(64, z ^ (z >> 31n))
  })
}

const itemsOf = (values: readonly (number | bigint)[]) => concatBytes(...values.map((v) => hashInteger(v)))
const counts = fc.integer({ min: 1, max: 2000 })
const rates = fc.double({ min: 1e-12, max: 0.499, noNaN: true })

function filled(count: number, rate: number, seed = 1) {
  const filter = createBloom(count, rate)
  insertIntegers(filter, stream(seed, count))
  return filter
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

describe('the published bytes', () => {
  it('of the first ten primes, and of three', () => {
    const primes = createBloom(10, 0.01)
    insertItems(primes, itemsOf([2, 3, 5, 7, 11, 13, 17, 19, 23, 29]))
    expect(toBase64(saveBloom(primes))).toBe('BgAAAAAAAAATyZobYFxwRk2pnAU=')
    const three = createBloom(3, 0.01)
    for (const prime of [2, 3, 5]) insertItem(three, hashInteger(prime))
    expect(toBase64(saveBloom(three))).toBe('BgAAAAAAAABhxdYE')
  })

  it('of one item: its six bits among 96', () => {
    const filter = createBloom(10, 0.01)
    expect(filter.bits).toHaveLength(12)
    insertItem(filter, hashInteger(2))
    const ones = Array.from({ length: 96 }, (_, i) => i).filter((i) => (filter.bits[i >> 3]! >> (i & 7)) & 1)
    expect(ones).toEqual([0, 8, 15, 23, 42, 82])
  })

  it('of every size in the vectors', () => {
    for (const [count, rate, hashes, bits] of vectors.sizes) {
      expect([count, rate, bloomParameters(count, rate)]).toEqual([count, rate, { hashes, bytes: bits / 8 }])
    }
  })

  it('of every filter in the vectors, with their hits and estimates', () => {
    for (const vector of vectors.filters) {
      const { count, falsePositiveRate, seed } = vector
      const filter = filled(count, falsePositiveRate, seed)
      expect(toBase64(saveBloom(filter))).toBe(vector.bloomFilter)
      const loaded = loadBloom(fromBase64(vector.bloomFilter), { count, falsePositiveRate })
      expect(loaded).toEqual(filter)
      const others = hasItems(loaded, hashIntegers(stream(seed + 2 ** 40, 200)))
      expect(others.reduce((sum, hit) => sum + hit, 0)).toBe(vector.hitsOfOthers)
      expect(approximateItems(loaded)).toBeCloseTo(vector.approximateItems, 9)
    }
    for (const { items, falsePositiveRate, bloomFilter } of vectors.listedFilters) {
      const filter = createBloom(items.length, falsePositiveRate)
      insertItems(filter, itemsOf(items))
      expect(toBase64(saveBloom(filter))).toBe(bloomFilter)
    }
  })
})

describe('look-ups', () => {
  it('never miss what was inserted, and hit others at the exact rate', () => {
    fc.assert(
      fc.property(counts, rates, (count, rate) => {
        const filter = filled(count, rate)
        expect(hasItems(filter, hashIntegers(stream(1, count))).every((hit) => hit === 1)).toBe(true)
      }),
    )
    const filter = filled(1000, 0.05)
    const hits = hasItems(filter, hashIntegers(stream(2, 100_000))).reduce((sum, hit) => sum + hit, 0)
    const exact = bloomFalsePositiveRate(filter)
    expect(Math.abs(hits / 100_000 - exact)).toBeLessThan(5 * Math.sqrt((exact * (1 - exact)) / 100_000))
    expect(hasItem(filter, hashInteger(stream(1, 1)[0]!))).toBe(true)
  })

  it('take exactly one item where one is asked', () => {
    const filter = createBloom(3, 0.01)
    for (const length of [0, 15, 17, 32]) {
      expect(() => insertItem(filter, new Uint8Array(length))).toThrow(RangeError)
      expect(() => hasItem(filter, new Uint8Array(length))).toThrow(RangeError)
    }
    expect(() => hasItems(filter, new Uint8Array(24))).toThrow(RangeError)
  })
})

describe('merging', () => {
  it('of parts equals inserting everything into one', () => {
    const values = stream(3, 1000)
    const [whole, left, right] = [createBloom(1000, 0.01), createBloom(1000, 0.01), createBloom(1000, 0.01)]
    insertIntegers(whole, values)
    insertIntegers(left, values.subarray(0, 300))
    insertIntegers(right, values.subarray(300))
    mergeBloom(left, right)
    expect(left).toEqual(whole)
  })

  it('is the or of every byte, wherever the bits lie in their buffer', () => {
    const offsets = fc.integer({ min: 0, max: 8 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), offsets, offsets, (length, a, b) => {
        const into = { hashes: 1, bits: new Uint8Array(60).subarray(a, a + length) }
        const from = { hashes: 1, bits: new Uint8Array(60).subarray(b, b + length) }
        for (let i = 0; i < length; i++) [into.bits[i], from.bits[i]] = [i * 37, i * 91]
        const expected = into.bits.map((byte, i) => byte | from.bits[i]!)
        mergeBloom(into, from)
        expect(into.bits).toEqual(expected)
      }),
    )
  })

  it('refuses a filter of other parameters', () => {
    expect(codeOf(() => mergeBloom(createBloom(10, 0.01), createBloom(20, 0.01)))).toBe('bloom/parameters')
    expect(codeOf(() => mergeBloom(createBloom(10, 0.01), createBloom(10, 0.02)))).toBe('bloom/parameters')
  })
})

describe('parameters', () => {
  it.each([
    [0, 0.01],
    [-1, 0.01],
    [1.5, 0.01],
    [Number.NaN, 0.01],
    [2 ** 53, 0.01],
    [10, 0],
    [10, 1],
    [10, -0.1],
    [10, Number.NaN],
    [10, 0.5],
    [10, 0.6],
  ])('of %d items at %d are refused', (count, rate) => {
    expect(codeOf(() => createBloom(count, rate))).toBe('bloom/parameters')
    expect(codeOf(() => loadBloom(new Uint8Array(20), { count, falsePositiveRate: rate }))).toBe(
      'bloom/parameters',
    )
  })

  it('beyond the cap are refused before anything is allocated', () => {
    expect(codeOf(() => createBloom(1e15, 0.01))).toBe('bloom/too-large')
    expect(codeOf(() => createBloom(1000, 0.01, { maxBytes: 1198 }))).toBe('bloom/too-large')
    expect(createBloom(1000, 0.01, { maxBytes: 1199 }).bits).toHaveLength(1199)
  })
})

describe('loading a proof', () => {
  it('returns what was saved', () => {
    fc.assert(
      fc.property(counts, rates, fc.integer({ min: 0, max: 1000 }), (count, rate, seed) => {
        const filter = filled(count, rate, seed)
        const bytes = saveBloom(filter)
        const loaded = loadBloom(bytes, { count, falsePositiveRate: rate })
        expect(loaded).toEqual(filter)
        expect(saveBloom(loaded)).toEqual(bytes)
        expect(loadPublishedBloom(bytes)).toEqual(filter)
      }),
      { numRuns: 30 },
    )
  })

  it('refuses every other length, and every bit flipped in k', () => {
    const expectation = { count: 50, falsePositiveRate: 0.01 }
    const bytes = saveBloom(filled(50, 0.01))
    for (let length = 0; length < bytes.length; length++) {
      const code = length < BLOOM_HEADER_BYTES ? 'bloom/malformed' : 'bloom/parameters'
      expect(codeOf(() => loadBloom(bytes.subarray(0, length), expectation))).toBe(code)
    }
    expect(codeOf(() => loadBloom(concatBytes(bytes, Uint8Array.of(0)), expectation))).toBe(
      'bloom/parameters',
    )
    for (let bit = 0; bit < 64; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      expect(codeOf(() => loadBloom(flipped, expectation))).toBe('bloom/parameters')
    }
  })

  it('turns every bit that was cleared in the filter into a miss', () => {
    const filter = filled(50, 0.01)
    const bytes = saveBloom(filter)
    const items = hashIntegers(stream(1, 50))
    for (let bit = 64; bit < bytes.length * 8; bit++) {
      if (((bytes[bit >> 3]! >> (bit & 7)) & 1) === 0) continue
      const flipped = bytes.slice()
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      const loaded = loadBloom(flipped, { count: 50, falsePositiveRate: 0.01 })
      expect(hasItems(loaded, items)).toContain(0)
    }
  })

  it('refuses parameters of another task, k = 0, and a stalling k', () => {
    const bytes = saveBloom(filled(1000, 0.01))
    const load = (count: number, falsePositiveRate: number) => () =>
      loadBloom(bytes, { count, falsePositiveRate })
    expect(codeOf(load(1001, 0.01))).toBe('bloom/parameters')
    expect(codeOf(load(1000, 0.001))).toBe('bloom/parameters')
    for (const hashes of [0n, 2n ** 30n, 2n ** 64n - 1n]) {
      const hostile = bytes.slice()
      new DataView(hostile.buffer).setBigUint64(0, hashes, true)
      const refusal = codeOf(() => loadBloom(hostile, { count: 1000, falsePositiveRate: 0.01 }))
      expect(refusal).toBe('bloom/parameters')
    }
  })

  it('refuses a proof above the cap by its length alone', () => {
    const expectation = { count: 10, falsePositiveRate: 0.01, maxBytes: 12 }
    expect(codeOf(() => loadBloom(new Uint8Array(21), expectation))).toBe('bloom/too-large')
    expect(codeOf(() => loadPublishedBloom(new Uint8Array(21), expectation))).toBe('bloom/too-large')
  })

  it('refuses a flooded filter', () => {
    const expectation = { count: 1000, falsePositiveRate: 0.01 }
    for (const extra of [200, 1000, 19_000]) {
      const flooded = filled(1000, 0.01)
      insertIntegers(flooded, stream(2, extra))
      expect(codeOf(() => loadBloom(saveBloom(flooded), expectation))).toBe('bloom/saturated')
    }
    const ones = saveBloom(createBloom(1000, 0.01)).fill(0xff, BLOOM_HEADER_BYTES)
    expect(codeOf(() => loadBloom(ones, expectation))).toBe('bloom/saturated')
  })
})

describe('onesBound', () => {
  it('is the mean and five standard deviations that the throws have', () => {
    // 4,460 + 5 * 26, as the wire format states.
    expect(onesBound(1000, 0.01)).toBe(4589)
    for (const [count, rate] of [
      [100, 0.4],
      [300, 0.2],
    ] as const) {
      const { hashes, bytes } = bloomParameters(count, rate)
      const { mean, sigma } = occupancy(count * hashes, bytes * 8)
      expect(onesBound(count, rate)).toBe(Math.floor(mean + 5 * sigma))
    }
  })

  it('never exceeds the throws or the bits', () => {
    expect(onesBound(1, 0.01)).toBe(6)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), rates, (count, rate) => {
        const { hashes, bytes } = bloomParameters(count, rate)
        fc.pre(hashes > 0)
        const bound = onesBound(count, rate)
        expect(bound).toBeGreaterThan(0)
        expect(bound).toBeLessThanOrEqual(Math.min(hashes * count, bytes * 8))
      }),
    )
  })

  /** Moments of the number of occupied bins, by the recurrence over throws. */
  function occupancy(throws: number, bins: number) {
    let share = new Float64Array(bins + 1)
    share[0] = 1
    for (let t = 0; t < throws; t++) {
      const next = new Float64Array(bins + 1)
      for (let i = 0; i <= bins; i++) {
        next[i]! += (share[i]! * i) / bins
        if (i < bins) next[i + 1]! += (share[i]! * (bins - i)) / bins
      }
      share = next
    }
    const mean = share.reduce((sum, p, i) => sum + p * i, 0)
    return { mean, sigma: Math.sqrt(share.reduce((sum, p, i) => sum + p * (i - mean) ** 2, 0)) }
  }
})

describe('the published loader, with caps', () => {
  const withHashes = (hashes: bigint, bits: Uint8Array) => {
    const header = new Uint8Array(8)
    new DataView(header.buffer).setBigUint64(0, hashes, true)
    return concatBytes(header, bits)
  }

  it('has the published hole: with k = 0 everything hits', () => {
    for (const bits of [new Uint8Array(0), new Uint8Array(3)]) {
      const filter = loadPublishedBloom(withHashes(0n, bits))
      expect(hasItem(filter, hashInteger(42))).toBe(true)
      expect(bloomFalsePositiveRate(filter)).toBe(1)
      expect(probeFalsePositiveRate(filter, { trials: 100, randomInteger: () => 1n })).toBe(1)
    }
  })

  it('has the published hole: a flooded filter loads', () => {
    const flooded = filled(1000, 0.01)
    insertIntegers(flooded, stream(2, 19_000))
    expect(loadPublishedBloom(saveBloom(flooded))).toEqual(flooded)
  })

  it('takes any length of filter, and refuses what would stall or crash', () => {
    expect(loadPublishedBloom(withHashes(64n, new Uint8Array(1))).hashes).toBe(64)
    expect(codeOf(() => loadPublishedBloom(withHashes(65n, new Uint8Array(1))))).toBe('bloom/parameters')
    expect(codeOf(() => loadPublishedBloom(withHashes(2n ** 30n, new Uint8Array(1))))).toBe(
      'bloom/parameters',
    )
    expect(codeOf(() => loadPublishedBloom(withHashes(6n, new Uint8Array(0))))).toBe('bloom/malformed')
    for (let length = 0; length < 8; length++) {
      expect(codeOf(() => loadPublishedBloom(new Uint8Array(length)))).toBe('bloom/malformed')
    }
    const raised = loadPublishedBloom(withHashes(70n, new Uint8Array(9)), { maxHashes: 100 })
    insertItem(raised, hashInteger(1))
    expect(hasItem(raised, hashInteger(1))).toBe(true)
  })
})

describe('rates', () => {
  it('counts ones over whole words and the rest, from any offset', () => {
    fc.assert(
      fc.property(fc.uint8Array({ max: 40 }), fc.integer({ min: 0, max: 7 }), (bytes, skip) => {
        const bits = bytes.subarray(Math.min(skip, bytes.length))
        const expected = [...bits].reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0)
        expect(countOnes({ hashes: 1, bits })).toBe(expected)
      }),
    )
  })

  it('probes close to the exact rate', () => {
    const filter = filled(1000, 0.1)
    let next = 2n ** 31n
    const probed = probeFalsePositiveRate(filter, { randomInteger: () => next++ })
    const exact = bloomFalsePositiveRate(filter)
    expect(Math.abs(probed - exact)).toBeLessThan(5 * Math.sqrt((exact * (1 - exact)) / 100_000))
  })

  it('is infinite in items for a full filter', () => {
    expect(approximateItems({ hashes: 3, bits: new Uint8Array(4).fill(255) })).toBe(Number.POSITIVE_INFINITY)
  })
})
