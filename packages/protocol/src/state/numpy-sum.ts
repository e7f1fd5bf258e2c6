/**
 * The sum of float64 values as numpy computes it, rounding for rounding.
 *
 * The published hash of a float array truncates its sum, so the last bit of the sum can decide. numpy adds
 * fewer than 8 values in sequence, up to 128 in eight interleaved accumulators, and more by halving
 * (`pairwise_sum` in numpy/_core/src/umath/loops_utils.h.src). A plain loop differs for most arrays.
 * This is the rule for one contiguous array of doubles; float32 arrays sum in float32, which is not done here.
 */

const BLOCK = 128
const LANES = 8

/** The pairwise sum; 0 for no values. */
export function numpySum(values: Float64Array): number {
  return pairwise(values, 0, values.length)
}

function pairwise(values: Float64Array, start: number, length: number): number {
  if (length > BLOCK) {
    const half = Math.floor(length / 2)
    const left = half - (half % LANES)
    return pairwise(values, start, left) + pairwise(values, start + left, length - left)
  }
  if (length < LANES) return sequential(values, { from: start, to: start + length, sum: 0 })
  return interleaved(values, start, length)
}

function interleaved(values: Float64Array, start: number, length: number): number {
  const lane = values.slice(start, start + LANES)
  const whole = start + length - (length % LANES)
  for (let i = start + LANES; i < whole; i += LANES) {
    for (let j = 0; j < LANES; j++) lane[j]! += values[i + j]!
  }
  const sum = lane[0]! + lane[1]! + (lane[2]! + lane[3]!) + (lane[4]! + lane[5]! + (lane[6]! + lane[7]!))
  return sequential(values, { from: whole, to: start + length, sum })
}

function sequential(
  values: Float64Array,
  { from, to, sum }: { readonly from: number; readonly to: number; readonly sum: number },
): number {
  let total = sum
  for (let i = from; i < to; i++) total += values[i]!
  return total
}
