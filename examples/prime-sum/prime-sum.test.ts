import { ed25519KeyPair } from 'assay/core/keys'
import { fakedIndices, lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { solveCompat } from 'assay/method/sampling/compat/prover'
import { verifyLazyCompat } from 'assay/method/sampling/compat/verifier'
import { solve } from 'assay/method/sampling/prover'
import { verifyBaseline } from 'assay/method/sampling/verifier-rerun'
import { describe, expect, it } from 'vitest'
import { runExample } from '../run-example.mjs'
import { verify } from '../two-parties.mjs'
import { primeAt, primeSum } from './task.mjs'

const fill = (value: number) => new Uint8Array(32).fill(value)
const key = ed25519KeyPair(fill(1))
const job = { requestId: fill(2), nonce: fill(3) }
const seed = fill(4)
const requestOf = (count: number) => ({
  solverInput: Array.from({ length: count }, (_, i) => i + 1),
  falsePositiveRate: 0.01,
})

it('knows its primes', () => {
  const first = Array.from({ length: 12 }, (_, i) => primeAt(i + 1))
  expect(first).toEqual([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37])
  expect(primeAt(1000)).toBe(7919)
})

it('gives the proof of the published package', async () => {
  const response = await solveCompat(primeSum, requestOf(10))
  expect(response).toEqual({
    solverOutput: 129,
    solverProof: { bloomFilter: 'BgAAAAAAAAATyZobYFxwRk2pnAU=', countItems: 10 },
  })
  const request = { solverRequest: requestOf(10), ...response, verificationRatio: 1 }
  expect(await verifyLazyCompat(primeSum, request, { seed })).toMatchObject({
    isVerified: true,
    countItems: 10,
  })
})

describe('in the hardened profile', () => {
  const request = requestOf(200)
  const ask = { confidence: 0.99, faked: 0.05 }

  it('an honest solver is accepted', async () => {
    const solution = await solve(primeSum, request, { job, key })
    const { response, check } = await verify(primeSum, request, { job, solution, ask, seed })
    expect(response.isVerified).toBe(true)
    expect(check.confidence).toBeGreaterThanOrEqual(0.99)
    const all = { solverRequest: request, ...solution.response, verificationRatio: 1 }
    const baseline = await verifyBaseline(primeSum, all, { job, seed, ...solution })
    expect(baseline.response.isVerified).toBe(true)
  })

  it('a lazy solver is caught at one of the primes that it made up', async () => {
    const faked = fakedIndices(fill(9), { states: 200, faked: 60 })
    const cheat = lazyTask(primeSum, faked, (numbers: readonly number[], i) => BigInt(numbers[i] ?? 0) * 4n)
    const solution = await solve(cheat, request, { job, key })
    const { response } = await verify(primeSum, request, { job, solution, ask, seed })
    expect(response.evidence?.code).toBe('sampling/state-mismatch')
    expect(faked.has(response.evidence?.stateIndex ?? -1)).toBe(true)
  })

  it('an altered sum is caught without a sample', async () => {
    const solution = await solveAdversarially(primeSum, request, {
      job,
      key,
      alter: (sum: number) => sum + 1,
    })
    const { response } = await verify(primeSum, request, { job, solution, ask: { samples: 0 }, seed })
    expect(response.evidence?.code).toBe('sampling/output-derivation')
  })

  it.each([[[0]], [[1.5]], [['1']], [[]], [{ 0: 1 }]])('refuses the input %j', async (solverInput) => {
    const given = { solverInput: solverInput as number[], falsePositiveRate: 0.01 }
    await expect(solve(primeSum, given, { job, key })).rejects.toMatchObject({ name: 'AssayError' })
  })
})

it('runs', async () => {
  const output = await runExample('prime-sum')
  expect(output).toContain('sum 129, published proof BgAAAAAAAAATyZobYFxwRk2pnAU=')
  expect(output).toMatch(/honest solver: accepted .*confidence 99/)
  expect(output).toContain('lazy solver: rejected (sampling/state-mismatch)')
  expect(output).toContain('adversarial solver: rejected (sampling/output-derivation)')
})
