/** For tests: numbers that a line of Python makes as well, with full mantissas. */

/** x <- (1103515245 x + 12345) mod 2^31 from `seed`; the numbers are (x / 2^31 - 0.5) / 3. */
export function lcg(count: number, seed: number): Float64Array {
  let x = BigInt(seed)
  return Float64Array.from({ length: count }, () => {
    x = (x * 1103515245n + 12345n) % 2n ** 31n
    return (Number(x) / 2 ** 31 - 0.5) / 3
  })
}
