/**
 * What share of a node's results is audited, and why.
 *
 * The largest of: the floor; the share that the job asks for; the share at which cheating loses money on this job
 * (core/deterrence.ts), where stake and reward make that possible; and what the node's standing asks for: all of it
 * on probation, and of a trusted node the more the nearer its evidence is to that of one fresh failure. Whether a
 * result is drawn at that share is decided elsewhere, by a draw that anybody can repeat
 * (assay/method/redundancy/audit).
 *
 * An audit catches a colluding cheat only if the second and the third node are both outside of the collusion, so the
 * detection d of the inequality is 1 - r; and colluding nodes outvote honest ones, so that r² is added to the false
 * alarms (assay/method/redundancy/security).
 */
import { auditRateToDeter, cheatingLoses, largestHonestStake } from 'assay/core/deterrence'
import { AssayError } from 'assay/core/errors'
import { accusedRate } from 'assay/method/redundancy/security'
import { evidenceOf } from './evidence.ts'
import type { Reputation, ReputationConfig } from './reputation-state.ts'

export interface AuditPolicy {
  /** No node and no job is audited less, 0 … 1. */
  readonly floor: number
  /** For nodes on their first probation; those that return from quarantine are audited in full. */
  readonly probationRate: number
  /** r: share of the nodes that may audit (`mayAudit`) that is assumed to collude, 0 … 1. */
  readonly colludingShare: number
  /** phi: share of audits in which an honest node differs from honest others, 0 … 1. */
  readonly falseAlarmRate: number
  /** The deterring rate is exceeded by this factor, at least 1: at the rate itself cheating breaks even. */
  readonly margin: number
}

export const DEFAULT_AUDIT_POLICY: AuditPolicy = {
  floor: 0.01,
  probationRate: 1,
  colludingShare: 0.1,
  falseAlarmRate: 0.0001,
  margin: 1.1,
}

/** What is at stake in one result; one unit of money. */
export interface AuditTerms {
  readonly reputation: Reputation
  /** What the submitter asks for, 0 … 1. */
  readonly jobShare: number
  /** What the node loses beyond the reward when it is caught. */
  readonly stake: number
  readonly reward: number
  /** What computing the result costs the node; the reward where nothing better is known. */
  readonly computeCost: number
}

export interface AuditPlan {
  /** 0 … 1; never below the floor. */
  readonly rate: number
  readonly because: 'probation' | 'returned' | 'suspicion' | 'deterrence' | 'job' | 'floor'
  /** Whether cheating on this result loses money at the rate. */
  readonly deters: boolean
  /** Whether honest work still pays at the rate, false alarms included. */
  readonly honestPays: boolean
}

export interface TrustPolicy {
  readonly reputation: ReputationConfig
  readonly audit: AuditPolicy
}

/** @throws AssayError 'trust/config' for a policy out of range, 'statistics/parameters' for terms out of range. */
export function auditPlan(terms: AuditTerms, policy: TrustPolicy): AuditPlan {
  const economics = economicsOf(terms, policy.audit)
  const { rate, because } = largest(terms, economics, policy)
  return {
    rate,
    because,
    deters: cheatingLoses({ ...economics, auditRate: rate }),
    honestPays: terms.stake <= largestHonestStake({ ...economics, auditRate: rate }),
  }
}

/** Only the number. */
export function auditRate(terms: AuditTerms, policy: TrustPolicy): number {
  return largest(terms, economicsOf(terms, policy.audit), policy).rate
}

type Economics = Parameters<typeof auditRateToDeter>[0]

function economicsOf({ stake, reward, computeCost }: AuditTerms, audit: AuditPolicy): Economics {
  const { colludingShare } = audit
  const outvoted = accusedRate({ auditRate: 1, colludingShare })
  const falseAlarmRate = Math.min(1, audit.falseAlarmRate + outvoted)
  return { stake, reward, computeCost, colludingShare, falseAlarmRate, detection: 1 - colludingShare }
}

function largest(
  { reputation, jobShare }: AuditTerms,
  economics: Economics,
  policy: TrustPolicy,
): Pick<AuditPlan, 'rate' | 'because'> {
  assertAuditPolicy(policy.audit)
  let most: Pick<AuditPlan, 'rate' | 'because'> = { rate: policy.audit.floor, because: 'floor' }
  const ask = (because: AuditPlan['because'], rate: number) => {
    if (rate > most.rate) most = { rate, because }
  }
  const { reason, rate } = standingRate(reputation, policy)
  ask(reason, rate)
  if (cheatingLoses({ ...economics, auditRate: 1 })) {
    ask('deterrence', Math.min(1, auditRateToDeter(economics) * policy.audit.margin))
  }
  ask('job', assertRate('jobShare', jobShare))
  return most
}

/** The plan in words. */
export function explainAuditPlan({ rate, because, deters, honestPays }: AuditPlan): string {
  const share = `${Number((100 * rate).toPrecision(3))} % of its results are audited`
  const notes = [
    ...(deters ? [] : ['cheating would pay: the stake is too small for any rate']),
    ...(honestPays ? [] : ['honest work does not pay: lower the stake or the false alarms']),
  ]
  return [`${share}: ${REASONS[because]}`, ...notes].join('; ')
}

const REASONS: Readonly<Record<AuditPlan['because'], string>> = {
  probation: 'it is on probation',
  returned: 'it is back from quarantine',
  suspicion: 'it failed an audit, and the evidence is not gone',
  deterrence: 'so that cheating loses money',
  job: 'the job asks for it',
  floor: 'no node is audited less',
}

/**
 * Whether a node may run audits: as second or as third. Nodes on probation may not, as long as there are enough trusted
 * ones: else newcomers, which cost nothing to make, would vote on the results of others.
 */
export function mayAudit({ standing }: Pick<Reputation, 'standing'>): boolean {
  return standing === 'trusted'
}

function standingRate(
  { standing, cusum, quarantines }: Reputation,
  policy: TrustPolicy,
): { readonly reason: AuditPlan['because']; readonly rate: number } {
  if (standing !== 'trusted') {
    return quarantines > 0
      ? { reason: 'returned', rate: 1 }
      : { reason: 'probation', rate: policy.audit.probationRate }
  }
  const fresh = evidenceOf(policy.reputation.cusum).fault
  return { reason: 'suspicion', rate: Math.min(1, cusum / fresh) }
}

function assertAuditPolicy({
  margin,
  floor,
  probationRate,
  colludingShare,
  falseAlarmRate,
}: AuditPolicy): void {
  assertRate('floor', floor)
  assertRate('probationRate', probationRate)
  assertRate('colludingShare', colludingShare)
  assertRate('falseAlarmRate', falseAlarmRate)
  if (margin >= 1 && margin < Number.POSITIVE_INFINITY) return
  throw new AssayError('trust/config', `expected a margin of 1 or more, got ${margin}`)
}

function assertRate(name: string, rate: number): number {
  if (rate >= 0 && rate <= 1) return rate
  throw new AssayError('trust/config', `expected ${name} from 0 to 1, got ${rate}`, {
    detail: { field: name, got: String(rate) },
  })
}
