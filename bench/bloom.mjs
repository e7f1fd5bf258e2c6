/**
 * The Bloom filter against the published Python package, side by side: inserting and serialising, looking up;
 * how far insertion is from bare hashing; two worker threads against one.
 *
 * Both sides get the same 64-bit integers, ready in memory, and end with the same base64 text. Without Python
 * only our own figures are measured.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { createBloom, mergeBloom, saveBloom } from 'assay/core/bloom'
import { toBase64 } from 'assay/core/bytes'
import { hashIntegers, hasIntegers, insertIntegers } from 'assay/core/kernel'
import { openPeer, setUpPython, wire } from '../scripts/interop/peer.mjs'
import { median, race, record, SMOKE } from './record.mjs'

const STATES = SMOKE ? 20_000 : 1_000_000
const LOOKUPS = SMOKE ? 2_000 : 100_000
const RATE = 0.01
const ROUNDS = SMOKE ? 2 : 15
const THREAD_ROUNDS = SMOKE ? 2 : 60
const TARGET = 20
const WORKERS_TARGET = 1.7

/** The values lie in shared memory, so that handing them to a thread costs nothing. */
const values = new BigInt64Array(new SharedArrayBuffer(8 * STATES))
let word = 1n
for (let i = 0; i < STATES; i++) {
  word = BigInt.asUintN(64, word * 6364136223846793005n + 1442695040888963407n)
  values[i] = word
}
const looked = values.subarray(0, LOOKUPS)

function insertAndSerialise() {
  const filter = createBloom(STATES, RATE)
  insertIntegers(filter, values)
  return toBase64(saveBloom(filter))
}

/** A thread that fills a filter of the whole size with the part of the values that it is asked for. */
function openWorker() {
  const worker = new Worker(new URL('./bloom-worker.mjs', import.meta.url), { workerData: { values, RATE } })
  return {
    async fill(from, to) {
      worker.postMessage({ from, to })
      const [filter] = await once(worker, 'message')
      return filter
    },
    close: () => worker.terminate(),
  }
}

async function insertOnThreads(workers) {
  const share = Math.ceil(STATES / workers.length)
  const [whole, ...parts] = await Promise.all(workers.map((w, i) => w.fill(i * share, (i + 1) * share)))
  for (const part of parts) mergeBloom(whole, part)
  return toBase64(saveBloom(whole))
}

const proof = insertAndSerialise()
const filter = createBloom(STATES, RATE)
insertIntegers(filter, values)

const contestants = {
  'insert and serialise': insertAndSerialise,
  'look up': () => hasIntegers(filter, looked),
  'insert only': () => insertIntegers(createBloom(STATES, RATE), values),
  'hash only': () => hashIntegers(values),
}

const threads = [openWorker(), openWorker()]
const onThreads = {
  '1 worker': () => insertOnThreads(threads.slice(0, 1)),
  '2 workers': () => insertOnThreads(threads),
}
for (const run of Object.values(onThreads)) {
  if ((await run()) !== proof) throw new Error('threads make another proof')
}

/** For each of Python's runs the milliseconds of its slices. */
const slices = {}
const python = setUpPython() ? openPeer() : null
if (python === null) console.error('bloom: no Python; only our own side is measured')
else {
  const { digest } = await python.ask('bench_prepare', { items: wire(values), lookups: LOOKUPS, rate: RATE })
  if (digest !== createHash('sha256').update(proof).digest('hex'))
    throw new Error('Python makes another proof')
  for (const [name, call] of [
    ['Python: insert and serialise', 'bench_insert'],
    ['Python: look up', 'bench_lookups'],
  ]) {
    slices[name] = []
    contestants[name] = async () => slices[name].push(await python.ask(call))
  }
}

for (const run of Object.values(contestants)) await run()
// Threads need both processors free at once, which on a shared machine takes more tries.
const times = {
  ...(await race(contestants, { rounds: ROUNDS })),
  ...(await race(onThreads, { rounds: THREAD_ROUNDS })),
}
python?.close()
await Promise.all(threads.map((thread) => thread.close()))

/**
 * Milliseconds of the best run. Python's take seconds, which other load finds more surely than our tenth of a second;
 * so theirs is put together from the best run of each slice.
 */
function best(name) {
  const runs = slices[name]
  if (runs === undefined) return times[name][0]
  return runs[0].reduce((sum, _, i) => sum + Math.min(...runs.map((run) => run[i])), 0)
}

const sizes = { 'look up': LOOKUPS, 'Python: look up': LOOKUPS }
const perItemNs = (name, ms) => (ms * 1e6) / (sizes[name] ?? STATES)
const ratio = (slow, fast, pick) => perItemNs(slow, pick(slow)) / perItemNs(fast, pick(fast))
const middle = (name) => median(times[name])

/** Held against the best rounds, since other load only ever adds time; the medians are shown beside. */
function target(what, { slow, fast, least }) {
  const times = ratio(slow, fast, best)
  const measured = `${times.toFixed(2)} times (median ${ratio(slow, fast, middle).toFixed(2)})`
  return { what, target: `${least} times`, measured, met: times >= least }
}

const distance = (ratio('insert only', 'hash only', best) - 1) * 100
record('bloom', {
  title: 'The Bloom filter',
  about:
    `${STATES.toLocaleString('en')} integer states at a false positive rate of ${RATE}, ` +
    `${LOOKUPS.toLocaleString('en')} look-ups of inserted states, one thread unless said otherwise; the ` +
    `contestants take turns for ${ROUNDS} rounds, the threads for ${THREAD_ROUNDS}. Serialising ends in base64 on both sides. Python is ` +
    'warden-spex 0.0.95: Blossom.add_items over numpy integers, then dump; is_hit for each. Its runs are long, ' +
    'so that other load always finds them: its best run is put together from the best of each 50,000 states. ' +
    'Inserting works at about the rate of the bare hash, the bound of any filter with this hash: the walk of four ' +
    `states runs while the next four are hashed. It took ${Math.abs(distance).toFixed(0)} % ` +
    `${distance < 0 ? 'less' : 'more'} time than hashing the states and keeping the hashes.`,
  columns: ['', 'best ns a state', 'median ns a state', 'million states a second'],
  rows: Object.keys(times).map((name) => [
    name,
    perItemNs(name, best(name)).toFixed(1),
    perItemNs(name, middle(name)).toFixed(1),
    (1e3 / perItemNs(name, best(name))).toFixed(2),
  ]),
  targets: [
    ...(python === null
      ? []
      : [
          target('inserting and serialising against Python', {
            slow: 'Python: insert and serialise',
            fast: 'insert and serialise',
            least: TARGET,
          }),
          target('looking up against Python', { slow: 'Python: look up', fast: 'look up', least: TARGET }),
        ]),
    target('two workers against one', { slow: '1 worker', fast: '2 workers', least: WORKERS_TARGET }),
  ],
  data: { states: STATES, lookups: LOOKUPS, rate: RATE, milliseconds: times, slices },
})
