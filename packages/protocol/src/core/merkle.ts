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
import { AssayError, type Rejection, type Verdict } from './errors.ts'
import { hashMany } from './hash-many.ts'
import { describeValue } from './inspect.ts'
import { hashChunks } from './kernel.ts'
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

/** The byte before the data of a leaf, and the byte before the two digests below a node. */
export const LEAF_PREFIX = Uint8Array.of(0)
export const NODE_PREFIX = Uint8Array.of(1)

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
  node.set(NODE_PREFIX)
  node.set(left, 1)
  node.set(right, 1 + DIGEST_BYTES)
  return sha256(node)
}

/** `leafHash` of each, in a row: hashed in bulk. */
export function leafHashes(leaves: readonly Uint8Array[]): Uint8Array {
  return hashMany(LEAF_PREFIX, leaves)
}

/** Root over the data of the leaves, in order. */
export function merkleRoot(leaves: readonly Uint8Array[]): Digest {
  return packedTree(leafHashes(leaves)).root
}

/** The tree over `leafHashes` (of `leafHash`), in order; 64 bytes of memory a leaf. */
export function merkleTree(leafHashes: readonly Uint8Array[]): MerkleTree {
  const size = leafHashes.length
  assertSize(size)
  const level = new Uint8Array(size * DIGEST_BYTES)
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
  return packedTree(level)
}

/** The tree over leaf hashes that lie in a row; it keeps `leaves` as its lowest level. */
export function packedTree(leaves: Uint8Array, hasher = hashChunks): MerkleTree {
  const size = leaves.length / DIGEST_BYTES
  assertSize(size)
  const levels = [leaves]
  for (let level = leaves; level.length > DIGEST_BYTES; ) {
    level = parentLevel(level, hasher)
    levels.push(level)
  }
  const root = size === 0 ? sha256(leaves) : copyNode(levels.at(-1)!, 0)
  return { size, root, levels }
}

function assertSize(size: number): void {
  if (size <= MAX_LEAVES) return
  throw new AssayError('merkle/out-of-range', `expected at most ${MAX_LEAVES} leaves, got ${size}`)
}

/** A node without a right sibling is carried up unhashed. */
function parentLevel(level: Uint8Array, hasher: typeof hashChunks): Uint8Array {
  const pairs = level.length - (level.length % (2 * DIGEST_BYTES))
  const hashes = hasher(NODE_PREFIX, level.subarray(0, pairs), 2 * DIGEST_BYTES)
  if (pairs === level.length) return hashes
  const above = new Uint8Array(hashes.length + DIGEST_BYTES)
  above.set(hashes)
  above.set(level.subarray(pairs), hashes.length)
  return above
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
  const fault = inclusionFault(claim)
  if (fault !== undefined) return fault
  const hash = leafHash(claim.leaf)
  if (equalBytes(foldInclusion(hash, claim), claim.root)) return { ok: true, value: hash }
  return mismatch(`leaf ${claim.index} of ${claim.size}`)
}

/** The root that a leaf and its proof lead to, for whoever holds a signature over the root instead of the root. */
export function rootOfInclusion(claim: Omit<InclusionClaim, 'root'>): Verdict<Digest> {
  const fault = inclusionFault({ ...claim, root: NO_ROOT })
  if (fault !== undefined) return fault
  return { ok: true, value: foldInclusion(leafHash(claim.leaf), claim) }
}

const NO_ROOT = new Uint8Array(DIGEST_BYTES)

function inclusionFault({ root, size, index, leaf, proof }: InclusionClaim): Rejection | undefined {
  return (
    treeFault(root, size) ?? leafFault({ leaf, index, size }) ?? nodesFault(proof, pathLength(index, size))
  )
}

function foldInclusion(
  leaf: Digest,
  { size, index, proof }: Pick<InclusionClaim, 'size' | 'index' | 'proof'>,
): Digest {
  let node = leaf
  let next = 0
  for (let position = index, last = size - 1; last > 0; position = half(position), last = half(last)) {
    if (position % 2 === 1) node = nodeHash(proof[next++] as Uint8Array, node)
    else if (position < last) node = nodeHash(node, proof[next++] as Uint8Array)
  }
  return node
}

/** Nodes in the inclusion proof of `index`: a level adds one unless the node there has no sibling. */
function pathLength(index: number, size: number): number {
  let length = 0
  for (let position = index, last = size - 1; last > 0; position = half(position), last = half(last)) {
    if (position % 2 === 1 || position < last) length++
  }
  return length
}

function nodeAt(level: Uint8Array, position: number): Uint8Array {
  return level.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES)
}

/** One node of a level, as a digest of its own. */
export function copyNode(level: Uint8Array, position: number): Digest {
  return nodeAt(level, position).slice() as Uint8Array as Digest
}
