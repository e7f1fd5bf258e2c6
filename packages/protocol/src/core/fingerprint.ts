/**
 * The fingerprint vector: b bits of every item's digest, in the order of the items.
 *
 * An item that was not committed matches with probability 2^-b, at b bits a state where a Bloom filter needs
 * 1.44 b. It binds each item to its index, costs one access a look-up, and cannot be flooded, since it has
 * exactly one fingerprint for each index.
 *
 * Layout: fingerprint i occupies bits i*b to i*b + b - 1 of the vector; both the vector and the item count
 * bits from the least significant bit of byte 0. Bits after the last fingerprint are zero.
 */
import { AssayError } from './errors.ts'
import { ITEM_BYTES } from './hash-int.ts'

export interface FingerprintVector {
  readonly count: number
  /** Width b of one fingerprint, 1 to 32. */
  readonly bits: number
  /** ceil(count * bits / 8) bytes. */
  readonly packed: Uint8Array
}

/** Largest width: a false positive rate of 2^-32, and what fits into one 32-bit word. */
export const MAX_FINGERPRINT_BITS = 32

/** Largest vector made or loaded unless the caller says otherwise: 256 MiB is 306 million states of 7 bits. */
export const MAX_FINGERPRINT_BYTES = 2 ** 28

export interface FingerprintShape {
  readonly count: number
  readonly bits: number
  /** Cap on the bytes of the vector; MAX_FINGERPRINT_BYTES unless given. */
  readonly maxBytes?: number
}

/** The smallest width whose false positive rate 2^-b is at most `falsePositiveRate`. */
export function fingerprintBits(falsePositiveRate: number): number {
  const bits = widthFor(falsePositiveRate)
  if (!(falsePositiveRate > 0 && falsePositiveRate < 1 && bits <= MAX_FINGERPRINT_BITS)) {
    throw new AssayError(
      'fingerprint/parameters',
      `expected a false positive rate from 2^-${MAX_FINGERPRINT_BITS} to below 1, got ${falsePositiveRate}`,
    )
  }
  return bits
}

/** Bytes of a vector of `count` fingerprints of `bits` bits, without padding beyond the last byte. */
export function fingerprintBytes(count: number, bits: number): number {
  return Math.ceil((count * bits) / 8)
}

/** A vector of `count` zero fingerprints. */
export function createFingerprint(
  count: number,
  bits: number,
  options: { readonly maxBytes?: number } = {},
): FingerprintVector {
  return { count, bits, packed: new Uint8Array(assertShape({ count, bits, ...options })) }
}

/** Puts the first b bits of the 16-byte `item` at `index`, over whatever was there. */
export function setFingerprint(vector: FingerprintVector, index: number, item: Uint8Array): void {
  assertIndex(vector, index)
  writeBits(vector, index, firstBits(item, 0, vector.bits))
}

/** `setFingerprint` of the 16-byte items that lie in a row, for the indices from `firstIndex` on. */
export function setFingerprints(vector: FingerprintVector, firstIndex: number, items: Uint8Array): void {
  const count = items.length / ITEM_BYTES
  if (!Number.isInteger(count)) {
    throw new RangeError(`expected items of ${ITEM_BYTES} bytes each, got ${items.length} bytes`)
  }
  if (count === 0) return
  assertIndex(vector, firstIndex)
  assertIndex(vector, firstIndex + count - 1)
  for (let i = 0; i < count; i++) {
    writeBits(vector, firstIndex + i, firstBits(items, i * ITEM_BYTES, vector.bits))
  }
}

/** False: another item was committed at `index`, for certain. True: the same, or chance of 2^-b. */
export function matchesFingerprint(vector: FingerprintVector, index: number, item: Uint8Array): boolean {
  assertIndex(vector, index)
  return readBits(vector, index) === firstBits(item, 0, vector.bits)
}

/** Joins vectors of one shape that were filled in disjoint ranges, each zero outside its own. */
export function mergeFingerprint(into: FingerprintVector, from: FingerprintVector): void {
  if (into.count !== from.count || into.bits !== from.bits) {
    throw new AssayError(
      'fingerprint/parameters',
      `expected ${into.count} fingerprints of ${into.bits} bits to merge, got ${from.count} of ${from.bits}`,
    )
  }
  for (let i = 0; i < into.packed.length; i++) into.packed[i]! |= from.packed[i]!
}

/** The packed bits; count and width follow from the task and the rate, and are not stored. */
export function saveFingerprint(vector: FingerprintVector): Uint8Array {
  return vector.packed.slice()
}

/**
 * Strict inverse of `saveFingerprint` for the count and width that the task and the request give.
 *
 * Throws `fingerprint/parameters` and `fingerprint/malformed` (length, or padding bits that are not zero).
 */
export function loadFingerprint(bytes: Uint8Array, shape: FingerprintShape): FingerprintVector {
  const { count, bits } = shape
  const expected = assertShape(shape)
  if (bytes.length !== expected) {
    throw new AssayError(
      'fingerprint/malformed',
      `${count} fingerprints of ${bits} bits are ${expected} bytes, got ${bytes.length}`,
    )
  }
  const used = (count * bits) % 8
  if (used !== 0 && bytes[expected - 1]! >> used !== 0) {
    throw new AssayError('fingerprint/malformed', 'expected zero bits after the last fingerprint')
  }
  return { count, bits, packed: bytes.slice() }
}

/** ceil(-log2 rate), corrected where the logarithm of a power of two is off in its last bit. */
function widthFor(rate: number): number {
  const bits = Math.max(1, Math.ceil(-Math.log2(rate)))
  if (bits > 1 && 2 ** -(bits - 1) <= rate) return bits - 1
  return 2 ** -bits <= rate ? bits : bits + 1
}

function assertShape(shape: FingerprintShape): number {
  const { count, bits, maxBytes = MAX_FINGERPRINT_BYTES } = shape
  if (!Number.isInteger(bits) || bits < 1 || bits > MAX_FINGERPRINT_BITS) {
    throw new AssayError(
      'fingerprint/parameters',
      `expected a width of 1 to ${MAX_FINGERPRINT_BITS} bits, got ${bits}`,
    )
  }
  const bytes = fingerprintBytes(count, bits)
  if (!Number.isSafeInteger(count) || count < 1 || bytes > maxBytes) {
    throw new AssayError(
      'fingerprint/parameters',
      `expected 1 fingerprint or more in at most ${maxBytes} bytes, got ${count} of ${bits} bits`,
    )
  }
  return bytes
}

function assertIndex(vector: FingerprintVector, index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= vector.count) {
    throw new RangeError(`expected an index from 0 to ${vector.count - 1}, got ${index}`)
  }
}

/** The low `bits` bits of the item's first four bytes, read least significant byte first. */
function firstBits(items: Uint8Array, offset: number, bits: number): number {
  if (offset + ITEM_BYTES > items.length) {
    throw new RangeError(`expected an item of ${ITEM_BYTES} bytes, got ${items.length - offset}`)
  }
  const word =
    items[offset]! | (items[offset + 1]! << 8) | (items[offset + 2]! << 16) | (items[offset + 3]! << 24)
  return (word & (0xffffffff >>> (32 - bits))) >>> 0
}

function readBits({ bits, packed }: FingerprintVector, index: number): number {
  let value = 0
  let position = index * bits
  for (let done = 0; done < bits; ) {
    const shift = position % 8
    const take = Math.min(8 - shift, bits - done)
    const part = (packed[Math.floor(position / 8)]! >> shift) & ((1 << take) - 1)
    value += part * 2 ** done
    done += take
    position += take
  }
  return value
}

function writeBits({ bits, packed }: FingerprintVector, index: number, value: number): void {
  let position = index * bits
  for (let done = 0; done < bits; ) {
    const shift = position % 8
    const take = Math.min(8 - shift, bits - done)
    const mask = (1 << take) - 1
    const byte = Math.floor(position / 8)
    packed[byte] = (packed[byte]! & ~(mask << shift)) | (((value >>> done) & mask) << shift)
    done += take
    position += take
  }
}
