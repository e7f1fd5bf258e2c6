/**
 * Cost of verifying k samples by the number of states: it should not depend on it, the proof's load aside.
 *
 * Verifier and solver run the same task; the solver's copy leaves out the work behind each state, or proving
 * ten million of them would take an hour. States are not handed over, so the look-ups are in the proof.
 */
import { ed25519KeyPair } from 'assay/core/keys'
import { solve } from 'assay/method/sampling/prover'
import { verifyLazy } from 'assay/method/sampling/verifier'
import { median, record, SMOKE } from './record.mjs'
import { paced } from './tasks.mjs'

const SIZES = SMOKE ? [1000, 10_000] : [10_000, 100_000, 1_000_000, 10_000_000]
const ROUNDS = SMOKE ? 1 : 11
const SAMPLES = SMOKE ? 20 : 463
const TARGET = 1.2
const PROOFS = ['bloom', 'fingerprint']

const random = () => crypto.getRandomValues(new Uint8Array(32))
const key = ed25519KeyPair(new Uint8Array(32).fill(1))
const task = paced({ work: true })

async function prepare(states, proof) {
  const request = { solverInput: { seed: 7, states }, falsePositiveRate: 0.01 }
  const job = { requestId: random(), nonce: random() }
  const solution = await solve(paced({ work: false }), request, { job, key, proof, handOver: false })
  const verify = async (samples) => {
    const started = performance.now()
    const { response } = await verifyLazy(
      task,
      { solverRequest: request, ...solution.response, verificationRatio: 0 },
      { job, commitment: solution.commitment, seed: random(), ask: { samples }, allowUnbound: true },
    )
    if (!response.isVerified || response.countItems !== samples) throw new Error('an honest run was rejected')
    return performance.now() - started
  }
  return {
    states,
    proof,
    verify,
    rounds: [],
    proofBytes: solution.response.solverProof.bloomFilter.length * 0.75,
  }
}

const runs = []
for (const proof of PROOFS) for (const states of SIZES) runs.push(await prepare(states, proof))
for (const run of runs) await run.verify(SAMPLES)
for (let round = 0; round < ROUNDS; round++) {
  for (const run of runs) {
    const openMs = await run.verify(0)
    run.rounds.push({ openMs, sampleMs: (await run.verify(SAMPLES)) - openMs })
  }
}

const of = (run, name) => median(run.rounds.map((round) => round[name]).sort((a, b) => a - b))
const ends = PROOFS.map((proof) => {
  const costs = runs.filter((run) => run.proof === proof).map((run) => of(run, 'sampleMs'))
  return { proof, ratio: Math.max(...costs) / Math.min(...costs) }
})

record('verify', {
  title: 'Cost of a sampled check, by the number of states',
  about:
    `Time to check ${SAMPLES} samples (99 % against 1 % faked, in a million), each about 0.2 ms of work, in one ` +
    'thread. Opening is what a check with no samples costs: base64, decoding, digest, signature and counting ' +
    `the ones. Medians of ${ROUNDS} rounds, sizes in turn.`,
  columns: ['proof', 'states', 'proof bytes', 'opening ms', 'samples ms'],
  rows: runs.map((run) => [
    run.proof,
    run.states.toLocaleString('en'),
    Math.round(run.proofBytes).toLocaleString('en'),
    of(run, 'openMs').toFixed(1),
    of(run, 'sampleMs').toFixed(1),
  ]),
  targets: ends.map(({ proof, ratio }) => ({
    what: `${proof}: dearest against cheapest size, opening aside`,
    target: `${TARGET} times`,
    measured: `${ratio.toFixed(2)} times`,
    met: ratio <= TARGET,
  })),
  data: runs.map(({ proof, states, proofBytes, rounds }) => ({ proof, states, proofBytes, rounds })),
})
