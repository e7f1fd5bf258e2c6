/**
 * Workers: how much faster several threads are than one, and than none.
 *
 * Two workers against one is the stated target. The states of the light task cost next to nothing, so it shows
 * what spreading itself costs: encoding, sending and decoding states, and inserting their items in one thread.
 */

import { ed25519KeyPair } from 'assay/core/keys'
import { solve } from 'assay/method/sampling/prover'
import { openPool } from '../packages/node/dist/executor/pool.js'
import { median, race, record, SMOKE } from './record.mjs'
import { heavy, integers, light } from './tasks.mjs'

const TASKS = { heavy, integers, light }
const WORKERS = [0, 1, 2]
const JOBS = SMOKE
  ? { heavy: 200, integers: 3000, light: 5000 }
  : { heavy: 8000, integers: 300_000, light: 1_000_000 }
const ROUNDS = SMOKE ? 1 : 5
const TARGET = 1.7

const key = ed25519KeyPair(new Uint8Array(32).fill(1))
const job = { requestId: new Uint8Array(32).fill(2), nonce: new Uint8Array(32).fill(3) }
const url = new URL('./tasks.mjs', import.meta.url).href

async function measure(name, states) {
  const task = TASKS[name]()
  const input = { seed: 7, states }
  const pools = []
  const contestants = {}
  const proofs = new Set()
  for (const workers of WORKERS) {
    const executor = await openPool(task, input, { module: { url, export: name }, workers })
    pools.push(executor)
    contestants[workers] = async () => {
      const request = { solverInput: input, falsePositiveRate: 0.01 }
      const { response } = await solve(task, request, { job, key, executor, handOver: false })
      proofs.add(response.solverProof.bloomFilter)
    }
  }
  for (const run of Object.values(contestants)) await run()
  const times = await race(contestants, { rounds: ROUNDS })
  await Promise.all(pools.map((pool) => pool.close()))
  if (proofs.size !== 1) throw new Error(`${name}: the proofs of different numbers of workers differ`)
  return { name, states, times }
}

const measured = []
for (const [name, states] of Object.entries(JOBS)) measured.push(await measure(name, states))

record('workers', {
  title: 'Solving with worker threads',
  about:
    'Time to solve one job: states, proof and signature; the pool is open and warm. Best and median of ' +
    `${ROUNDS} rounds, numbers of workers in turn. 0 workers computes in the calling thread. A state of the heavy ` +
    'task takes about 0.2 ms; one of "integers" a hash in plain JavaScript, some microseconds; one of "light" next ' +
    'to nothing, so that it shows what is not spread: one thread decodes all states and inserts their items, ' +
    'beside the workers and on the same cores.',
  columns: ['task', 'states', 'workers', 'best ms', 'median ms', 'against 1 worker', 'against 0'],
  rows: measured.flatMap(({ name, states, times }) =>
    WORKERS.map((workers) => [
      name,
      states.toLocaleString('en'),
      workers,
      times[workers][0].toFixed(0),
      median(times[workers]).toFixed(0),
      `${(times[1][0] / times[workers][0]).toFixed(2)} times`,
      `${(times[0][0] / times[workers][0]).toFixed(2)} times`,
    ]),
  ),
  targets: measured.map(({ name, times }) => {
    const ratio = times[1][0] / times[2][0]
    return {
      what: `two workers against one, ${name} task`,
      target: `${TARGET} times`,
      measured: `${ratio.toFixed(2)} times`,
      met: ratio >= TARGET,
    }
  }),
  data: measured,
})
