/**
 * Merkle trees of RFC 9162, section 2.1: a leaf hashes as SHA-256(0x00 ‖ data), a node as
 * SHA-256(0x01 ‖ left ‖ right), the empty tree as SHA-256 of nothing.
 *
 * The two prefixes keep a node from passing as a leaf. A root does not bind the number of leaves by itself:
 * whoever commits to a tree commits to `(size, root)`, and every verifier here takes both.
 *
 * Threat: proofs come from whoever profits from a false opening. The length of a proof follows from size
 * and index, and is checked before anything is hashed, so that a refusal costs at most 53 hashes (and one
 * of the leaf). The verifiers return a verdict for any input.
 */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { equalBytes } from './bytes.ts'
import { DIGEST_BYTES, type Digest, sha256 } from './digest.ts'
import { AssayError, type Verdict } from './errors.ts'
import { describeValue } from './inspect.ts'
import {
  half,
  isIndex,
  isNode,
  leafFault,
  mismatch,
  nodesFault,
  outOfRange,
  treeFault,
} from './merkle-checks.ts'

/** Leaves of one tree in memory: 2^26 take 4 GB of levels, about what one process should hold. Segment beyond. */
export const MAX_LEAVES = 2 ** 26

const LEAF_PREFIX = Uint8Array.of(0)
const NODE_PREFIX = 1

/** A tree with all its levels, so that a proof costs no hashing. */
export interface MerkleTree {
  readonly size: number
  readonly root: Digest
  /**
   * Packed digests, leaves first. A node without a right sibling is carried up unhashed, which gives the
   * shape that the RFC defines by splitting at the largest power of two.
   */
  readonly levels: readonly Uint8Array[]
}

export interface InclusionClaim {
  readonly root: Uint8Array
  readonly size: number
  readonly index: number
  /** The data of the leaf, not its hash. */
  readonly leaf: Uint8Array
  readonly proof: readonly Uint8Array[]
}

export function leafHash(data: Uint8Array): Digest {
  return nobleSha256.create().update(LEAF_PREFIX).update(data).digest() as Uint8Array as Digest
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Digest {
  const node = new Uint8Array(1 + 2 * DIGEST_BYTES)
  node[0] = NODE_PREFIX
  node.set(left, 1)
  node.set(right, 1 + DIGEST_BYTES)
  return sha256(node)
}

/** Root over the data of the leaves, in order. */
export function merkleRoot(leaves: readonly Uint8Array[]): Digest {
  return merkleTree(leaves.map(leafHash)).root
}

/** The tree over `leafHashes` (of `leafHash`), in order; 64 bytes of memory a leaf. */
export function merkleTree(leafHashes: readonly Uint8Array[]): MerkleTree {
  const size = leafHashes.length
  if (size > MAX_LEAVES) {
    throw new AssayError('merkle/out-of-range', `expected at most ${MAX_LEAVES} leaves, got ${size}`)
  }
  let level: Uint8Array = new Uint8Array(size * DIGEST_BYTES)
  for (let i = 0; i < size; i++) {
    const hash = leafHashes[i]
    if (!isNode(hash)) {
      throw new AssayError(
        'merkle/malformed',
        `leaf hash ${i}: expected ${DIGEST_BYTES} bytes, got ${describeValue(hash)}; hash the data with leafHash`,
      )
    }
    level.set(hash, i * DIGEST_BYTES)
  }
  const levels = [level]
  while (level.length > DIGEST_BYTES) {
    level = parents(level)
    levels.push(level)
  }
  return { size, root: size === 0 ? sha256(level) : copyNode(level, 0), levels }
}

/** Siblings from the leaf up to below the root. Throws `merkle/out-of-range`. */
export function proveInclusion(tree: MerkleTree, index: number): Digest[] {
  if (!isIndex(index, tree.size)) {
    throw new AssayError('merkle/out-of-range', outOfRange(index, tree.size), { detail: { size: tree.size } })
  }
  const proof: Digest[] = []
  let position = index
  for (const level of tree.levels) {
    const sibling = position ^ 1
    if (sibling < level.length / DIGEST_BYTES) proof.push(copyNode(level, sibling))
    position = Math.floor(position / 2)
  }
  return proof
}

/** Is `leaf` the leaf at `index` of the tree of `size` leaves under `root`? The value is the hash of the leaf. */
export function verifyInclusion(claim: InclusionClaim): Verdict<Digest> {
  const { root, size, index, leaf, proof } = claim
  const fault =
    treeFault(root, size) ?? leafFault({ leaf, index, size }) ?? nodesFault(proof, pathLength(index, size))
  if (fault !== undefined) return fault

  const hash = leafHash(leaf)
  let node: Digest = hash
  let next = 0
  for (let position = index, last = size - 1; last > 0; position = half(position), last = half(last)) {
    if (position % 2 === 1) node = nodeHash(proof[next++] as Uint8Array, node)
    else if (position < last) node = nodeHash(node, proof[next++] as Uint8Array)
  }
  return equalBytes(node, root) ? { ok: true, value: hash } : mismatch(`leaf ${index} of ${size}`)
}

/** Nodes in the inclusion proof of `index`: a level adds one unless the node there has no sibling. */
function pathLength(index: number, size: number): number {
  let length = 0
  for (let position = index, last = size - 1; last > 0; position = half(position), last = half(last)) {
    if (position % 2 === 1 || position < last) length++
  }
  return length
}

function parents(level: Uint8Array): Uint8Array {
  const count = level.length / DIGEST_BYTES
  const above = new Uint8Array(Math.ceil(count / 2) * DIGEST_BYTES)
  for (let i = 0; 2 * i < count; i++) {
    const left = nodeAt(level, 2 * i)
    above.set(2 * i + 1 < count ? nodeHash(left, nodeAt(level, 2 * i + 1)) : left, i * DIGEST_BYTES)
  }
  return above
}

function nodeAt(level: Uint8Array, position: number): Uint8Array {
  return level.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES)
}

/** One node of a level, as a digest of its own. */
export function copyNode(level: Uint8Array, position: number): Digest {
  return nodeAt(level, position).slice() as Uint8Array as Digest
}
