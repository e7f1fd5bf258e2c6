/** Decisions and standings in words, with the figures that led to them: what `assay node show` prints. */
import type { Json } from 'assay/core/errors'
import { evidenceOf, sprtBounds } from './evidence.ts'
import type { Decision, Reputation, ReputationConfig } from './reputation-state.ts'

/** Evidence that reached its bound. */
export interface Crossed {
  readonly value: number
  readonly threshold: number
}

export function promoted(reputation: Reputation, config: ReputationConfig): Decision {
  const { clean, faults, llr } = reputation.sprt
  const { trust } = sprtBounds(config)
  return {
    code: 'promoted',
    reason:
      `${count(clean, 'clean audit')} and ${count(faults, 'failed one')} since probation began: evidence of cheating ` +
      `${figure(llr)}, trusted at ${figure(trust)} or below. A node that fails ${percent(config.p1)} of its audits ` +
      `gets here with a probability of at most ${percent(config.beta)}`,
    detail: { ...figuresOf(reputation), clean, faults, evidence: llr, threshold: trust },
  }
}

export function suspected(reputation: Reputation, { cusum }: ReputationConfig): Decision {
  const needed = Math.ceil(reputation.cusum / -evidenceOf(cusum).clean)
  return {
    code: 'suspected',
    reason:
      `failed an audit while trusted: evidence of cheating ${figure(reputation.cusum)}, quarantined at ` +
      `${figure(cusum.threshold)}. Every result is audited now, and fewer as clean audits take the evidence away; ` +
      `${needed} of them take all of it`,
    detail: {
      ...figuresOf(reputation),
      evidence: reputation.cusum,
      threshold: cusum.threshold,
      cleanNeeded: needed,
    },
  }
}

export function cleared(reputation: Reputation): Decision {
  return {
    code: 'cleared',
    reason: 'clean audits have taken the evidence of cheating back to 0: audited at the usual rate again',
    detail: figuresOf(reputation),
  }
}

export function quarantined(reputation: Reputation, crossed: Crossed, lengthMs: number): Decision {
  return {
    code: 'quarantined',
    reason:
      `${crossedText(reputation, crossed)}. No work for ${duration(lengthMs)}; then probation again, with every result ` +
      `audited. Quarantine number ${reputation.quarantines}`,
    detail: { ...crossedFigures(reputation, crossed), quarantineMs: lengthMs },
  }
}

export function banned(reputation: Reputation, crossed: Crossed): Decision {
  return {
    code: 'banned',
    reason: `${crossedText(reputation, crossed)}. It is quarantine number ${reputation.quarantines}, and for good`,
    detail: crossedFigures(reputation, crossed),
  }
}

export function paused(reputation: Reputation, crossed: Crossed, lengthMs: number): Decision {
  const { late, delivered } = reputation
  return {
    code: 'paused',
    reason:
      `takes work and does not deliver it: ${late} of ${count(late + delivered, 'answer')} late in all, evidence ` +
      `${figure(crossed.value)}, paused at ${figure(crossed.threshold)}. No work for ${duration(lengthMs)}; its standing ` +
      'stays as it is',
    detail: {
      ...figuresOf(reputation),
      evidence: crossed.value,
      threshold: crossed.threshold,
      pauseMs: lengthMs,
    },
  }
}

export function released(reputation: Reputation): Decision {
  return {
    code: 'released',
    reason: `quarantine number ${reputation.quarantines} is over: on probation, and every result is audited`,
    detail: figuresOf(reputation),
  }
}

export function pardoned(reputation: Reputation, faults: number): Decision {
  return {
    code: 'pardoned',
    reason:
      `${count(faults, 'fault')} turned out to be an incident that nodes of its kind had in common: taken back, ` +
      `${reputation.standing} now`,
    detail: { ...figuresOf(reputation), faults },
  }
}

/** Where a node stands, in one sentence. */
export function explainReputation(reputation: Reputation, config: ReputationConfig): string {
  const { standing, sprt, cusum, audits, failures, quarantines } = reputation
  const record = `${count(failures, 'failure')} in ${count(audits, 'audit')}`
  switch (standing) {
    case 'probation': {
      const { trust, reject } = sprtBounds(config)
      const missing = Math.ceil((sprt.llr - trust) / -evidenceOf(config).clean)
      return (
        `on probation: evidence of cheating ${figure(sprt.llr)}, trusted at ${figure(trust)} (${count(missing, 'clean audit')} ` +
        `to go), quarantined at ${figure(reject)}; ${record}`
      )
    }
    case 'trusted':
      return (
        `trusted: evidence of cheating ${figure(cusum)}, quarantined at ${figure(config.cusum.threshold)}; ${record}` +
        (cusum > 0 ? '; audited more until it is 0 again' : '')
      )
    case 'quarantined':
      return `in quarantine number ${quarantines}, gets no work; ${record}`
    case 'banned':
      return `banned after ${count(quarantines, 'quarantine')}; ${record}`
  }
}

function crossedText(reputation: Reputation, { value, threshold }: Crossed): string {
  const test = reputation.demotedFrom === 'trusted' ? 'while trusted' : 'on probation'
  return (
    `failed too many audits ${test}: evidence of cheating ${figure(value)}, quarantined at ${figure(threshold)}; ` +
    `${count(reputation.failures, 'failure')} in ${count(reputation.audits, 'audit')} in all`
  )
}

function crossedFigures(reputation: Reputation, { value, threshold }: Crossed): { [key: string]: Json } {
  return { ...figuresOf(reputation), evidence: value, threshold, from: reputation.demotedFrom }
}

function figuresOf({ audits, failures, quarantines }: Reputation): { [key: string]: Json } {
  return { audits, failures, quarantines }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

function figure(value: number): string {
  return value.toFixed(2)
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`
}

function duration(ms: number): string {
  const minutes = ms / 60_000
  if (minutes < 1) return count(Number((ms / 1000).toPrecision(3)), 'second')
  return minutes < 120
    ? count(Number(minutes.toPrecision(3)), 'minute')
    : count(Number((minutes / 60).toPrecision(3)), 'hour')
}
