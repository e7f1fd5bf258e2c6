/**
 * Merkle trees over the chunks of long data, hashed in bulk.
 *
 * The tree is that of merkle.ts (RFC 9162, section 2.1) with the data cut into chunks of equal length as
 * leaves, the last one shorter; proofs of merkle.ts and merkle-multiproof.ts open it. Leaves, and the nodes
 * of each level, are messages of one length, which is what the kernel hashes four at a time.
 */
import { DIGEST_BYTES } from './digest.ts'
import { AssayError } from './errors.ts'
import { hashChunks } from './kernel.ts'
import { LEAF_PREFIX, leafHash, MAX_LEAVES, type MerkleTree, packedTree } from './merkle.ts'

/**
 * SHA-256(prefix ‖ chunk) of each of the chunks that lie in a row in `data`. The kernel is the default; where
 * the host has a faster one (instructions of the processor), it can be given.
 */
export type ChunkHasher = typeof hashChunks

/** The tree over `data` in chunks of `chunkBytes`. Throws `merkle/out-of-range` for too many chunks. */
export function chunkTree(
  data: Uint8Array,
  chunkBytes: number,
  options: { readonly hasher?: ChunkHasher } = {},
): MerkleTree {
  const { hasher = hashChunks } = options
  const size = Math.ceil(data.length / chunkBytes)
  if (size > MAX_LEAVES) {
    throw new AssayError('merkle/out-of-range', `expected at most ${MAX_LEAVES} chunks, got ${size}`)
  }
  return packedTree(leafLevel(data, chunkBytes, hasher), hasher)
}

function leafLevel(data: Uint8Array, chunkBytes: number, hasher: ChunkHasher): Uint8Array {
  const rest = data.length % chunkBytes
  const whole = data.length - rest
  const hashes = hasher(LEAF_PREFIX, data.subarray(0, whole), chunkBytes)
  if (rest === 0) return hashes
  const level = new Uint8Array(hashes.length + DIGEST_BYTES)
  level.set(hashes)
  level.set(leafHash(data.subarray(whole)), hashes.length)
  return level
}
