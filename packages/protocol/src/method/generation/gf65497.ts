/**
 * Polynomials over the field of 65,497 elements, the largest prime below 2^16 that no finite bfloat16
 * reaches (65,497 is 0xFFD9, a NaN).
 *
 * Products stay below 2^32 and sums of a few of them below 2^37, so that doubles hold them exactly, and the floor
 * of their quotient by the prime is right: a rounded quotient cannot cross an integer that it is 1/65,497 away from.
 */

export const PRIME = 65_497

function times(a: number, b: number): number {
  const product = a * b
  return product - PRIME * Math.floor(product / PRIME)
}

let inverseTable: Uint16Array | undefined

/** Inverses of 1 … 65,496, by the recurrence that 65,497 = q·i + r gives: 128 KiB, made once. */
function inverses(): Uint16Array {
  if (inverseTable === undefined) {
    inverseTable = new Uint16Array(PRIME)
    inverseTable[1] = 1
    for (let i = 2; i < PRIME; i++) {
      inverseTable[i] = PRIME - times(Math.floor(PRIME / i), inverseTable[PRIME % i]!)
    }
  }
  return inverseTable
}

/**
 * The one polynomial of degree below `xs.length` through all points, by Newton's divided differences.
 * `xs` are distinct, all values lie in 0 … 65,496. Coefficients ascend: the constant comes first.
 */
export function interpolate(xs: ArrayLike<number>, ys: ArrayLike<number>): Uint16Array {
  const inverse = inverses()
  const size = xs.length
  const differences = Float64Array.from(ys)
  for (let order = 1; order < size; order++) {
    for (let i = size - 1; i >= order; i--) {
      const rise = differences[i]! - differences[i - 1]!
      const run = xs[i]! - xs[i - order]!
      differences[i] = times(rise < 0 ? rise + PRIME : rise, inverse[run < 0 ? run + PRIME : run]!)
    }
  }
  const coefficients = new Float64Array(size)
  for (let i = size - 1; i >= 0; i--) {
    const root = xs[i]!
    for (let power = size - 1 - i; power > 0; power--) {
      const term = coefficients[power - 1]! - times(root, coefficients[power]!)
      coefficients[power] = term < 0 ? term + PRIME : term
    }
    const constant = differences[i]! - times(root, coefficients[0]!)
    coefficients[0] = constant < 0 ? constant + PRIME : constant
  }
  return Uint16Array.from(coefficients)
}

/** Powers at hand in an evaluation, and where they stand: one evaluation is over before the next begins. */
const STEP = 16
const powers = new Float64Array(STEP + 1)

/**
 * Value of the polynomial at `x`, both in 0 … 65,496. By blocks of 16 coefficients: within a block products are
 * summed as they are (16 of them stay far below 2^53), so that only powers and blocks are reduced.
 */
export function evaluate(coefficients: ArrayLike<number>, x: number): number {
  powers[0] = 1
  for (let i = 1; i <= STEP; i++) powers[i] = times(powers[i - 1]!, x)
  const stride = powers[STEP]!
  let value = 0
  for (let from = STEP * Math.floor((coefficients.length - 1) / STEP); from >= 0; from -= STEP) {
    const end = Math.min(STEP, coefficients.length - from)
    let sum = value * stride
    for (let i = 0; i < end; i++) sum += coefficients[from + i]! * powers[i]!
    value = sum - PRIME * Math.floor(sum / PRIME)
  }
  return value
}
