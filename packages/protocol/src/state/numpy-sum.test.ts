import { expect, it } from 'vitest'
import { numpySum } from './numpy-sum.ts'
import { lcg } from './testing/lcg.ts'

// numpy 2.4.6: numpy.sum of the first n numbers of the generator.
const KNOWN: readonly (readonly [number, number])[] = [
  [1, 0.00462335937966903],
  [7, -0.04853594008212289],
  [8, -0.13972571305930614],
  [9, -0.1414678975318869],
  [15, -0.399134580201159],
  [127, 0.6088304220077891],
  [128, 0.6435789565245311],
  [129, 0.5575475255027414],
  [136, 0.4386792996277413],
  [1000, 3.1028514547894392],
  [1025, 2.8469925184423728],
  [5000, 2.8481565533826743],
]

it.each(KNOWN)('sums %i numbers as numpy does', (count, sum) => {
  expect(numpySum(lcg(count, 1))).toBe(sum)
})

it('differs from a plain loop where numpy does', () => {
  const loop = lcg(5000, 1).reduce((sum, value) => sum + value, 0)
  expect(loop).toBe(2.848156553382672)
})

it('sums nothing to 0', () => {
  expect(numpySum(new Float64Array(0))).toBe(0)
})
