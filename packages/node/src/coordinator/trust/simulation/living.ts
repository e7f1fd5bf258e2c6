/**
 * Whole networks, with everything that follows from what is found: promotion, suspicion, quarantine and return, bans,
 * audit rates by standing and by what deters, payouts held until the next clean audit, canaries.
 *
 * The formulas here are those of each single event, given who was there to audit (formulas.ts), and the exact figures of
 * the sequential tests (run-length.ts).
 */
import { DEFAULT_AUDIT_POLICY, type TrustPolicy } from '../audit.ts'
import { DEFAULT_REPUTATION } from '../reputation-state.ts'
import { cusumAlarmWithin, sprtFigures } from '../run-length.ts'
import { type Check, checkRate } from './checks.ts'
import { HONEST, MONEY } from './fixed.ts'
import { type Network, type NetworkOptions, runNetwork } from './network.ts'
import type { Behaviour } from './population.ts'
import type { Tally } from './tally.ts'

export interface LivingCase {
  readonly name: string
  readonly behaviours: readonly Behaviour[]
  /** r, as the audit policy assumes it. */
  readonly colludingShare: number
  readonly auditedBy: NetworkOptions['auditedBy']
  readonly canaryRate: number
  /** Of the jobs asked for, how many are run: as many as it takes to see what happens. */
  readonly part: number
}

interface BehaviourResult {
  readonly name: string
  readonly nodes: number
  readonly tally: Tally
  /** Share of its nodes that are quarantined or banned in the end. */
  readonly out: number
  /** Own results since it began to cheat until the first was caught: mean over the nodes that were. */
  readonly resultsUntilCaught: number | null
  /** Credits a node: what it made, and what as many honest runs would have made. */
  readonly credits: number
  readonly honestCredits: number
  readonly checks: readonly Check[]
}

export interface LivingResult extends LivingCase {
  readonly jobs: number
  readonly jobsDone: number
  readonly wrongAccepted: number
  /** Runs for each accepted job: 1 + p + …. */
  readonly runsPerJob: number
  readonly results: readonly BehaviourResult[]
}

const node = (
  other: Pick<Behaviour, 'name' | 'share' | 'wrongRate' | 'cheats'> & Partial<Behaviour>,
): Behaviour => ({ ...HONEST, ...other })

const MIXED: readonly Behaviour[] = [
  { ...HONEST, name: 'honest, known', share: 0.6 },
  { ...HONEST, name: 'honest, new', share: 0.1, isEstablished: false },
  node({
    name: 'lazy, 3 % wrong, new',
    share: 0.05,
    wrongRate: 0.03,
    cheats: 'always',
    isEstablished: false,
  }),
  node({
    name: 'lazy, 30 % wrong, new',
    share: 0.05,
    wrongRate: 0.3,
    cheats: 'always',
    isEstablished: false,
  }),
  node({ name: 'sleepers, 30 % wrong once trusted', share: 0.05, wrongRate: 0.3, cheats: 'trusted' }),
  node({ name: 'evaders, all wrong while unsuspected', share: 0.05, wrongRate: 1, cheats: 'unsuspected' }),
  node({
    name: 'sybils of one operator, 30 % wrong once trusted',
    share: 0.05,
    wrongRate: 0.3,
    cheats: 'trusted',
    answers: 'shared',
    operators: 'one',
  }),
  node({
    name: 'ring, 30 % wrong once trusted',
    share: 0.05,
    wrongRate: 0.3,
    cheats: 'trusted',
    answers: 'shared',
  }),
]

const third = (ring: Pick<Behaviour, 'cheats' | 'isEstablished'>): readonly Behaviour[] => [
  { ...HONEST, name: 'honest, known', share: 2 / 3 },
  node({ name: 'ring', share: 1 / 3, wrongRate: 0.3, answers: 'shared', ...ring }),
]

const NEW_THIRD = {
  behaviours: third({ cheats: 'always', isEstablished: false }),
  colludingShare: 1 / 3,
  canaryRate: 0,
  part: 0.25,
}

/** The mixed network, and a third of the nodes that collude: new ones, by who audits them, and trusted ones. */
export const LIVING_CASES: readonly LivingCase[] = [
  {
    name: 'mixed',
    behaviours: MIXED,
    colludingShare: 0.1,
    auditedBy: 'trusted',
    canaryRate: 0.01,
    part: 1,
  },
  { ...NEW_THIRD, name: 'a new third colludes, trusted nodes audit', auditedBy: 'trusted' },
  { ...NEW_THIRD, name: 'a new third colludes, anybody audits', auditedBy: 'anybody' },
  {
    ...NEW_THIRD,
    name: 'a trusted third colludes',
    auditedBy: 'trusted',
    behaviours: third({ cheats: 'trusted', isEstablished: true }),
    part: 0.4,
  },
]

export function runLiving(
  living: LivingCase,
  { nodes, seed, ...asked }: { readonly nodes: number; readonly jobs: number; readonly seed: number },
): LivingResult {
  const jobs = Math.floor(living.part * asked.jobs)
  const network = runNetwork({ nodes, jobs, seed, ...MONEY, ...living, ...settings(living, jobs) })
  return {
    ...living,
    jobs,
    jobsDone: network.jobsDone,
    wrongAccepted: network.wrongAccepted,
    runsPerJob: network.runs / Math.max(1, network.jobsDone),
    results: living.behaviours.map((_, index) => resultOf(network, index)),
  }
}

function settings({ colludingShare }: LivingCase, jobs: number) {
  const policy: TrustPolicy = {
    // In jobs: so that a node may return within the run.
    reputation: { ...DEFAULT_REPUTATION, quarantineMs: jobs / 10 },
    audit: { ...DEFAULT_AUDIT_POLICY, colludingShare, falseAlarmRate: HONEST.wrongRate },
  }
  return { policy, jobShare: 0, isFrozen: false }
}

function resultOf(network: Network, index: number): BehaviourResult {
  const { population, nodeTally } = network
  const behaviour = network.behaviours[index] as Behaviour
  const tally = network.tallies[index] as Tally
  let nodes = 0
  let out = 0
  let credits = 0
  const caught: number[] = []
  population.behaviourOf.forEach((of, each) => {
    if (of !== index) return
    nodes++
    if ((population.workers.positions[each] as number) < 0) out++
    credits += (nodeTally.balance[each] as number) + (nodeTally.held[each] as number)
    const first = nodeTally.firstCaught[each] as number
    if (first > 0) caught.push(first)
  })
  return {
    name: behaviour.name,
    nodes,
    tally,
    out: out / nodes,
    resultsUntilCaught: caught.length === 0 ? null : caught.reduce((sum, x) => sum + x, 0) / caught.length,
    credits: credits / nodes,
    honestCredits: (tally.runs * (MONEY.reward - MONEY.computeCost)) / nodes,
    checks: [...eventChecks(tally), ...testChecks(network, index)],
  }
}

function eventChecks({ wrong, caught, kept, right, accused, ...expected }: Tally): Check[] {
  return [
    checkRate('wrong results caught', {
      successes: caught,
      trials: wrong,
      expected: expected.caughtExpected / wrong,
    }),
    checkRate('wrong results accepted', {
      successes: kept,
      trials: wrong,
      expected: expected.keptExpected / wrong,
    }),
    checkRate('right results outvoted', {
      successes: accused,
      trials: right,
      expected: expected.accusedExpected / right,
    }),
  ].filter((check) => check !== undefined)
}

/** Audits after which the sequential tests are looked at, as a share of the results of a node. */
const LOOK_AFTER = 0.2

/**
 * The sequential tests, where each audit fails with one probability, which is that of cheats on their own: the share of
 * their nodes that is quarantined within a number of audits. Nodes with fewer audits are left out; the number is so small
 * that there are next to none.
 */
function testChecks({ nodeTally, population, tallies, policy, ...network }: Network, index: number): Check[] {
  const { answers, cheats, wrongRate, isEstablished } = network.behaviours[index] as Behaviour
  const { caughtExpected, wrongAuditsExpected } = tallies[index] as Tally
  const isCheat = cheats === 'always' || cheats === 'trusted'
  if (!isCheat || answers === 'shared' || wrongAuditsExpected === 0) return []
  const audits = Math.max(2, Math.floor((LOOK_AFTER * network.jobs) / network.nodes))
  let trials = 0
  let successes = 0
  population.behaviourOf.forEach((of, node) => {
    const at = nodeTally.auditsToQuarantine[node] as number
    const isSoon = at > 0 && at <= audits
    if (of !== index || (!isSoon && (nodeTally.audits[node] as number) < audits)) return
    trials++
    if (isSoon) successes++
  })
  // Three different answers count as no audit.
  const caught = (wrongRate * caughtExpected) / wrongAuditsExpected
  const faultRate = caught / (caught + 1 - wrongRate)
  const { reputation } = policy
  const expected = isEstablished
    ? cusumAlarmWithin(reputation.cusum, { faultRate, audits })
    : sprtFigures(reputation, faultRate, { within: audits }).rejected
  const check = checkRate(`quarantined within ${audits} audits`, { successes, trials, expected })
  return check === undefined ? [] : [check]
}
