/** Buys a table of revenue from three solvers, and checks each. Run: node examples/etl/run.mjs */
import { readFile } from 'node:fs/promises'
import { generateKey } from 'assay/core/keys'
import { fakedIndices, lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { describe, newJob, random32, verify } from '../two-parties.mjs'
import { revenue, stageStart } from './task.mjs'

const read = (name) => readFile(new URL(name, import.meta.url), 'utf8')
const input = { orders: await read('orders.csv'), countries: await read('countries.csv') }
const request = { solverInput: input, falsePositiveRate: 0.01 }
const ask = { confidence: 0.99, faked: 0.05 }
const key = await generateKey()

const job = newJob()
const honest = await solve(revenue, request, { job, key })
const rows = honest.states.length / 3
console.log(`${rows} orders, ${honest.states.length} states in three stages`)
console.log(describe('honest solver', await verify(revenue, request, { job, solution: honest, ask })))
for (const { region, month, orders, cents } of honest.response.solverOutput.slice(0, 3)) {
  console.log(`  ${region} ${month}: ${orders} orders, ${(cents / 100).toFixed(2)}`)
}

// Leaves every fifth order, about, unread, and passes it off as cancelled.
const skipped = fakedIndices(random32(), { states: rows, faked: rows / 5 })
const parseStart = stageStart('parse', rows)
const faked = new Set(
  [...skipped].flatMap((row) => ['parse', 'filter', 'join'].map((s) => stageStart(s, rows) + row)),
)
const unread = {
  stage: 'parse',
  order: '',
  date: '',
  country: '',
  product: '',
  quantity: 0,
  cents: 0,
  status: '',
}
const skipping = lazyTask(revenue, faked, (_, index) => {
  if (index < stageStart('filter', rows)) return { ...unread, order: `A${10_000 + index - parseStart}` }
  return { stage: index < stageStart('join', rows) ? 'filter' : 'join', kept: false }
})
const lazyJob = newJob()
const lazy = await solve(skipping, request, { job: lazyJob, key })
console.log(describe('lazy solver', await verify(revenue, request, { job: lazyJob, solution: lazy, ask })))

// Computes and proves everything, then hands over a table in which its own region sold more.
const otherJob = newJob()
const alter = ([first, ...rest]) => [{ ...first, cents: first.cents + 100_000 }, ...rest]
const altered = await solveAdversarially(revenue, request, { job: otherJob, key, alter })
console.log(
  describe('adversarial solver', await verify(revenue, request, { job: otherJob, solution: altered, ask })),
)

const broken = { ...input, orders: input.orders.replace(',8,22.41,', ',eight,22.41,') }
try {
  await solve(revenue, { ...request, solverInput: broken }, { job: newJob(), key })
} catch (error) {
  console.log(`a file with an error: ${error.code}: ${error.message}`)
}
