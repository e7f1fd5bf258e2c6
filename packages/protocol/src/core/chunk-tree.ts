/**
 * Merkle trees over the chunks of long data, hashed in bulk.
 *
 * The tree is that of merkle.ts (RFC 9162, section 2.1) with the data cut into chunks of equal length as
 * leaves, the last one shorter; proofs of merkle.ts and merkle-multiproof.ts open it. Leaves, and the nodes
 * of each level, are messages of one length, which is what the kernel hashes four at a time.
 */
import { DIGEST_BYTES, type Digest, sha256 } from './digest.ts'
import { AssayError } from './errors.ts'
import { hashChunks } from './kernel.ts'
import { leafHash, MAX_LEAVES, type MerkleTree } from './merkle.ts'

/**
 * SHA-256(prefix ‖ chunk) of each of the chunks that lie in a row in `data`. The kernel is the default; where
 * the host has a faster one (instructions of the processor), it can be given.
 */
export type ChunkHasher = (prefix: Uint8Array, data: Uint8Array, chunkBytes: number) => Uint8Array

const LEAF_PREFIX = Uint8Array.of(0)
const NODE_PREFIX = Uint8Array.of(1)

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
  if (size === 0) return { size, root: sha256(new Uint8Array()), levels: [new Uint8Array()] }
  const levels = [leafLevel(data, chunkBytes, hasher)]
  for (let level = levels[0]!; level.length > DIGEST_BYTES; level = levels.at(-1)!) {
    levels.push(parentLevel(level, hasher))
  }
  return { size, root: levels.at(-1)!.slice() as Uint8Array as Digest, levels }
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

/** A node without a right sibling is carried up unhashed. */
function parentLevel(level: Uint8Array, hasher: ChunkHasher): Uint8Array {
  const pairs = level.length - (level.length % (2 * DIGEST_BYTES))
  const hashes = hasher(NODE_PREFIX, level.subarray(0, pairs), 2 * DIGEST_BYTES)
  if (pairs === level.length) return hashes
  const above = new Uint8Array(hashes.length + DIGEST_BYTES)
  above.set(hashes)
  above.set(level.subarray(pairs), hashes.length)
  return above
}
