import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, toHex } from '../../core/bytes.ts'
import type { Digest } from '../../core/digest.ts'
import { leafHash, merkleTree, nodeHash, proveInclusion, verifyInclusion } from '../../core/merkle.ts'
import { proveConsistency, verifyConsistency } from '../../core/merkle-consistency.ts'
import { codeOf } from '../../core/testing/code-of.ts'
import { CONSISTENCIES, INCLUSIONS, LEAVES, manyLeaves, ROOTS } from '../../core/testing/merkle-vectors.ts'
import {
  appendLeaves,
  consistencyNodes,
  EMPTY_FRONTIER,
  type Frontier,
  foldPlan,
  frontierNodes,
  frontierRoot,
  inclusionNodes,
  keyOf,
  MAX_APPEND,
  type NodeRef,
  planNodes,
  rootNodes,
} from './tree.ts'

const hashesOf = (leaves: readonly Uint8Array[]) => concatBytes(...leaves.map(leafHash))

/** A log as a service keeps it: nodes by level and index, and the frontier of its size. */
function openLog() {
  const store = new Map<string, Digest>()
  let frontier: Frontier = EMPTY_FRONTIER
  const read = (ref: NodeRef) => store.get(keyOf(ref))
  return {
    store,
    read,
    get frontier() {
      return frontier
    },
    append(leaves: readonly Uint8Array[]) {
      const appended = appendLeaves(frontier, hashesOf(leaves))
      for (const { hash, ...ref } of appended.nodes) {
        expect(store.has(keyOf(ref))).toBe(false)
        store.set(keyOf(ref), hash)
      }
      frontier = appended.frontier
      return appended
    },
    /** As a replica does that knows the size alone. */
    reload() {
      const nodes = frontierNodes(frontier.size).map((ref) => read(ref) as Digest)
      expect(nodes).toEqual(frontier.nodes)
      frontier = { size: frontier.size, nodes }
    },
  }
}

/** Cuts of a list into appends: their lengths, zero among them. */
const appends = fc.array(fc.nat(20), { maxLength: 12 })

describe('appending', () => {
  it('gives the reference roots, leaf by leaf', () => {
    const log = openLog()
    expect(toHex(frontierRoot(log.frontier))).toBe(ROOTS[0])
    LEAVES.forEach((leaf, i) => {
      const { root } = log.append([leaf])
      expect(toHex(root)).toBe(ROOTS[i + 1])
      expect(toHex(frontierRoot(log.frontier))).toBe(ROOTS[i + 1])
    })
  })

  it('property: gives the root of the whole tree, however the leaves arrive', () => {
    fc.assert(
      fc.property(appends, (lengths) => {
        const log = openLog()
        const leaves = manyLeaves(lengths.reduce((sum, length) => sum + length, 0))
        let size = 0
        for (const length of lengths) {
          const { root } = log.append(leaves.slice(size, size + length))
          size += length
          log.reload()
          expect(root).toEqual(merkleTree(leaves.slice(0, size).map(leafHash)).root)
        }
        expect(log.frontier.size).toBe(size)
      }),
    )
  })

  it('property: stores every complete subtree, and nothing else', () => {
    fc.assert(
      fc.property(appends, (lengths) => {
        const log = openLog()
        const leaves = manyLeaves(lengths.reduce((sum, length) => sum + length, 0))
        for (let from = 0; from < leaves.length; ) {
          const length = lengths.shift() ?? 1
          log.append(leaves.slice(from, from + length))
          from += length
        }
        let complete = 0
        for (let level = 0; 2 ** level <= leaves.length; level++) {
          const span = 2 ** level
          for (let index = 0; (index + 1) * span <= leaves.length; index++) {
            const subtree = merkleTree(leaves.slice(index * span, (index + 1) * span).map(leafHash))
            expect(log.read({ level, index })).toEqual(subtree.root)
            complete++
          }
        }
        expect(log.store.size).toBe(complete)
      }),
      { numRuns: 40 },
    )
  })

  it('goes on far beyond 32 bits', () => {
    const size = 2 ** 40 + 2 ** 33 + 3
    const nodes = manyLeaves(frontierNodes(size).length).map(leafHash)
    const [top, middle, pair, last] = nodes as [Digest, Digest, Digest, Digest]
    const leaf = leafHash(Uint8Array.of(1))
    const { root, frontier, nodes: stored } = appendLeaves({ size, nodes }, leaf)
    const four = nodeHash(pair, nodeHash(last, leaf))
    expect(frontier).toEqual({ size: size + 1, nodes: [top, middle, four] })
    expect(root).toEqual(nodeHash(top, nodeHash(middle, four)))
    expect(stored.map(({ level, index }) => [level, index])).toEqual([
      [0, size],
      [1, (size - 1) / 2],
      [2, (size - 3) / 4],
    ])
  })

  it('leaves what it was given alone', () => {
    const before = openLog().append(manyLeaves(5)).frontier
    const copy = { size: before.size, nodes: before.nodes.map((node) => node.slice()) }
    const leaves = hashesOf(manyLeaves(4))
    const { nodes } = appendLeaves(before, leaves)
    leaves.fill(0)
    nodes[0]?.hash.fill(0)
    expect(before).toEqual(copy)
  })

  it('refuses a frontier that does not fit its size, and leaves that are none', () => {
    const { frontier } = openLog().append(manyLeaves(6))
    const leaf = leafHash(Uint8Array.of(1))
    const wrong: Frontier[] = [
      { ...frontier, size: 5.5 },
      { ...frontier, size: -1 },
      { ...frontier, size: 7 },
      { ...frontier, nodes: frontier.nodes.slice(1) },
      { ...frontier, nodes: frontier.nodes.map((node) => node.subarray(1)) },
    ]
    for (const bad of wrong) expect(codeOf(() => appendLeaves(bad, leaf)).code).toBe('log/frontier')
    expect(codeOf(() => appendLeaves(frontier, leaf.subarray(1))).code).toBe('log/frontier')
    expect(codeOf(() => appendLeaves(frontier, new Uint8Array(32 * (MAX_APPEND + 1)))).code).toBe(
      'log/frontier',
    )
    const full = { size: Number.MAX_SAFE_INTEGER, nodes: new Array(53).fill(leaf) }
    expect(codeOf(() => appendLeaves(full, leaf)).code).toBe('log/frontier')
  })
})

describe('proofs from stored nodes', () => {
  const sizes = fc.integer({ min: 1, max: 70 })

  it.each(INCLUSIONS)('reference inclusion proof of leaf $index of $size', ({ index, size, proof }) => {
    const log = openLog()
    log.append(LEAVES)
    expect(foldPlan(inclusionNodes(index, size), log.read).map(toHex)).toEqual(proof)
  })

  it.each(CONSISTENCIES)(
    'reference consistency proof from $oldSize to $newSize',
    ({ oldSize, newSize, proof }) => {
      const log = openLog()
      log.append(LEAVES)
      expect(foldPlan(consistencyNodes(oldSize, newSize), log.read).map(toHex)).toEqual(proof)
    },
  )

  it('are those of the whole tree at every size that the log had, from what it stores later', () => {
    const leaves = manyLeaves(33)
    const log = openLog()
    log.append(leaves)
    for (let size = 0; size <= leaves.length; size++) {
      const tree = merkleTree(leaves.slice(0, size).map(leafHash))
      expect(foldPlan(rootNodes(size), log.read)).toEqual([tree.root])
      for (let index = 0; index < size; index++) {
        const proof = foldPlan(inclusionNodes(index, size), log.read)
        expect(proof).toEqual(proveInclusion(tree, index))
        const claim = { root: tree.root, size, index, leaf: leaves[index] as Uint8Array, proof }
        expect(verifyInclusion(claim).ok).toBe(true)
      }
      for (let oldSize = 0; oldSize <= size; oldSize++) {
        const proof = foldPlan(consistencyNodes(oldSize, size), log.read)
        expect(proof).toEqual(proveConsistency(tree, oldSize))
        const oldRoot = merkleTree(leaves.slice(0, oldSize).map(leafHash)).root
        const claim = { oldRoot, oldSize, newRoot: tree.root, newSize: size, proof }
        expect(verifyConsistency(claim)).toEqual({ ok: true, value: size - oldSize })
      }
    }
  })

  it('property: need few nodes, all complete within the size, each named once', () => {
    const place = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }).chain((size) =>
      fc.tuple(
        fc.constant(size),
        fc.maxSafeNat().map((n) => n % size),
      ),
    )
    fc.assert(
      fc.property(place, ([size, index]) => {
        const plan = inclusionNodes(index, size)
        const refs = planNodes(plan, consistencyNodes(index, size))
        expect(refs.length).toBeLessThanOrEqual(4 * 53)
        expect(new Set(refs.map(keyOf)).size).toBe(refs.length)
        for (const ref of refs) {
          expect((ref.index + 1) * 2 ** ref.level).toBeLessThanOrEqual(size)
        }
        // Together with the leaf itself, a plan covers every leaf once.
        const covered = plan.flat().reduce((sum, { level }) => sum + 2 ** level, 1)
        expect(covered).toBe(size)
      }),
    )
  })

  it('property: at most one digest of a proof is folded from several nodes', () => {
    fc.assert(
      fc.property(sizes, fc.nat(), (size, n) => {
        for (const plan of [inclusionNodes(n % size, size), consistencyNodes(n % size, size)]) {
          expect(plan.filter((refs) => refs.length > 1).length).toBeLessThanOrEqual(1)
        }
      }),
    )
  })

  it('refuse what is not in the tree, and a store that lacks a node', () => {
    expect(codeOf(() => inclusionNodes(3, 3)).code).toBe('merkle/out-of-range')
    expect(codeOf(() => inclusionNodes(-1, 3)).code).toBe('merkle/out-of-range')
    expect(codeOf(() => consistencyNodes(4, 3)).code).toBe('merkle/out-of-range')
    expect(codeOf(() => consistencyNodes(0.5, 3)).code).toBe('merkle/out-of-range')
    expect(codeOf(() => inclusionNodes(0, 2 ** 53)).code).toBe('log/frontier')
    const log = openLog()
    log.append(manyLeaves(5))
    log.store.delete('2/0')
    const missing = codeOf(() => foldPlan(inclusionNodes(4, 5), log.read))
    expect(missing).toMatchObject({
      code: 'log/frontier',
      message: expect.stringContaining('node 0 of level 2'),
    })
  })
})
