import { describe, expect, it } from 'vitest'
import { arrayState } from '../../state/array.ts'
import { valueCodec } from '../../state/value.ts'
import { defineTask } from '../../task/define.ts'
import { fakedIndices, lazyTask, solveAdversarially } from './cheat.ts'
import { parseEvidence } from './evidence.ts'
import { PROOF_KINDS } from './proof.ts'
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

const request = requestOf(range(500))
const ask = { confidence: 0.99, faked: 0.05 }
const faked = fakedIndices(bytes32('faked'), { states: 500, faked: 25 })
const makeUp = (_input: unknown, index: number) => BigInt(-1 - index)

describe.each(PROOF_KINDS)('a %s proof', (proof) => {
  const options = { job, key: solverKey, proof }

  it('of an honest run is accepted, with no evidence and the confidence asked for', async () => {
    const solution = await solve(cubes, request, options)
    const { response, check: record } = await check(cubes, request, { solution, ask })
    expect(response).toEqual({ isVerified: true, countItems: record.samples, evidence: null })
    expect(record.outputBinding).toBe('claimed')
    expect(record.confidence).toBeGreaterThanOrEqual(0.99)
    expect(record.indices).toHaveLength(record.samples)
    expect(record.samples).toBeLessThan(100)
  })

  it('of a lazy run is rejected, and the evidence holds for a third party', async () => {
    const solution = await solve(lazyTask(cubes, faked, makeUp), request, options)
    const { response } = await check(cubes, request, { solution, ask })
    expect(response.isVerified).toBe(false)
    const evidence = parseEvidence(JSON.parse(JSON.stringify(response.evidence)))
    expect(evidence.code).toBe('sampling/state-mismatch')
    expect(faked.has(evidence.stateIndex as number)).toBe(true)
    const parts = { job, commitment: solution.commitment, states: solution.states }
    const again = await recheckEvidence(cubes, verifierRequestOf(request, solution), { ...parts, evidence })
    expect(again.ok).toBe(true)
  })

  it('of a lazy run that hands nothing over is rejected by the proof alone', async () => {
    const solution = await solve(lazyTask(cubeSum, faked, makeUp), request, { ...options, handOver: false })
    const refused = await check(cubeSum, request, { solution, ask })
    expect(refused.response.evidence?.code).toBe('sampling/output-unbound')
    const { response, check: record } = await check(cubeSum, request, { solution, ask, allowUnbound: true })
    expect(response.evidence?.code).toBe('sampling/state-missing')
    expect(record.outputBinding).toBe('unbound')
    expect(record.falsePositiveRate).toBeGreaterThan(0.005)
  })

  it('does not save an output that was altered afterwards', async () => {
    const alter = (rows: readonly (bigint | number)[]) => rows.map((row, i) => (i === 77 ? -1n : row))
    const solution = await solveAdversarially(cubes, request, { ...options, alter })
    const { response } = await check(cubes, request, { solution, ask: { samples: 1 } })
    expect(response.evidence).toMatchObject({ code: 'sampling/output-row', stateIndex: 77 })
  })

  it('does not save an altered sum over states that were handed over', async () => {
    const solution = await solveAdversarially(cubeSum, request, { ...options, alter: (sum) => sum + 1n })
    const { response } = await check(cubeSum, request, { solution, ask: { samples: 0 } })
    expect(response.evidence?.code).toBe('sampling/output-derivation')
    const honest = await solve(cubeSum, request, options)
    expect((await check(cubeSum, request, { solution: honest, ask })).response.isVerified).toBe(true)
  })

  it('has the same bytes for the same job, and others for another nonce', async () => {
    const first = await solve(cubes, request, options)
    const second = await solve(cubes, request, options)
    const third = await solve(cubes, request, { ...options, job: { ...job, nonce: bytes32('other') } })
    expect(second.response.solverProof).toEqual(first.response.solverProof)
    expect(third.response.solverProof).not.toEqual(first.response.solverProof)
  })
})

describe('an accusation', () => {
  it('that is false does not hold', async () => {
    const solution = await solve(cubes, request, { job, key: solverKey })
    const parts = { job, commitment: solution.commitment, states: null }
    for (const stateIndex of [0, 499, 500, null]) {
      const evidence = {
        code: 'sampling/state-missing',
        message: '',
        stateIndex,
        expected: null,
        found: null,
      }
      const verdict = await recheckEvidence(cubes, verifierRequestOf(request, solution), {
        ...parts,
        evidence,
      })
      expect(verdict).toMatchObject({ ok: false, code: 'sampling/evidence' })
    }
  })
})

describe('verifier A and the baseline', () => {
  const options = (solution: Awaited<ReturnType<typeof solve>>) => ({
    job,
    commitment: solution.commitment,
    seed: challenge,
  })

  it('re-execute everything and compare', async () => {
    const honest = await solve(cubeSum, request, { job, key: solverKey, handOver: false })
    const accepted = await verifyBaseline(
      cubeSum,
      verifierRequestOf(request, honest),
      options(honest as never) as never,
    )
    expect(accepted.response).toEqual({ isVerified: true, countItems: 500, evidence: null })
    const altered = await solveAdversarially(cubeSum, request, {
      job,
      key: solverKey,
      handOver: false,
      alter: (sum) => sum - 1n,
    })
    const rejected = await verifyBaseline(
      cubeSum,
      verifierRequestOf(request, altered),
      options(altered as never) as never,
    )
    expect(rejected.response.evidence?.code).toBe('sampling/output-mismatch')
  })

  it('A takes its turn about as often as its ratio says, decided by the seed', async () => {
    const small = requestOf(range(3))
    const solution = await solve(cubeSum, small, { job, key: solverKey, handOver: false })
    let turns = 0
    for (let i = 0; i < 200; i++) {
      const { response } = await verifyAdversarial(cubeSum, verifierRequestOf(small, solution, 0.3), {
        job,
        commitment: solution.commitment,
        seed: bytes32(`turn ${i}`),
      })
      expect(response.isVerified).toBe(true)
      if (response.countItems === 3) turns += 1
    }
    expect(turns).toBeGreaterThan(35)
    expect(turns).toBeLessThan(90)
  })
})

describe('sequential tasks', () => {
  const input = { start: 5, steps: 400 }
  const chainRequest = requestOf(input)
  const options = { job, key: solverKey, handOver: false, checkpoints: true }

  it('are replayed where nothing is opened', async () => {
    const solution = await solve(chain, chainRequest, options)
    const { response } = await check(chain, chainRequest, { solution, ask })
    expect(response.isVerified).toBe(true)
  })

  it('are checked step by step against opened checkpoints', async () => {
    const run = await execute(chain, chainRequest, options)
    const solution = await respond(chain, { run, output: chain.output.derive(run.states, input) }, options)
    let opened = 0
    const openings = async (indices: readonly number[]) => {
      opened = indices.length
      return openCheckpoints(chain, run, indices)
    }
    const { response } = await check(chain, chainRequest, { solution, ask: { samples: 10 }, openings })
    expect(response).toMatchObject({ isVerified: true, countItems: 10 })
    // Two a sample, and the last state, which the output claims.
    expect(opened).toBeLessThanOrEqual(21)
  })

  it('are rejected where a step does not follow, a checkpoint is false, or the solver falls silent', async () => {
    const jump = { ...chain, open: lazyTask(chain, new Set([200]), () => 42n).open }
    const lazy = await execute(jump, chainRequest, options)
    const solution = await respond(
      chain,
      { run: lazy, output: chain.output.derive(lazy.states, input) },
      options,
    )
    const openings = async (indices: readonly number[]) => openCheckpoints(chain, lazy, indices)
    const wrong = await check(chain, chainRequest, { solution, ask: { verificationRatio: 1 }, openings })
    expect(wrong.response.evidence).toMatchObject({ code: 'sampling/state-mismatch' })
    const honest = await execute(chain, chainRequest, options)
    const forged = async (indices: readonly number[]) => openCheckpoints(chain, honest, indices)
    const false_ = await check(chain, chainRequest, { solution, ask: { samples: 5 }, openings: forged })
    expect(false_.response.evidence?.code).toBe('sampling/opening')
    const silent = await check(chain, chainRequest, {
      solution,
      ask: { samples: 5 },
      openings: () => Promise.reject(new Error('gone')),
    })
    expect(silent.response.evidence?.code).toBe('sampling/opening')
  })

  it('are checked step by step against states that were handed over', async () => {
    const solution = await solve(chain, chainRequest, { job, key: solverKey })
    let steps = 0
    const counted = {
      ...chain,
      step: (...args: Parameters<NonNullable<typeof chain.step>>) => {
        steps += 1
        return (chain.step as NonNullable<typeof chain.step>)(...args)
      },
    }
    const { response } = await check(counted, chainRequest, { solution, ask: { samples: 20 } })
    expect(response.isVerified).toBe(true)
    expect(steps).toBe(20)
  })
})

describe('tolerant states', () => {
  const noisy = (noise: number) =>
    defineTask({
      name: 'sines',
      version: '1',
      shape: 'parallel',
      input: valueCodec<number>({ name: 'count' }),
      state: arrayState({ length: 4, epsilon: 1e-6 }),
      count: (count: number) => count,
      compute: (_count: number, index: number) =>
        Float64Array.from([1, 2, 3, 4], (j) => Math.sin(index * j) + noise * Math.cos(index + j)),
    })

  it('pass within the tolerance and fail beyond it', async () => {
    const near = requestOf(60, 1e-6)
    const solution = await solve(noisy(9e-7), near, { job, key: solverKey })
    expect((await check(noisy(0), near, { solution, ask: { samples: 60 } })).response.isVerified).toBe(true)
    const far = await solve(noisy(1e-4), near, { job, key: solverKey })
    expect((await check(noisy(0), near, { solution: far, ask: { samples: 60 } })).response.isVerified).toBe(
      false,
    )
  })
})

describe('cancellation and progress', () => {
  it('reports states done, and stops when told', async () => {
    const seen: number[] = []
    await solve(cubes, request, { job, key: solverKey, onProgress: ({ done }) => seen.push(done) })
    expect(seen.at(-1)).toBe(500)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(seen.length).toBeGreaterThan(1)
    const stop = new AbortController()
    const run = solve(cubes, request, {
      job,
      key: solverKey,
      signal: stop.signal,
      onProgress: () => stop.abort(),
    })
    await expect(run).rejects.toMatchObject({ code: 'task/cancelled' })
  })

  it('names the state at which the code of a task failed', async () => {
    const failing = lazyTask(cubes, new Set([7]), () => {
      throw new Error('disk full')
    })
    await expect(solve(failing, request, { job, key: solverKey })).rejects.toMatchObject({
      code: 'task/failed',
      detail: { stateIndex: 7 },
    })
  })
})
