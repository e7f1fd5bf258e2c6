import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex } from './bytes.ts'
import { leafHash, proveInclusion } from './merkle.ts'
import { type InclusionsClaim, MAX_OPENINGS, proveInclusions, verifyInclusions } from './merkle-multiproof.ts'
import { codeOf } from './testing/code-of.ts'
import { badProofs, flipBit, LEAVES, manyLeaves, ROOTS, treeOf } from './testing/merkle-vectors.ts'

/** A size, and some of its indices in order. */
const samples = fc
  .integer({ min: 1, max: 70 })
  .chain((size) => {
    const indices = fc.uniqueArray(fc.nat(size - 1), { minLength: 1, maxLength: size })
    return fc.tuple(fc.constant(size), indices)
  })
  .map(([size, indices]) => [size, indices.sort((a, b) => a - b)] as const)

function claimOf(size: number, indices: readonly number[]): InclusionsClaim {
  const data = manyLeaves(size)
  const tree = treeOf(data)
  const leaves = indices.map((index) => ({ index, leaf: data[index] as Uint8Array }))
  return { root: tree.root, size, leaves, proof: proveInclusions(tree, indices) }
}

function codeFor(claim: unknown): string {
  const verdict = verifyInclusions(claim as InclusionsClaim)
  return verdict.ok ? 'accepted' : verdict.code
}

/** Nodes that the opened leaves do not give: the definition of the minimal set, recursively. */
function minimalNodes(start: number, end: number, open: ReadonlySet<number>): number {
  const any = [...open].some((index) => index >= start && index < end)
  if (!any) return 1
  if (end - start === 1) return 0
  let split = 1
  while (2 * split < end - start) split *= 2
  return minimalNodes(start, start + split, open) + minimalNodes(start + split, end, open)
}

describe('multi-proofs', () => {
  test('known: leaves 1 and 5 of the reference tree, level by level, left to right', () => {
    const proof = proveInclusions(treeOf(LEAVES), [1, 5])
    expect(proof.map(toHex)).toStrictEqual([
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
    ])
    const leaves = [1, 5].map((index) => ({ index, leaf: LEAVES[index] as Uint8Array }))
    const verdict = verifyInclusions({ root: fromHex(ROOTS[8]), size: 8, leaves, proof })
    expect(verdict).toStrictEqual({ ok: true, value: leaves.map(({ leaf }) => leafHash(leaf)) })
  })

  test('property: verifies, with the fewest nodes there can be', () => {
    fc.assert(
      fc.property(samples, ([size, indices]) => {
        const claim = claimOf(size, indices)
        expect(codeFor(claim)).toBe('accepted')
        expect(claim.proof).toHaveLength(minimalNodes(0, size, new Set(indices)))
      }),
      { numRuns: 300 },
    )
  })

  test('every pair of leaves of every small size, and all leaves with no node at all', () => {
    for (let size = 1; size <= 17; size++) {
      for (let a = 0; a < size; a++) {
        for (let b = a + 1; b < size; b++) expect(codeFor(claimOf(size, [a, b]))).toBe('accepted')
      }
      const all = claimOf(size, [...Array(size).keys()])
      expect(all.proof).toHaveLength(0)
      expect(codeFor(all)).toBe('accepted')
    }
  })

  test('of one leaf, it is the inclusion proof', () => {
    const tree = treeOf(manyLeaves(37))
    for (let index = 0; index < 37; index++) {
      expect(proveInclusions(tree, [index])).toStrictEqual(proveInclusion(tree, index))
    }
  })

  test('property: any other leaf, root or node leads elsewhere', () => {
    fc.assert(
      fc.property(samples, fc.nat(), fc.nat(), ([size, indices], bit, at) => {
        const claim = claimOf(size, indices)
        expect(codeFor({ ...claim, root: flipBit(claim.root, bit) })).toBe('merkle/mismatch')
        const leaves = claim.leaves.map((opening, i) =>
          i === at % indices.length ? { ...opening, leaf: flipBit(opening.leaf, bit) } : opening,
        )
        expect(codeFor({ ...claim, leaves })).toBe('merkle/mismatch')
        for (let i = 0; i < claim.proof.length; i++) {
          const proof = claim.proof.map((node, j) => (i === j ? flipBit(node, bit) : node))
          expect(codeFor({ ...claim, proof })).toBe('merkle/mismatch')
        }
      }),
    )
  })

  test('property: swapped data, moved indices, dropped leaves', () => {
    fc.assert(
      fc.property(samples, ([size, indices]) => {
        fc.pre(indices.length > 1)
        const claim = claimOf(size, indices)
        const data = claim.leaves.map(({ leaf }) => leaf).reverse()
        const swapped = claim.leaves.map(({ index }, i) => ({ index, leaf: data[i] }))
        expect(codeFor({ ...claim, leaves: swapped })).toBe('merkle/mismatch')
        expect(codeFor({ ...claim, leaves: claim.leaves.slice(1) })).toMatch(
          /^merkle\/(?:malformed|mismatch)$/,
        )
      }),
    )
  })

  test('property: what has the wrong shape is malformed', () => {
    fc.assert(
      fc.property(samples, fc.nat(), ([size, indices], at) => {
        const claim = claimOf(size, indices)
        const [first] = claim.leaves
        for (const proof of badProofs(claim.proof, at))
          expect(codeFor({ ...claim, proof })).toBe('merkle/malformed')
        const bad = [null, 'x', 5, [], [null], [5], [...claim.leaves, first], [first, ...claim.leaves]]
        for (const leaves of [...bad, new Array(2), [{ index: indices[0], leaf: 'x' }]]) {
          expect(codeFor({ ...claim, leaves })).toBe('merkle/malformed')
        }
        if (indices.length > 1)
          expect(codeFor({ ...claim, leaves: [...claim.leaves].reverse() })).toBe('merkle/malformed')
        expect(codeFor({ ...claim, root: new Uint8Array(31) })).toBe('merkle/malformed')
        expect(codeFor({ ...claim, size: -1 })).toBe('merkle/malformed')
        for (const index of [-1, size, 0.5, Number.NaN, '0', undefined]) {
          expect(codeFor({ ...claim, leaves: [{ ...first, index }] })).toBe('merkle/out-of-range')
        }
      }),
      { numRuns: 30 },
    )
  })

  test('property: anything at all gets a verdict', () => {
    const bytes = fc.oneof(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.anything())
    const number = fc.oneof(fc.integer({ min: -2, max: 40 }), fc.maxSafeInteger(), fc.anything())
    const list = <T>(item: fc.Arbitrary<T>) => fc.oneof(fc.array(item, { maxLength: 8 }), fc.anything())
    const leaves = list(fc.oneof(fc.record({ index: number, leaf: bytes }), fc.anything()))
    fc.assert(
      fc.property(fc.record({ root: bytes, size: number, leaves, proof: list(bytes) }), (claim) => {
        expect(codeFor(claim)).toMatch(/^merkle\//)
      }),
      { numRuns: 2000 },
    )
  })

  test('the prover refuses what the verifier would', () => {
    const tree = treeOf(LEAVES)
    expect(codeOf(() => proveInclusions(tree, [])).code).toBe('merkle/malformed')
    expect(codeOf(() => proveInclusions(tree, [1, 1])).code).toBe('merkle/malformed')
    expect(codeOf(() => proveInclusions(tree, [2, 1])).code).toBe('merkle/malformed')
    for (const index of [-1, 8, 0.5]) {
      expect(codeOf(() => proveInclusions(tree, [index])).code).toBe('merkle/out-of-range')
    }
  })

  test('more leaves than one proof may open are refused before they are looked at', () => {
    const leaves = new Array(MAX_OPENINGS + 1)
    expect(codeFor({ ...claimOf(4, [1]), leaves })).toBe('merkle/malformed')
  })

  test('the largest size there can be: 52 + 51 nodes for its two ends', () => {
    const size = Number.MAX_SAFE_INTEGER
    const leaves = [
      { index: 0, leaf: fromHex('00') },
      { index: size - 1, leaf: fromHex('01') },
    ]
    const proof = new Array(103).fill(new Uint8Array(32))
    const { root } = claimOf(1, [0])
    expect(codeFor({ root, size, leaves, proof })).toBe('merkle/mismatch')
    expect(codeFor({ root, size, leaves, proof: proof.slice(1) })).toBe('merkle/malformed')
  })
})
