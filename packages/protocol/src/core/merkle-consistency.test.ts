import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex } from './bytes.ts'
import { sha256 } from './digest.ts'
import { type ConsistencyClaim, proveConsistency, verifyConsistency } from './merkle-consistency.ts'
import { codeOf } from './testing/code-of.ts'
import {
  badProofs,
  CONSISTENCIES,
  flipBit,
  LEAVES,
  manyLeaves,
  ROOTS,
  treeOf,
} from './testing/merkle-vectors.ts'

/** An old size, and a new one that is no smaller. */
const sizes = fc.tuple(fc.nat(60), fc.nat(60)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)

function claimOf(oldSize: number, newSize: number): ConsistencyClaim {
  const leaves = manyLeaves(newSize)
  const tree = treeOf(leaves)
  const oldRoot = treeOf(leaves.slice(0, oldSize)).root
  return { oldRoot, oldSize, newRoot: tree.root, newSize, proof: proveConsistency(tree, oldSize) }
}

function codeFor(claim: unknown): string {
  const verdict = verifyConsistency(claim as ConsistencyClaim)
  return verdict.ok ? 'accepted' : verdict.code
}

describe('consistency', () => {
  test.each(CONSISTENCIES)('reference proof from $oldSize to $newSize', ({ oldSize, newSize, proof }) => {
    expect(proveConsistency(treeOf(LEAVES.slice(0, newSize)), oldSize).map(toHex)).toStrictEqual(proof)
    const [oldRoot, newRoot] = [fromHex(ROOTS[oldSize] as string), fromHex(ROOTS[newSize] as string)]
    const claim = { oldRoot, oldSize, newRoot, newSize, proof: proof.map(fromHex) }
    expect(verifyConsistency(claim)).toStrictEqual({ ok: true, value: newSize - oldSize })
  })

  test('every pair of sizes', () => {
    for (let newSize = 0; newSize <= 24; newSize++) {
      for (let oldSize = 0; oldSize <= newSize; oldSize++) {
        expect(codeFor(claimOf(oldSize, newSize))).toBe('accepted')
      }
    }
  })

  test('property: other roots and nodes lead elsewhere', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), ([oldSize, newSize], bit) => {
        const claim = claimOf(oldSize, newSize)
        expect(codeFor({ ...claim, oldRoot: flipBit(claim.oldRoot, bit) })).toBe('merkle/mismatch')
        // Every tree continues the empty one, so from size 0 nothing is claimed of the new root.
        if (oldSize > 0)
          expect(codeFor({ ...claim, newRoot: flipBit(claim.newRoot, bit) })).toBe('merkle/mismatch')
        for (let i = 0; i < claim.proof.length; i++) {
          const proof = claim.proof.map((node, j) => (i === j ? flipBit(node, bit) : node))
          expect(codeFor({ ...claim, proof })).toBe('merkle/mismatch')
        }
      }),
    )
  })

  test('property: a tree whose past was changed has no proof of it', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), ([oldSize, newSize], at) => {
        fc.pre(oldSize > 0)
        const honest = claimOf(oldSize, newSize)
        const leaves = manyLeaves(newSize)
        leaves[at % oldSize] = fromHex('ffffff')
        const changed = treeOf(leaves)
        const proof = proveConsistency(changed, oldSize)
        expect(codeFor({ ...honest, newRoot: changed.root, proof })).toBe('merkle/mismatch')
      }),
    )
  })

  test('property: what has the wrong shape is malformed', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), ([oldSize, newSize], at) => {
        const claim = claimOf(oldSize, newSize)
        for (const proof of badProofs(claim.proof, at))
          expect(codeFor({ ...claim, proof })).toBe('merkle/malformed')
        for (const bad of [null, undefined, 'x', new Uint8Array(31)]) {
          expect(codeFor({ ...claim, oldRoot: bad })).toBe('merkle/malformed')
          expect(codeFor({ ...claim, newRoot: bad })).toBe('merkle/malformed')
        }
        for (const bad of [-1, 1.5, Number.NaN, 2 ** 53, '3', null]) {
          expect(codeFor({ ...claim, oldSize: bad })).toBe('merkle/malformed')
          expect(codeFor({ ...claim, newSize: bad })).toBe('merkle/malformed')
        }
        expect(codeFor({ ...claim, oldSize: newSize + 1 })).toBe('merkle/malformed')
      }),
      { numRuns: 30 },
    )
  })

  test('property: anything at all gets a verdict', () => {
    const bytes = fc.oneof(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.anything())
    const number = fc.oneof(fc.integer({ min: -2, max: 40 }), fc.maxSafeInteger(), fc.anything())
    const proof = fc.oneof(fc.array(bytes, { maxLength: 8 }), fc.anything())
    const claims = fc.record({ oldRoot: bytes, oldSize: number, newRoot: bytes, newSize: number, proof })
    fc.assert(
      fc.property(claims, (claim) => {
        expect(codeFor(claim)).toMatch(/^merkle\/|^accepted$/)
      }),
      { numRuns: 2000 },
    )
  })

  test('the empty tree has one root', () => {
    const empty = sha256(new Uint8Array())
    const other = flipBit(empty, 0)
    const claim = { oldRoot: empty, oldSize: 0, newRoot: empty, newSize: 0, proof: [] }
    expect(codeFor(claim)).toBe('accepted')
    expect(codeFor({ ...claim, newRoot: other })).toBe('merkle/mismatch')
    expect(codeFor({ ...claim, oldRoot: other, newRoot: other })).toBe('merkle/mismatch')
  })

  test('an old size outside', () => {
    for (const oldSize of [-1, 9, 0.5, Number.NaN]) {
      expect(codeOf(() => proveConsistency(treeOf(LEAVES), oldSize)).code).toBe('merkle/out-of-range')
    }
  })
})
