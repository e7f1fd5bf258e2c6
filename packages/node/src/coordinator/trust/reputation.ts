/**
 * What is known of a node, and what follows from the next thing that is seen of it.
 *
 * A node begins on *probation*. Wald's sequential test weighs its audits until it is *trusted* or *quarantined*. Of a
 * trusted node a CUSUM is kept: evidence of cheating adds up, evidence of honesty only takes away what is there and
 * never goes below 0, so that good conduct cannot be banked: a node that was honest a million times is caught as soon
 * as one that was honest a hundred times. Evidence is forgotten slowly, and a node is audited the more of it there is
 * (audit.ts). A quarantined node gets no work; it returns to probation, and is audited in
 * full until it is trusted again; quarantined too often, it is *banned*.
 *
 *     probation ──promoted──> trusted          probation, trusted ──quarantined──> quarantined
 *     quarantined ──released──> probation      quarantined for the last time: banned
 *     quarantined, banned ──pardoned──> what it was before, when its faults turn out to be no fault (cohort.ts)
 *
 * Being late is no sign of cheating and changes no standing: a CUSUM of its own pauses nodes that take work and do not
 * deliver.
 *
 * Who cheats so rarely that its audits are clean hundreds of times between two failures is not quarantined: it pays for
 * each failure, and the deterrence inequality (core/deterrence.ts) says whether that is a loss. Everything here is plain data in and out; time and money are the coordinator's.
 */
import { type Evidence, evidenceOf, sprtBounds } from './evidence.ts'
import * as say from './explain.ts'
import {
  NEW_REPUTATION,
  type Observed,
  type Outcome,
  type Reputation,
  type ReputationConfig,
} from './reputation-state.ts'

/** What one more outcome makes of a reputation. Outcomes of work that was under way count in any standing. */
export function observe(reputation: Reputation, outcome: Outcome, config: ReputationConfig): Observed {
  switch (outcome) {
    case 'clean':
      return weigh({ ...reputation, audits: reputation.audits + 1 }, false, config)
    case 'fault':
      return weigh(
        { ...reputation, audits: reputation.audits + 1, failures: reputation.failures + 1 },
        true,
        config,
      )
    case 'malformed':
      return weigh(
        {
          ...reputation,
          audits: reputation.audits + 1,
          failures: reputation.failures + 1,
          malformed: reputation.malformed + 1,
        },
        true,
        config,
      )
    case 'flagged':
      return { next: { ...reputation, flagged: reputation.flagged + 1 } }
    case 'excused':
      return { next: { ...reputation, excused: reputation.excused + 1 } }
    case 'delivered':
      return punctuality({ ...reputation, delivered: reputation.delivered + 1 }, false, config)
    case 'late':
      return punctuality({ ...reputation, late: reputation.late + 1 }, true, config)
  }
}

/** The end of a quarantine: probation again, from nothing. Any other standing stays as it is. */
export function release(reputation: Reputation): Observed {
  if (reputation.standing !== 'quarantined') return { next: reputation }
  const next: Reputation = { ...reputation, standing: 'probation', sprt: NEW_REPUTATION.sprt, cusum: 0 }
  return { next, decision: say.released(next) }
}

/**
 * Takes back `faults` that were an incident: what they led to is undone, a quarantine included. Nothing else is
 * forgiven: a node that was quarantined or banned before stays as often quarantined as it was.
 */
export function pardon(
  reputation: Reputation,
  { faults }: { readonly faults: number },
  config: ReputationConfig,
): Observed {
  const taken = Math.min(faults, reputation.failures)
  if (taken === 0) return { next: reputation }
  const base: Reputation = {
    ...reputation,
    cusum: 0,
    failures: reputation.failures - taken,
    excused: reputation.excused + taken,
  }
  const isOut = reputation.standing === 'quarantined' || reputation.standing === 'banned'
  if (isOut && reputation.demotedFrom !== null) {
    const next: Reputation = {
      ...base,
      standing: reputation.demotedFrom,
      sprt: NEW_REPUTATION.sprt,
      quarantines: reputation.quarantines - 1,
      demotedFrom: null,
    }
    return { next, decision: say.pardoned(next, taken) }
  }
  const { clean } = base.sprt
  const left = Math.max(0, base.sprt.faults - taken)
  const evidence = evidenceOf(config)
  const next = { ...base, sprt: { clean, faults: left, llr: left * evidence.fault + clean * evidence.clean } }
  return { next, decision: say.pardoned(next, taken) }
}

/** How long the quarantine lasts that a node is in: twice as long each time. */
export function quarantineMs(
  { quarantines }: Pick<Reputation, 'quarantines'>,
  config: Pick<ReputationConfig, 'quarantineMs'>,
): number {
  return config.quarantineMs * 2 ** Math.max(0, quarantines - 1)
}

/** Whether a node gets work at all. */
export function mayWork({ standing }: Pick<Reputation, 'standing'>): boolean {
  return standing === 'probation' || standing === 'trusted'
}

function weigh(reputation: Reputation, isFault: boolean, config: ReputationConfig): Observed {
  if (reputation.standing === 'probation') return onProbation(reputation, isFault, config)
  if (reputation.standing === 'trusted') return whileTrusted(reputation, isFault, config)
  return { next: reputation }
}

function onProbation(reputation: Reputation, isFault: boolean, config: ReputationConfig): Observed {
  const evidence = evidenceOf(config)
  const bounds = sprtBounds(config)
  const clean = reputation.sprt.clean + (isFault ? 0 : 1)
  const faults = reputation.sprt.faults + (isFault ? 1 : 0)
  // From the counts, so that no rounding adds up.
  const sprt = { clean, faults, llr: faults * evidence.fault + clean * evidence.clean }
  const next: Reputation = { ...reputation, sprt }
  if (sprt.llr <= bounds.trust) {
    const promoted: Reputation = { ...next, standing: 'trusted', cusum: 0 }
    return { next: promoted, decision: say.promoted(promoted, config) }
  }
  if (sprt.llr < bounds.reject) return { next }
  return quarantine(next, 'probation', { value: sprt.llr, threshold: bounds.reject }, config)
}

function whileTrusted(reputation: Reputation, isFault: boolean, config: ReputationConfig): Observed {
  const before = reputation.cusum
  const { threshold } = config.cusum
  const cusum = step(before, isFault, evidenceOf(config.cusum))
  const next: Reputation = { ...reputation, cusum }
  if (cusum >= threshold) return quarantine(next, 'trusted', { value: cusum, threshold }, config)
  if (before === 0 && cusum > 0) return { next, decision: say.suspected(next, config) }
  if (before > 0 && cusum === 0) return { next, decision: say.cleared(next) }
  return { next }
}

function quarantine(
  reputation: Reputation,
  demotedFrom: 'probation' | 'trusted',
  evidence: say.Crossed,
  config: ReputationConfig,
): Observed {
  const quarantines = reputation.quarantines + 1
  const isLast = quarantines >= config.maxQuarantines
  const next: Reputation = {
    ...reputation,
    standing: isLast ? 'banned' : 'quarantined',
    quarantines,
    demotedFrom,
  }
  const length = quarantineMs(next, config)
  return {
    next,
    decision: isLast ? say.banned(next, evidence) : say.quarantined(next, evidence, length),
  }
}

function punctuality(reputation: Reputation, isLate: boolean, config: ReputationConfig): Observed {
  const { threshold } = config.lateness
  const lateness = step(reputation.lateness, isLate, evidenceOf(config.lateness))
  if (lateness < threshold) return { next: { ...reputation, lateness } }
  const next = { ...reputation, lateness: 0, pauses: reputation.pauses + 1 }
  return { next, decision: say.paused(next, { value: lateness, threshold }, config.quarantineMs) }
}

/** One step of a CUSUM: max(0, S + LLR). */
function step(sum: number, isFault: boolean, { fault, clean }: Evidence): number {
  return Math.max(0, sum + (isFault ? fault : clean))
}
