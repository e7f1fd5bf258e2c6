/**
 * Attacks on the hardened profile itself, each found by somebody who tried to break it.
 */
import { describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { arrayState } from '../../state/array.ts'
import { integerState } from '../../state/integer.ts'
import { valueCodec } from '../../state/value.ts'
import { defineTask } from '../../task/define.ts'
import type { OutputRule, Task } from '../../task/task.ts'
import { lazyTask, solveAdversarially } from './cheat.ts'
import { execute, openCheckpoints, respond, solve } from './prover.ts'
import { recheckEvidence } from './recheck.ts'
import {
  bytes32,
  chain,
  challenge,
  check,
  cubeSum,
  cubes,
  job,
  range,
  requestOf,
  solverKey,
  verifierRequestOf,
} from './testing/fixtures.ts'
import { verifyAdversarial, verifyBaseline } from './verifier-rerun.ts'

type Integer = bigint | number
const options = { job, key: solverKey }
const everything = { verificationRatio: 1 }

describe('outputs', () => {
  const total: OutputRule<number[], Integer, { rows: Integer[]; total: Integer }> = {
    ...valueCodec<{ rows: Integer[]; total: Integer }>({ name: 'rows-and-total' }),
    complete: true,
    derive: (states) => ({ rows: [...states], total: states.length }),
    claims: ({ rows }) => rows.entries(),
  }
  const withTotal = defineTask({ ...parts(), name: 'with total', output: total })

  it('are derived again in the part that claims no state', async () => {
    const alter = (output: { rows: Integer[]; total: Integer }) => ({ ...output, total: 999 })
    const solution = await solveAdversarially(withTotal, requestOf(range(30)), { ...options, alter })
    const { response } = await check(withTotal, requestOf(range(30)), { solution, ask: everything })
    expect(response.evidence?.code).toBe('sampling/output-derivation')
  })

  it.each([
    ['twice', [0, 0, 1]],
    ['out of range', [0, 1, 3]],
    ['negative', [-1, 0, 1]],
    ['between states', [0, 0.5, 1]],
  ])('that claim a state %s are refused', async (_what, claimed) => {
    const rule = { ...total, claims: () => claimed.map((index) => [index, 7n] as const) }
    const task: Task<number[], Integer, unknown> = defineTask({
      ...parts(),
      name: 'claims',
      output: rule as typeof total,
    })
    const solution = await solve(task, requestOf(range(3)), options)
    const { response } = await check(task, requestOf(range(3)), { solution, ask: everything })
    expect(response.evidence?.code).toBe('sampling/output-shape')
  })

  it('of a chain must be the state that was committed, not one that collides with its fingerprint', async () => {
    const request = requestOf({ start: 3, steps: 50 })
    const run = await execute(chain, request, { ...options, handOver: false, checkpoints: true })
    const honest = chain.output.derive(run.states, request.solverInput)
    const openings = async (indices: readonly number[]) => openCheckpoints(chain, run, indices)
    for (let guess = 0n; guess < 600n; guess++) {
      const solution = await respond(chain, { run, output: guess }, { key: solverKey, handOver: false })
      const { response } = await check(chain, request, { solution, ask: { samples: 3 }, openings })
      expect(guess !== honest && response.isVerified).toBe(false)
    }
  })
})

function parts() {
  return {
    version: '1',
    shape: 'parallel' as const,
    input: valueCodec<number[]>({ name: 'numbers', schema: z.array(z.int()) }),
    state: integerState(),
    count: (input: number[]) => input.length,
    compute: (input: number[], index: number): Integer => BigInt(input[index] as number) * 3n,
  }
}

describe('proofs', () => {
  it('as Bloom filters are refused where states can be guessed: all guesses fit into the slack of the ones', async () => {
    const coin = defineTask({ ...parts(), name: 'coin', state: integerState({ guessProbability: 0.5 }) })
    await expect(solve(coin, requestOf(range(100)), { ...options, proof: 'bloom' })).rejects.toMatchObject({
      code: 'sampling/proof',
    })
  })

  it('with a rate below what a fingerprint can have are Bloom filters, and are accepted', async () => {
    const request = requestOf(range(50), 1e-10)
    const solution = await solve(cubes, request, { ...options, proof: 'bloom' })
    expect((await check(cubes, request, { solution, ask: everything })).response.isVerified).toBe(true)
  })
})

describe('tolerant chains', () => {
  const drift = (step: number) =>
    defineTask({
      name: 'drift',
      version: '1',
      shape: 'sequential',
      input: valueCodec<number>({ name: 'steps' }),
      state: arrayState({ length: 1, epsilon: 1e-3 }),
      count: (steps: number) => steps,
      step: (previous: Float64Array | undefined) => Float64Array.of((previous?.[0] ?? 0) + step),
    })

  it('are replayed, so that they cannot move by the tolerance at every step', async () => {
    const solution = await solve(drift(9e-4), requestOf(300), options)
    const { response } = await check(drift(0), requestOf(300), { solution, ask: everything })
    expect(response.isVerified).toBe(false)
  })

  it('within the tolerance are accepted by the baseline too', async () => {
    const solution = await solve(drift(1e-9), requestOf(100), options)
    const { response } = await verifyBaseline(drift(0), verifierRequestOf(requestOf(100), solution), {
      job,
      commitment: solution.commitment,
      states: solution.states,
      seed: challenge,
    })
    expect(response.evidence).toBeNull()
  })
})

describe('executors', () => {
  it('that compute nothing check nothing, and are an error', async () => {
    const solution = await solve(cubes, requestOf(range(20)), options)
    const lazy = { run: async function* () {} }
    const run = check(cubes, requestOf(range(20)), { solution, ask: everything, executor: lazy })
    await expect(run).rejects.toMatchObject({ code: 'task/failed' })
  })
})

describe('accusations', () => {
  const request = requestOf(range(40))
  const evidence = { code: 'sampling/state-missing', message: '', stateIndex: 3, expected: null, found: null }

  it('do not hold where what was passed on is not what the solver signed', async () => {
    const solution = await solve(cubeSum, request, options)
    const honest = { job, commitment: solution.commitment, states: solution.states, evidence }
    const swapped = [...(solution.states ?? [])]
    const [a, b] = [swapped[0] as Integer, swapped[1] as Integer]
    swapped[0] = BigInt(a) + 1n
    swapped[1] = BigInt(b) - 1n
    const framed = [
      [request, { ...honest, states: [] }],
      [request, { ...honest, states: swapped }],
      [request, { ...honest, job: { ...job, nonce: bytes32('other') } }],
      [request, { ...honest, commitment: {} as never }],
      [{ ...request, falsePositiveRate: 0.0099 }, honest],
    ] as const
    for (const [asked, parts] of framed) {
      const verdict = await recheckEvidence(cubeSum, verifierRequestOf(asked, solution), parts)
      expect(verdict).toMatchObject({ ok: false, code: 'sampling/evidence' })
    }
    for (const stateIndex of [-1, 1.5, 40]) {
      const accusation = { ...honest, evidence: { ...evidence, stateIndex } }
      expect(await recheckEvidence(cubeSum, verifierRequestOf(request, solution), accusation)).toMatchObject({
        ok: false,
      })
    }
  })
})

describe('hostile states', () => {
  it('that a step cannot be computed from are a rejection', async () => {
    const request = requestOf({ start: 1, steps: 40 })
    const picky = defineTask({
      name: 'picky',
      version: '1',
      shape: 'sequential',
      input: chain.input,
      state: integerState(),
      count: ({ steps }: { start: number; steps: number }) => steps,
      step: (previous: Integer | undefined) => {
        if (previous !== undefined && BigInt(previous) < 0n) throw new RangeError('negative')
        return BigInt(previous ?? 0) + 1n
      },
    })
    const hostile = lazyTask(picky, new Set(range(39)), () => -5n)
    const solution = await solve(hostile, request, options)
    const { response } = await check(picky, request, { solution, ask: everything })
    expect(response.evidence?.code).toMatch(/^sampling\/(step-failed|state-mismatch)$/)
  })

  it.each([null, {}, { states: null }, { states: [null], proof: [] }])(
    'as openings %j are a rejection',
    async (openings) => {
      const request = requestOf({ start: 1, steps: 40 })
      const solution = await solve(chain, request, { ...options, handOver: false, checkpoints: true })
      const { response } = await check(chain, request, {
        solution,
        ask: { samples: 2 },
        openings: async () => openings as never,
      })
      expect(response.evidence?.code).toBe('sampling/opening')
    },
  )
})

describe('chains', () => {
  it('that are read out of turn give the same states', async () => {
    const execution = chain.open({ start: 2, steps: 20 })
    const together = await Promise.all([15, 3, 9, 19, 0].map((index) => execution.stateAt(index)))
    const again = chain.open({ start: 2, steps: 20 })
    for (const [at, index] of [15, 3, 9, 19, 0].entries())
      expect(together[at]).toBe(await again.stateAt(index))
  })

  it('of plain numbers can be opened, since steps see states as they come over a wire', async () => {
    const count = defineTask({
      name: 'count',
      version: '1',
      shape: 'sequential',
      input: chain.input,
      state: integerState(),
      count: ({ steps }: { start: number; steps: number }) => steps,
      step: (previous: Integer | undefined) => Number(previous ?? 0) + 1,
    })
    const request = requestOf({ start: 0, steps: 30 })
    const run = await execute(count, request, { ...options, checkpoints: true })
    const solution = await respond(count, { run, output: 30 }, { key: solverKey, handOver: false })
    const openings = async (indices: readonly number[]) => openCheckpoints(count, run, indices)
    const { response } = await check(count, request, { solution, ask: { samples: 5 }, openings })
    expect(response.isVerified).toBe(true)
  })
})

describe('verifier A', () => {
  const request = requestOf(range(10))

  it('looks claims up even when its turn does not come', async () => {
    const alter = (rows: readonly Integer[]) => rows.map(() => 1n)
    const solution = await solveAdversarially(cubes, request, { ...options, alter })
    const { response } = await verifyAdversarial(cubes, verifierRequestOf(request, solution, 0), {
      job,
      commitment: solution.commitment,
      seed: challenge,
    })
    expect(response.isVerified).toBe(false)
  })

  it('refuses a ratio that is none', async () => {
    const solution = await solve(cubes, request, options)
    const run = verifyAdversarial(cubes, verifierRequestOf(request, solution, Number.NaN), {
      job,
      commitment: solution.commitment,
      seed: challenge,
    })
    await expect(run).rejects.toMatchObject({ code: 'sampling/config' })
  })
})
