/** PrimeSum, the driving example of the SPEX paper (section 4.1): primes by their number, and their sum. */
import { integerState } from 'assay/state/integer'
import { valueCodec } from 'assay/state/value'
import { defineTask } from 'assay/task/define'
import { derivedFrom } from 'assay/task/output'
import * as z from 'zod/mini'

/** The 200,000th prime takes a second by trial division; nobody should be made to wait for more. */
const MAX_INDEX = 200_000
const MAX_INDICES = 10_000

const indices = z.array(z.int().check(z.minimum(1), z.maximum(MAX_INDEX))).check(z.maxLength(MAX_INDICES))

export const primeSum = defineTask({
  name: 'prime-sum',
  version: '1',
  shape: 'parallel',
  input: valueCodec({ name: 'prime-sum/indices', schema: indices }),
  state: integerState(),
  count: (indices) => indices.length,
  compute: (indices, i) => BigInt(primeAt(indices[i])),
  output: derivedFrom(valueCodec({ name: 'prime-sum/sum', schema: z.int() }), (primes) =>
    primes.reduce((sum, prime) => sum + Number(prime), 0),
  ),
})

/** The prime with this number, counted from 1: 2, 3, 5, 7 … */
export function primeAt(number) {
  if (number === 1) return 2
  let candidate = 1
  for (let found = 1; found < number; ) {
    candidate += 2
    if (isOddPrime(candidate)) found += 1
  }
  return candidate
}

function isOddPrime(candidate) {
  for (let divisor = 3; divisor * divisor <= candidate; divisor += 2) {
    if (candidate % divisor === 0) return false
  }
  return true
}
