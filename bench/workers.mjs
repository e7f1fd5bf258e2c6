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
import { threadTimes } from './thread-times.mjs'

const TASKS = { heavy, integers, light }
const WORKERS = [0, 1, 2]
const JOBS = SMOKE
  ? { heavy: 200, integers: 3000, light: 5000 }
  : { heavy: 4000, integers: 200_000, light: 500_000 }
const ROUNDS = SMOKE ? 1 : 7
const TARGET = 1.7
/** What the estimate from CPU times assumes. */
const CORES = 2

const key = ed25519KeyPair(new Uint8Array(32).fill(1))
const job = { requestId: new Uint8Array(32).fill(2), nonce: new Uint8Array(32).fill(3) }
const url = new URL('./tasks.mjs', import.meta.url).href

async function measure(name, states) {
  const task = TASKS[name]()
  const input = { seed: 7, states }
  const request = { solverInput: input, falsePositiveRate: 0.01 }
  const pools = []
  const contestants = {}
  const proofs = new Set()
  const cpu = {}
  for (const workers of WORKERS) {
    const executor = await openPool(task, input, { module: { url, export: name }, workers })
    pools.push(executor)
    const run = async () => {
      const { response } = await solve(task, request, { job, key, executor, handOver: false })
      proofs.add(response.solverProof.bloomFilter)
    }
    await run()
    cpu[workers] = []
    contestants[workers] = async () => cpu[workers].push(await threadTimes(run))
  }
  const times = await race(contestants, { rounds: ROUNDS })
  await Promise.all(pools.map((pool) => pool.close()))
  if (proofs.size !== 1) throw new Error(`${name}: the proofs of different numbers of workers differ`)
  const results = WORKERS.map((workers) => ({
    workers,
    bestMs: times[workers][0],
    medianMs: median(times[workers]),
    cpu: cheapest(cpu[workers]),
  }))
  return { name, states, results }
}

/** The round that the rest of the machine disturbed least. */
function cheapest(rounds) {
  return rounds.reduce((best, round) => (round !== null && round.totalMs < best.totalMs ? round : best))
}

/** Time on so many idle cores: no shorter than the busiest thread, nor than all threads evenly spread. */
function estimatedMs(cpu) {
  return cpu === null ? null : Math.max(cpu.busiestMs, cpu.totalMs / CORES)
}

function rowsOf({ name, states, results }) {
  const [, one] = results
  return results.map(({ workers, bestMs, medianMs, cpu }) => [
    name,
    states.toLocaleString('en'),
    workers,
    bestMs.toFixed(0),
    medianMs.toFixed(0),
    times(one.bestMs / bestMs),
    cpu === null ? '' : cpu.busiestMs.toFixed(0),
    cpu === null ? '' : cpu.totalMs.toFixed(0),
    cpu === null ? '' : times(estimatedMs(one.cpu) / estimatedMs(cpu)),
  ])
}

function targetsOf({ name, results }) {
  const [, one, two] = results
  const clock = one.bestMs / two.bestMs
  const what = `two workers against one, ${name} task`
  const targets = [{ what: `${what}, by the clock`, measured: clock }]
  if (one.cpu !== null) {
    const measured = estimatedMs(one.cpu) / estimatedMs(two.cpu)
    targets.push({ what: `${what}, estimated from CPU times`, measured })
  }
  return targets.map(({ what, measured }) => ({
    what,
    target: times(TARGET),
    measured: times(measured),
    met: measured >= TARGET,
  }))
}

function times(ratio) {
  return `${ratio.toFixed(2)} times`
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
    'beside the workers and on the same cores. Times by the clock mean something only where the load is below the ' +
    'number of cores; so the CPU time of the busiest thread and of all threads is given as well (the round with ' +
    `the least), and from it an estimate for ${CORES} idle cores: the longer of the busiest thread and an even ` +
    'share of all.',
  columns: [
    'task',
    'states',
    'workers',
    'best ms',
    'median ms',
    'against 1 worker',
    'CPU ms, busiest thread',
    'CPU ms, all threads',
    'estimate against 1 worker',
  ],
  rows: measured.flatMap(rowsOf),
  targets: measured.flatMap(targetsOf),
  data: measured,
})
