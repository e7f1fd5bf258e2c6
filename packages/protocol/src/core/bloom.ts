/**
 * The Bloom filter of a proof, byte for byte that of the published Python package (warden-spex 0.0.95, which
 * stores it with rbloom).
 *
 * Threat: the prover chooses the bytes. `loadBloom` is for proofs: it takes nothing from them but bits, since
 * k and the length follow from the task's item count and the rate asked, and it refuses a filter with more
 * ones than its items can explain. `loadPublishedBloom` accepts what the published loader accepts, k = 0
 * included (every look-up hits), and adds caps only so that it cannot be stalled.
 *
 * A miss is certain; a hit is statistical.
 */
import { AssayError } from './errors.ts'
import { ITEM_BYTES } from './hash-int.ts'
import * as kernel from './kernel.ts'
import type { BloomBits } from './kernel-twin.ts'

/** Plain data: `hashes` is k, `bits` holds L = 8 * bits.length bits, least significant bit of a byte first. */
export type BloomFilter = BloomBits

/** Bytes before the bits of a saved filter: k as eight bytes, least significant first. */
export const BLOOM_HEADER_BYTES = 8

/**
 * Largest filter made or loaded unless the caller says otherwise: 256 MiB holds 224 million states at a rate of
 * 1 %, and is what one process can hold beside its work.
 */
export const MAX_BLOOM_BYTES = 2 ** 28

/**
 * Largest k that `loadPublishedBloom` accepts unless the caller says otherwise. This cap is ours: the published
 * loader takes any k, and k = 2^30 costs seconds a look-up. 64 covers every rate down to 2^-65.
 */
export const MAX_PUBLISHED_HASHES = 64

/** Standard deviations above the expected number of ones at which a filter counts as flooded: 3 in 10 million. */
export const ONES_SIGMAS = 5

/** Upper end (exclusive) of the rates for which a filter is made: from 0.5 on, k is 0 and everything hits. */
const RATE_LIMIT = 0.5

export interface BloomSize {
  /** k; 0 when the rate is above about 0.5. */
  readonly hashes: number
  readonly bytes: number
}

export interface BloomExpectation {
  /** n: how many items the task and the input have. Never taken from the proof. */
  readonly count: number
  readonly falsePositiveRate: number
  /** Cap on the bytes of the bits; MAX_BLOOM_BYTES unless given. */
  readonly maxBytes?: number
}

/**
 * The published sizing for `count` >= 1 items at 0 < rate < 1, in IEEE doubles and in the published order of
 * operations, since flooring makes the last bit matter.
 */
export function bloomParameters(count: number, falsePositiveRate: number): BloomSize {
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new AssayError('bloom/parameters', `expected an item count of at least 1, got ${count}`)
  }
  if (!(falsePositiveRate > 0 && falsePositiveRate < 1)) {
    throw new AssayError(
      'bloom/parameters',
      `expected a false positive rate between 0 and 1, both excluded, got ${falsePositiveRate}`,
    )
  }
  const rawBits = (-count * Math.log(falsePositiveRate)) / (Math.LN2 * Math.LN2)
  const hashes = Math.floor((rawBits / count) * Math.LN2)
  return { hashes, bytes: Math.ceil(Math.floor(rawBits) / 8) }
}

/** An empty filter for `count` items. Refuses what proves nothing: a rate of 0.5 or more, or k = 0. */
export function createBloom(
  count: number,
  falsePositiveRate: number,
  options: { readonly maxBytes?: number } = {},
): BloomFilter {
  const { hashes, bytes } = soundParameters({ count, falsePositiveRate, ...options })
  return { hashes, bits: new Uint8Array(bytes) }
}

/** Sets the bits of one 16-byte item. `insertItems` is faster for many, `insertIntegers` (kernel.ts) for integers. */
export function insertItem(filter: BloomFilter, item: Uint8Array): void {
  assertOneItem(item)
  kernel.insertItems(filter, item)
}

/** Sets the bits of each of the 16-byte items that lie in a row. */
export function insertItems(filter: BloomFilter, items: Uint8Array): void {
  kernel.insertItems(filter, items)
}

/** False: the item was not inserted, for certain. True: it was, or the filter hits by chance. */
export function hasItem(filter: BloomFilter, item: Uint8Array): boolean {
  assertOneItem(item)
  return kernel.hasItems(filter, item)[0] === 1
}

/** `hasItem` of each of the 16-byte items that lie in a row: 1 or 0. */
export function hasItems(filter: BloomFilter, items: Uint8Array): Uint8Array {
  return kernel.hasItems(filter, items)
}

/** Adds the items of `from` to `into`. Both must come from the same parameters. */
export function mergeBloom(into: BloomFilter, from: BloomFilter): void {
  if (into.hashes !== from.hashes || into.bits.length !== from.bits.length) {
    throw new AssayError(
      'bloom/parameters',
      `expected a filter of k = ${into.hashes} and ${into.bits.length} bytes to merge, ` +
        `got k = ${from.hashes} and ${from.bits.length} bytes`,
    )
  }
  orInto(into.bits, from.bits)
}

/** k as eight bytes, least significant first, then the bits. */
export function saveBloom(filter: BloomFilter): Uint8Array {
  const bytes = new Uint8Array(BLOOM_HEADER_BYTES + filter.bits.length)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(filter.hashes), true)
  bytes.set(filter.bits, BLOOM_HEADER_BYTES)
  return bytes
}

/**
 * Loads a filter that somebody else made. Its size is compared first, then k and the length with those that
 * `count` and `falsePositiveRate` give, then the number of ones with `onesBound`. The cost is one pass over at
 * most `maxBytes`.
 *
 * Throws `bloom/too-large`, `bloom/malformed`, `bloom/parameters`, `bloom/saturated`.
 */
export function loadBloom(bytes: Uint8Array, expectation: BloomExpectation): BloomFilter {
  const { count, falsePositiveRate } = expectation
  const expected = soundParameters(expectation)
  const { hashes, bits } = splitSaved(bytes, expectation.maxBytes ?? MAX_BLOOM_BYTES)
  if (hashes !== BigInt(expected.hashes) || bits.length !== expected.bytes) {
    throw new AssayError(
      'bloom/parameters',
      `${count} items at a rate of ${falsePositiveRate} need k = ${expected.hashes} and ${expected.bytes} bytes, ` +
        `got k = ${hashes} and ${bits.length} bytes`,
      { detail: { hashes: String(hashes), bytes: bits.length } },
    )
  }
  const filter = { hashes: expected.hashes, bits: bits.slice() }
  const ones = countOnes(filter)
  const bound = onesBound(count, falsePositiveRate)
  if (ones > bound) {
    throw new AssayError(
      'bloom/saturated',
      `${count} items at a rate of ${falsePositiveRate} set at most ${bound} bits, got ${ones}`,
      { detail: { ones, bound } },
    )
  }
  return filter
}

/**
 * Loads whatever the published loader loads, within caps: any k up to `maxHashes` (k = 0 included, where every
 * look-up hits) and any length up to `maxBytes`. Bits without k are useless but load; k without bits would
 * divide by zero there, and is refused here. For proofs that decide something use `loadBloom`.
 */
export function loadPublishedBloom(
  bytes: Uint8Array,
  options: { readonly maxBytes?: number; readonly maxHashes?: number } = {},
): BloomFilter {
  const { maxBytes = MAX_BLOOM_BYTES, maxHashes = MAX_PUBLISHED_HASHES } = options
  const { hashes, bits } = splitSaved(bytes, maxBytes)
  if (hashes > BigInt(maxHashes)) {
    throw new AssayError('bloom/parameters', `expected k of at most ${maxHashes}, got ${hashes}`)
  }
  if (hashes > 0n && bits.length === 0) {
    throw new AssayError('bloom/malformed', `expected bits after k = ${hashes}, got none`)
  }
  return { hashes: Number(hashes), bits: bits.slice() }
}

/** Number of bits that are set. */
export function countOnes(filter: BloomFilter): number {
  const { bits } = filter
  const view = new DataView(bits.buffer, bits.byteOffset, bits.length)
  const whole = bits.length & ~3
  let ones = 0
  for (let i = 0; i < whole; i += 4) ones += onesOfWord(view.getUint32(i))
  for (let i = whole; i < bits.length; i++) ones += onesOfWord(bits[i]!)
  return ones
}

/** The exact rate at which an item that was not inserted hits: (ones / L)^k. No sampling is needed. */
export function bloomFalsePositiveRate(filter: BloomFilter): number {
  if (filter.hashes === 0) return 1
  return (countOnes(filter) / (filter.bits.length * 8)) ** filter.hashes
}

/**
 * The paper's estimator: the share of `trials` random integers that hit. `randomInteger` draws from 1 to 2^32,
 * as the published package does; it runs 100,000 trials and accepts when the share is at most the rate asked
 * plus 0.01, so it notices a flooded filter late and k = 0 at once.
 */
export function probeFalsePositiveRate(
  filter: BloomFilter,
  options: { readonly trials?: number; readonly randomInteger: () => bigint },
): number {
  const { trials = 100_000, randomInteger } = options
  const values = new BigInt64Array(trials)
  for (let i = 0; i < trials; i++) values[i] = randomInteger()
  let hits = 0
  for (const hit of kernel.hasIntegers(filter, values)) hits += hit
  return hits / trials
}

/** The published estimate of how many items were inserted: |L/k * ln(1 - ones/L)|; infinite for a full filter. */
export function approximateItems(filter: BloomFilter): number {
  const length = filter.bits.length * 8
  return Math.abs((length / filter.hashes) * Math.log(1 - countOnes(filter) / length))
}

/**
 * Most ones that `count` honest items leave in their filter: mean plus ONES_SIGMAS standard deviations of the
 * number of occupied bits after k * count throws into L, and never more than k * count. An honest filter exceeds
 * it about 3 times in 10 million.
 */
export function onesBound(count: number, falsePositiveRate: number): number {
  const { hashes, bytes } = bloomParameters(count, falsePositiveRate)
  const { mean, sigma } = occupiedBits(hashes * count, bytes * 8)
  return Math.min(hashes * count, bytes * 8, Math.floor(mean + ONES_SIGMAS * sigma))
}

/**
 * Exact moments of the number of occupied bins: with e = 1 - 1/L, mean L(1 - e^t) and variance
 * L e^t + L(L-1)(1 - 2/L)^t - L^2 e^(2t). The last two terms nearly cancel; written with expm1 over
 * (1 - 2/L)/e^2 = 1 - 1/(L-1)^2 nothing is lost.
 */
function occupiedBits(throws: number, length: number): { mean: number; sigma: number } {
  const empty = Math.exp(throws * Math.log1p(-1 / length))
  const bothEmpty = Math.exp(throws * Math.log1p(-2 / length))
  const pairTerm = length * length * empty * empty * Math.expm1(throws * Math.log1p(-1 / (length - 1) ** 2))
  const variance = Math.max(0, length * (empty - bothEmpty) + pairTerm)
  return { mean: -length * Math.expm1(throws * Math.log1p(-1 / length)), sigma: Math.sqrt(variance) }
}

/** The sizing, refused where the filter would prove nothing or would not fit. */
function soundParameters(expectation: BloomExpectation): BloomSize {
  const { count, falsePositiveRate, maxBytes = MAX_BLOOM_BYTES } = expectation
  const size = bloomParameters(count, falsePositiveRate)
  if (falsePositiveRate >= RATE_LIMIT || size.hashes === 0) {
    throw new AssayError(
      'bloom/parameters',
      `expected a false positive rate below ${RATE_LIMIT} with k >= 1, got ${falsePositiveRate}, k = ${size.hashes}`,
    )
  }
  if (size.bytes > maxBytes) {
    throw new AssayError(
      'bloom/too-large',
      `${count} items at a rate of ${falsePositiveRate} need ${size.bytes} bytes; the cap is ${maxBytes}`,
    )
  }
  return size
}

function splitSaved(bytes: Uint8Array, maxBytes: number): { hashes: bigint; bits: Uint8Array } {
  if (bytes.length > BLOOM_HEADER_BYTES + maxBytes) {
    throw new AssayError(
      'bloom/too-large',
      `expected a saved filter of at most ${BLOOM_HEADER_BYTES + maxBytes} bytes, got ${bytes.length}`,
    )
  }
  if (bytes.length < BLOOM_HEADER_BYTES) {
    throw new AssayError(
      'bloom/malformed',
      `expected at least ${BLOOM_HEADER_BYTES} bytes of saved filter, got ${bytes.length}`,
    )
  }
  const hashes = new DataView(bytes.buffer, bytes.byteOffset, BLOOM_HEADER_BYTES).getBigUint64(0, true)
  return { hashes, bits: bytes.subarray(BLOOM_HEADER_BYTES) }
}

function assertOneItem(item: Uint8Array): void {
  if (item.length !== ITEM_BYTES) {
    throw new RangeError(`expected one item of ${ITEM_BYTES} bytes, got ${item.length}`)
  }
}

/** Or of whole words where both sides are aligned, as filters made here are; of bytes for the rest. */
function orInto(bits: Uint8Array, from: Uint8Array): void {
  const aligned = bits.byteOffset % 4 === 0 && from.byteOffset % 4 === 0
  const words = aligned ? bits.length >> 2 : 0
  const target = new Uint32Array(bits.buffer, aligned ? bits.byteOffset : 0, words)
  const source = new Uint32Array(from.buffer, aligned ? from.byteOffset : 0, words)
  for (let i = 0; i < words; i++) target[i]! |= source[i]!
  for (let i = 4 * words; i < bits.length; i++) bits[i]! |= from[i]!
}

/** Ones of a 32-bit word, by parallel sums (Warren, Hacker's Delight, 5-1). */
function onesOfWord(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555)
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333)
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
