/**
 * Where everything lies in the kernel's memory. The host writes INPUT or ITEMS, calls, and reads ITEMS,
 * POSITIONS or HITS; BITS is the start of a region that the host grows to hold a filter.
 */

/** Items handled in one call; a multiple of 4, since hashing goes four at a time. */
export const CHUNK: i32 = 1024
/** Largest k: bounds POSITIONS. Larger ones stay with the TypeScript twin. */
export const MAX_HASHES: i32 = 64

/**
 * Integers as eight bytes each, or the prefix block of 64 bytes, or messages in a row: of at most 55 bytes, so that
 * the padding of SHA-256 (0x80 and 8 bytes of length) fits behind them, and 64 bytes can be read at each.
 */
export const INPUT: usize = memory.data(64 * 1024, 16)
/** Items of 16 bytes. */
export const ITEMS: usize = memory.data(16 * 1024, 16)
/** For item i and step j, the index of its bit as u32 at POSITIONS + 4 * (i * k + j). */
export const POSITIONS: usize = memory.data(4 * 64 * 1024, 16)
/** One byte for each item: 1 when all its bits are set. */
export const HITS: usize = memory.data(1024, 16)
/** Bytes of PADDED: 64 chunks of 4,096 bytes with a prefix byte, padded to whole blocks. */
export const PADDED_BYTES: i32 = 64 * 4160
/** Long messages, each padded to whole blocks by the host. */
export const PADDED: usize = memory.data(64 * 4160, 16)
/** The filter's bits, from here to the end of memory. */
export const BITS: usize = __heap_base
