/** Buys an aggregation of orders, written in C, from two solvers. Run: node examples/wasm/run.mjs */
import { generateKey } from 'assay/core/keys'
import { fakedIndices, lazyTask } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { decodeRow, encodeRow } from 'assay/wasm/row'
import { describe, newJob, random32, verify } from '../two-parties.mjs'
import { moduleTask, openModule } from './task.mjs'

const BATCHES = 400
const PRODUCTS = ['apple', 'bread', 'cheese', 'dates', 'eggs']

/** A file of orders for each record; a computation that a buyer would rather not do at home. */
const records = Array.from({ length: BATCHES }, (_, batch) => {
  const lines = Array.from({ length: 200 }, (_, i) => {
    const product = PRODUCTS[(batch + i * i) % PRODUCTS.length]
    return `${product},${1 + ((batch * i) % 9)},${1 + (i % 20)}.${(batch * 7 + i) % 100}`
  })
  return new TextEncoder().encode(lines.join('\n'))
})

const orders = await openModule('orders')
const task = moduleTask(orders)
const request = { solverInput: records, falsePositiveRate: 0.01 }
const ask = { confidence: 0.99, faked: 0.05 }
const key = await generateKey()
console.log(`module of ${orders.source.length} bytes, task ${task.id}`)

const job = newJob()
const honest = await solve(task, request, { job, key })
const first = decodeRow(honest.response.solverOutput[0])
console.log(
  `${BATCHES} records, of which the first gives\n${new TextDecoder().decode(first.output).trimEnd()}`,
)
console.log(describe('honest solver', await verify(task, request, { job, solution: honest, ask })))

// Answers a quarter of the records with the table of another one.
const lazyJob = newJob()
const faked = fakedIndices(random32(), { states: BATCHES, faked: BATCHES / 4 })
const cheat = lazyTask(task, faked, () => encodeRow(first))
const lazy = await solve(cheat, request, { job: lazyJob, key })
console.log(describe('lazy solver', await verify(task, request, { job: lazyJob, solution: lazy, ask })))
