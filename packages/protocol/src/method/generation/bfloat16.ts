/**
 * bfloat16, the upper half of a float32: 1 bit of sign, 8 of exponent, 7 of mantissa. As bits in 16.
 */
import { AssayError } from '../../core/errors.ts'

const EXPONENT_MASK = 0x7f80
/** Everything but the sign. */
export const MAGNITUDE_MASK = 0x7fff

/**
 * The nearest bfloat16 of each value, ties to the even one, as PyTorch's `.to(bfloat16)`.
 *
 * @throws AssayError `toploc/activations` for NaN, infinity, and what rounds to infinity: a polynomial
 * through such values says nothing, and NaN bits lie beyond the field.
 */
export function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const rounded = new Uint16Array(values.length)
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!
    const half = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
    // A NaN with a full mantissa carries into the sign: its own exponent gives it away.
    if ((half & EXPONENT_MASK) === EXPONENT_MASK || ((word >>> 23) & 0xff) === 0xff) {
      throw new AssayError(
        'toploc/activations',
        `expected activations that are finite in bfloat16, got ${values[i]} at ${i}`,
        { detail: { index: i } },
      )
    }
    rounded[i] = half
  }
  return rounded
}

export function exponentOf(bits: number): number {
  return (bits >>> 7) & 0xff
}

export function mantissaOf(bits: number): number {
  return bits & 0x7f
}
