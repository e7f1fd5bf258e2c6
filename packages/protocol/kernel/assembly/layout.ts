/**
 * Where everything lies in the kernel's memory. The host writes INPUT or ITEMS, calls, and reads ITEMS,
 * POSITIONS or HITS; BITS is the start of a region that the host grows to hold a filter.
 */

/** Items handled in one call; a multiple of 4, since hashing goes four at a time. */
export const CHUNK: i32 = 1024
/** Largest k: bounds POSITIONS. Larger ones stay with the TypeScript twin. */
export const MAX_HASHES: i32 = 64
/** Longest message: with the padding's 0x80 byte and the 8 bytes of length it still fits into one block. */
export const MAX_MESSAGE: i32 = 55

/** Integers as eight bytes each, or messages in a row, or the prefix block of 64 bytes. */
export const INPUT: usize = memory.data(64 * 1024, 16)
/** Items of 16 bytes. */
export const ITEMS: usize = memory.data(16 * 1024, 16)
/** For item i and step j, the index of its bit as u32 at POSITIONS + 4 * (i * k + j). */
export const POSITIONS: usize = memory.data(4 * 64 * 1024, 16)
/** One byte for each item: 1 when all its bits are set. */
export const HITS: usize = memory.data(1024, 16)
/** The filter's bits, from here to the end of memory. */
export const BITS: usize = __heap_base
