import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from './bytes.ts'
import { MAX_SAMPLE_SIZE, randomStream, sampleIndices, uniformInteger } from './sampling.ts'

interface Vector {
  readonly seed: string
  readonly population: number
  readonly size: number
  readonly indices: number[]
}

const vectors: { readonly cases: Vector[] } = JSON.parse(
  readFileSync(new URL('../../../../vectors/sampling.json', import.meta.url), 'utf8'),
)

/** Written from the description alone, on node:crypto and bigints. */
function independentIndices(seed: Uint8Array, n: number, k: number): number[] {
  const sha256 = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
  const u64 = (value: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(BigInt(value))
    return bytes
  }
  const tag = sha256(utf8('assay/random-stream/v1'))
  const key = sha256(tag, tag, u64(32), seed, u64(7), utf8('indices'))
  let used = 0
  const word = () => {
    const block = sha256(key, u64(Math.floor(used / 4)))
    return block.readBigUInt64BE(8 * (used++ % 4))
  }
  const below = (bound: number) => {
    const digits = bound === 1 ? 0 : (bound - 1).toString(2).length
    for (;;) {
      const value = word() % 2n ** BigInt(digits)
      if (value < BigInt(bound)) return Number(value)
    }
  }
  const chosen: number[] = []
  for (let j = n - k; j < n; j++) {
    const t = below(j + 1)
    chosen.push(chosen.includes(t) ? j : t)
  }
  return chosen.sort((a, b) => a - b)
}

const seed = (fill: number) => new Uint8Array(32).fill(fill)

describe('sampleIndices', () => {
  it.each(vectors.cases)(
    'vector: seed $seed, $size of $population',
    ({ seed, population, size, indices }) => {
      const bytes = Buffer.from(seed, 'hex')
      expect(sampleIndices(bytes, { population, size })).toEqual(indices)
      expect(independentIndices(bytes, population, size)).toEqual(indices)
    },
  )

  it('agrees with an independent implementation', () => {
    const shape = fc
      .oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))
      .chain((n) => fc.record({ n: fc.constant(n), k: fc.integer({ min: 0, max: Math.min(n, 60) }) }))
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), shape, (bytes, { n, k }) => {
        const indices = sampleIndices(bytes, { population: n, size: k })
        expect(indices).toEqual(independentIndices(bytes, n, k))
        expect(indices).toHaveLength(k)
        for (const [i, index] of indices.entries()) {
          expect(Number.isSafeInteger(index) && index > (indices[i - 1] ?? -1) && index < n).toBe(true)
        }
      }),
    )
  })

  it('depends on every bit of the seed', () => {
    const options = { population: 1e9, size: 8 }
    const seen = new Set([JSON.stringify(sampleIndices(seed(0), options))])
    for (let bit = 0; bit < 256; bit++) {
      const flipped = seed(0)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      seen.add(JSON.stringify(sampleIndices(flipped, options)))
    }
    expect(seen.size).toBe(257)
  })

  it('takes every index equally often', () => {
    // 20,000 samples of 7 out of 50: 2,800 expected for each index.
    const { counts } = tally(50, 20_000, (seed) => sampleIndices(seed, { population: 50, size: 7 }))
    const expected = (20_000 * 7) / 50
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    // Counts within a sample are anticorrelated: the statistic is (1 - 7/50)·χ² with 49 degrees of freedom.
    // 85.35 is its 99.9 % point, 23.98 its 0.1 % point.
    expect(chiSquare / (1 - 7 / 50)).toBeLessThan(85.35)
    expect(chiSquare / (1 - 7 / 50)).toBeGreaterThan(23.98)
  })

  it('takes every subset equally often', () => {
    // The 20 subsets of 3 out of 6, 20,000 draws.
    const subsets = new Map<string, number>()
    for (let i = 0; i < 20_000; i++) {
      const key = sampleIndices(numberedSeed(i), { population: 6, size: 3 }).join()
      subsets.set(key, (subsets.get(key) ?? 0) + 1)
    }
    expect(subsets.size).toBe(20)
    const chiSquare = [...subsets.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
    // 19 degrees of freedom: 43.82 at 99.9 %.
    expect(chiSquare).toBeLessThan(43.82)
  })

  it('spreads over 2^53 - 1', () => {
    const indices = sampleIndices(seed(5), { population: Number.MAX_SAFE_INTEGER, size: 10_000 })
    const counts = new Array<number>(16).fill(0)
    for (const index of indices) counts[Math.floor(index / 2 ** 49)]!++
    const chiSquare = counts.reduce((sum, count) => sum + (count - 625) ** 2 / 625, 0)
    // 15 degrees of freedom: 37.70 at 99.9 %. The low digits must not be missing either.
    expect(chiSquare).toBeLessThan(37.7)
    const odd = indices.filter((index) => index % 2 === 1).length
    expect(Math.abs(odd - 5000)).toBeLessThan(165)
  })

  it.each([
    { population: -1 },
    { population: 1.5 },
    { population: 2 ** 53 },
    { population: Number.NaN },
    { size: -1 },
    { size: 101 },
    { size: 0.5 },
    { population: 1e9, size: MAX_SAMPLE_SIZE + 1 },
  ])('refuses %o', (wrong) => {
    expect(() => sampleIndices(seed(1), { population: 100, size: 10, ...wrong })).toThrow(
      expect.objectContaining({ code: 'sampling/parameters' }),
    )
  })

  it.each([0, 31, 33])('refuses a seed of %i bytes', (length) => {
    expect(() => sampleIndices(new Uint8Array(length), { population: 10, size: 1 })).toThrow(
      expect.objectContaining({ code: 'seed/malformed' }),
    )
  })
})

describe('uniformInteger', () => {
  it.each([1, 2, 3, 7, 8, 13, 256, 257])('is uniform below %i', (bound) => {
    const stream = randomStream(seed(bound & 0xff), 'test')
    const counts = new Array<number>(bound).fill(0)
    const expected = 1000
    for (let i = 0; i < expected * bound; i++) counts[uniformInteger(stream, bound)]!++
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    // Wilson and Hilferty: the 99.99 % point of χ² with bound - 1 degrees of freedom.
    const degrees = Math.max(1, bound - 1)
    const limit = degrees * (1 - 2 / (9 * degrees) + 3.72 * Math.sqrt(2 / (9 * degrees))) ** 3
    expect(chiSquare).toBeLessThan(limit)
  })

  it('keeps streams of different labels apart', () => {
    const first = (label: string) => uniformInteger(randomStream(seed(0), label), Number.MAX_SAFE_INTEGER)
    expect(new Set(['', 'a', 'b', 'indices'].map(first)).size).toBe(4)
    expect(first('a')).toBe(first('a'))
  })

  it.each([0, -1, 1.5, 2 ** 53, Number.NaN])('refuses a bound of %f', (bound) => {
    expect(() => uniformInteger(randomStream(seed(0), 'test'), bound)).toThrow(
      expect.objectContaining({ code: 'sampling/parameters' }),
    )
  })
})

function numberedSeed(i: number): Uint8Array {
  const bytes = seed(0)
  new DataView(bytes.buffer).setUint32(0, i)
  return bytes
}

function tally(population: number, draws: number, draw: (seed: Uint8Array) => number[]) {
  const counts = new Array<number>(population).fill(0)
  for (let i = 0; i < draws; i++) for (const index of draw(numberedSeed(i))) counts[index]!++
  return { counts }
}
