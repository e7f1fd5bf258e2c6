/**
 * bfloat16, the upper half of a float32: 1 bit of sign, 8 of exponent, 7 of mantissa. As bits in 16.
 */
import { AssayError } from '../../core/errors.ts'

/** The least magnitude, as float32 bits, that is infinity or NaN or rounds to infinity. */
const FINITE_END = 0x7f7f_8000
/** Everything but the sign. */
export const MAGNITUDE_MASK = 0x7fff

/**
 * The nearest bfloat16 of each value, ties to the even one, as PyTorch's `.to(bfloat16)`.
 *
 * @throws AssayError `toploc/activations` for NaN, infinity, and what rounds to infinity: a polynomial
 * through such values says nothing, and NaN bits lie beyond the field.
 */
export function toBfloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const rounded = new Uint16Array(values.length)
  let largest = 0
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    const magnitude = word & 0x7fff_ffff
    if (magnitude > largest) largest = magnitude
    rounded[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  if (largest >= FINITE_END) throw notFinite(values, words)
  return rounded
}

function notFinite(values: Float32Array, words: Uint32Array): AssayError {
  const index = words.findIndex((word) => (word & 0x7fff_ffff) >= FINITE_END)
  return new AssayError(
    'toploc/activations',
    `expected activations that are finite in bfloat16, got ${values[index]} at ${index}`,
    { detail: { index } },
  )
}

export function exponentOf(bits: number): number {
  return (bits >>> 7) & 0xff
}

export function mantissaOf(bits: number): number {
  return bits & 0x7f
}
