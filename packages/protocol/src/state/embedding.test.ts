import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../core/bytes.ts'
import { sha256 } from '../core/digest.ts'
import { hashInteger, itemToSigned } from '../core/hash-int.ts'
import { codeOf } from '../core/testing/code-of.ts'
import { embeddingHash, hashEmbeddingH, hashEmbeddingM, jaccardIndex, requiredMatches } from './embedding.ts'
import { calibrateSimilarity, estimateGuess } from './embedding-calibrate.ts'
import { randomHyperplanes, randomVantagePoints } from './embedding-points.ts'
import { embeddingState } from './embedding-state.ts'
import { checkKind, hits, passes } from './testing/kind-laws.ts'
import { lcg } from './testing/lcg.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/spex.json', import.meta.url), 'utf8'))

const seed = new Uint8Array(32).fill(7)
const rows = (values: Float64Array, width: number): Float64Array[] =>
  Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width))
const digest = (hashes: ReadonlySet<bigint>): string =>
  toHex(
    sha256(
      utf8(
        [...hashes]
          .sort((a, b) => (a < b ? -1 : 1))
          .map(String)
          .join(),
      ),
    ),
  )

describe('the published hash of embeddings', () => {
  it('gives what the package gives', () => {
    for (const { point, near, vantagePoints, hashes, jaccard } of vectors.embeddings) {
      const points = vantagePoints.map((p: number[]) => Float64Array.from(p))
      const hashed = hashEmbeddingM(Float64Array.from(point), points)
      expect(new Set([...hashed].map(String))).toEqual(new Set(hashes))
      expect(jaccardIndex(hashed, hashEmbeddingM(Float64Array.from(near), points))).toBe(jaccard)
    }
  })

  it('ties where SciPy ties: vantage points that are permutations of one another', () => {
    // warden-spex 0.0.95 with scipy 1.17.1; a plain sum of squares orders several of these pairs.
    const base = lcg(6, 11)
    const turns = Array.from({ length: 6 }, (_, i) =>
      Float64Array.from({ length: 6 }, (_, j) => base[(j - i + 6) % 6]!),
    )
    expect(digest(hashEmbeddingM(new Float64Array(6), turns))).toBe(
      '1b170f78efc3e8b0eae130ec51cf974b2e45d76af4d50c08cb6de595d5570742',
    )
  })

  it('numbers pairs in lexicographic order', () => {
    const [near, far] = [Float64Array.of(1), Float64Array.of(2)]
    const code = (n: number) => itemToSigned(hashInteger(n))
    expect(hashEmbeddingM(Float64Array.of(0), [near, far, near])).toEqual(
      new Set([code(1), code(2), code(4)]),
    )
  })

  it('takes any metric', () => {
    const points = rows(lcg(20, 4), 2)
    const metric = { name: 'west', distance: (_: Float64Array, b: Float64Array) => b[0]! }
    const one = hashEmbeddingM(lcg(2, 1), points, { metric })
    expect(hashEmbeddingM(lcg(2, 2), points, { metric })).toEqual(one)
    expect(hashEmbeddingM(lcg(2, 1), points, { metric: 'manhattan' })).not.toEqual(one)
  })
})

describe('the hash by hyperplanes', () => {
  it('takes the side, the plane itself counting as positive', () => {
    const code = (n: number) => itemToSigned(hashInteger(n))
    const planes = [Float64Array.of(1, 0), Float64Array.of(-1, 0), Float64Array.of(0, 1)]
    expect(hashEmbeddingH(Float64Array.of(3, 0), planes)).toEqual(new Set([code(1), code(2), code(5)]))
  })

  it('agrees as often as the angle says', () => {
    const planes = randomHyperplanes(seed, { count: 4000, dimensions: 8 })
    const { bits } = embeddingHash({ dimensions: 8, hyperplanes: planes })
    const a = Float64Array.of(1, 0, 0, 0, 0, 0, 0, 0)
    const b = Float64Array.of(1, 1, 0, 0, 0, 0, 0, 0)
    const [x, y] = [bits(a), bits(b)]
    const agreement = x.filter((bit, i) => bit === y[i]).length / 4000
    expect(Math.abs(agreement - 0.75)).toBeLessThan(0.03)
  })
})

describe('the Jaccard index', () => {
  it('is shared over all', () => {
    expect(jaccardIndex(new Set([1, 2, 3]), new Set([2, 3, 4]))).toBe(0.5)
    expect(jaccardIndex(new Set(), new Set())).toBe(0)
    expect(jaccardIndex(new Set([1]), new Set())).toBe(0)
  })

  it('has its threshold in matches', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        (p, tau) => {
          const x = requiredMatches(p, tau)
          const index = (m: number) => m / (2 * p - m)
          return x >= 1 && x <= p && index(x) >= tau && (x === 0 || index(x - 1) < tau)
        },
      ),
      { numRuns: 1000 },
    )
    expect(requiredMatches(45, 1)).toBe(45)
    expect(requiredMatches(45, 0.5)).toBe(30)
  })
})

describe('points from a seed', () => {
  it('are these', () => {
    const [first, second] = randomVantagePoints(seed, { count: 2, dimensions: 300 })
    const again = randomVantagePoints(seed, { count: 1, dimensions: 300 })
    expect(again[0]).toEqual(first)
    expect(second).not.toEqual(first)
    expect(randomHyperplanes(seed, { count: 1, dimensions: 300 })[0]).not.toEqual(first)
    expect(randomVantagePoints(new Uint8Array(32), { count: 1, dimensions: 300 })[0]).not.toEqual(first)
  })

  it('have mean 0, variance 1, and nearly the tails of a Gaussian', () => {
    const values = randomHyperplanes(seed, { count: 1, dimensions: 30_000 })[0]!
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length
    const variance = values.reduce((sum, x) => sum + x * x, 0) / values.length
    const beyondTwo = values.filter((x) => Math.abs(x) > 2).length / values.length
    expect(Math.abs(mean)).toBeLessThan(0.03)
    expect(Math.abs(variance - 1)).toBeLessThan(0.04)
    expect(Math.abs(beyondTwo - 0.0455)).toBeLessThan(0.008)
  })

  it('lie on the unit sphere unless told', () => {
    const length = (unit: boolean) =>
      Math.hypot(...randomVantagePoints(seed, { count: 1, dimensions: 300, unit })[0]!)
    expect(length(true)).toBeCloseTo(1, 12)
    expect(length(false)).toBeGreaterThan(10)
  })

  it.each([
    { count: 0, dimensions: 1 },
    { count: 1, dimensions: 0 },
    { count: 1, dimensions: 2 ** 16 },
    { count: 2 ** 16, dimensions: 2 ** 15 },
  ])('are not made for %j', (options) => {
    expect(codeOf(() => randomVantagePoints(seed, options)).code).toBe('state/parameters')
  })
})

describe('calibration', () => {
  const hash = embeddingHash({
    dimensions: 16,
    vantagePoints: randomVantagePoints(seed, { count: 16, dimensions: 16 }),
  })

  it('finds the floor of unrelated points, and a similarity above it', () => {
    const { similarity, floor, guessProbability, trials } = calibrateSimilarity(hash, { maxGuess: 0.05 })
    expect(trials).toBe(1000)
    expect(floor).toBeGreaterThan(0.3)
    expect(floor).toBeLessThan(0.55)
    expect(similarity).toBeGreaterThan(floor)
    expect(guessProbability).toBeLessThanOrEqual(0.05)
    expect(estimateGuess(hash, { similarity }).guessProbability).toBe(guessProbability)
    expect(estimateGuess(hash, { similarity: floor / 2 }).guessProbability).toBeGreaterThan(0.9)
  })

  it('bounds the rate of guesses that it did not see', () => {
    const similarity = 0.6
    const { guessProbability } = estimateGuess(hash, { similarity })
    const points = randomVantagePoints(new Uint8Array(32).fill(9), { count: 4000, dimensions: 16 })
    const required = requiredMatches(hash.comparisons, similarity)
    let passed = 0
    for (let i = 0; i < 4000; i += 2) {
      const [a, b] = [hash.bits(points[i]!), hash.bits(points[i + 1]!)]
      if (a.filter((bit, j) => bit === b[j]).length >= required) passed += 1
    }
    expect(passed / 2000).toBeLessThan(guessProbability)
  })

  it('sees that real points crowd together', () => {
    const crowd = randomVantagePoints(seed, { count: 400, dimensions: 16 }).map((p) =>
      p.map((x) => 3 + 0.1 * x),
    )
    const crowded = estimateGuess(hash, { similarity: 0.7, unrelated: crowd }).guessProbability
    expect(crowded).toBeGreaterThan(estimateGuess(hash, { similarity: 0.7 }).guessProbability)
    expect(crowded).toBeGreaterThan(0.9)
  })

  it('sees that unit embeddings cannot be told apart by far vantage points', () => {
    const unrelated = randomVantagePoints(new Uint8Array(32), { count: 200, dimensions: 64 })
    const guess = (unit: boolean) => {
      const vantagePoints = randomVantagePoints(seed, { count: 16, dimensions: 64, unit })
      return estimateGuess(embeddingHash({ dimensions: 64, vantagePoints }), { similarity: 0.65, unrelated })
    }
    expect(guess(false).floor).toBeGreaterThan(0.7)
    expect(guess(true).floor).toBeLessThan(0.4)
  })

  it('refuses what it cannot reach or use', () => {
    expect(codeOf(() => calibrateSimilarity(hash, { maxGuess: 1e-4 })).code).toBe('state/parameters')
    expect(codeOf(() => calibrateSimilarity(hash, { maxGuess: 2 })).code).toBe('state/parameters')
    expect(codeOf(() => estimateGuess(hash, { similarity: 0.5, trials: 0 })).code).toBe('state/parameters')
    const few = rows(lcg(16 * 19, 1), 16)
    expect(codeOf(() => estimateGuess(hash, { similarity: 0.5, unrelated: few })).code).toBe(
      'state/parameters',
    )
    const wrong = rows(lcg(15 * 20, 1), 15)
    expect(codeOf(() => estimateGuess(hash, { similarity: 0.5, unrelated: wrong })).code).toBe('state/shape')
    expect(codeOf(() => estimateGuess(hash, { similarity: 0.5, seed: new Uint8Array(3) })).code).toBe(
      'seed/malformed',
    )
  })
})

describe('embedding states', () => {
  const dimensions = 12
  const points = fc.float64Array({
    minLength: dimensions,
    maxLength: dimensions,
    min: -10,
    max: 10,
    noNaN: true,
  })
  const byPlanes = embeddingState({
    dimensions,
    hyperplanes: randomHyperplanes(seed, { count: 64, dimensions }),
    similarity: 0.8,
  })
  const byPoints = embeddingState({
    dimensions,
    vantagePoints: randomVantagePoints(seed, { count: 12, dimensions }),
    similarity: 0.8,
  })

  it.each([
    ['hyperplanes', byPlanes],
    ['vantage points', byPoints],
  ])('by %s keep the laws of kinds', (_, kind) => {
    checkKind<Float64Array>(kind, points)
  })

  it.each([
    ['hyperplanes', byPlanes],
    ['vantage points', byPoints],
  ])('by %s pass near points and refuse others', (_, kind) => {
    const base = lcg(dimensions, 5)
    const near = base.map((x, i) => x + 0.002 * (i % 3))
    expect(passes(kind, near, base)).toBe(true)
    expect(
      passes(
        kind,
        base.map((x) => -x),
        base,
      ),
    ).toBe(false)
    expect(passes(kind, lcg(dimensions, 6), base)).toBe(false)
    expect(hits(kind, base, base)).toBe(kind.slots)
    expect(kind.guessProbability).toBeGreaterThan(0)
    expect(kind.guessProbability).toBeLessThan(0.5)
  })

  it('pass exactly when the Jaccard index of the published sets reaches the similarity', () => {
    const vantagePoints = randomVantagePoints(seed, { count: 12, dimensions })
    fc.assert(
      fc.property(points, points, fc.double({ min: 0, max: 1, noNaN: true }), (a, b, share) => {
        const mixed = a.map((x, i) => x + share * (b[i]! - x))
        const index = jaccardIndex(hashEmbeddingM(a, vantagePoints), hashEmbeddingM(mixed, vantagePoints))
        return passes(byPoints, a, mixed) === index >= 0.8
      }),
    )
  })

  it('say in their parameters what they compare with', () => {
    const other = embeddingState({
      dimensions,
      vantagePoints: randomVantagePoints(new Uint8Array(32), { count: 12, dimensions }),
      similarity: 0.8,
      guessProbability: 0,
    })
    expect(other.parameters).not.toEqual(byPoints.parameters)
    expect(byPoints.parameters).toMatchObject({ dimensions, metric: 'euclidean', similarity: 0.8 })
  })

  it('refuse other things', () => {
    const vantagePoints = randomVantagePoints(seed, { count: 3, dimensions: 2 })
    const refuse = (options: object) =>
      codeOf(() =>
        embeddingState({ dimensions: 2, vantagePoints, similarity: 0.5, guessProbability: 0, ...options }),
      ).code
    for (const similarity of [0, 1.1, Number.NaN]) expect(refuse({ similarity })).toBe('state/parameters')
    expect(refuse({ vantagePoints: vantagePoints.slice(0, 1) })).toBe('state/parameters')
    expect(refuse({ vantagePoints: [...vantagePoints, new Float64Array(3)] })).toBe('state/shape')
    expect(refuse({ dimensions: 0 })).toBe('state/parameters')
    expect(codeOf(() => byPoints.assert(new Float64Array(3))).code).toBe('state/shape')
    expect(codeOf(() => byPoints.commit([] as never)).code).toBe('state/type')
    expect(codeOf(() => byPoints.assert(new Float64Array(dimensions).fill(Number.NaN))).code).toBe(
      'state/non-finite',
    )
  })
})
