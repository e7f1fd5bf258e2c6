/** Buys embeddings from three solvers on another kind of machine. Run: node examples/embedding/run.mjs */
import { generateKey } from 'assay/core/keys'
import { fakedIndices, lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { describe, newJob, random32, verify } from '../two-parties.mjs'
import { embed, machineNoise } from './embedder.mjs'
import { embeddingTask, guessProbability, SIMILARITY } from './task.mjs'
import { reviews } from './texts.mjs'

const theirs = embeddingTask('their machine')
const ours = embeddingTask('our machine')
const request = { solverInput: reviews, falsePositiveRate: 0.01 }
const ask = { confidence: 0.99, faked: 0.2 }
const key = await generateKey()

console.log(`${reviews.length} texts; an embedding passes at a Jaccard index of ${SIMILARITY}`)
console.log(`another text's embedding passes with a probability of at most ${guessProbability.toFixed(3)}`)

const job = newJob()
const honest = await solve(theirs, request, { job, key })
const [first] = honest.response.solverOutput
const difference = Math.max(
  ...ours
    .open(reviews)
    .stateAt(0)
    .map((value, i) => Math.abs(value - first[i])),
)
console.log(`the machines differ by up to ${difference.toExponential(1)} in the first embedding`)
console.log(describe('honest solver', await verify(ours, request, { job, solution: honest, ask })))

// Embeds half of the texts, and sends what it has for the rest.
const faked = fakedIndices(random32(), { states: reviews.length, faked: reviews.length / 2 })
const reusing = lazyTask(theirs, faked, (texts, i) =>
  machineNoise(embed(texts[(i + 11) % texts.length]), 'theirs'),
)
const lazyJob = newJob()
const lazy = await solve(reusing, request, { job: lazyJob, key })
console.log(describe('lazy solver', await verify(ours, request, { job: lazyJob, solution: lazy, ask })))

// Computes and proves all of them, then hands two over in each other's place.
const otherJob = newJob()
const alter = ([one, two, ...rest]) => [two, one, ...rest]
const altered = await solveAdversarially(theirs, request, { job: otherJob, key, alter })
console.log(
  describe('adversarial solver', await verify(ours, request, { job: otherJob, solution: altered, ask })),
)
