/**
 * What the WebAssembly kernel computes, in plain TypeScript: the definition that the kernel is tested against,
 * and the fallback where an engine lacks WebAssembly SIMD (SPEX, Appendix "Bloom filter"; the walk is that of
 * the published package's filter, `rbloom`).
 *
 * Nothing here validates: callers pass whole items and a filter with at least one byte.
 */
import { DIGEST_BYTES, sha256 } from './digest.ts'

/** A Bloom filter as plain data: `hashes` walk steps an item, and bits stored least significant first. */
export interface BloomBits {
  /** k, the number of bits that each item sets. */
  readonly hashes: number
  /** L/8 bytes; bit i is `bits[i >> 3] >> (i & 7) & 1`. */
  readonly bits: Uint8Array
}

/** Bytes of one item. */
const ITEM = 16
const LIMBS = 8
const LIMB = 0x10000
/** The walk's multiplier, 47026247687942121848144207491837418733, as eight limbs of 16 bits, lowest first. */
const MULTIPLIER = multiplierLimbs(47026247687942121848144207491837418733n)

/** SHA-256, cut to 16 bytes, of each value as eight bytes, least significant first. */
export function hashIntegers(values: BigInt64Array): Uint8Array {
  const items = new Uint8Array(values.length * ITEM)
  const message = new Uint8Array(8)
  const view = new DataView(message.buffer)
  for (let i = 0; i < values.length; i++) {
    view.setBigInt64(0, values[i]!, true)
    items.set(sha256(message).subarray(0, ITEM), i * ITEM)
  }
  return items
}

/** SHA-256(block ‖ message), cut to 16 bytes, of each of the messages of `length` bytes that lie in a row. */
export function hashItems(block: Uint8Array, messages: Uint8Array, length: number): Uint8Array {
  const count = length === 0 ? 0 : messages.length / length
  const items = new Uint8Array(count * ITEM)
  const input = new Uint8Array(block.length + length)
  input.set(block)
  for (let i = 0; i < count; i++) {
    input.set(messages.subarray(i * length, (i + 1) * length), block.length)
    items.set(sha256(input).subarray(0, ITEM), i * ITEM)
  }
  return items
}

/** SHA-256(prefix ‖ chunk) of each of the chunks of `chunkBytes` bytes that lie in a row, digests in a row. */
export function hashChunks(prefix: Uint8Array, data: Uint8Array, chunkBytes: number): Uint8Array {
  const count = data.length / chunkBytes
  const digests = new Uint8Array(count * DIGEST_BYTES)
  const input = new Uint8Array(prefix.length + chunkBytes)
  input.set(prefix)
  for (let i = 0; i < count; i++) {
    input.set(data.subarray(i * chunkBytes, (i + 1) * chunkBytes), prefix.length)
    digests.set(sha256(input), i * DIGEST_BYTES)
  }
  return digests
}

/** Sets the `hashes` bits of each 16-byte item. */
export function insertItems(filter: BloomBits, items: Uint8Array): void {
  const { hashes, bits } = filter
  const length = bits.length * 8
  const state = new Float64Array(LIMBS)
  for (let offset = 0; offset < items.length; offset += ITEM) {
    readState(items, offset, state)
    for (let k = 0; k < hashes; k++) {
      const index = step(state, length)
      bits[Math.floor(index / 8)]! |= 1 << (index & 7)
    }
  }
}

/** For each 16-byte item, 1 when all its bits are set, else 0. */
export function hasItems(filter: BloomBits, items: Uint8Array): Uint8Array {
  const { hashes, bits } = filter
  const length = bits.length * 8
  const state = new Float64Array(LIMBS)
  const hits = new Uint8Array(items.length / ITEM)
  for (let i = 0; i < hits.length; i++) {
    readState(items, i * ITEM, state)
    let k = 0
    for (; k < hashes; k++) {
      const index = step(state, length)
      if (((bits[Math.floor(index / 8)]! >> (index & 7)) & 1) === 0) break
    }
    hits[i] = k === hashes ? 1 : 0
  }
  return hits
}

/** The item, most significant byte first, as limbs of 16 bits, lowest first. */
function readState(items: Uint8Array, offset: number, state: Float64Array): void {
  for (let limb = 0; limb < LIMBS; limb++) {
    const low = offset + ITEM - 1 - 2 * limb
    state[limb] = (items[low - 1]! << 8) | items[low]!
  }
}

/**
 * One step of the walk: state = state * MULTIPLIER + 1 mod 2^128, then bits 32 to 95 of it, mod `length`.
 * Eight products of 32 bits and a carry stay far below 2^53, so doubles are exact.
 */
function step(state: Float64Array, length: number): number {
  // From the top limb down, so that the limbs below are still those of the last state; carries follow.
  for (let limb = LIMBS - 1; limb >= 0; limb--) {
    let sum = 0
    for (let i = 0; i <= limb; i++) sum += state[i]! * MULTIPLIER[limb - i]!
    state[limb] = sum
  }
  let carry = 1
  for (let limb = 0; limb < LIMBS; limb++) {
    const sum = state[limb]! + carry
    carry = Math.floor(sum / LIMB)
    state[limb] = sum - carry * LIMB
  }
  // Horner from the top: exact while length * 2^16 < 2^53, which the cap on bytes keeps.
  let index = 0
  for (let limb = 5; limb >= 2; limb--) index = (index * LIMB + state[limb]!) % length
  return index
}

function multiplierLimbs(multiplier: bigint): readonly number[] {
  return Array.from({ length: LIMBS }, (_, i) => Number((multiplier >> BigInt(16 * i)) & 0xffffn))
}
