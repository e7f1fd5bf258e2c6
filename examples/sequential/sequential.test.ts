import { ed25519KeyPair } from 'assay/core/keys'
import { lazyTask } from 'assay/method/sampling/cheat'
import { execute, openCheckpoints, respond } from 'assay/method/sampling/prover'
import type { AnyTask } from 'assay/task/task'
import { describe, expect, it } from 'vitest'
import { runExample } from '../run-example.mjs'
import { verify } from '../two-parties.mjs'
import { sampleRows, training, weights } from './task.mjs'

const fill = (value: number) => new Uint8Array(32).fill(value)
const key = ed25519KeyPair(fill(1))
const job = { requestId: fill(2), nonce: fill(3) }
const seed = fill(4)
const STEPS = 400
const request = { solverInput: { rows: sampleRows(50), steps: STEPS, rate: 0.1 }, falsePositiveRate: 0.01 }
const ask = { samples: 20 }

async function solved(task: AnyTask = training) {
  const run = await execute(task, request, { job, key, checkpoints: true })
  const solution = await respond(task, { run, output: run.states.at(-1) }, { key, handOver: false })
  const openings = async (indices: readonly number[]) => openCheckpoints(task, run, indices)
  return { run, solution, openings }
}

it('learns the plane behind the points', async () => {
  const { solution } = await solved()
  const learned = Array.from(solution.response.solverOutput.data as Float64Array)
  for (const [i, expected] of [3, -2, 1].entries()) expect(learned[i]).toBeCloseTo(expected, 1)
})

describe('verification', () => {
  it('by step: accepts, from two states for each sample and the last one at most', async () => {
    const { solution, openings } = await solved()
    let asked = 0
    const counting = (indices: readonly number[]) => {
      asked = indices.length
      return openings(indices)
    }
    const { response } = await verify(training, request, { job, solution, ask, openings: counting, seed })
    expect(response).toEqual({ isVerified: true, countItems: 20, evidence: null })
    expect(asked).toBeGreaterThan(20)
    expect(asked).toBeLessThanOrEqual(41)
    expect(solution.states).toBeNull()
  })

  it('by replay: accepts', async () => {
    const { solution } = await solved()
    const { response } = await verify(training, request, { job, solution, ask, seed })
    expect(response.isVerified).toBe(true)
  })

  it('catches a solver that stops early', async () => {
    const { run } = await solved()
    const rest = new Set(Array.from({ length: 150 }, (_, i) => 250 + i))
    const { solution, openings } = await solved(lazyTask(training, rest, () => run.states[249]))
    for (const how of [{ openings }, {}]) {
      const { response } = await verify(training, request, { job, solution, ask, seed, ...how })
      expect(response.isVerified).toBe(false)
      expect(rest.has(response.evidence?.stateIndex ?? -1)).toBe(true)
    }
  })

  it('by step: misses a single jump, which a replay catches', async () => {
    const start = weights([3, -2, 1])
    const jump: AnyTask = {
      ...training,
      open: (input) => {
        const states = [start]
        for (let i = 1; i < STEPS; i++) states.push(training.step?.(states[i - 1], input, i) as typeof start)
        return { states: STEPS, stateAt: (i: number) => states[i] }
      },
    }
    const { solution, openings } = await solved(jump)
    const byStep = await verify(training, request, { job, solution, ask, openings, seed })
    expect(byStep.check.indices).not.toContain(0)
    expect(byStep.response.isVerified).toBe(true)
    const byReplay = await verify(training, request, { job, solution, ask, seed })
    expect(byReplay.response.evidence?.code).toMatch(/^sampling\/state-/)
  })

  it('refuses openings of other states than those of the root', async () => {
    const { run, solution } = await solved()
    const states = run.states.map((state) => weights(Array.from(state.data as Float64Array, (x) => x + 1)))
    const openings = async (indices: readonly number[]) => openCheckpoints(training, { states }, indices)
    const { response } = await verify(training, request, { job, solution, ask, openings, seed })
    expect(response.evidence?.code).toBe('sampling/opening')
  })
})

it('runs', async () => {
  const output = await runExample('sequential')
  expect(output).toMatch(/honest solver, checked by step: accepted after recomputing \d+ of 2000/)
  expect(output).toMatch(/honest solver, checked by replay: accepted/)
  expect(output).toContain('lazy solver, checked by step: rejected (sampling/state-mismatch)')
})
