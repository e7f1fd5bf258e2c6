/**
 * What is stored of a node's conduct, what can be seen of it, and the thresholds that decisions use: plain data.
 * What follows from it is in reputation.ts.
 */
import { parseWith } from 'assay/core/codec'
import { AssayError, attempt, type Json } from 'assay/core/errors'
import { STANDINGS } from 'assay/wire/manifest'
import * as z from 'zod/mini'
import type { CusumRates, SprtRates } from './evidence.ts'

export type Standing = (typeof STANDINGS)[number]

/** JSON as it is stored. */
export interface Reputation {
  readonly standing: Standing
  /** Since probation began: audits passed and failed, and the evidence that they add up to. */
  readonly sprt: { readonly clean: number; readonly faults: number; readonly llr: number }
  /** Evidence of cheating since it was last 0; only trusted nodes have some. */
  readonly cusum: number
  /** The same of being late. */
  readonly lateness: number
  /** In all: results compared, and of these wrong or malformed; late and delivered answers. */
  readonly audits: number
  readonly failures: number
  readonly malformed: number
  readonly late: number
  readonly delivered: number
  /** Results among three that all differed: recorded, and held against nobody. */
  readonly flagged: number
  /** Faults that were an incident of a cohort, and not the node's. */
  readonly excused: number
  readonly quarantines: number
  readonly pauses: number
  /** Where the last quarantine came from, for a pardon. */
  readonly demotedFrom: 'probation' | 'trusted' | null
}

/**
 * What was seen:
 *
 * - `clean`: a result was compared (second run, sample, canary) and held, whether the node ran it first or second;
 * - `fault`: it was compared and lost; `malformed`: it could not even be compared;
 * - `flagged`: three results differed; `excused`: it lost, but to an incident (cohort.ts);
 * - `delivered`: an answer came in time; `late`: leases expired. Once for each answer, and once for all leases that
 *   expire together: one lost connection is one event.
 */
export type Outcome = 'clean' | 'fault' | 'malformed' | 'flagged' | 'excused' | 'delivered' | 'late'

/** `p0` to `beta` are those of promotion. */
export interface ReputationConfig extends SprtRates {
  /** Of a trusted node; the threshold comes from `thresholdFor` of run-length.ts. */
  readonly cusum: CusumRates
  /** The same over answers that come late. */
  readonly lateness: CusumRates
  /** The quarantine of this number is for good. */
  readonly maxQuarantines: number
  /** Length of the first quarantine; each further one is twice as long. Also of a pause. */
  readonly quarantineMs: number
}

/**
 * An honest node may fail one audit in a thousand; one that fails one in twenty is not to be trusted, and one that is
 * trusted and fails one in a hundred is to be found.
 *
 * | | honest (0.1 %) | 1 % | 5 % | all |
 * |---|---|---|---|---|
 * | probation: ends trusted | 99.97 % | 79.4 % | 0.98 % | never |
 * | probation: audits | 100 | 188 | 57 | 2 |
 * | trusted: audits to quarantine | 100,549 | 403 | 60 | 3 |
 *
 * The threshold is the smallest at which an honest node runs 100,000 audits between false alarms: at one audit in
 * twenty results, two million results. The rate of 1 % makes evidence last: one failure takes 255 clean audits to be
 * forgotten, so that a node which cheats, waits until it is audited less, and cheats again adds up its failures.
 */
export const DEFAULT_REPUTATION: ReputationConfig = {
  p0: 0.001,
  p1: 0.05,
  alpha: 0.001,
  beta: 0.01,
  cusum: { p0: 0.001, p1: 0.01, threshold: 5.84 },
  // One answer in twenty late is a slow network, one in two is of no use; 10,000 answers between false pauses.
  lateness: { p0: 0.05, p1: 0.5, threshold: 7.29 },
  maxQuarantines: 3,
  quarantineMs: 3_600_000,
}

export const NEW_REPUTATION: Reputation = {
  standing: 'probation',
  sprt: { clean: 0, faults: 0, llr: 0 },
  cusum: 0,
  lateness: 0,
  audits: 0,
  failures: 0,
  malformed: 0,
  late: 0,
  delivered: 0,
  flagged: 0,
  excused: 0,
  quarantines: 0,
  pauses: 0,
  demotedFrom: null,
}

type DecisionCode =
  | 'promoted'
  /** A trusted node failed: it is audited in full, and less as clean audits take the evidence away (audit.ts). */
  | 'suspected'
  | 'cleared'
  | 'quarantined'
  | 'banned'
  /** No work for `detail.pauseMs`; the standing stays. */
  | 'paused'
  | 'released'
  | 'pardoned'

export interface Decision {
  readonly code: DecisionCode
  /** Why, in words, with the figures. */
  readonly reason: string
  readonly detail: { readonly [key: string]: Json }
}

export interface Observed {
  readonly next: Reputation
  readonly decision?: Decision
}

const count = z.int().check(z.minimum(0))
const evidence = z.number().check(z.nonnegative())

const reputationSchema = z.strictObject({
  standing: z.enum(STANDINGS),
  sprt: z.strictObject({ clean: count, faults: count, llr: z.number() }),
  cusum: evidence,
  lateness: evidence,
  audits: count,
  failures: count,
  malformed: count,
  late: count,
  delivered: count,
  flagged: count,
  excused: count,
  quarantines: count,
  pauses: count,
  demotedFrom: z.nullable(z.enum(['probation', 'trusted'])),
})

/** A reputation from stored JSON. Throws 'trust/reputation', naming the field. */
export function parseReputation(value: unknown): Reputation {
  const parsed = attempt(() => parseWith(reputationSchema, value, 'reputation'))
  if (parsed.ok) return parsed.value
  throw new AssayError('trust/reputation', parsed.message, { detail: parsed.detail })
}
