/**
 * Numbers for simulations: sfc32 (Doty-Humphrey, PractRand), fast and repeatable, and nothing to draw secrets with.
 */

export interface Random {
  /** 0 <= x < 1, in steps of 2^-32. */
  uniform(): number
  /** 0 … bound - 1; bound up to 2^32, with a bias below bound/2^32. */
  below(bound: number): number
}

export function simulationRandom(seed: number): Random {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = 0xb7e15162
  let counter = seed >>> 0
  const next = () => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    return sum >>> 0
  }
  // The seed has to reach every bit of the state first.
  for (let i = 0; i < 16; i++) next()
  return {
    uniform: () => next() / 2 ** 32,
    below: (bound) => Math.floor((next() / 2 ** 32) * bound),
  }
}
