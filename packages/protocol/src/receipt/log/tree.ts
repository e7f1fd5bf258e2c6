/**
 * A Merkle tree of RFC 9162 (section 2.1) that only grows, kept as its complete subtrees.
 *
 * Node (level, index) is the root over the 2^level leaves from index · 2^level on; level 0 are leaf hashes. A node is
 * stored when its last leaf is there, and never changes again. From the stored nodes follow the root of every size
 * that the log ever had, and every proof: where a proof needs a subtree that is not complete, it is folded from the
 * complete ones in it. So an append costs O(1) stored nodes a leaf and O(log n) in memory, and a proof O(log n) reads.
 *
 * A plan says which stored nodes something is made of: one list for each digest, left to right. `planNodes` lists what
 * to read, `foldPlan` makes the digests.
 *
 * Threat: none here but mistakes; what a log says of its tree is checked by its readers (verify.ts, monitor.ts).
 */
import { concatBytes } from '../../core/bytes.ts'
import { DIGEST_BYTES, type Digest, sha256 } from '../../core/digest.ts'
import { AssayError } from '../../core/errors.ts'
import { describeValue } from '../../core/inspect.ts'
import { hashChunks } from '../../core/kernel.ts'
import { NODE_PREFIX, nodeHash } from '../../core/merkle.ts'
import { half, isIndex, isNode, outOfRange } from '../../core/merkle-checks.ts'
import { consistencyRanges, largestPowerBelow, type Range } from '../../core/merkle-consistency.ts'

export interface NodeRef {
  readonly level: number
  readonly index: number
}

export interface StoredNode extends NodeRef {
  readonly hash: Digest
}

/** All that an append needs to know of the tree before it. */
export interface Frontier {
  readonly size: number
  /** Roots of the complete subtrees that make up the tree, largest first: those of `frontierNodes(size)`. */
  readonly nodes: readonly Uint8Array[]
}

export const EMPTY_FRONTIER: Frontier = { size: 0, nodes: [] }

/** For each digest of a proof (or for a root), the complete subtrees that it is folded from, left to right. */
export type Plan = readonly (readonly NodeRef[])[]

/** Leaves of one append; a larger one is appended in parts. */
export const MAX_APPEND = 2 ** 20

/** Complete subtrees of a tree of `size` leaves, largest first: one for each one of its binary digits. */
export function frontierNodes(size: number): NodeRef[] {
  assertSize(size)
  return rangeNodes({ start: 0, end: size })
}

/** The root that a frontier stands for. Throws 'log/frontier'. */
export function frontierRoot(frontier: Frontier): Digest {
  assertFrontier(frontier)
  return fold(frontier.nodes)
}

export interface Appended {
  readonly frontier: Frontier
  readonly root: Digest
  /** Nodes that became complete, to be stored: the leaf hashes among them, level by level. */
  readonly nodes: readonly StoredNode[]
}

/**
 * Appends leaves by their hashes (`leafHash`), which lie in a row. Throws 'log/frontier' for a frontier that does not
 * fit its size, and for more than 2^20 leaves or a size beyond 2^53 - 1.
 */
export function appendLeaves(frontier: Frontier, leaves: Uint8Array): Appended {
  assertFrontier(frontier)
  const count = leaves.length / DIGEST_BYTES
  if (!Number.isInteger(count) || count > MAX_APPEND) {
    throw mistake(`expected at most ${MAX_APPEND} leaf hashes in a row, got ${leaves.length} bytes`)
  }
  const size = frontier.size + count
  assertSize(size)
  const known = new Map(
    frontierNodes(frontier.size).map((ref, i) => [keyOf(ref), frontier.nodes[i] as Uint8Array]),
  )
  const nodes: StoredNode[] = []
  let fresh = leaves
  for (let level = 0, before = frontier.size; fresh.length > 0; level++, before = half(before)) {
    for (let i = 0; i < fresh.length / DIGEST_BYTES; i++) {
      const hash = fresh.slice(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES) as Digest
      nodes.push({ level, index: before + i, hash })
    }
    // Where the first fresh node is a right child, its left sibling is in the frontier.
    const left = before % 2 === 1 ? known.get(keyOf({ level, index: before - 1 })) : undefined
    const last = nodes.at(-1) as StoredNode
    known.set(keyOf(last), last.hash)
    fresh = parents(left, fresh)
  }
  const next = { size, nodes: frontierNodes(size).map((ref) => known.get(keyOf(ref)) as Uint8Array) }
  return { frontier: next, root: fold(next.nodes), nodes }
}

/** The nodes above `left` (where there is one) and `fresh`; a last node without a sibling has none yet. */
function parents(left: Uint8Array | undefined, fresh: Uint8Array): Uint8Array {
  const level = left === undefined ? fresh : concatBytes(left, fresh)
  const pairs = level.length - (level.length % (2 * DIGEST_BYTES))
  return hashChunks(NODE_PREFIX, level.subarray(0, pairs), 2 * DIGEST_BYTES)
}

/** What the root of the first `size` leaves is made of; the plan of one digest, none for the empty tree. */
export function rootNodes(size: number): Plan {
  return [frontierNodes(size)]
}

/** What the inclusion proof of leaf `index` in the tree of `size` leaves is made of. Throws 'merkle/out-of-range'. */
export function inclusionNodes(index: number, size: number): Plan {
  assertSize(size)
  if (!isIndex(index, size)) {
    throw new AssayError('merkle/out-of-range', outOfRange(index, size), { detail: { size } })
  }
  const siblings: Range[] = []
  let start = 0
  let end = size
  while (end - start > 1) {
    const middle = start + largestPowerBelow(end - start)
    if (index < middle) {
      siblings.push({ start: middle, end })
      end = middle
    } else {
      siblings.push({ start, end: middle })
      start = middle
    }
  }
  return siblings.reverse().map(rangeNodes)
}

/** What the consistency proof between two sizes is made of. Throws 'merkle/out-of-range'. */
export function consistencyNodes(oldSize: number, newSize: number): Plan {
  assertSize(newSize)
  if (!Number.isSafeInteger(oldSize) || oldSize < 0 || oldSize > newSize) {
    const got = describeValue(oldSize)
    throw new AssayError(
      'merkle/out-of-range',
      `oldSize: expected an integer from 0 to ${newSize}, got ${got}`,
    )
  }
  return consistencyRanges(oldSize, newSize).map(rangeNodes)
}

/** The stored nodes that plans need, each once: what to read before `foldPlan`. */
export function planNodes(...plans: readonly Plan[]): NodeRef[] {
  const refs = new Map<string, NodeRef>()
  for (const ref of plans.flat(2)) refs.set(keyOf(ref), ref)
  return [...refs.values()]
}

/** The digests of a plan, from stored nodes. Throws 'log/frontier' where one is missing. */
export function foldPlan(plan: Plan, read: (ref: NodeRef) => Uint8Array | undefined): Digest[] {
  return plan.map((refs) =>
    fold(
      refs.map((ref) => {
        const hash = read(ref)
        if (isNode(hash)) return hash
        throw mistake(
          `node ${ref.index} of level ${ref.level}: expected 32 bytes, got ${describeValue(hash)}`,
        )
      }),
    ),
  )
}

/** A name for a node, for maps. */
export function keyOf({ level, index }: NodeRef): string {
  return `${level}/${index}`
}

/** From the right: the smallest subtrees join first, which is how the RFC splits. */
function fold(nodes: readonly Uint8Array[]): Digest {
  const last = nodes.at(-1)
  if (last === undefined) return sha256(new Uint8Array())
  let root = last.slice() as Digest
  for (let i = nodes.length - 2; i >= 0; i--) root = nodeHash(nodes[i] as Uint8Array, root)
  return root
}

/** The complete subtrees in a range that begins where a subtree of its length does. */
function rangeNodes({ start, end }: Range): NodeRef[] {
  const refs: NodeRef[] = []
  for (let at = start; at < end; ) {
    let level = 0
    let span = 1
    while (2 * span <= end - at) {
      span *= 2
      level++
    }
    refs.push({ level, index: at / span })
    at += span
  }
  return refs
}

function assertSize(size: number): void {
  if (Number.isSafeInteger(size) && size >= 0) return
  throw mistake(`size: expected an integer from 0 to 2^53 - 1, got ${describeValue(size)}`)
}

function assertFrontier({ size, nodes }: Frontier): void {
  const expected = frontierNodes(size).length
  if (nodes.length === expected && nodes.every(isNode)) return
  throw mistake(`a log of ${size} leaves has a frontier of ${expected} digests, got ${nodes.length}`)
}

function mistake(message: string): AssayError {
  return new AssayError('log/frontier', message)
}
