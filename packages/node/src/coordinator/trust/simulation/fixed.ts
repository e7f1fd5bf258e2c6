/**
 * One kind of cheat among honest nodes, all audited at one fixed rate, and nothing follows from what is found: the
 * setting of the closed formulas (assay/method/redundancy/security, core/deterrence), so that they can be put to the test.
 */
import { auditRateToDeter } from 'assay/core/deterrence'
import { binomialInterval } from 'assay/core/interval'
import { accusedRate, caughtRate } from 'assay/method/redundancy/security'
import { DEFAULT_AUDIT_POLICY } from '../audit.ts'
import { DEFAULT_REPUTATION } from '../reputation-state.ts'
import { type Check, CONFIDENCE, checkRate } from './checks.ts'
import { type Network, runNetwork } from './network.ts'
import type { Behaviour } from './population.ts'
import type { Tally } from './tally.ts'

/** Credits. The stake is that of twenty results; computing costs nine tenths of the reward. */
export const MONEY = { reward: 100, computeCost: 90, stake: 2000 } as const
/** phi: share of honest results that differ for no reason. */
const FALSE_ALARMS = 0.0001

export const HONEST: Behaviour = {
  name: 'honest',
  share: 1,
  wrongRate: FALSE_ALARMS,
  answers: 'own',
  cheats: 'never',
  operators: 'each',
  isEstablished: true,
}

export interface FixedCase {
  readonly name: string
  readonly cheat: Behaviour
  readonly auditRate: number
}

export interface FixedResult extends FixedCase {
  readonly wrong: number
  readonly checks: readonly Check[]
  /** Credits that a wrong result brings more than an honest one: counted, and by the inequality. */
  readonly advantage: Check
  /** Whether cheating pays, counted and by the inequality. */
  readonly pays: { readonly observed: boolean; readonly expected: boolean }
}

const cheat = (other: Pick<Behaviour, 'name' | 'share' | 'wrongRate'> & Partial<Behaviour>): Behaviour => ({
  ...HONEST,
  cheats: 'always',
  ...other,
})

const LAZY = cheat({ name: 'lazy', share: 0.1, wrongRate: 0.5 })
const SYBILS = cheat({ name: 'sybils', share: 0.1, wrongRate: 0.5, answers: 'shared', operators: 'one' })
const RING = cheat({ name: 'ring', share: 0.1, wrongRate: 0.5, answers: 'shared' })
const THIRD = cheat({ name: 'third', share: 1 / 3, wrongRate: 0.5, answers: 'shared' })

/** At this rate a ring of a tenth of the nodes breaks even. */
const BREAK_EVEN = auditRateToDeter({
  ...MONEY,
  colludingShare: RING.share,
  detection: 1 - RING.share,
  falseAlarmRate: falseAlarms(RING),
})

export const FIXED_CASES: readonly FixedCase[] = [
  { name: 'lazy, 10 % of the nodes, each wrong in its own way', cheat: LAZY, auditRate: 0.1 },
  { name: 'sybils, 10 % of the nodes, one operator', cheat: SYBILS, auditRate: 0.1 },
  { name: 'colluding tenth, 0.7 of the break-even rate', cheat: RING, auditRate: 0.7 * BREAK_EVEN },
  { name: 'colluding tenth, 1.4 of the break-even rate', cheat: RING, auditRate: 1.4 * BREAK_EVEN },
  { name: 'colluding third', cheat: THIRD, auditRate: 0.15 },
]

export function runFixed(
  fixed: FixedCase,
  size: { readonly nodes: number; readonly jobs: number; readonly seed: number },
): FixedResult {
  const { cheat, auditRate } = fixed
  const network = runNetwork({
    ...size,
    ...MONEY,
    behaviours: [cheat, { ...HONEST, share: 1 - cheat.share }],
    policy: { reputation: DEFAULT_REPUTATION, audit: DEFAULT_AUDIT_POLICY },
    jobShare: auditRate,
    canaryRate: 0,
    auditedBy: 'anybody',
    isFrozen: true,
  })
  const [cheats, honest] = network.tallies as [Tally, Tally]
  const advantage = checkAdvantage(fixed, { cheats, honest })
  return {
    ...fixed,
    wrong: cheats.wrong,
    checks: [...checksOf(fixed, network), advantage],
    advantage,
    pays: { observed: advantage.observed > 0, expected: advantage.expected > 0 },
  }
}

function checksOf({ cheat, auditRate }: FixedCase, network: Network): Check[] {
  const [cheats, honest] = network.tallies as [Tally, Tally]
  const caught = caughtRate({ auditRate, colludingShare: wrongOthers(cheat) })
  const kept = isRing(cheat) ? 1 - caught : 1 - auditRate
  const accused = auditRate * outvoted(cheat)
  return [
    checkRate('wrong results caught', { successes: cheats.caught, trials: cheats.wrong, expected: caught }),
    checkRate('wrong results accepted', { successes: cheats.kept, trials: cheats.wrong, expected: kept }),
    checkRate('right results outvoted', {
      successes: honest.accused,
      trials: honest.right,
      expected: accused,
    }),
    checkCaughtWithin(network, cheat.wrongRate * caught),
  ].filter((check) => check !== undefined)
}

/** The share of cheats caught within a number of results at which half of them should be, if they gave as many. */
function checkCaughtWithin(
  { nodes, jobs, nodeTally, population }: Network,
  hazard: number,
): Check | undefined {
  const within = Math.min(Math.ceil(Math.LN2 / hazard), Math.floor(jobs / nodes / 2))
  let trials = 0
  let successes = 0
  for (let node = 0; node < nodes; node++) {
    // The first behaviour is the cheat.
    if (population.behaviourOf[node] !== 0 || (nodeTally.results[node] as number) < within) continue
    trials++
    const first = nodeTally.firstCaught[node] as number
    if (first > 0 && first <= within) successes++
  }
  const expected = -Math.expm1(within * Math.log1p(-hazard))
  return checkRate(`cheats caught within ${within} of their results`, { successes, trials, expected })
}

/** Share of the other nodes whose answer helps against being caught: the ring, or whoever else is wrong. */
function wrongOthers({ answers, operators, share, wrongRate }: Behaviour): number {
  if (operators === 'one') return 0
  return answers === 'shared' ? share : share * wrongRate
}

/** The interval is that of the share caught, which the gain falls with. */
function checkAdvantage(
  fixed: FixedCase,
  { cheats, honest }: { readonly cheats: Tally; readonly honest: Tally },
): Check {
  const { wrong: trials, kept, caught: successes } = cheats
  const { reward, stake } = MONEY
  const { lower, upper } = binomialInterval({ successes, trials, confidence: CONFIDENCE })
  const gain = (caught: number) => {
    // Each one that is caught goes with so many that are not accepted.
    const refused = (caught * (trials - kept)) / Math.max(1, successes)
    return reward * (1 - refused) - stake * caught - profit(honest)
  }
  const expected = advantageBy(fixed)
  return {
    what: 'credits that a wrong result brings more than an honest one',
    trials,
    observed: gain(successes / trials),
    expected,
    lower: gain(upper),
    upper: gain(lower),
    agrees: expected >= gain(upper) && expected <= gain(lower),
  }
}

/** What one honest result brings, false alarms and false accusations included. */
function profit({ results, caught, accused }: Tally): number {
  const { reward, stake, computeCost } = MONEY
  return reward - computeCost - ((reward + stake) * (caught + accused)) / results
}

/** C - p(R + S)[(1 - r)d - phi]: the inequality of core/deterrence.ts, as a sum of money. */
function advantageBy({ cheat, auditRate }: FixedCase): number {
  const { reward, stake, computeCost } = MONEY
  const r = wrongOthers(cheat)
  return computeCost - auditRate * (reward + stake) * ((1 - r) ** 2 - falseAlarms(cheat))
}

/** phi: what honest nodes differ by themselves, and what a ring makes of it. */
function falseAlarms(cheat: Behaviour): number {
  return FALSE_ALARMS + outvoted(cheat)
}

/** Share of the audits of right results in which a ring outvotes them. */
function outvoted(cheat: Behaviour): number {
  if (!isRing(cheat)) return 0
  return cheat.wrongRate * accusedRate({ auditRate: 1, colludingShare: cheat.share })
}

/** Whether two of its nodes may vouch for one another. */
function isRing({ answers, operators }: Behaviour): boolean {
  return answers === 'shared' && operators === 'each'
}
