/**
 * The batched fast path: hashing, and Bloom filter walks, in SIMD WebAssembly.
 *
 * `kernel-twin.ts` defines what every function here computes, and does the work where the engine cannot run the
 * kernel. The kernel's sources are in `kernel/assembly`.
 *
 * Memory: about 640 KB for each thread, plus the largest filter handled up to KERNEL_FILTER_BYTES.
 */
import { DIGEST_BYTES } from './digest.ts'
import { type Kernel, loadKernel } from './kernel-load.ts'
import type { BloomBits } from './kernel-twin.ts'
import * as twin from './kernel-twin.ts'

/** Bytes of one item. */
const ITEM = 16
/** SHA-256 takes its input in blocks of 64 bytes. */
const BLOCK = 64

/** Filters above this stay in the host's memory, and only the positions of the bits come from the kernel. */
const KERNEL_FILTER_BYTES = 2 ** 24
/**
 * Copying a filter into the kernel and back pays when it has at most this many bytes for each item of the batch:
 * a copied byte costs about 0.2 ns, setting bits there instead of here saves about 8 ns an item.
 */
const COPY_BYTES_PER_ITEM = 32
/** Positions are 32-bit; the twin takes filters that go beyond. */
const KERNEL_LENGTH_BYTES = 2 ** 29 - 1

/** For each value the published integer hash: SHA-256 of it as u64 little-endian, cut to 16 bytes. */
export function hashIntegers(values: BigInt64Array): Uint8Array {
  const kernel = loadKernel()
  if (kernel === null) return twin.hashIntegers(values)
  const items = new Uint8Array(values.length * ITEM)
  for (let from = 0; from < values.length; from += kernel.chunk) {
    const part = values.subarray(from, from + kernel.chunk)
    integersOf(kernel, part.length).set(part)
    kernel.hashIntegers(part.length)
    items.set(itemsOf(kernel, part.length), from * ITEM)
  }
  return items
}

/**
 * For each of the messages of `length` <= 55 bytes that lie in a row: SHA-256(block ‖ message), cut to 16 bytes.
 * `block` has 64 bytes, and is hashed once. Other sizes are a misuse: `RangeError`.
 */
export function hashItems(block: Uint8Array, messages: Uint8Array, length: number): Uint8Array {
  const kernel = loadKernel()
  assertMessages(block, messages, length)
  if (kernel === null) return twin.hashItems(block, messages, length)
  const count = messages.length / length
  const items = new Uint8Array(count * ITEM)
  inputOf(kernel, BLOCK).set(block)
  kernel.absorbBlock()
  for (let from = 0; from < count; from += kernel.chunk) {
    const part = Math.min(kernel.chunk, count - from)
    inputOf(kernel, part * length).set(messages.subarray(from * length, (from + part) * length))
    kernel.hashMessages(part, length)
    items.set(itemsOf(kernel, part), from * ITEM)
  }
  return items
}

/**
 * SHA-256(prefix ‖ chunk) of each of the chunks of `chunkBytes` bytes that lie in a row in `data`; the digests
 * of 32 bytes in a row. Four chunks are hashed at once. A length that is not a multiple is a misuse: `RangeError`.
 */
export function hashChunks(prefix: Uint8Array, data: Uint8Array, chunkBytes: number): Uint8Array {
  if (!Number.isInteger(chunkBytes) || chunkBytes < 1 || data.length % chunkBytes !== 0) {
    throw new RangeError(`expected chunks of ${chunkBytes} bytes in a row, got ${data.length} bytes`)
  }
  const kernel = loadKernel()
  const size = prefix.length + chunkBytes
  // Padding is a byte 0x80, zeros, and the length in bits as eight bytes.
  const blocks = Math.ceil((size + 9) / BLOCK)
  const room = kernel === null ? 0 : Math.floor(kernel.paddedBytes / (blocks * BLOCK))
  if (kernel === null || room < 4) return twin.hashChunks(prefix, data, chunkBytes)
  const batch = Math.min(room - (room % 4), kernel.chunk / 2)
  const count = data.length / chunkBytes
  const digests = new Uint8Array(count * DIGEST_BYTES)
  writePadding(kernel, { prefix, size, blocks, slots: Math.min(batch, count) })
  const padded = view(kernel, kernel.padded, kernel.paddedBytes)
  for (let from = 0; from < count; from += batch) {
    const part = Math.min(batch, count - from)
    for (let i = 0, at = from * chunkBytes; i < part; i++, at += chunkBytes) {
      padded.set(data.subarray(at, at + chunkBytes), i * blocks * BLOCK + prefix.length)
    }
    kernel.hashPadded(part, blocks)
    digests.set(view(kernel, kernel.items, part * DIGEST_BYTES), from * DIGEST_BYTES)
  }
  return digests
}

interface Padding {
  readonly prefix: Uint8Array
  /** Bytes of a message before its padding. */
  readonly size: number
  readonly blocks: number
  readonly slots: number
}

/** What is the same in every message of a batch: the prefix before the chunk, and the padding after it. */
function writePadding(kernel: Kernel, { prefix, size, blocks, slots }: Padding): void {
  const stride = blocks * BLOCK
  const padded = view(kernel, kernel.padded, kernel.paddedBytes)
  const lengths = new DataView(kernel.memory.buffer, kernel.padded, kernel.paddedBytes)
  for (let start = 0; start < slots * stride; start += stride) {
    padded.set(prefix, start)
    padded.fill(0, start + size, start + stride)
    padded[start + size] = 0x80
    lengths.setBigUint64(start + stride - 8, BigInt(size * 8))
  }
}

/** Inserts the published hash of each value; the same as inserting `hashIntegers(values)`, in one pass. */
export function insertIntegers(filter: BloomBits, values: BigInt64Array): void {
  const kernel = kernelFor(filter)
  if (kernel === null) twin.insertItems(filter, hashIntegers(values))
  else insert(kernel, filter, integerBatch(kernel, values))
}

/** For each value 1 when its published hash hits, else 0. */
export function hasIntegers(filter: BloomBits, values: BigInt64Array): Uint8Array {
  const kernel = kernelFor(filter)
  if (kernel === null) return twin.hasItems(filter, hashIntegers(values))
  return test(kernel, filter, integerBatch(kernel, values))
}

/** Inserts each of the 16-byte items that lie in a row. Other lengths are a misuse: `RangeError`. */
export function insertItems(filter: BloomBits, items: Uint8Array): void {
  assertItems(items)
  const kernel = kernelFor(filter)
  if (kernel === null) twin.insertItems(filter, items)
  else insert(kernel, filter, itemBatch(kernel, items))
}

/** For each of the 16-byte items that lie in a row 1 when it hits, else 0. */
export function hasItems(filter: BloomBits, items: Uint8Array): Uint8Array {
  assertItems(items)
  const kernel = kernelFor(filter)
  if (kernel === null) return twin.hasItems(filter, items)
  return test(kernel, filter, itemBatch(kernel, items))
}

/** Inputs that the kernel turns into positions, a chunk at a time. */
interface Batch {
  readonly count: number
  /** Leaves the positions of inputs `from` to `to` in the kernel. */
  walk(from: number, to: number): void
}

function integerBatch(kernel: Kernel, values: BigInt64Array): Batch {
  return {
    count: values.length,
    walk(from, to) {
      integersOf(kernel, to - from).set(values.subarray(from, to))
      kernel.walkIntegers(to - from)
    },
  }
}

function itemBatch(kernel: Kernel, items: Uint8Array): Batch {
  return {
    count: items.length / ITEM,
    walk(from, to) {
      itemsOf(kernel, to - from).set(items.subarray(from * ITEM, to * ITEM))
      kernel.walkItems(to - from)
    },
  }
}

function insert(kernel: Kernel, filter: BloomBits, batch: Batch): void {
  const { hashes, bits } = filter
  const inside = copyInto(kernel, filter, batch.count)
  kernel.useFilter(hashes, BigInt(bits.length * 8))
  for (let from = 0; from < batch.count; from += kernel.chunk) {
    const to = Math.min(from + kernel.chunk, batch.count)
    batch.walk(from, to)
    if (inside) kernel.setBits(to - from)
    else setBits(bits, positionsOf(kernel, (to - from) * hashes))
  }
  if (inside) bits.set(view(kernel, kernel.bits, bits.length))
}

function test(kernel: Kernel, filter: BloomBits, batch: Batch): Uint8Array {
  const { hashes, bits } = filter
  const hits = new Uint8Array(batch.count)
  const inside = copyInto(kernel, filter, batch.count)
  kernel.useFilter(hashes, BigInt(bits.length * 8))
  for (let from = 0; from < batch.count; from += kernel.chunk) {
    const to = Math.min(from + kernel.chunk, batch.count)
    batch.walk(from, to)
    if (inside) {
      kernel.testBits(to - from)
      hits.set(view(kernel, kernel.hits, to - from), from)
    } else {
      testBits(bits, positionsOf(kernel, (to - from) * hashes), hits.subarray(from, to))
    }
  }
  return hits
}

/** Copies the filter into the kernel's memory where that pays; says whether it did. */
function copyInto(kernel: Kernel, { bits }: BloomBits, count: number): boolean {
  if (bits.length > KERNEL_FILTER_BYTES || bits.length > count * COPY_BYTES_PER_ITEM) return false
  // setBits stores whole words: room for the last one.
  const missing = kernel.bits + bits.length + 4 - kernel.memory.buffer.byteLength
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / 2 ** 16))
  view(kernel, kernel.bits, bits.length).set(bits)
  return true
}

function setBits(bits: Uint8Array, positions: Uint32Array): void {
  for (let i = 0; i < positions.length; i++) {
    const position = positions[i]!
    bits[position >>> 3]! |= 1 << (position & 7)
  }
}

function testBits(bits: Uint8Array, positions: Uint32Array, hits: Uint8Array): void {
  const hashes = positions.length / hits.length
  for (let item = 0, at = 0; item < hits.length; item++) {
    let hit = 1
    for (const end = at + hashes; at < end; at++) {
      const position = positions[at]!
      hit &= bits[position >>> 3]! >> (position & 7)
    }
    hits[item] = hit
  }
}

/** The kernel, unless it cannot run or the filter is beyond it. A walk over no bits is a misuse: `RangeError`. */
function kernelFor({ hashes, bits }: BloomBits): Kernel | null {
  if (bits.length === 0 && hashes > 0) {
    throw new RangeError('expected a filter with at least one byte of bits, got none')
  }
  const kernel = loadKernel()
  if (kernel === null || hashes > kernel.maxHashes) return null
  return bits.length > 0 && bits.length <= KERNEL_LENGTH_BYTES ? kernel : null
}

function assertItems(items: Uint8Array): void {
  if (items.length % ITEM !== 0) {
    throw new RangeError(`expected items of ${ITEM} bytes each, got ${items.length} bytes`)
  }
}

function assertMessages(block: Uint8Array, messages: Uint8Array, length: number): void {
  if (block.length !== BLOCK) throw new RangeError(`expected a block of ${BLOCK} bytes, got ${block.length}`)
  // 55 bytes leave room for SHA-256's padding in the one block that a message fills.
  if (!Number.isInteger(length) || length < 1 || length > 55 || messages.length % length !== 0) {
    throw new RangeError(`expected messages of 1 to 55 bytes in a row, got ${messages.length} of ${length}`)
  }
}

// Views are made anew for each use: growing the memory detaches the old ones.
function view({ memory }: Kernel, address: number, length: number): Uint8Array {
  return new Uint8Array(memory.buffer, address, length)
}

function inputOf(kernel: Kernel, length: number): Uint8Array {
  return view(kernel, kernel.input, length)
}

function integersOf(kernel: Kernel, count: number): BigInt64Array {
  return new BigInt64Array(kernel.memory.buffer, kernel.input, count)
}

function itemsOf(kernel: Kernel, count: number): Uint8Array {
  return view(kernel, kernel.items, count * ITEM)
}

function positionsOf(kernel: Kernel, count: number): Uint32Array {
  return new Uint32Array(kernel.memory.buffer, kernel.positions, count)
}
