/**
 * The calls of the kernel. `src/core/kernel-twin.ts` defines what each must compute; `src/core/kernel.ts` is the
 * host. Every count is at most CHUNK; where it is not a multiple of four, the lanes behind it hold leftovers
 * that nobody reads.
 */
import { BITS, HITS, INPUT, ITEMS, PADDED, POSITIONS } from './layout'
import {
  compress, initialise, IV, MIDSTATE, padBlock, padInteger, padMessages, scheduleIntegers, scheduleMessages,
  storeDigests, storeItems, SUM,
} from './sha256'
import { place, setLength, walkAll } from './walk'

export { BITS, CHUNK, HITS, INPUT, ITEMS, MAX_HASHES, PADDED, PADDED_BYTES, POSITIONS } from './layout'

/** k of the filter in hand. */
let hashes: i32 = 0

initialise()

/** Says which filter the walks are for: k, and its length in bits. */
export function useFilter(k: i32, length: u64): void {
  hashes = k
  setLength(length)
}

/** INPUT: integers. ITEMS: SHA-256 of each, cut. */
export function hashIntegers(count: i32): void {
  padInteger()
  for (let i: usize = 0; i < <usize>count; i += 4) {
    scheduleIntegers(INPUT + 8 * i)
    compress(IV, 32, 0)
    storeItems(ITEMS + 16 * i)
  }
}

/** INPUT: one block of 64 bytes, that opens every message of the coming `hashMessages`. */
export function absorbBlock(): void {
  padBlock()
  scheduleMessages(INPUT, 0)
  compress(IV, 16, 0)
  memory.copy(MIDSTATE, SUM, 128)
}

/** INPUT: messages of `size` <= 55 bytes in a row. ITEMS: SHA-256 of block ‖ message, cut. */
export function hashMessages(count: i32, size: i32): void {
  const stride = <usize>size
  padMessages(size, 64 + size)
  for (let i: usize = 0; i < <usize>count; i += 4) {
    scheduleMessages(INPUT + i * stride, stride)
    compress(MIDSTATE, 16, 0)
    storeItems(ITEMS + 16 * i)
  }
}

/**
 * PADDED: messages in a row, each padded to `blocks` blocks of 64 bytes. ITEMS: SHA-256 of each, whole, so that half
 * as many fit as of items.
 */
export function hashPadded(count: i32, blocks: i32): void {
  const stride = 64 * <usize>blocks
  padBlock()
  for (let i: usize = 0; i < <usize>count; i += 4) {
    let state = IV
    for (let p = PADDED + i * stride, end = p + stride; p < end; p += 64) {
      scheduleMessages(p, stride)
      compress(state, 16, 0)
      state = SUM
    }
    storeDigests(ITEMS + 32 * i)
  }
}

/** INPUT: integers. POSITIONS: the walk of each one's hash, four walks during the hashing of the next four. */
export function walkIntegers(count: i32): void {
  padInteger()
  let steps: i32 = 0
  for (let i: usize = 0; i < <usize>count; i += 4) {
    scheduleIntegers(INPUT + 8 * i)
    compress(IV, 32, steps)
    steps = hashes
    for (let n: usize = 0; n < 4; n++) {
      const lane = SUM + 4 * n
      const high = (<u64>load<u32>(lane) << 32) | load<u32>(lane, 16)
      const low = (<u64>load<u32>(lane, 32) << 32) | load<u32>(lane, 48)
      place(n, high, low, positionsOf(i + n))
    }
  }
  walkAll(steps)
}

/** ITEMS: items. POSITIONS: the walk of each. */
export function walkItems(count: i32): void {
  for (let i: usize = 0; i < <usize>count; i += 4) {
    for (let n: usize = 0; n < 4; n++) {
      const item = ITEMS + 16 * (i + n)
      place(n, bswap<u64>(load<u64>(item)), bswap<u64>(load<u64>(item, 8)), positionsOf(i + n))
    }
    walkAll(hashes)
  }
}

/** Sets in BITS what POSITIONS names. Whole words: a byte is stored and loaded again more slowly. */
export function setBits(count: i32): void {
  const end = positionsOf(<usize>count)
  for (let p = POSITIONS; p < end; p += 4) {
    const position = load<u32>(p)
    const at = BITS + ((position >> 5) << 2)
    store<u32>(at, load<u32>(at) | (<u32>1 << (position & 31)))
  }
}

/** HITS: for each item 1 when BITS has all that POSITIONS names, else 0. */
export function testBits(count: i32): void {
  let p = POSITIONS
  for (let i: usize = 0; i < <usize>count; i++) {
    let hit: u32 = 1
    for (const end = p + 4 * <usize>hashes; p < end; p += 4) {
      const position = load<u32>(p)
      hit &= <u32>load<u8>(BITS + (position >> 3)) >> (position & 7)
    }
    store<u8>(HITS + i, <u8>hit)
  }
}

@inline function positionsOf(item: usize): usize {
  return POSITIONS + 4 * item * <usize>hashes
}
