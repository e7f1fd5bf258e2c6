/**
 * Overhead of proving: the demo's batch with and without a proof, on the same runtime, row by row; and what
 * verification costs beside it.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { generateKey } from 'assay/core/keys'
import { solve } from 'assay/method/sampling/prover'
import { verifyLazy } from 'assay/method/sampling/verifier'
import { openBatch } from 'assay/onnx/batch'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { onnxBatch } from 'assay/onnx/onnx-task'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { median, record, SMOKE } from './record.mjs'

const ROUNDS = SMOKE ? 1 : 15
const TARGET = 0.05
const PROOFS = ['fingerprint', 'bloom']

const read = (name) =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`../examples/digits/${name}`, import.meta.url))))
const model = loadModel(read('model.onnx'))
const inputs = decodeInputs(read('images.npy'), 'npy', { expect: model.inputs })
const random = () => crypto.getRandomValues(new Uint8Array(32))
const key = await generateKey()
const request = { solverInput: inputs, falsePositiveRate: 0.01 }

async function timed(run) {
  const started = performance.now()
  const result = await run()
  return [performance.now() - started, result]
}

async function plainRun(batch, times) {
  const [ms] = await timed(async () => {
    const rows = []
    for (let index = 0; index < batch.count(inputs); index++) rows.push(await batch.row(inputs, index))
    return batch.stack(rows)
  })
  times.plain = ms
}

async function provedRun(task, proof, times) {
  const job = { requestId: random(), nonce: random() }
  const [solveMs, solution] = await timed(() => solve(task, request, { job, key, proof }))
  const [verifyMs, { response }] = await timed(() =>
    verifyLazy(
      task,
      { solverRequest: request, ...solution.response, verificationRatio: 0.1 },
      { job, commitment: solution.commitment, seed: random(), ask: { confidence: 0.99, faked: 0.05 } },
    ),
  )
  if (!response.isVerified) throw new Error('an honest run was rejected')
  times[`solve ${proof}`] = solveMs
  times[`verify ${proof}`] = verifyMs
}

/** Times of one round. Who begins changes with the rounds, so that whatever drifts hits all of them. */
async function round(batch, task, turn) {
  const times = {}
  const contestants = [
    () => plainRun(batch, times),
    ...PROOFS.map((proof) => () => provedRun(task, proof, times)),
  ]
  for (let i = 0; i < contestants.length; i++) await contestants[(turn + i) % contestants.length]()
  return times
}

async function measure(runtime) {
  const batch = await openBatch(model, runtime)
  const task = onnxBatch(batch)
  await round(batch, task, 0)
  const rounds = []
  for (let i = 0; i < ROUNDS; i++) rounds.push(await round(batch, task, i))
  await batch.close()
  const of = (name) => median(rounds.map((times) => times[name]).sort((a, b) => a - b))
  // Each round's proof against the same round's plain run: drift of the machine cancels out.
  const over = (name) => median(rounds.map((times) => times[name] / times.plain).sort((a, b) => a - b))
  return PROOFS.map((proof) => ({
    runtime: runtime.name,
    proof,
    plainMs: of('plain'),
    solveMs: of(`solve ${proof}`),
    overhead: over(`solve ${proof}`) - 1,
    verifyShare: over(`verify ${proof}`),
  }))
}

const measured = [...(await measure(await wasmRuntime())), ...(await measure(await nativeRuntime()))]
const percent = (share) => `${(100 * share).toFixed(1)} %`

record('overhead', {
  title: 'Overhead of proving and cost of verifying the demo batch',
  about:
    `1,797 digits, one row an inference, in one thread. Medians of ${ROUNDS} rounds; ratios are medians of the ` +
    'ratios within a round. Verification asks for 99 % against a faked share of 5 %: 88 rows, 4.9 % of the run, ' +
    'and the look-up of all 1,797 rows of the output.',
  columns: ['runtime', 'proof', 'plain ms', 'run and proof ms', 'overhead', 'verification, share of plain'],
  rows: measured.map((m) => [
    m.runtime,
    m.proof,
    m.plainMs.toFixed(0),
    m.solveMs.toFixed(0),
    percent(m.overhead),
    percent(m.verifyShare),
  ]),
  targets: measured
    .filter(({ runtime }) => runtime === 'wasm')
    .map(({ proof, overhead }) => ({
      what: `overhead with a ${proof} proof, wasm (the demo's runtime)`,
      target: `at most ${percent(TARGET)}`,
      measured: percent(overhead),
      met: overhead <= TARGET,
    })),
  data: measured,
})
