/**
 * The trust of a network at full size, simulated with the decisions of the real one: what is caught, how soon, what
 * passes, and what cheats make of it, beside the formulas. Counted figures depend on the seed alone, not on the machine.
 */
import { simulateTrust } from '../packages/node/dist/coordinator/trust/simulate.js'
import { record, SMOKE } from './record.mjs'

const SIZE = SMOKE ? { nodes: 200, jobs: 10_000, seed: 1 } : { nodes: 10_000, jobs: 1_000_000, seed: 1 }

const started = performance.now()
const { fixed, living, checks } = simulateTrust(SIZE)
const seconds = (performance.now() - started) / 1000
const processorSeconds = process.cpuUsage().user / 1e6

const count = (number) => number.toLocaleString('en').replaceAll(',', ' ')
const percent = (share) => (share === undefined ? '–' : `${Number((100 * share).toPrecision(3))} %`)
const both = (check) =>
  check === undefined
    ? '–'
    : `${percent(check.observed)} / ${percent(check.expected)}${check.agrees ? '' : ' ✘'}`
const find = (list, start) => list.find(({ what }) => what.startsWith(start))

function livingRows({ results }) {
  return results.map((result) => [
    result.name,
    count(result.nodes),
    count(result.tally.results),
    count(result.tally.wrong),
    both(find(result.checks, 'wrong results caught')),
    both(find(result.checks, 'wrong results accepted')),
    both(find(result.checks, 'right results outvoted')),
    both(find(result.checks, 'quarantined within')),
    result.resultsUntilCaught === null ? '–' : result.resultsUntilCaught.toFixed(1),
    percent(result.out),
    Math.round(result.credits),
    Math.round(result.honestCredits),
  ])
}

const LIVING_COLUMNS = [
  'nodes that are',
  'nodes',
  'results',
  'wrong',
  'caught / formula',
  'accepted / formula',
  'right ones outvoted / formula',
  'quarantined in time / formula',
  'results until first caught',
  'out in the end',
  'credits a node',
  'honest runs would make',
]

const agreeing = checks.filter(({ agrees }) => agrees).length
const [mixed, ...thirds] = living
const summary = (network) =>
  `${network.name}: ${count(network.jobs)} jobs, of which ${count(network.jobs - network.jobsDone)} were not done, ` +
  `${percent(network.wrongAccepted / network.jobsDone)} accepted with a wrong result, ` +
  `${network.runsPerJob.toFixed(2)} runs a job`

record('trust', {
  title: 'Trust: cheats in a network of ten thousand nodes',
  about:
    `${count(SIZE.nodes)} nodes, seed ${SIZE.seed}. Audits are drawn, answers compared, reputations and audit rates decided ` +
    'by the code of the coordinator; who answers what is simulated. A result pays 100 credits, computing it costs 90, a ' +
    'fault costs a stake of 2 000 and what is held since the last clean audit. Honest nodes differ once in 10 000 results. ' +
    'Each pair is what was counted, and what the formula gives; ✘ marks one outside of the 99.9 % interval of the count ' +
    '(one in a thousand would be by chance). Formulas of ' +
    'this table are those of each event, given who was there to audit; in time means within as many audits as a fifth of ' +
    'the results of a node, by the exact figures of the sequential tests.\n\n' +
    `${summary(mixed)}. Trusted nodes audit; 1 % of leases are canaries; the policy assumes that a tenth colludes.`,
  columns: LIVING_COLUMNS,
  rows: livingRows(mixed),
  targets: [
    {
      what: 'formulas within the 99.9 % interval of the count',
      target: 'all but one in a thousand',
      measured: `${agreeing} of ${checks.length}`,
      met: checks.length - agreeing <= Math.ceil(checks.length / 1000),
    },
    {
      what: 'cheating pays where the inequality says so, and nowhere else',
      target: `${fixed.length} of ${fixed.length}`,
      measured: `${fixed.filter(({ pays }) => pays.observed === pays.expected).length} of ${fixed.length}`,
      met: fixed.every(({ pays }) => pays.observed === pays.expected),
    },
    {
      what: 'processor time for all of it, on one thread',
      target: 'under 60 s',
      measured: `${processorSeconds.toFixed(1)} s (${seconds.toFixed(1)} s on the clock, beside whatever else ran)`,
      met: processorSeconds < 60,
    },
  ],
  sections: [
    {
      title: 'Closed formulas: one kind of cheat among honest nodes, one audit rate, no consequences',
      columns: [
        'cheat',
        'audit rate',
        'wrong results',
        'caught / p(1 - r)²',
        'accepted / formula',
        'right ones outvoted / c·p·r²',
        'cheats caught in time / 1 - (1 - cp(1 - r)²)^m',
        'credits over an honest result / C - p(R + S)[(1 - r)d - phi]',
        'cheating pays / by the inequality',
      ],
      rows: fixed.map((result) => [
        result.name,
        percent(result.auditRate),
        count(result.wrong),
        both(find(result.checks, 'wrong results caught')),
        both(find(result.checks, 'wrong results accepted')),
        both(find(result.checks, 'right results outvoted')),
        both(find(result.checks, 'cheats caught within')),
        `${result.advantage.observed.toFixed(1)} / ${result.advantage.expected.toFixed(1)}${result.advantage.agrees ? '' : ' ✘'}`,
        `${result.pays.observed ? 'yes' : 'no'} / ${result.pays.expected ? 'yes' : 'no'}`,
      ]),
    },
    ...thirds.map((network) => ({
      title: summary(network),
      columns: LIVING_COLUMNS,
      rows: livingRows(network),
    })),
  ],
  data: { size: SIZE, seconds, processorSeconds, fixed, living, checks },
})
