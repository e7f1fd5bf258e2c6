/**
 * The network: how many jobs and segments a second go from intake to settlement, how long a lease takes, and what a plain
 * queue over the same database does meanwhile.
 *
 * Database, coordinators, nodes, load generator and baseline are processes of their own on one machine; fsync is on, every
 * result is signed and checked, every accepted job gets its receipt and its leaf in the log. Contestants take turns, so
 * that other load on the machine hits all of them.
 *
 *     node bench/network.mjs                 everything but the soak
 *     node bench/network.mjs --soak 600      before it ten minutes of steady load, with the memory of the coordinator
 *     node bench/network.mjs --keep-soak     with the soak of the last record
 */
import { readdirSync, readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProcess } from './network-process.mjs'
import { report } from './network-report.mjs'
import { dropDatabase, makeDatabase, openNetwork, openPostgres } from './network-setup.mjs'
import { smallJob } from './network-work.mjs'
import { median, SMOKE } from './record.mjs'

const SIZES = SMOKE
  ? {
      rounds: 1,
      jobs: 100,
      batches: 2,
      segments: 300,
      limitMs: 50,
      leaseSeconds: 1,
      short: 300,
      long: 3_000,
      few: 10,
      many: 100,
      warmUps: 1,
    }
  : {
      rounds: 3,
      jobs: 4_000,
      batches: 6,
      segments: 4_000,
      limitMs: 1_500,
      leaseSeconds: 20,
      short: 1_000,
      long: 1_000_000,
      few: 100,
      many: 10_000,
      warmUps: 10,
    }
const IN_FLIGHT = 256
const WARM_UP_JOBS = SMOKE ? 50 : 1_500
const PROBES_A_SECOND = 50
/** pg-boss at its best here: larger batches were no faster. */
const QUEUE_BATCH = 500
const QUEUE_IN_FLIGHT = 32
const SAMPLES = 60
/** Of Linux's accounts. */
const TICKS_A_SECOND = 100
/** Of the load that was measured. */
const HALF = 0.5
/** A fifth of what is asked of the network. */
const SOAK_JOBS_A_SECOND = SMOKE ? 20 : 200

const soakSeconds =
  Number(process.argv[process.argv.indexOf('--soak') + 1] || 0) * (process.argv.includes('--soak') ? 1 : 0)
const loadAtStart = loadavg()[0]
const startedAt = new Date().toISOString()
const opened = []

async function main() {
  const postgres = await open(openPostgres())
  const limits = await measureLimits(postgres)
  const load = await open(startProcess('./network-load.mjs'))
  const soak = soakSeconds > 0 ? await measureSoak(postgres, { load }) : keptSoak()
  const one = await open(openNetwork(postgres, { name: 'one' }))
  await warmUp(one, load)
  const throughput = await measureThroughput(one, { postgres, load })
  const lease = await measureLease(one, { load, perSecond: HALF * throughput.single.median })
  const replicas = await measureReplicas(one, { postgres, load })
  const growth = await measureGrowth(postgres)
  const told = { sizes: SIZES, inFlight: IN_FLIGHT, queueBatch: QUEUE_BATCH, loadAtStart, startedAt }
  report({ told, limits, throughput, lease, replicas, growth, soak })
}

/** That of the last record, with its circumstances; or none. */
function keptSoak() {
  if (!process.argv.includes('--keep-soak')) return null
  const { data, measuredOn } = JSON.parse(
    readFileSync(new URL('./results/network.json', import.meta.url), 'utf8'),
  )
  if (data.soak === null) return null
  const { startedAt, loadAtStart } = data.told
  return { measured: { startedAt, loadAtStart, commit: measuredOn.commit }, ...data.soak }
}

/** Remembers what is to be stopped. */
async function open(opening) {
  const value = await opening
  opened.push(value)
  return value
}

async function measureLimits(postgres) {
  const child = startProcess('./network-limits.mjs')
  const generator = startProcess('./network-load.mjs')
  const ms = SIZES.limitMs
  try {
    const databaseUrl = await makeDatabase(postgres, 'limits')
    const url = await child.call('handler')
    const body = JSON.stringify(smallJob())
    const count = Math.max(500, 10 * ms)
    await generator.call('requests', { url, path: '/echo', body, count, inFlight: 64 })
    return {
      fsyncs: await child.call('fsync', { folder: postgres.folder, ms }),
      commits: await child.call('commits', { databaseUrl, ms }),
      verifies: await child.call('verifies', { ms }),
      requests: await generator.call('requests', { url, path: '/echo', body, count, inFlight: 64 }),
    }
  } finally {
    await child.call('stop')
    await child.stop()
    await generator.stop()
  }
}

/** Until nodes are trusted, and the compilers have seen the code. */
async function warmUp(network, load) {
  for (let round = 0; round < SIZES.warmUps; round++) {
    await runJobs(network, { load, jobs: WARM_UP_JOBS })
    const [{ on_probation: left }] = await network.sql(
      `SELECT count(*)::int AS on_probation FROM node WHERE standing = 'probation'`,
    )
    if (left === 0 && round > 1) return
  }
}

/** Submits jobs of one segment, and waits until all are settled. Jobs a second. */
async function runJobs(network, { load, jobs }) {
  const started = performance.now()
  const { urls, token } = network
  await load.call('submit', { urls, token, spec: smallJob(), jobs, inFlight: IN_FLIGHT })
  await network.settled()
  const rate = (1000 * jobs) / (performance.now() - started)
  await network.sealed()
  return rate
}

/** The same with jobs of many segments. Segments a second. */
async function runBatches(network, { load, spec }) {
  const { batches, segments } = SIZES
  const started = performance.now()
  const { urls, token } = network
  await load.call('submit', { urls, token, spec, jobs: batches, inFlight: batches })
  await network.settled()
  const rate = (1000 * batches * segments) / (performance.now() - started)
  await network.sealed()
  return rate
}

async function measureThroughput(network, { postgres, load }) {
  const databaseUrl = await makeDatabase(postgres, 'queue')
  const [producer, worker] = [startProcess('./network-queue.mjs'), startProcess('./network-queue.mjs')]
  const rates = { single: [], batch: [], queueSingle: [], queueBatch: [] }
  const spec = await network.batchSpec(SIZES.segments)
  const queue = async (how, jobs, options) => {
    const started = performance.now()
    await Promise.all([
      producer.call(how, { jobs, ...options }),
      worker.call('work', { jobs, batch: QUEUE_BATCH }),
    ])
    return (1000 * jobs) / (performance.now() - started)
  }
  const cpu = { single: noTime(), batch: noTime() }
  try {
    await producer.call('start', { databaseUrl })
    await worker.call('start', { databaseUrl })
    await queue('send', Math.min(500, SIZES.jobs), { inFlight: QUEUE_IN_FLIGHT })
    for (let round = 0; round < SIZES.rounds; round++) {
      const before = await cpuOf(network, { load, postgres })
      rates.single.push(await runJobs(network, { load, jobs: SIZES.jobs }))
      addTime(cpu.single, { before, after: await cpuOf(network, { load, postgres }), count: SIZES.jobs })
      rates.queueSingle.push(await queue('send', SIZES.jobs, { inFlight: QUEUE_IN_FLIGHT }))
      const between = await cpuOf(network, { load, postgres })
      rates.batch.push(await runBatches(network, { load, spec }))
      const count = SIZES.batches * SIZES.segments
      addTime(cpu.batch, { before: between, after: await cpuOf(network, { load, postgres }), count })
      rates.queueBatch.push(await queue('insert', SIZES.batches * SIZES.segments, { batch: QUEUE_BATCH }))
    }
  } finally {
    await producer.call('stop').catch(() => undefined)
    await worker.call('stop').catch(() => undefined)
    await producer.stop()
    await worker.stop()
  }
  const [audits] = await network.sql(
    `SELECT count(*) FILTER (WHERE ordinal > 0)::float8 / count(*) FILTER (WHERE ordinal = 0) AS share FROM dispatch
     WHERE committed_at > now() - interval '30 seconds'`,
  )
  const figures = Object.entries(rates).map(([name, list]) => [name, ratesOf(list)])
  return { ...Object.fromEntries(figures), cpu, auditShare: audits.share }
}

/** Processor time in seconds, of so many jobs or segments. */
function noTime() {
  return { coordinator: 0, nodes: 0, database: 0, generator: 0, count: 0 }
}

function addTime(sum, { before, after, count }) {
  for (const name of Object.keys(after)) sum[name] += after[name] - before[name]
  sum.count += count
}

async function cpuOf(network, { load, postgres }) {
  return {
    coordinator: await network.coordinators[0].call('cpu'),
    nodes: await network.solvers.call('cpu'),
    database: databaseSeconds(postgres.pid),
    generator: await load.call('cpu'),
  }
}

/** Of a server, its processes, and those of them that have ended; Linux alone tells. */
function databaseSeconds(pid) {
  if (process.platform !== 'linux') return Number.NaN
  let ticks = 0
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      // Behind the name of the program, which may hold anything.
      const fields = stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number)
      const [parent, user, system, endedUser, endedSystem] = [1, 11, 12, 13, 14].map((i) => fields[i])
      if (Number(name) === pid) ticks += user + system + endedUser + endedSystem
      else if (parent === pid) ticks += user + system
    } catch {
      // It ended this moment.
    }
  }
  return ticks / TICKS_A_SECOND
}

function ratesOf(list) {
  const ascending = list.toSorted((a, b) => a - b)
  return { median: median(ascending), best: ascending.at(-1), all: list }
}

/** One lease at a time, asked for by a node of its own while others do the work. */
async function measureLease(network, { load, perSecond }) {
  const seconds = SIZES.leaseSeconds
  const { urls, token } = network
  await addProbe(network, { load, name: 'probe' })
  const jobs = Math.ceil(perSecond * (seconds + 2))
  const submitting = load.call('submit', {
    urls,
    token,
    spec: smallJob(),
    jobs,
    inFlight: IN_FLIGHT,
    perSecond,
  })
  await sleep(1_000)
  const probing = startProcess('./network-load.mjs')
  await addProbe(network, { load: probing, name: 'lease' })
  const { times, leased } = await probing.call('measureLeases', {
    names: ['lease'],
    perSecond: PROBES_A_SECOND,
    seconds,
  })
  await probing.stop()
  const { times: intake } = await submitting
  await network.settled()
  return { perSecond, leased: leased.lease, lease: percentiles(times.lease), intake: percentiles(intake) }
}

async function addProbe(network, { load, name }) {
  const operator = `probe-${name}`
  const enrolment = await network.account(operator, ['nodes:enrol'])
  await load.call('addProbe', { name, url: network.urls[0], operator, enrolment })
}

function percentiles(times) {
  const ascending = times.toSorted((a, b) => a - b)
  const at = (share) => ascending[Math.min(ascending.length - 1, Math.floor(share * ascending.length))]
  return { count: ascending.length, p50: at(0.5), p99: at(0.99), most: ascending.at(-1) }
}

async function measureReplicas(one, { postgres, load }) {
  const two = await openNetwork(postgres, { name: 'two', replicas: 2 })
  try {
    await warmUp(two, load)
    const rates = { one: [], two: [] }
    for (let round = 0; round < SIZES.rounds; round++) {
      rates.one.push(await runJobs(one, { load, jobs: SIZES.jobs }))
      rates.two.push(await runJobs(two, { load, jobs: SIZES.jobs }))
    }
    return { one: ratesOf(rates.one), two: ratesOf(rates.two) }
  } finally {
    await two.stop()
  }
}

/** Leases of a short queue, of a long one, and of a network of many nodes, in turn. */
async function measureGrowth(postgres) {
  const probing = startProcess('./network-load.mjs')
  const shapes = [
    { name: 'short', queued: SIZES.short, nodes: SIZES.few },
    { name: 'long', queued: SIZES.long, nodes: SIZES.few },
    { name: 'many', queued: SIZES.short, nodes: SIZES.many },
  ]
  const networks = []
  try {
    for (const { name, queued, nodes } of shapes) {
      const network = await openNetwork(postgres, { name, nodes: 0 })
      networks.push(network)
      await addProbe(network, { load: probing, name })
      await addNodes(network, nodes - 1)
      await fill(network, queued)
    }
    const names = shapes.map(({ name }) => name)
    const ask = (seconds) => probing.call('measureLeases', { names, perSecond: PROBES_A_SECOND, seconds })
    await ask(SMOKE ? 1 : 10)
    const { times } = await ask(SIZES.leaseSeconds)
    return Object.fromEntries(names.map((name) => [name, percentiles(times[name])]))
  } finally {
    for (const network of networks) await network.stop()
    await probing.stop()
  }
}

/** Rows like that of the node that is registered, online for the time of the benchmark. */
async function addNodes(network, count) {
  await network.sql(
    `INSERT INTO node (id, role, public_key, manifest, operator, state, standing, reputation, last_seen_at)
     SELECT sha256(int8send(i)), role, public_key, manifest, operator, 'online', 'trusted',
       jsonb_set(reputation, '{standing}', '"trusted"'), now() + interval '1 day'
     FROM node, generate_series(1, $1::bigint) AS i`,
    [count],
  )
  await network.sql('ANALYZE node')
}

/** One job of so many segments, cut to its end, and the database at rest. */
async function fill(network, segments) {
  const spec = await network.batchSpec(segments)
  await network.submitter.submitJob({ body: spec })
  for (;;) {
    const [{ queued }] = await network.sql('SELECT coalesce(sum(segmented), 0)::int AS queued FROM job')
    if (queued === segments) break
    await sleep(100)
  }
  // What autovacuum would do some time later, in the middle of the measurement.
  await network.sql('VACUUM ANALYZE dispatch')
}

/** Steady load on a network of its own, and the memory of the coordinator after collections, again and again. */
async function measureSoak(postgres, { load }) {
  const network = await openNetwork(postgres, { name: 'soak' })
  try {
    await warmUp(network, load)
    const [coordinator] = network.coordinators
    const { urls, token } = network
    const perSecond = SOAK_JOBS_A_SECOND
    const jobs = Math.ceil(perSecond * soakSeconds)
    const submitting = load.call('submit', {
      urls,
      token,
      spec: smallJob(),
      jobs,
      inFlight: IN_FLIGHT,
      perSecond,
    })
    const samples = []
    const started = performance.now()
    for (let i = 0; i <= SAMPLES; i++) {
      await sleep(Math.max(0, started + (1000 * soakSeconds * i) / SAMPLES - performance.now()))
      const minutes = (performance.now() - started) / 60_000
      samples.push({ minutes, ...(await coordinator.call('memory')) })
    }
    const { times } = await submitting
    await network.settled()
    // Caches fill first.
    const half = samples.slice(SAMPLES / 2)
    return {
      seconds: soakSeconds,
      perSecond,
      jobs,
      intake: percentiles(times),
      heapSlope: slope(half, 'heapUsed'),
      rssSlope: slope(half, 'rss'),
      first: samples[0],
      middle: half[0],
      last: samples.at(-1),
      samples,
    }
  } finally {
    await network.stop()
    await dropDatabase(postgres, 'soak')
  }
}

/** MB a minute, by least squares. */
function slope(samples, field) {
  const n = samples.length
  const mean = (of) => samples.reduce((sum, sample) => sum + of(sample), 0) / n
  const [x, y] = [mean(({ minutes }) => minutes), mean((sample) => sample[field])]
  const over = samples.reduce((sum, sample) => sum + (sample.minutes - x) * (sample[field] - y), 0)
  const under = samples.reduce((sum, { minutes }) => sum + (minutes - x) ** 2, 0)
  return over / under / 2 ** 20
}

try {
  await main()
} finally {
  for (const part of opened.reverse()) await part.stop()
}
