/** What bench/network.mjs measured, as the record that people and programs read. */
import { record } from './record.mjs'

const MAX_RATIO = 1.5
const MAX_LEASE_MS = 50
const FLAT_MB_A_MINUTE = 1
/** What the estimate from processor times assumes. */
const CORES = 2

const whole = (value) => Math.round(value).toLocaleString('en')
const ms = (value) => value.toFixed(1)
const times = (ratio) => `${ratio.toFixed(2)} times`
const mb = (bytes) => Math.round(bytes / 2 ** 20)

/** Prints what was measured, and writes it down. */
export function report(measured) {
  const { throughput, limits, told } = measured
  const { sizes, inFlight, loadAtStart, startedAt } = told
  const { single, batch, queueSingle, queueBatch, cpu, auditShare } = throughput
  record('network', {
    title: 'The network: throughput, leases, memory',
    about:
      'From intake over HTTP (an idempotency key each, ' +
      `${inFlight} requests in flight) to validated and settled, on one machine: PostgreSQL from npm with fsync on, one ` +
      'coordinator, four nodes of four operators with Ed25519 keys in one process, load generator. The work squares a ' +
      'number in WebAssembly. Every result is signed and checked, and ' +
      `${(100 * auditShare).toFixed(1)} % ran again on another node, as the policy for trusted nodes draws it; ` +
      'a job counts when the last of its segments is paid; its receipt follows, within the measured load. pg-boss 10 is on ' +
      `the same server, with a producer and a worker of their own that fetch ${told.queueBatch} at a time and run the same ` +
      'function: no signatures, no checks, no ledger, no receipts, no HTTP. Contestants take turns for ' +
      `${sizes.rounds} rounds of ${whole(sizes.jobs)} jobs and of ${sizes.batches} jobs of ${whole(sizes.segments)} segments. ` +
      `Load average at the start ${loadAtStart.toFixed(1)} (${startedAt}).`,
    columns: ['', 'median a second', 'best a second', 'pg-boss, median', 'pg-boss, best', 'share of pg-boss'],
    rows: [
      [
        'jobs of one segment',
        whole(single.median),
        whole(single.best),
        whole(queueSingle.median),
        whole(queueSingle.best),
        share(single, queueSingle),
      ],
      [
        'segments in batches',
        whole(batch.median),
        whole(batch.best),
        whole(queueBatch.median),
        whole(queueBatch.best),
        share(batch, queueBatch),
      ],
    ],
    targets: targetsOf(measured),
    sections: [
      ...leaseSections(measured),
      ...(measured.soak === null ? [] : [soakSection(measured.soak)]),
      {
        title: 'Limits of the machine',
        columns: ['limit', 'a second', 'what it means for one job of one segment'],
        rows: [
          [
            'writes of 8 KiB with fdatasync',
            whole(limits.fsyncs),
            'commits are shared by all that wait (group commit)',
          ],
          [
            'commits of one row, one connection',
            whole(limits.commits),
            `${(single.median / limits.commits).toFixed(2)} settled jobs for each such commit`,
          ],
          [
            'Ed25519 checks, one core',
            whole(limits.verifies),
            'one for each request of a node, and one for each answer',
          ],
          [
            'requests of a bare handler, JSON in and out',
            whole(limits.requests),
            `${(limits.requests / single.median).toFixed(1)} times the rate of jobs: intake alone, with nothing behind it`,
          ],
        ],
      },
      timeSection(cpu),
    ],
    data: measured,
    command: 'node bench/network.mjs --soak 600',
  })
}

const share = (ours, theirs) => `${((100 * ours.median) / theirs.median).toFixed(0)} %`

function targetsOf({ told: { sizes }, throughput: { single, batch }, lease, growth, soak }) {
  const { short, long, many } = growth
  const ratio = (of, to, at) => of[at] / to[at]
  const within = (what, value) => ({
    what,
    target: `${MAX_RATIO} times`,
    measured: times(value),
    met: value <= MAX_RATIO,
  })
  return [
    {
      what: 'jobs of one segment a second, median',
      target: '1,000',
      measured: whole(single.median),
      met: single.median >= 1_000,
    },
    {
      what: 'segments a second in batches, median',
      target: '10,000',
      measured: whole(batch.median),
      met: batch.median >= 10_000,
    },
    {
      what: `p99 of a lease at ${whole(lease.perSecond)} jobs a second`,
      target: `${MAX_LEASE_MS} ms`,
      measured: `${ms(lease.lease.p99)} ms`,
      met: lease.lease.p99 < MAX_LEASE_MS,
    },
    within(
      `lease with ${whole(sizes.long)} segments queued against ${whole(sizes.short)}, p50`,
      ratio(long, short, 'p50'),
    ),
    within('the same, p99', ratio(long, short, 'p99')),
    within(`lease with ${whole(sizes.many)} nodes against ${sizes.few}, p50`, ratio(many, short, 'p50')),
    within('the same, p99', ratio(many, short, 'p99')),
    ...(soak === null
      ? []
      : [
          {
            what: `growth of the coordinator's heap in the second half of ${soak.seconds} s`,
            target: `${FLAT_MB_A_MINUTE} MB a minute`,
            measured: `${soak.heapSlope.toFixed(2)} MB a minute`,
            met: soak.heapSlope <= FLAT_MB_A_MINUTE,
          },
        ]),
  ]
}

function leaseSections({ told: { sizes }, lease, growth, replicas }) {
  const row = (name, { count, p50, p99, most }) => [name, whole(count), ms(p50), ms(p99), ms(most)]
  const columns = ['', 'requests', 'p50 ms', 'p99 ms', 'most ms']
  return [
    {
      title: 'Requests, in ms from the moment when each was due',
      columns,
      rows: [
        row(`lease of one segment, at ${whole(lease.perSecond)} jobs a second`, lease.lease),
        row('intake of one job, at the same load', lease.intake),
        row(`lease, nothing else under way, ${whole(sizes.short)} queued, ${sizes.few} nodes`, growth.short),
        row(`lease, ${whole(sizes.long)} queued, ${sizes.few} nodes`, growth.long),
        row(
          `lease, ${whole(sizes.short)} queued, ${whole(sizes.many)} nodes (rows copied from one that registered)`,
          growth.many,
        ),
      ],
    },
    {
      title: 'Two replicas of the coordinator over one database, on the same cores',
      columns: ['replicas', 'jobs a second, median', 'best', 'against one'],
      rows: [
        ['1', whole(replicas.one.median), whole(replicas.one.best), times(1)],
        [
          '2',
          whole(replicas.two.median),
          whole(replicas.two.best),
          times(replicas.two.median / replicas.one.median),
        ],
      ],
    },
  ]
}

/** Other load on the machine changes rates by the clock; it changes this less. */
function timeSection({ single, batch }) {
  const parts = ['coordinator', 'database', 'nodes', 'generator']
  const msOf = (time, part) => (1000 * time[part]) / time.count
  const allOf = (time) => parts.reduce((sum, part) => sum + msOf(time, part), 0)
  const estimate = (time) => whole((1000 * CORES) / allOf(time))
  return {
    title: `Processor time, and what ${CORES} cores would give that have nothing else to do`,
    columns: ['', 'ms for a job of one segment', 'ms for a segment in a batch'],
    rows: [
      ...parts.map((part) => [part, msOf(single, part).toFixed(3), msOf(batch, part).toFixed(3)]),
      ['all', allOf(single).toFixed(3), allOf(batch).toFixed(3)],
      ['estimate: at most so many a second', estimate(single), estimate(batch)],
    ],
  }
}

function soakSection({ seconds, perSecond, jobs, heapSlope, rssSlope, first, middle, last, measured }) {
  const apart =
    measured === undefined
      ? ''
      : `, measured apart: commit ${measured.commit}, begun ${measured.startedAt} at load ${measured.loadAtStart.toFixed(1)}`
  const row = (name, { minutes, heapUsed, rss }) => [name, minutes.toFixed(1), mb(heapUsed), mb(rss)]
  return {
    title: `Memory of the coordinator over ${seconds} s at ${whole(perSecond)} jobs a second (${whole(jobs)} jobs)${apart}`,
    columns: ['', 'after minutes', 'heap after collection, MB', 'resident, MB'],
    rows: [
      row('first sample', first),
      row('half', middle),
      row('last sample', last),
      ['slope of the second half, MB a minute', '', heapSlope.toFixed(2), rssSlope.toFixed(2)],
    ],
  }
}
