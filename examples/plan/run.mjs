/** Buys plans from a model elsewhere, and checks them with a model of our own. Run: node examples/plan/run.mjs */
import { generateKey } from 'assay/core/keys'
import { lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { describe, newJob, verify } from '../two-parties.mjs'
import { answers } from './answers.mjs'
import { planTask, requests } from './task.mjs'

const THIEF = '0xdD2FD4581271e230360230F9337D5c0430Bf44C0'
const theirs = planTask('chatty')
const ours = planTask('tools')
// Six plans make a small proof anyway, so let hardly anything false pass for part of it.
const request = { solverInput: requests, falsePositiveRate: 1e-6 }
const ask = { samples: 4 }
const key = await generateKey()

const job = newJob()
const honest = await solve(theirs, request, { job, key })
console.log(`their model wrote: ${JSON.stringify(`${answers[requests[2]].chatty.slice(0, 60)}…`)}`)
console.log(`our model wrote:   ${JSON.stringify(`${answers[requests[2]].tools.slice(0, 60)}…`)}`)
console.log(`the plan:          ${honest.response.solverOutput[2].calls.map(({ name }) => name).join(' → ')}`)
console.log(describe('honest solver', await verify(ours, request, { job, solution: honest, ask })))

async function cheat(who, change) {
  const changed = lazyTask(theirs, new Set([0, 1, 3]), (_, i) => change(honest.response.solverOutput[i]))
  const job = newJob()
  const solution = await solve(changed, request, { job, key })
  console.log(describe(who, await verify(ours, request, { job, solution, ask })))
}

await cheat('solver that redirects three payments', redirect)
await cheat('solver that leaves out the check of the recipient', ({ calls }) => ({
  calls: calls.filter(({ name }) => name !== 'verify_recipient'),
}))

// Proves the right plans, then hands over another one.
const otherJob = newJob()
const alter = ([first, ...rest]) => [redirect(first), ...rest]
const altered = await solveAdversarially(theirs, request, { job: otherJob, key, alter })
console.log(
  describe('adversarial solver', await verify(ours, request, { job: otherJob, solution: altered, ask })),
)

/** The same plan, paid to somebody else. */
function redirect({ calls }) {
  const args = (list) => list.map((arg) => (arg.name === 'to' ? { ...arg, value: THIEF } : arg))
  return { calls: calls.map((call) => ({ ...call, args: args(call.args) })) }
}
