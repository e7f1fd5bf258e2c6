import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../core/bytes.ts'
import { codeOf } from '../../core/testing/code-of.ts'
import { toBfloat16 } from './bfloat16.ts'
import { evaluate, interpolate, PRIME } from './gf65497.ts'
import { largest, type Ties } from './top-k.ts'
import { compareFingerprint, decodeFingerprint, encodeFingerprint, fingerprint } from './toploc.ts'

const refusal = (call: () => unknown) => codeOf(call).code

interface ChunkCase {
  readonly seed: number
  readonly count: number
  readonly exponents: number
  readonly topk: number
  readonly proof: string
  readonly same: readonly (number | null)[]
  readonly scaled: readonly (number | null)[]
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../../../vectors/toploc.json', import.meta.url), 'utf8'),
) as {
  readonly rounding: { readonly cases: [number, number][] }
  readonly chunks: { readonly cases: ChunkCase[] }
}

/** The generator that the vectors describe. */
function activations({
  seed,
  count,
  exponents,
}: Pick<ChunkCase, 'seed' | 'count' | 'exponents'>): Float32Array {
  const words = new Uint32Array(count)
  let state = seed
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const exponent = 127 - ((state >>> 23) % exponents)
    words[i] = (((state >>> 31) << 15) | (exponent << 7) | ((state >>> 16) & 127)) << 16
  }
  return new Float32Array(words.buffer)
}

function summary(proof: string, values: Float32Array, topk: number) {
  const found = compareFingerprint(decodeFingerprint(fromHex(proof), { topk }), values)
  return [found.exponentMismatches, found.meanMantissaError, found.medianMantissaError]
}

/** Values of ordinary size, all finite. */
const values = (options: { minLength: number; maxLength: number }) =>
  fc.float32Array({ ...options, noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 })

describe('vectors of the published package', () => {
  it.each(vectors.rounding.cases)('rounds %i to %i', (word, bits) => {
    const value = new Float32Array(Uint32Array.of(word).buffer)
    expect(toBfloat16(value)).toEqual(Uint16Array.of(bits))
  })

  it.each(vectors.chunks.cases)('$count values from seed $seed, top $topk', (chunk) => {
    const values = activations(chunk)
    expect(toHex(encodeFingerprint(fingerprint(values, { topk: chunk.topk })))).toBe(chunk.proof)
    expect(summary(chunk.proof, values, chunk.topk)).toEqual(chunk.same)
    const scaled = values.map((value) => Math.fround(value * Math.fround(0.99)))
    const [mismatches, mean, middle] = summary(chunk.proof, scaled, chunk.topk)
    expect([mismatches, middle]).toEqual([chunk.scaled[0], chunk.scaled[2]])
    if (mean === null) expect(chunk.scaled[1]).toBeNull()
    else expect(mean).toBeCloseTo(chunk.scaled[1] as number, 10)
  })

  it('evaluates at the index modulo m: a chunk with another modulus than 65,497 agrees with itself', () => {
    const shifted = vectors.chunks.cases.filter(({ proof }) => !proof.startsWith('ffd9'))
    expect(shifted.length).toBeGreaterThan(2)
    for (const chunk of shifted)
      expect(summary(chunk.proof, activations(chunk), chunk.topk)).toEqual([0, 0, 0])
  })
})

describe('polynomials', () => {
  const points = fc
    .uniqueArray(fc.nat(PRIME - 1), { minLength: 1, maxLength: 40 })
    .chain((xs) =>
      fc.tuple(fc.constant(xs), fc.array(fc.nat(PRIME - 1), { minLength: xs.length, maxLength: xs.length })),
    )

  it('go through their points, in whatever order these come', () => {
    fc.assert(
      fc.property(points, ([xs, ys]) => {
        const coefficients = interpolate(xs, ys)
        expect(xs.map((x) => evaluate(coefficients, x))).toEqual(ys)
        expect(interpolate(xs.toReversed(), ys.toReversed())).toEqual(coefficients)
      }),
    )
  })
})

describe('the largest magnitudes', () => {
  const keys = fc.array(fc.nat(20), { minLength: 1, maxLength: 400 }).map((list) => Uint16Array.from(list))

  it.each<Ties>(['lowest-index', 'torch'])(
    'are k different ones, and none left out is larger (%s)',
    (ties) => {
      fc.assert(
        fc.property(keys, fc.nat(399), (list, seed) => {
          const k = 1 + (seed % list.length)
          const chosen = largest(list, { k, ties })
          expect(new Set(chosen).size).toBe(k)
          const sorted = list.toSorted().reverse()
          expect(Uint16Array.from(chosen, (index) => list[index]!).toSorted()).toEqual(
            sorted.slice(0, k).toSorted(),
          )
        }),
      )
    },
  )

  it('of equals, take the first where that is asked for', () => {
    const list = Uint16Array.of(3, 5, 3, 3, 5, 3)
    expect([...largest(list, { k: 4, ties: 'lowest-index' })].toSorted()).toEqual([0, 1, 2, 4])
  })

  it('fall back to a heap where the splits go badly, and still hold', () => {
    // A killer sequence of median-of-three: the depth limit is reached.
    const size = 4096
    const list = Uint16Array.from({ length: size }, (_, i) => (i % 2 === 0 ? i : size - i))
    for (const k of [65, 128, 2000]) {
      const chosen = Uint16Array.from(largest(list, { k, ties: 'torch' }), (index) => list[index]!)
      expect(chosen.toSorted()).toEqual(list.toSorted().subarray(size - k))
    }
  })
})

describe('encoding', () => {
  const proofs = values({ minLength: 16, maxLength: 60 }).map((list) => fingerprint(list, { topk: 16 }))

  it('round-trips', () => {
    fc.assert(
      fc.property(proofs, (proof) => {
        expect(decodeFingerprint(encodeFingerprint(proof), { topk: 16 })).toEqual(proof)
      }),
    )
  })

  it('refuses every other length', () => {
    const bytes = encodeFingerprint(fingerprint(activations({ seed: 5, count: 500, exponents: 4 })))
    expect(bytes.length).toBe(258)
    const extended = new Uint8Array([...bytes, 0])
    for (const wrong of [new Uint8Array(0), bytes.subarray(0, 257), bytes.subarray(2), extended]) {
      expect(refusal(() => decodeFingerprint(wrong))).toBe('toploc/proof')
    }
  })

  it('refuses a modulus of zero, which the published reader divides by, one below k, and one above the prime', () => {
    const bytes = encodeFingerprint(fingerprint(activations({ seed: 5, count: 500, exponents: 4 })))
    for (const modulus of [0, 1, 127, 65498, 65535]) {
      new DataView(bytes.buffer).setUint16(0, modulus)
      expect(refusal(() => decodeFingerprint(bytes))).toBe('toploc/proof')
    }
    expect(refusal(() => decodeFingerprint(new Uint8Array(258)))).toBe('toploc/proof')
  })

  it('refuses coefficients outside the field', () => {
    const bytes = encodeFingerprint(fingerprint(activations({ seed: 5, count: 500, exponents: 4 })))
    new DataView(bytes.buffer).setUint16(2 + 2 * 77, PRIME)
    expect(refusal(() => decodeFingerprint(bytes))).toBe('toploc/proof')
  })

  it('answers any other bytes with a distance or a typed refusal', () => {
    const own = activations({ seed: 9, count: 200, exponents: 4 })
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 34, maxLength: 34 }), (bytes) => {
        const code = refusal(() => {
          const found = compareFingerprint(decodeFingerprint(bytes, { topk: 16 }), own)
          expect(found.compared).toBe(16)
        })
        expect([undefined, 'toploc/proof']).toContain(code)
      }),
    )
  })
})

describe('comparison', () => {
  it('finds nothing between equal activations, under either rule', () => {
    fc.assert(
      fc.property(
        values({ minLength: 20, maxLength: 300 }),
        fc.constantFrom<Ties>('torch', 'lowest-index'),
        (list, ties) => {
          const proof = fingerprint(list, { topk: 20, ties })
          expect(compareFingerprint(proof, list, { ties })).toMatchObject({
            exponentMismatches: 0,
            meanMantissaError: 0,
            medianMantissaError: 0,
          })
        },
      ),
    )
  })

  it('does not see signs, as published, and sees every other coefficient but the constant', () => {
    const list = activations({ seed: 11, count: 400, exponents: 4 })
    const proof = fingerprint(list)
    expect(
      compareFingerprint(
        proof,
        list.map((x) => -x),
      ),
    ).toMatchObject({ exponentMismatches: 0, meanMantissaError: 0 })
    for (let i = 1; i < 128; i += 9) {
      const coefficients = proof.coefficients.slice()
      coefficients[i] = (coefficients[i]! + 1) % PRIME
      expect(compareFingerprint({ ...proof, coefficients }, list).exponentMismatches).toBeGreaterThan(100)
    }
  })

  it('grows with the noise, and calls other activations other', () => {
    const list = activations({ seed: 3, count: 4096, exponents: 12 })
    const noisy = (share: number) => list.map((x, i) => x * (1 + share * Math.sin(i)))
    const [near, far] = [0.0001, 0.02].map((share) => compareFingerprint(fingerprint(list), noisy(share)))
    expect(near!.meanMantissaError).toBeLessThan(0.2)
    expect(far!.meanMantissaError).toBeGreaterThan(near!.meanMantissaError!)
    const other = compareFingerprint(fingerprint(list), activations({ seed: 4, count: 4096, exponents: 12 }))
    expect(other.exponentMismatches).toBeGreaterThan(100)
  })

  it('tells of no mantissa where no exponent is equal', () => {
    const proof = fingerprint(Float32Array.of(1, 2, 3, 4), { topk: 4 })
    expect(compareFingerprint(proof, Float32Array.of(1e9, 2e9, 3e9, 4e9))).toEqual({
      compared: 4,
      exponentMismatches: 4,
      meanMantissaError: null,
      medianMantissaError: null,
    })
  })
})

describe('activations that are refused', () => {
  it.each([
    ['fewer than k', Float32Array.of(1, 2)],
    ['a NaN', Float32Array.of(1, Number.NaN, 3, 4)],
    ['an infinity', Float32Array.of(1, Number.POSITIVE_INFINITY, 3, 4)],
    ['what rounds to infinity', Float32Array.of(1, 3.4e38, 3, 4)],
    [
      'a NaN whose rounding carries into the sign',
      new Float32Array(Uint32Array.of(0, 0x7fffffff, 0, 0).buffer),
    ],
  ])('%s', (_, list) => {
    expect(refusal(() => fingerprint(list, { topk: 4 }))).toBe('toploc/activations')
  })

  it('a number of values that is none', () => {
    for (const topk of [0, -1, 1.5, 5000]) {
      expect(refusal(() => fingerprint(new Float32Array(9000), { topk }))).toBe('toploc/proof')
    }
  })
})
