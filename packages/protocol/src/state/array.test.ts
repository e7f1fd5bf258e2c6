import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../core/bytes.ts'
import { sha256 } from '../core/digest.ts'
import { codeOf } from '../core/testing/code-of.ts'
import { arrayState, arraysAgree, hashArray, MAX_SLOTS } from './array.ts'
import { checkKind, hits, passes } from './testing/kind-laws.ts'
import { lcg } from './testing/lcg.ts'

const vectors = JSON.parse(readFileSync(new URL('../../../../vectors/spex.json', import.meta.url), 'utf8'))

const sorted = (hashes: ReadonlySet<bigint>): string[] =>
  [...hashes].sort((a, b) => (a < b ? -1 : 1)).map(String)
const digest = (sets: readonly ReadonlySet<bigint>[]): string =>
  toHex(sha256(utf8(sets.map((set) => sorted(set).join(',')).join(';'))))

describe('the published hash of arrays', () => {
  it('gives what the package gives', () => {
    for (const { values, epsilon, sets } of vectors.arrays) {
      const hashed = hashArray(values, epsilon).map((set) => new Set([...set].map(String)))
      expect(hashed).toEqual(sets.map((set: string[]) => new Set(set)))
    }
    // warden-spex 0.0.95 over 80 numbers, digested with the sets sorted by value.
    expect(
      digest(
        hashArray(
          lcg(50, 7).map((x) => x * 10),
          1e-3,
        ),
      ),
    ).toBe('ed543e7ee22689f1acbbdce770cff0af03486fda29bd075593285a19782fbd18')
    expect(
      digest(
        hashArray(
          lcg(30, 9).map((x) => x * 1e6),
          0.03,
        ),
      ),
    ).toBe('c52dfa9b2f98983da70265817f8220c6e605fe7625aec80ec8f9d2de42de5ea5')
  })

  it.each([
    // Value, tolerance, size of the range in the package.
    [1, 1e-4, 3],
    [0.3, 0.1, 4],
    [5, 1, 3],
    [5, 2, 5],
    [5, 10, 201],
    [7, 25, 501],
    [0.25, 0.5, 11],
    [1e12, 1e-6, 1],
    [2, 1e-18, 1],
    [123456789.123, 0.03, 7],
  ])('makes as many hashes for %d ± %d as the package: %i', (value, epsilon, size) => {
    expect(hashArray([value], epsilon)[0]!.size).toBe(size)
  })

  it('agrees when every element shares a hash', () => {
    expect(arraysAgree(hashArray([1, 2]), hashArray([1.00005, 2]))).toBe(true)
    expect(arraysAgree(hashArray([1, 2]), hashArray([1.0005, 2]))).toBe(false)
    expect(arraysAgree(hashArray([1, 2]), hashArray([1]))).toBe(false)
    expect(arraysAgree([], [])).toBe(true)
  })

  it('shows the hole: numbers 2.98 tolerances apart can agree, where the hardened kind refuses', () => {
    const [a, b] = [Float64Array.of(0.000101), Float64Array.of(0.000399)]
    expect(arraysAgree(hashArray(a, 1e-4), hashArray(b, 1e-4))).toBe(true)
    expect(passes(arrayState({ length: 1, epsilon: 1e-4 }), a, b)).toBe(false)
  })

  it('refuses what would not end, or what no integer holds', () => {
    expect(codeOf(() => hashArray([1], 1e5)).code).toBe('state/too-large')
    expect(codeOf(() => hashArray(new Float64Array(6000), 10)).code).toBe('state/too-large')
    expect(codeOf(() => hashArray([1e18], 1e-4)).code).toBe('state/out-of-range')
    expect(codeOf(() => hashArray([Number.NaN])).code).toBe('state/non-finite')
    expect(codeOf(() => hashArray([Number.POSITIVE_INFINITY])).code).toBe('state/non-finite')
    for (const epsilon of [0, -1e-4, Number.NaN, 1e-19, Number.POSITIVE_INFINITY]) {
      expect(codeOf(() => hashArray([1], epsilon)).code).toBe('state/parameters')
    }
  })
})

describe('array states', () => {
  const kind = arrayState({ length: 3, epsilon: 1e-3 })
  const arrays = fc.float64Array({ minLength: 3, maxLength: 3, min: -1e6, max: 1e6, noNaN: true })

  it('keep the laws of kinds', () => {
    checkKind<Float64Array>(kind, arrays)
  })

  it('pass within the tolerance, and never beyond twice the width', () => {
    const epsilon = 1e-3
    fc.assert(
      fc.property(arrays, fc.double({ min: -1, max: 1, noNaN: true }), (state, share) => {
        const near = state.map((x) => x + share * epsilon)
        const far = state.map((x, i) => (i === 1 ? x + 2.01 * epsilon * (share < 0 ? -1 : 1) : x))
        const within = near.every((x, i) => Math.abs(x - state[i]!) <= epsilon)
        return (
          (!within || passes(kind, near, state)) && !passes(kind, far, state) && hits(kind, far, state) === 2
        )
      }),
      { numRuns: 500 },
    )
  })

  it('hold length and position', () => {
    const two = arrayState({ length: 2, epsilon: 1e-3 })
    expect(two.commit(Float64Array.of(1, 1))[0]).not.toEqual(kind.commit(Float64Array.of(1, 1, 1))[0])
    expect(passes(kind, Float64Array.of(1, 2, 3), Float64Array.of(3, 2, 1))).toBe(false)
    expect(passes(kind, Float64Array.of(6, 0, 0), Float64Array.of(1, 2, 3))).toBe(false)
  })

  it('count the chance of a guess from the range', () => {
    const within = (range: readonly [number, number]) =>
      arrayState({ length: 1, epsilon: 0.01, range }).guessProbability
    expect(within([0, 1])).toBeCloseTo(3 / 100, 3)
    expect(within([0, 0.01])).toBe(1)
    expect(arrayState({ length: 1, epsilon: 0.01 }).guessProbability).toBe(0)
    expect(
      arrayState({ length: 1, epsilon: 0.01, range: [0, 1], guessProbability: 0.5 }).guessProbability,
    ).toBe(0.5)
    expect(codeOf(() => within([1, 0])).code).toBe('state/parameters')
  })

  it('refuse other things', () => {
    const refuse = (value: unknown) => codeOf(() => kind.assert(value)).code
    expect(refuse([1, 2, 3])).toBe('state/type')
    expect(refuse(Float64Array.of(1, 2))).toBe('state/shape')
    expect(refuse(Float64Array.of(1, Number.NaN, 3))).toBe('state/non-finite')
    expect(refuse(Float64Array.of(1, 1e15, 3))).toBe('state/out-of-range')
    expect(codeOf(() => kind.commit(Float64Array.of(1, 2))).code).toBe('state/shape')
    const longer = arrayState({ length: 4, epsilon: 1e-3 }).encode(new Float64Array(4))
    expect(codeOf(() => kind.decode(longer)).code).toBe('state/shape')
  })

  it.each([
    { length: 0, epsilon: 1 },
    { length: MAX_SLOTS + 1, epsilon: 1 },
    { length: 1, epsilon: 0 },
    { length: 1, epsilon: Number.NaN },
    { length: 1, epsilon: 1e-310 },
    { length: 1, epsilon: 1, guessProbability: 2 },
  ])('refuse the options %j', (options) => {
    expect(codeOf(() => arrayState(options)).code).toBe('state/parameters')
  })
})
