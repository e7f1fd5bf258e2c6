/** What nodes stake, lose and are audited by: all of it plain data, the same for all replicas of a network. */
import { type AuditFund, DEFAULT_AUDIT_FUND } from '../ledger.ts'
import type { AuditPolicy } from '../trust/audit.ts'
import { DEFAULT_AUDIT_POLICY } from '../trust/audit.ts'
import { type CohortConfig, DEFAULT_COHORT } from '../trust/cohort.ts'
import { DEFAULT_REPUTATION, type ReputationConfig } from '../trust/reputation-state.ts'

export interface NodePolicy {
  readonly reputation: ReputationConfig
  readonly audit: AuditPolicy
  readonly cohort: CohortConfig
  /** Credits that a node should have staked; taken from its operator's account when it registers, as far as it goes. */
  readonly minStake: number
  /** Credits of the stake that one proven fault costs. What is held for the node is lost with them. */
  readonly penalty: number
  /** What runs that only the coordinator wants may cost it. */
  readonly auditFund: AuditFund
  /** How far back conduct is looked at when a cohort is judged. */
  readonly cohortWindowMs: number
  /** How long a cohort with an incident gets no work of its kind, and its faults are nobody's. */
  readonly incidentMs: number
  /** Three heartbeats that did not come. */
  readonly offlineAfterMs: number
}

/** A stake of a hundred segments at 10 credits; half of it for a fault, so that one false alarm ends nobody. */
export const DEFAULT_NODE_POLICY: NodePolicy = {
  reputation: DEFAULT_REPUTATION,
  audit: DEFAULT_AUDIT_POLICY,
  cohort: DEFAULT_COHORT,
  minStake: 1_000,
  penalty: 500,
  auditFund: DEFAULT_AUDIT_FUND,
  cohortWindowMs: 3_600_000,
  incidentMs: 3_600_000,
  offlineAfterMs: 35_000,
}
