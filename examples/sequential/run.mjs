/** Buys a training run, and checks steps of it without repeating the run. Run: node examples/sequential/run.mjs */
import { generateKey } from 'assay/core/keys'
import { lazyTask } from 'assay/method/sampling/cheat'
import { execute, openCheckpoints, respond } from 'assay/method/sampling/prover'
import { describe, newJob, verify } from '../two-parties.mjs'
import { sampleRows, training } from './task.mjs'

const STEPS = 2000
const request = { solverInput: { rows: sampleRows(200), steps: STEPS, rate: 0.005 }, falsePositiveRate: 0.01 }
const ask = { confidence: 0.99, faked: 0.05 }
const key = await generateKey()

/** The solver keeps its states, and commits to them; it sends the last one, and opens others when asked. */
async function solveInSteps(task, job) {
  const run = await execute(task, request, { job, key, checkpoints: true })
  const output = run.states.at(-1)
  const solution = await respond(task, { run, output }, { key, handOver: false })
  return { run, solution }
}

const job = newJob()
const { run, solution } = await solveInSteps(training, job)
const [a, b, c] = solution.response.solverOutput.data
console.log(`weights after ${STEPS} steps: ${a.toFixed(3)} x + ${b.toFixed(3)} y + ${c.toFixed(3)}`)

let opened = 0
const openings = async (indices) => {
  opened = indices.length
  return openCheckpoints(training, run, indices)
}
const byStep = await verify(training, request, { job, solution, ask, openings })
console.log(describe('honest solver, checked by step', byStep))
console.log(`  recomputed ${byStep.check.samples} steps from ${opened} states that the solver opened`)

const byReplay = await verify(training, request, { job, solution, ask })
console.log(describe('honest solver, checked by replay', byReplay))
console.log(`  recomputed ${byReplay.check.indices.at(-1) + 1} steps, from the start to the last one sampled`)

// Stops after four fifths of the steps, and repeats the weights that it has.
const enough = (4 * STEPS) / 5
const rest = new Set(Array.from({ length: STEPS - enough }, (_, i) => enough + i))
const stopping = lazyTask(training, rest, () => run.states[enough - 1])
const lazyJob = newJob()
const lazy = await solveInSteps(stopping, lazyJob)
const lazyOpenings = async (indices) => openCheckpoints(training, lazy.run, indices)
const caught = await verify(training, request, {
  job: lazyJob,
  solution: lazy.solution,
  ask,
  openings: lazyOpenings,
})
console.log(describe('lazy solver, checked by step', caught))
