/**
 * When cheating loses money: audit rate, stake and false alarms.
 *
 * Detection alone deters nobody who can walk away. A node that cheats saves the compute C. With probability p
 * the job is audited; the audit fails to catch it where the auditor colludes (share r), and catches it
 * otherwise with probability d; then reward R and stake S are lost. An honest node loses them as well when an
 * audit raises a false alarm (phi). Cheating loses when
 *
 *     p·(R + S)·[(1 - r)·d - phi] > C
 *
 * and honest nodes stay only while S <= (R - C)/(p·phi) - R, so that false alarms cap the usable stake. The
 * attacker is rational and risk-neutral; one that gains from a wrong result itself is outside this account.
 * C, R and S share one unit of money.
 */
import { AssayError } from './errors.ts'

export interface Audit {
  /** C: cost of the computation, saved by cheating; >= 0. */
  readonly computeCost: number
  /** R: what an accepted job pays; >= 0. */
  readonly reward: number
  /** r: share of the nodes that collude with the cheat, 0 … 1. */
  readonly colludingShare: number
  /** d: probability that an honest audit catches the cheat, 0 … 1. */
  readonly detection: number
  /** phi: probability that an audit accuses an honest node, 0 … 1. */
  readonly falseAlarmRate: number
}

export interface Stake {
  /** S: what a caught node loses beyond the reward; >= 0. */
  readonly stake: number
}

export interface AuditRate {
  /** p: share of the jobs that are audited, 0 … 1. */
  readonly auditRate: number
}

/** Whether a cheat expects to lose, against being honest under the same audits. */
export function cheatingLoses(terms: Audit & Stake & AuditRate): boolean {
  const { auditRate, computeCost } = terms
  assertProbability('auditRate', auditRate)
  return auditRate * lossWhenAudited(terms) > computeCost
}

/**
 * The audit rate above which cheating loses (at the rate itself it breaks even).
 *
 * @throws AssayError 'statistics/unreachable' when even auditing every job does not make it lose.
 */
export function auditRateToDeter(terms: Audit & Stake): number {
  const loss = lossWhenAudited(terms)
  if (loss > terms.computeCost) return terms.computeCost / loss
  throw new AssayError(
    'statistics/unreachable',
    `auditing every job costs a cheat ${loss} and saves it ${terms.computeCost}: raise the stake, ` +
      'lower the false alarm rate, or reduce the share of the nodes that may collude',
    { detail: { loss, computeCost: terms.computeCost } },
  )
}

/** The largest stake at which honest work still pays; Infinity without false alarms; negative if it never does. */
export function largestHonestStake(terms: Audit & AuditRate): number {
  const { computeCost, reward, auditRate, falseAlarmRate } = terms
  assertAudit(terms)
  assertProbability('auditRate', auditRate)
  const lossRate = auditRate * falseAlarmRate
  if (lossRate === 0) return reward >= computeCost ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
  return (reward - computeCost) / lossRate - reward
}

/** (R + S)·[(1 - r)·d - phi]: what an audit costs a cheat more than an honest node. */
function lossWhenAudited(terms: Audit & Stake): number {
  const { reward, stake, colludingShare, detection, falseAlarmRate } = terms
  assertAudit(terms)
  assertAmount('stake', stake)
  return (reward + stake) * ((1 - colludingShare) * detection - falseAlarmRate)
}

function assertAudit({ computeCost, reward, colludingShare, detection, falseAlarmRate }: Audit): void {
  assertAmount('computeCost', computeCost)
  assertAmount('reward', reward)
  assertProbability('colludingShare', colludingShare)
  assertProbability('detection', detection)
  assertProbability('falseAlarmRate', falseAlarmRate)
}

function assertAmount(name: string, value: number): void {
  if (!(value >= 0 && value < Number.POSITIVE_INFINITY))
    throw outOfRange(name, 'an amount of 0 or more', value)
}

function assertProbability(name: string, value: number): void {
  if (!(value >= 0 && value <= 1)) throw outOfRange(name, 'a probability from 0 to 1', value)
}

function outOfRange(name: string, expected: string, got: number): AssayError {
  return new AssayError('statistics/parameters', `${name} must be ${expected}, got ${got}`, {
    detail: { parameter: name, got: String(got) },
  })
}
