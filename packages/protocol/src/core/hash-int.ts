/**
 * The published hash of an integer state (`hash_int` of warden-spex 0.0.95, the bytes that are deployed; the
 * paper's text differs).
 *
 * It has neither salt nor position: whoever knows the domain of the states can hash them all in advance. Use
 * it for interchange with the published package; the `assay` profile hashes states in another way.
 */
import { sha256 } from './digest.ts'

/** Bytes of one item of a Bloom filter or a fingerprint vector: 128 bits, most significant byte first. */
export const ITEM_BYTES = 16

/**
 * The first 16 bytes of SHA-256 over `value` mod 2^64 as eight bytes, least significant first. Read most
 * significant byte first, they are the 128-bit integer that the published filter walks from (Python shows the
 * same bits as a signed integer).
 *
 * A `number` must be an integer; `RangeError` otherwise, as for `BigInt(value)`.
 */
export function hashInteger(value: bigint | number): Uint8Array {
  const message = new Uint8Array(8)
  new DataView(message.buffer).setBigUint64(0, BigInt(value), true)
  return sha256(message).slice(0, ITEM_BYTES)
}

/** `item` as the signed decimal integer that the Python package prints. */
export function itemToSigned(item: Uint8Array): bigint {
  let value = 0n
  for (const byte of item) value = (value << 8n) | BigInt(byte)
  return BigInt.asIntN(8 * ITEM_BYTES, value)
}
