/**
 * Many leaves of one tree opened at once: the fewest siblings from which the root can be rebuilt.
 *
 * Order of the nodes: level by level from the leaves up, within a level from left to right, without those
 * that follow from nodes below. That is the only accepted form; indices ascend strictly. Trees and hashes
 * are those of merkle.ts.
 *
 * Threat: as there. The number of nodes follows from size and indices; it is checked before anything is
 * hashed. An opening of no leaf is refused, since it would say nothing of the root.
 */
import { equalBytes } from './bytes.ts'
import { DIGEST_BYTES, type Digest } from './digest.ts'
import { AssayError, type Rejection, type Verdict } from './errors.ts'
import { describeValue } from './inspect.ts'
import { copyNode, leafHash, type MerkleTree, nodeHash } from './merkle.ts'
import {
  half,
  isIndex,
  leafFault,
  malformed,
  mismatch,
  nodesFault,
  outOfRange,
  treeFault,
} from './merkle-checks.ts'

/** Leaves of one multi-proof; above it, hashing alone takes seconds. Open the rest in another. */
export const MAX_OPENINGS = 2 ** 20

export interface Opening {
  readonly index: number
  /** The data of the leaf, not its hash. */
  readonly leaf: Uint8Array
}

export interface InclusionsClaim {
  readonly root: Uint8Array
  readonly size: number
  /** Ascending by index, each index once. */
  readonly leaves: readonly Opening[]
  readonly proof: readonly Uint8Array[]
}

/**
 * Siblings that open `indices` (ascending, each once, at least one). Throws `merkle/malformed` and
 * `merkle/out-of-range`.
 */
export function proveInclusions(tree: MerkleTree, indices: readonly number[]): Digest[] {
  for (const index of indices) {
    if (!isIndex(index, tree.size)) throw new AssayError('merkle/out-of-range', outOfRange(index, tree.size))
  }
  const fault = orderFault(indices)
  if (fault !== undefined) throw new AssayError(fault.code, fault.message)
  const proof: Digest[] = []
  walkUp(indices, tree.size, (height, position) => {
    const level = tree.levels[height] as Uint8Array
    if (position < level.length / DIGEST_BYTES) proof.push(copyNode(level, position))
  })
  return proof
}

/** Are these leaves all where they are said to be? The value is the hashes of the leaves, in the same order. */
export function verifyInclusions(claim: InclusionsClaim): Verdict<Digest[]> {
  const { root, size, leaves } = claim
  const fault = treeFault(root, size) ?? openingsFault(leaves, size) ?? siblingsFault(claim)
  if (fault !== undefined) return fault

  const hashes = leaves.map(({ leaf }) => leafHash(leaf))
  const rebuilt = foldUp(claim, hashes)
  if (!equalBytes(rebuilt, root)) return mismatch(`${leaves.length} leaves of ${size}`)
  return { ok: true, value: hashes }
}

function siblingsFault(claim: InclusionsClaim): Rejection | undefined {
  let expected = 0
  walkUp(indicesOf(claim.leaves), claim.size, () => expected++)
  return nodesFault(claim.proof, expected)
}

/** Root from the leaf hashes and the siblings. Lengths and order were checked. */
function foldUp(claim: InclusionsClaim, hashes: readonly Digest[]): Uint8Array {
  const { proof, leaves, size } = claim
  let positions = indicesOf(leaves)
  let nodes: readonly Uint8Array[] = hashes
  let next = 0
  for (let last = size - 1; last > 0; last = half(last)) {
    const above: number[] = []
    const parents: Uint8Array[] = []
    for (let i = 0; i < positions.length; i++) {
      const position = positions[i] as number
      const node = nodes[i] as Uint8Array
      above.push(half(position))
      if (position % 2 === 1) parents.push(nodeHash(proof[next++] as Uint8Array, node))
      else if (position === last) parents.push(node)
      else if (positions[i + 1] === position + 1) parents.push(nodeHash(node, nodes[++i] as Uint8Array))
      else parents.push(nodeHash(node, proof[next++] as Uint8Array))
    }
    positions = above
    nodes = parents
  }
  return nodes[0] as Uint8Array
}

/** Names each sibling that a proof of `indices` must hold, in its order. */
function walkUp(
  indices: readonly number[],
  size: number,
  need: (height: number, position: number) => void,
): void {
  let positions = indices
  for (let last = size - 1, height = 0; last > 0; last = half(last), height++) {
    const above: number[] = []
    for (let i = 0; i < positions.length; i++) {
      const position = positions[i] as number
      above.push(half(position))
      if (position % 2 === 1) need(height, position - 1)
      else if (positions[i + 1] === position + 1) i++
      else if (position < last) need(height, position + 1)
    }
    positions = above
  }
}

function openingsFault(leaves: unknown, size: number): Rejection | undefined {
  if (!Array.isArray(leaves)) return malformed(`leaves: expected an array, got ${describeValue(leaves)}`)
  if (leaves.length > MAX_OPENINGS) return tooMany(leaves.length)
  for (const opening of leaves as readonly unknown[]) {
    if (typeof opening !== 'object' || opening === null) {
      return malformed(`leaves: expected an index and a leaf, got ${describeValue(opening)}`)
    }
    const { leaf, index } = opening as Partial<Opening>
    const fault = leafFault({ leaf, index, size })
    if (fault !== undefined) return fault
  }
  return orderFault(indicesOf(leaves as readonly Opening[]))
}

function orderFault(indices: readonly number[]): Rejection | undefined {
  if (indices.length === 0) return malformed('leaves: expected at least one, got none')
  if (indices.length > MAX_OPENINGS) return tooMany(indices.length)
  for (let i = 1; i < indices.length; i++) {
    if ((indices[i] as number) <= (indices[i - 1] as number)) {
      return malformed(`indices: expected each once and ascending, got ${indices[i]} after ${indices[i - 1]}`)
    }
  }
  return undefined
}

function tooMany(count: number): Rejection {
  return malformed(`leaves: expected at most ${MAX_OPENINGS} in one proof, got ${count}; use several`)
}

function indicesOf(leaves: readonly Opening[]): readonly number[] {
  return leaves.map(({ index }) => index)
}
