/**
 * SHA-256 with domain separation.
 *
 * A digest under one tag never equals a digest under another: `tagged` prefixes the data with the hash of
 * the tag, twice, which fills exactly one block (the construction of BIP 340, "Specification: tagged
 * hashes"). Where several fields are hashed, `hashFields` prefixes each with its length, so that no two
 * lists of fields meet (`ab ‖ c` is not `a ‖ bc`).
 */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { concatBytes, u64be, utf8 } from './bytes.ts'

declare const digestBrand: unique symbol

/** 32 bytes of SHA-256. */
export type Digest = Uint8Array & { readonly [digestBrand]: true }

export const DIGEST_BYTES = 32

const tagBlocks = new Map<string, Uint8Array>()

export function sha256(data: Uint8Array): Digest {
  return nobleSha256(data) as Uint8Array as Digest
}

/** The 64-byte block that opens every hash under `tag`. Tags are literals of this library: few and short. */
export function tagBlock(tag: string): Uint8Array {
  let block = tagBlocks.get(tag)
  if (block === undefined) {
    const hash = sha256(utf8(tag))
    block = concatBytes(hash, hash)
    tagBlocks.set(tag, block)
  }
  return block
}

type Hash = ReturnType<typeof nobleSha256.create>
const opened = new Map<string, Hash>()

/** A hash that has taken the block of its tag: of short data, that block would be most of the work. */
function openHash(tag: string): Hash {
  let hash = opened.get(tag)
  if (hash === undefined) {
    hash = nobleSha256.create().update(tagBlock(tag))
    opened.set(tag, hash)
  }
  return hash.clone()
}

/** SHA-256(SHA-256(tag) ‖ SHA-256(tag) ‖ data). */
export function tagged(tag: string, data: Uint8Array): Digest {
  return openHash(tag).update(data).digest() as Uint8Array as Digest
}

/** `tagged` over fields, each prefixed with its length as eight bytes, most significant first. */
export function hashFields(tag: string, fields: readonly Uint8Array[]): Digest {
  const hash = openHash(tag)
  for (const field of fields) hash.update(u64be(field.length)).update(field)
  return hash.digest() as Uint8Array as Digest
}

export function isDigest(bytes: Uint8Array): bytes is Digest {
  return bytes.length === DIGEST_BYTES
}
