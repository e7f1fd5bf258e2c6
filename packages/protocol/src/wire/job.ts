/** Jobs: what a submitter asks for, and what it is told. */
import * as z from 'zod/mini'
import { JOB_STATES } from './life.ts'
import { count, credits, cursor, hex32, message, name, share, time, uuid, valueRef } from './text.ts'
import { workSpec } from './work.ts'

/** Segments of one job: each is a row of the database and a leaf of the result. */
export const MAX_SEGMENTS = 1_000_000
/** Rows of one job. */
export const MAX_ROWS = 100_000_000
/** Rows of one segment: a node holds them in memory. */
export const MAX_SEGMENT_ROWS = 65_536
export const MAX_DEADLINE_SECONDS = 30 * 86_400
export const MAX_ATTEMPTS = 10

/** SPEX on a share of the segments: the verifier recomputes a sample of their rows. */
export const samplingPolicy = z.strictObject({
  /** Share of segments that are checked, drawn after their commitment. */
  share: z._default(share, 1),
  /** The confidence with which a checked segment is caught that has `fakedShare` of its rows made up. */
  confidence: z._default(z.number().check(z.gte(0), z.lt(1)), 0.99),
  fakedShare: z._default(z.number().check(z.gt(0), z.lte(1)), 0.1),
  falsePositiveRate: z._default(z.number().check(z.gt(0), z.lt(0.5)), 0.01),
  /** Probability of guessing one row; only the submitter knows what the rows are. */
  guessProbability: z._default(z.number().check(z.gte(0), z.lt(1)), 0),
})

/** Re-dispatch: a share of the segments runs again on a node of another operator; a third decides. */
export const redundancyPolicy = z.strictObject({ share: z._default(share, 0.1) })

/** The Proof-of-Execution and its signature are always checked. Methods compose. */
export const validationPolicy = z.strictObject({
  sampling: z.optional(samplingPolicy),
  redundancy: z.optional(redundancyPolicy),
})
export type ValidationPolicy = z.infer<typeof validationPolicy>

export const jobSpec = z.strictObject({
  name: z._default(name, 'job'),
  work: workSpec,
  /** All rows: canonical tensors for onnx, a list of records (task/rows.ts) for wasm and chat. */
  input: valueRef,
  /** Rows of the input. A node that finds another number refuses, and the job fails. */
  rows: z.int().check(z.minimum(1), z.maximum(MAX_ROWS)),
  /** A request is whole: as many as `rows`. A batch is cut. */
  segmentRows: z.int().check(z.minimum(1), z.maximum(MAX_SEGMENT_ROWS)),
  validation: z._default(validationPolicy, {}),
  /** Credits paid for each accepted run of a segment, re-runs included. */
  pricePerSegment: credits,
  /** Most that the job may cost; held in escrow from intake to settlement. */
  budget: credits,
  /** 0 to 9; higher goes first. */
  priority: z._default(z.int().check(z.minimum(0), z.maximum(9)), 5),
  deadlineSeconds: z._default(z.int().check(z.minimum(1), z.maximum(MAX_DEADLINE_SECONDS)), 3600),
  /** A lease that is not renewed within this time goes to another node. */
  leaseSeconds: z._default(z.int().check(z.minimum(1), z.maximum(3600)), 30),
  maxAttempts: z._default(z.int().check(z.minimum(1), z.maximum(MAX_ATTEMPTS)), 5),
})
export type JobSpec = z.infer<typeof jobSpec>
export type JobSpecInput = z.input<typeof jobSpec>

const byState = z.strictObject({
  queued: count,
  leased: count,
  committed: count,
  accepted: count,
  poisoned: count,
})

export const jobView = z.strictObject({
  id: uuid,
  state: z.enum(JOB_STATES),
  spec: jobSpec,
  segments: z.strictObject({ total: count, ...byState.shape }),
  /** Runs beyond the first of a segment, and results found wrong. */
  audits: count,
  faults: count,
  /** Commitment to the seed of audits and samples, published at intake; the secret is in the receipt. */
  seedCommitment: hex32,
  /** Why it failed, was cancelled or expired. */
  reason: z.nullable(message),
  escrow: credits,
  spent: credits,
  submittedAt: time,
  deadlineAt: time,
  endedAt: z.nullable(time),
  /** Merkle root over the segments' output digests in order; there when accepted. */
  outputRoot: z.nullable(hex32),
  receipt: z.enum(['none', 'pending', 'ready']),
})
export type JobView = z.infer<typeof jobView>

export const segmentView = z.strictObject({
  index: count,
  from: count,
  to: count,
  state: z.enum(['queued', 'leased', 'committed', 'accepted', 'poisoned', 'cancelled']),
  attempts: count,
  /** Who did it, once it is accepted. */
  nodeId: z.nullable(hex32),
  /** SHA-256 of the output bytes, and the output itself where it is small; once it is accepted. */
  outputDigest: z.nullable(hex32),
  output: z.nullable(valueRef),
  audited: z.boolean(),
  reason: z.nullable(message),
})
export type SegmentView = z.infer<typeof segmentView>

export function pageOf<T extends z.ZodMiniType>(item: T) {
  return z.strictObject({ items: z.array(item), nextCursor: z.nullable(cursor) })
}
