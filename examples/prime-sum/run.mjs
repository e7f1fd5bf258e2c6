/** Buys a sum of primes from three solvers, and checks each. Run: node examples/prime-sum/run.mjs */
import { generateKey } from 'assay/core/keys'
import { fakedIndices, lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { solveCompat } from 'assay/method/sampling/compat/prover'
import { verifyLazyCompat } from 'assay/method/sampling/compat/verifier'
import { solve } from 'assay/method/sampling/prover'
import { describe, newJob, random32, verify } from '../two-parties.mjs'
import { primeSum } from './task.mjs'

const firstNumbers = (count) => Array.from({ length: count }, (_, i) => i + 1)

console.log('The first 10 primes, as in the paper:')
const ten = { solverInput: firstNumbers(10), falsePositiveRate: 0.01 }
const published = await solveCompat(primeSum, ten)
console.log(`  sum ${published.solverOutput}, published proof ${published.solverProof.bloomFilter}`)
const publishedCheck = await verifyLazyCompat(
  primeSum,
  { solverRequest: ten, ...published, verificationRatio: 0.5 },
  { seed: random32() },
)
console.log(`  published verifier: ${publishedCheck.isVerified ? 'accepted' : 'rejected'}`)

console.log('The first 400 primes, in the hardened profile, 99 % sure of catching 5 % of made-up primes:')
const request = { solverInput: firstNumbers(400), falsePositiveRate: 0.01 }
const ask = { confidence: 0.99, faked: 0.05 }
const key = await generateKey()

const job = newJob()
const honest = await solve(primeSum, request, { job, key })
const accepted = await verify(primeSum, request, { job, solution: honest, ask })
console.log(`  ${describe('honest solver', accepted)}, sum ${honest.response.solverOutput}`)

// A third of its primes are odd squares: quick to make, about the right size, and never prime.
const faked = fakedIndices(random32(), { states: 400, faked: 133 })
const guessing = lazyTask(primeSum, faked, (numbers, i) => BigInt(2 * numbers[i] + 1) ** 2n)
const lazyJob = newJob()
const lazy = await solve(guessing, request, { job: lazyJob, key })
const caughtLazy = await verify(primeSum, request, { job: lazyJob, solution: lazy, ask })
console.log(`  ${describe('lazy solver', caughtLazy)}`)

const otherJob = newJob()
const altered = await solveAdversarially(primeSum, request, { job: otherJob, key, alter: (sum) => sum + 1 })
const caughtAltered = await verify(primeSum, request, { job: otherJob, solution: altered, ask })
console.log(`  ${describe('adversarial solver', caughtAltered)}`)
