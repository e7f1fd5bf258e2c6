/**
 * The end of every transaction that moves jobs on: counters, ends, conduct of nodes, settlement, events, in the one
 * order of locks that all of them keep (see the migration).
 *
 * A step collects what it did in `Effects` while it changes dispatches, under the locks of their jobs, and applies them
 * last. So a job that a step completes is settled in that step, and a fault is recorded with what proved it.
 */
import { statement, type Tx } from '../../store/database.ts'
import { append, type NewEvent } from '../events.ts'
import { post, type Settlement, settleJobs } from '../ledger.ts'
import { freeSegments } from '../quota.ts'
import { NOTHING_RECORDED, record } from '../registry/conduct.ts'
import type { Observation } from '../registry/node-record.ts'
import type { LifeParts } from './parts.ts'

export interface JobEnd {
  readonly state: 'failed' | 'cancelled' | 'expired'
  readonly code: 'job/poisoned' | 'job/unchecked' | 'job/cancelled' | 'job/deadline' | 'job/no-operator'
  /** For people. */
  readonly reason: string
}

export interface Effects {
  /** By job: segments accepted, runs beyond the first of a segment, results found wrong. */
  readonly accepted: Map<string, number>
  readonly audits: Map<string, number>
  readonly faults: Map<string, number>
  readonly ends: Map<string, JobEnd>
  /** By node: runs accepted. */
  readonly runs: Map<string, number>
  readonly observations: Observation[]
  readonly events: NewEvent[]
}

export function noEffects(): Effects {
  return {
    accepted: new Map(),
    audits: new Map(),
    faults: new Map(),
    ends: new Map(),
    runs: new Map(),
    observations: [],
    events: [],
  }
}

export function count(counts: Map<string, number>, key: string, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}

const LOCK = statement(
  'jobs_lock',
  'SELECT id, state FROM job WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE',
)
const TRY_LOCK = statement(
  'jobs_try_lock',
  'SELECT id, state FROM job WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED',
)

/**
 * The states of the jobs, which nobody else changes until the end of the transaction. Without waiting, those that
 * somebody else has locked are left out.
 */
export async function lockJobs(
  tx: Tx,
  jobIds: Iterable<string>,
  { wait = true }: { readonly wait?: boolean } = {},
): Promise<Map<string, string>> {
  const { rows } = await tx.query<{ id: string; state: string }>(wait ? LOCK : TRY_LOCK, [
    [...new Set(jobIds)],
  ])
  return new Map(rows.map(({ id, state }) => [id, state]))
}

const APPLY = statement(
  'jobs_apply',
  `UPDATE job SET accepted_segments = job.accepted_segments + given.accepted, audits = job.audits + given.audits,
     faults = job.faults + given.faults, reason = coalesce(given.reason, job.reason),
     state = ended.state, ended_at = CASE WHEN ended.state = job.state THEN job.ended_at ELSE $7 END,
     to_clear = job.to_clear OR (ended.state <> job.state AND (ended.state <> 'accepted' OR job.audits + given.audits > 0)),
     receipt_state = CASE WHEN ended.state = 'accepted' AND job.state <> 'accepted' THEN 'pending'
       ELSE job.receipt_state END
   FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[], $5::text[], $6::text[])
     AS given (id, accepted, audits, faults, state, reason)
   JOIN job AS before ON before.id = given.id,
   LATERAL (SELECT CASE
     WHEN before.state NOT IN ('submitted', 'running') THEN before.state
     WHEN before.accepted_segments + given.accepted = before.segments THEN 'accepted'
     ELSE coalesce(given.state, before.state) END AS state) AS ended
   WHERE job.id = given.id
   RETURNING job.id, job.state, before.state AS was, job.accepted_segments, job.segments`,
)

interface AppliedRow {
  readonly id: string
  readonly state: string
  readonly was: string
  readonly accepted_segments: number
  readonly segments: number
}

/** Applies effects, as the last of a transaction that holds the locks of the jobs. */
export async function applyEffects(
  tx: Tx,
  { policy }: Pick<LifeParts, 'policy'>,
  { effects, now }: { readonly effects: Effects; readonly now: Date },
): Promise<void> {
  const { accepted, audits, faults, ends, runs, observations } = effects
  const touched = [...new Set([...accepted.keys(), ...audits.keys(), ...faults.keys(), ...ends.keys()])]
  const ended: AppliedRow[] = []
  const events = [...effects.events]
  if (touched.length > 0) {
    const { rows } = await tx.query<AppliedRow>(APPLY, [
      touched,
      touched.map((id) => accepted.get(id) ?? 0),
      touched.map((id) => audits.get(id) ?? 0),
      touched.map((id) => faults.get(id) ?? 0),
      touched.map((id) => ends.get(id)?.state ?? null),
      touched.map((id) => ends.get(id)?.reason ?? null),
      now,
    ])
    ended.push(...rows.filter(({ state, was }) => state !== was))
    events.push(...rows.flatMap((row) => progressOf(row, accepted)))
  }
  const recorded =
    observations.length > 0 || runs.size > 0
      ? await record(tx, observations, { policy, now: now.getTime(), accepted: runs })
      : NOTHING_RECORDED
  const endedIds = ended.map(({ id }) => id)
  const settled = await settleJobs(tx, endedIds, policy.auditFund)
  const figures = new Map(settled.map((settlement) => [settlement.jobId, settlement]))
  const endings = ended.map((row) => endingOf(row, { end: ends.get(row.id), figures: figures.get(row.id) }))
  const moved = await post(tx, [...recorded.transfers, ...settled.flatMap(({ transfers }) => transfers)])
  await freeSegments(tx, endedIds)
  // Ends come last: who reads the events of a job stops there.
  await append(tx, [...events, ...recorded.eventsOf(moved), ...endings])
}

function endingOf(
  { id: jobId, state }: AppliedRow,
  { end, figures }: { readonly end: JobEnd | undefined; readonly figures: Settlement | undefined },
): NewEvent {
  const { spent = 0, refunded = 0 } = figures ?? {}
  const why = end === undefined || state === 'accepted' ? {} : { code: end.code, reason: end.reason }
  return { type: `job.${state}`, jobId, data: { ...why, spent, refunded } }
}

/** Of a job that goes on; its end is told by itself. */
function progressOf(row: AppliedRow, accepted: ReadonlyMap<string, number>): NewEvent[] {
  if (row.state !== row.was || !accepted.has(row.id)) return []
  const data = { accepted: row.accepted_segments, segments: row.segments }
  return [{ type: 'job.progress', jobId: row.id, data }]
}
