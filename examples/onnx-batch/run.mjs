/** Buys the classification of handwritten digits from three solvers. Run: node examples/onnx-batch/run.mjs */
import { generateKey } from 'assay/core/keys'
import { fakedIndices, lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { tensor } from 'assay/state/tensor'
import { describe, newJob, random32, verify } from '../two-parties.mjs'
import { classes, openDigits, readImages } from './task.mjs'

const IMAGES = 600
const { batch, task } = await openDigits()
const { input, labels } = await readImages(IMAGES)
const request = { solverInput: input, falsePositiveRate: 0.01 }
const ask = { confidence: 0.99, faked: 0.05 }
const key = await generateKey()
console.log(`model ${batch.model.cid}`)
console.log(`task  ${task.id}`)

const job = newJob()
const honest = await solve(task, request, { job, key })
const right = classes(honest.response.solverOutput.logits).filter((digit, i) => digit === labels[i]).length
console.log(
  `${right} of ${IMAGES} digits recognised, proof ${honest.response.solverProof.bloomFilter.length} characters`,
)
console.log(describe('honest solver', await verify(task, request, { job, solution: honest, ask })))

// Makes up a quarter of the rows: confident logits for a digit drawn by chance.
const faked = fakedIndices(random32(), { states: IMAGES, faked: IMAGES / 4 })
const madeUp = (_, i) => ({
  logits: tensor(
    'float32',
    [1, 10],
    Float32Array.from({ length: 10 }, (_, digit) => (digit === (7 * i) % 10 ? 9 : -3)),
  ),
})
const lazyJob = newJob()
const lazy = await solve(lazyTask(task, faked, madeUp), request, { job: lazyJob, key })
console.log(describe('lazy solver', await verify(task, request, { job: lazyJob, solution: lazy, ask })))

// Computes and proves every row, then alters one number in the output.
const otherJob = newJob()
const alter = ({ logits }) => {
  const data = Float32Array.from(logits.data)
  data[0] += 1
  return { logits: tensor(logits.dtype, logits.shape, data) }
}
const altered = await solveAdversarially(task, request, { job: otherJob, key, alter })
console.log(
  describe('adversarial solver', await verify(task, request, { job: otherJob, solution: altered, ask })),
)

await batch.close()
