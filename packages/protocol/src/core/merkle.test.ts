import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concatBytes, fromHex, toHex } from './bytes.ts'
import { sha256 } from './digest.ts'
import {
  type InclusionClaim,
  leafHash,
  merkleRoot,
  merkleTree,
  nodeHash,
  proveInclusion,
  verifyInclusion,
} from './merkle.ts'
import { codeOf } from './testing/code-of.ts'
import {
  badProofs,
  definedRoot,
  flipBit,
  INCLUSIONS,
  LEAVES,
  manyLeaves,
  ROOTS,
  treeOf,
} from './testing/merkle-vectors.ts'

/** A size, and an index in it. */
const places = fc.integer({ min: 1, max: 70 }).chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)))

function claimOf(size: number, index: number): InclusionClaim {
  const leaves = manyLeaves(size)
  const tree = treeOf(leaves)
  return {
    root: tree.root,
    size,
    index,
    leaf: leaves[index] as Uint8Array,
    proof: proveInclusion(tree, index),
  }
}

function codeFor(claim: unknown): string {
  const verdict = verifyInclusion(claim as InclusionClaim)
  return verdict.ok ? 'accepted' : verdict.code
}

describe('roots', () => {
  test.each([...ROOTS.entries()])('of the first %i leaves of the reference tree', (size, root) => {
    expect(toHex(merkleRoot(LEAVES.slice(0, size)))).toBe(root)
    expect(toHex(treeOf(LEAVES.slice(0, size)).root)).toBe(root)
  })

  test('follow the definition at every size', () => {
    for (let size = 0; size <= 130; size++) {
      const leaves = manyLeaves(size)
      expect(merkleRoot(leaves)).toStrictEqual(definedRoot(leaves))
    }
  })

  test('a node is no leaf', () => {
    const [a, b] = [leafHash(fromHex('aa')), leafHash(fromHex('bb'))]
    expect(toHex(leafHash(concatBytes(a, b)))).not.toBe(toHex(nodeHash(a, b)))
    expect(nodeHash(a, b)).toStrictEqual(sha256(concatBytes(Uint8Array.of(1), a, b)))
  })

  test('a tree owns its memory', () => {
    const hashes = [leafHash(fromHex('aa'))]
    const tree = merkleTree(hashes)
    const root = toHex(tree.root)
    hashes[0]?.fill(0)
    tree.root.fill(0)
    expect(toHex(nodeHash(tree.levels[0] as Uint8Array, new Uint8Array(32)))).toBe(
      toHex(nodeHash(fromHex(root), new Uint8Array(32))),
    )
  })

  test('what is no leaf hash is refused by its index', () => {
    for (const bad of [new Uint8Array(31), new Uint8Array(33), undefined, 'x']) {
      const { code, message } = codeOf(() => merkleTree([sha256(new Uint8Array()), bad as Uint8Array]))
      expect(code).toBe('merkle/malformed')
      expect(message).toContain('leaf hash 1')
    }
  })
})

describe('inclusion', () => {
  test.each(INCLUSIONS)('reference proof of leaf $index of $size', ({ index, size, proof }) => {
    const tree = treeOf(LEAVES.slice(0, size))
    expect(proveInclusion(tree, index).map(toHex)).toStrictEqual(proof)
    const leaf = LEAVES[index] as Uint8Array
    const claim = { root: fromHex(ROOTS[size] as string), size, index, leaf, proof: proof.map(fromHex) }
    expect(verifyInclusion(claim)).toStrictEqual({ ok: true, value: leafHash(leaf) })
  })

  test('every leaf of every size', () => {
    for (let size = 1; size <= 40; size++) {
      for (let index = 0; index < size; index++) expect(codeFor(claimOf(size, index))).toBe('accepted')
    }
  })

  test('property: another leaf, root or node leads elsewhere', () => {
    fc.assert(
      fc.property(places, fc.nat(), ([size, index], bit) => {
        const claim = claimOf(size, index)
        expect(codeFor({ ...claim, leaf: flipBit(claim.leaf, bit) })).toBe('merkle/mismatch')
        expect(codeFor({ ...claim, leaf: concatBytes(claim.leaf, Uint8Array.of(0)) })).toBe('merkle/mismatch')
        expect(codeFor({ ...claim, leaf: claim.leaf.subarray(1) })).toBe('merkle/mismatch')
        expect(codeFor({ ...claim, root: flipBit(claim.root, bit) })).toBe('merkle/mismatch')
        for (let i = 0; i < claim.proof.length; i++) {
          const proof = claim.proof.map((node, j) => (i === j ? flipBit(node, bit) : node))
          expect(codeFor({ ...claim, proof })).toBe('merkle/mismatch')
        }
      }),
    )
  })

  test('property: a proof holds at its own index only', () => {
    fc.assert(
      fc.property(places, fc.nat(), ([size, index], other) => {
        fc.pre(other % size !== index)
        expect(codeFor({ ...claimOf(size, index), index: other % size })).toMatch(
          /^merkle\/(?:mismatch|malformed)$/,
        )
      }),
    )
  })

  test('property: what has the wrong shape is malformed', () => {
    fc.assert(
      fc.property(places, fc.nat(), ([size, index], at) => {
        const claim = claimOf(size, index)
        for (const proof of badProofs(claim.proof, at))
          expect(codeFor({ ...claim, proof })).toBe('merkle/malformed')
        for (const root of [null, undefined, 'x', new Uint8Array(31), new Uint8Array(33), [...claim.root]]) {
          expect(codeFor({ ...claim, root })).toBe('merkle/malformed')
        }
        for (const bad of [-1, 1.5, Number.NaN, Infinity, 2 ** 53, '3', 3n, null, undefined]) {
          expect(codeFor({ ...claim, size: bad })).toBe('merkle/malformed')
          expect(codeFor({ ...claim, index: bad })).toBe('merkle/out-of-range')
        }
        for (const leaf of [null, undefined, 'x', [1, 2]]) {
          expect(codeFor({ ...claim, leaf })).toBe('merkle/malformed')
        }
      }),
      { numRuns: 30 },
    )
  })

  test('property: anything at all gets a verdict', () => {
    const bytes = fc.oneof(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.anything())
    const number = fc.oneof(fc.integer({ min: -2, max: 40 }), fc.maxSafeInteger(), fc.anything())
    const proof = fc.oneof(fc.array(bytes, { maxLength: 8 }), fc.anything())
    fc.assert(
      fc.property(fc.record({ root: bytes, size: number, index: number, leaf: bytes, proof }), (claim) => {
        expect(codeFor(claim)).toMatch(/^merkle\//)
      }),
      { numRuns: 2000 },
    )
  })

  test('an index outside, and an empty tree', () => {
    const claim = claimOf(5, 4)
    expect(codeFor({ ...claim, index: 5 })).toBe('merkle/out-of-range')
    expect(codeFor({ ...claim, size: 0, index: 0, proof: [] })).toBe('merkle/out-of-range')
    for (const index of [-1, 5, 0.5, Number.NaN]) {
      expect(codeOf(() => proveInclusion(treeOf(manyLeaves(5)), index)).code).toBe('merkle/out-of-range')
    }
    expect(codeOf(() => proveInclusion(treeOf([]), 0)).code).toBe('merkle/out-of-range')
  })

  test('an inner node does not open as a leaf of a smaller tree', () => {
    const tree = treeOf(LEAVES)
    const inner = concatBytes((tree.levels[0] as Uint8Array).subarray(0, 64))
    const proof = proveInclusion(tree, 0).slice(1)
    expect(codeFor({ root: tree.root, size: 4, index: 0, leaf: inner, proof })).toBe('merkle/mismatch')
  })

  test('the largest size there can be: 53 nodes, exactly', () => {
    const size = Number.MAX_SAFE_INTEGER
    const leaf = fromHex('00')
    const zero = sha256(new Uint8Array())
    const proof = new Array(53).fill(zero)
    let root = leafHash(leaf)
    for (const node of proof) root = nodeHash(root, node)
    expect(codeFor({ root, size, index: 0, leaf, proof })).toBe('accepted')
    expect(codeFor({ root, size, index: 0, leaf, proof: proof.slice(1) })).toBe('merkle/malformed')
    expect(codeFor({ root, size, index: size - 1, leaf, proof })).toBe('merkle/malformed')
  })
})
