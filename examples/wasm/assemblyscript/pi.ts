// Monte Carlo: a record is a seed of eight bytes and a number of points of four, least significant first. The output
// is how many of the points lie in the quarter circle, as four bytes; after each 65,536 points, what was counted so
// far is emitted.
//
// Integers only: the points have coordinates of 31 bits, and the generator is xorshift64*. A float would do as well
// here, since none of it becomes NaN, but integers need no argument.

@external('assay', 'emit')
declare function emit(place: usize, length: u32): void

export function alloc(length: u32): usize {
  return heap.alloc(length)
}

export function run(place: usize, length: u32): u64 {
  if (length != 12) unreachable()
  let state = load<u64>(place) | 1
  const points = load<u32>(place, 8)
  const output = heap.alloc(4)
  let inside: u32 = 0
  for (let i: u32 = 0; i < points; i++) {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    const random = state * 0x2545f4914f6cdd1d
    const x = random >> 33
    const y = random & 0x7fffffff
    if (x * x + y * y < 1 << 62) inside++
    if ((i & 0xffff) == 0xffff) {
      store<u32>(output, inside)
      emit(output, 4)
    }
  }
  store<u32>(output, inside)
  return ((output as u64) << 32) | 4
}
