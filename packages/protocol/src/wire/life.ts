/**
 * The life of a job and of its segments, as tables: what may follow what, and which step takes it there.
 *
 * Nine steps, each one transaction of the coordinator: intake, segmentation, scheduling, dispatch, execution,
 * commitment, validation, aggregation, settlement. A failure within one leaves the state before it.
 */

/** A job as its submitter sees it. */
export const JOB_STATES = [
  /** In the database and paid into escrow; its segments are not. */
  'submitted',
  /** Its segments wait for nodes, or are under way. */
  'running',
  /** Accepted: all segments are; the escrow is released, and the receipt follows. */
  'accepted',
  /** Some segment was set aside after its last attempt; what was not used is refunded. */
  'failed',
  'cancelled',
  /** The deadline passed. */
  'expired',
] as const
export type JobState = (typeof JOB_STATES)[number]

export const JOB_TRANSITIONS: { readonly [from in JobState]: readonly JobState[] } = {
  submitted: ['running', 'failed', 'cancelled', 'expired'],
  running: ['accepted', 'failed', 'cancelled', 'expired'],
  accepted: [],
  failed: [],
  cancelled: [],
  expired: [],
}

/** One dispatch of a segment to one node: the first run, the re-dispatch, the third that decides. */
export const DISPATCH_STATES = [
  'queued',
  'leased',
  /** A result with a valid commitment is there, and its validation has not ended. */
  'committed',
  'accepted',
  /** The result was found wrong, or lost a majority. */
  'rejected',
  /** Set aside after its last attempt, with a reason. */
  'poisoned',
  'cancelled',
] as const
export type DispatchState = (typeof DISPATCH_STATES)[number]

export const DISPATCH_TRANSITIONS: { readonly [from in DispatchState]: readonly DispatchState[] } = {
  queued: ['leased', 'cancelled'],
  // Back to the queue: the lease expired, the node failed, or its result was malformed.
  leased: ['queued', 'committed', 'accepted', 'poisoned', 'cancelled'],
  // What was found wrong stays as it is; the segment gets a further dispatch.
  committed: ['accepted', 'rejected', 'cancelled'],
  accepted: [],
  rejected: [],
  poisoned: [],
  cancelled: [],
}

export function isFinal(state: JobState): boolean {
  return JOB_TRANSITIONS[state].length === 0
}
