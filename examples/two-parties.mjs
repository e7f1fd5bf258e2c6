/**
 * What the examples share: one job between a buyer and a solver, both in this process.
 *
 * Between two machines, request and job travel one way, and response, commitment and states the other.
 */
import { verifyLazy } from 'assay/method/sampling/verifier'

/** 32 bytes that nobody can foresee. */
export function random32() {
  return globalThis.crypto.getRandomValues(new Uint8Array(32))
}

/** What a buyer draws for each request, so that no proof can be made ahead or used again. */
export function newJob() {
  return { requestId: random32(), nonce: random32() }
}

/**
 * The buyer's side: recomputes a sample. The seed of the sample is drawn here, after the solver has signed.
 * `ask` says how much to look at; `openings` reaches back to the solver of a chain (examples/sequential).
 *
 * @param {import('assay/task/task').AnyTask} task
 * @param {import('assay/method/sampling/messages').SolverRequest<unknown>} request
 * @param {{
 *   job: import('assay/method/sampling/commitment').Job
 *   solution: import('assay/method/sampling/prover').Solution<any, any>
 *   ask: import('assay/method/sampling/config').Ask
 *   openings?: import('assay/method/sampling/checkpoints').OpenCheckpoints
 *   seed?: Uint8Array
 * }} options
 */
export function verify(task, request, { job, solution, ask, openings, seed = random32() }) {
  const { response, commitment, states } = solution
  return verifyLazy(
    task,
    { solverRequest: request, ...response, verificationRatio: 0 },
    { job, commitment, states, seed, ask, ...(openings ? { openings } : {}) },
  )
}

/** One line for people. */
export function describe(who, { response, check }) {
  const { isVerified, countItems, evidence } = response
  if (isVerified) {
    const sure = check.confidence === null ? '' : `, confidence ${(100 * check.confidence).toFixed(2)} %`
    return `${who}: accepted after recomputing ${countItems} of ${check.states} states${sure}`
  }
  return `${who}: rejected (${evidence.code}): ${evidence.message}`
}
