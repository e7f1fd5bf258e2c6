/**
 * The walk of an item over the filter: a linear congruential generator modulo 2^128 whose middle 64 bits, modulo
 * the length, name the bits to set. Four items walk side by side, so that none waits for its own last step.
 */

/** For each of the four: the state's low and high half as u64, and the address of its next position as u32. */
const STATE: usize = memory.data(64, 16)
const NEXT: usize = memory.data(16, 16)

/** 47026247687942121848144207491837418733, in two halves. */
@inline const MULTIPLIER_LOW: u64 = 0x4385df649fcb5ced
@inline const MULTIPLIER_HIGH: u64 = 0x2360ed051fc65da4
@inline const MASK: u64 = 0xffffffff

/** L, the number of bits of the filter: at most 2^32. */
let length: u64 = 1

export function setLength(bits: u64): void {
  length = bits
}

/** Places item `n` of the four, as two halves, with its positions to go to `to`. */
@inline export function place(n: usize, high: u64, low: u64, to: usize): void {
  store<u64>(STATE + 16 * n, low)
  store<u64>(STATE + 16 * n, high, 8)
  store<u32>(NEXT + 4 * n, <u32>to)
}

/**
 * One step of item `n`: state = state * multiplier + 1, then its position. The product is cut to 128 bits: the
 * low halves in full, by 32-bit parts, the mixed ones modulo 2^64. A plain remainder was faster than Barrett's
 * reduction, which pays for its missing 64 x 64 bit product.
 */
@inline export function walk(n: usize): void {
  const low = load<u64>(STATE + 16 * n), high = load<u64>(STATE + 16 * n, 8)
  const low0 = low & MASK, low1 = low >> 32
  const m0 = MULTIPLIER_LOW & MASK, m1 = MULTIPLIER_LOW >> 32
  const middle = low1 * m0 + ((low0 * m0) >> 32)
  const carry = low0 * m1 + (middle & MASK)
  const nextLow = low * MULTIPLIER_LOW + 1
  const nextHigh =
    low1 * m1 + (middle >> 32) + (carry >> 32) + low * MULTIPLIER_HIGH + high * MULTIPLIER_LOW + u64(nextLow == 0)
  store<u64>(STATE + 16 * n, nextLow)
  store<u64>(STATE + 16 * n, nextHigh, 8)
  const to = load<u32>(NEXT + 4 * n)
  store<u32>(to, <u32>(((nextLow >> 32) | (nextHigh << 32)) % length))
  store<u32>(NEXT + 4 * n, to + 4)
}

/** `steps` steps of all four. */
export function walkAll(steps: i32): void {
  for (; steps > 0; steps--) { walk(0); walk(1); walk(2); walk(3) }
}
