/**
 * IEEE 754 half precision (binary16) as bits. Tensors of float16 hold these bits in a Uint16Array, because
 * engines that run this library do not all have Float16Array.
 */

const SCRATCH = new DataView(new ArrayBuffer(8))
/** Exponent of all ones: infinities and NaN. */
export const HALF_EXPONENT = 0x7c00

/** The half nearest to `value`, ties to even; overflow gives an infinity, NaN the quiet NaN 0x7e00. */
export function toHalfBits(value: number): number {
  SCRATCH.setFloat64(0, value)
  const high = SCRATCH.getUint32(0)
  const sign = (high >>> 16) & 0x8000
  const magnitude = Math.abs(value)
  if (Number.isNaN(value)) return sign | HALF_EXPONENT | 0x200
  if (magnitude >= 65520) return sign | HALF_EXPONENT
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24)
  const exponent = ((high >>> 20) & 0x7ff) - 1023
  const significand = roundHalfEven((magnitude / 2 ** exponent) * 1024)
  return sign | (((exponent + 15) << 10) + significand - 1024)
}

export function fromHalfBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** `value` is below 2^12, so that its distance to the integers is exact. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return rest > 0.5 ? floor + 1 : floor
  return floor % 2 === 0 ? floor : floor + 1
}
