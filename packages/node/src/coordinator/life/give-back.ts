/**
 * Runs that come back without a result: into the queue again, for others first; and after the last attempt aside, with
 * the job that they belong to.
 *
 * Threat: one operator that fails all it gets. No run is set aside before a second operator failed at it, if there is
 * one; and what is given back for nothing is so only for so many times.
 */
import { u64be } from 'assay/core/bytes'
import { hashFields } from 'assay/core/digest'
import { fractionOf } from 'assay/method/redundancy/audit'
import { statement, type Tx } from '../../store/database.ts'
import { type FailedBy, failedAfter, failedOperators } from './blame.ts'
import type { Effects } from './effects.ts'
import { type JobFacts, uuidBytes } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { hasOthers, placeAudit, placeRetry } from './roster.ts'

/** Operators that are remembered to have failed at one run. */
const MAX_AVOIDED = 16
/** Free returns of one run: with their pauses some nine minutes of a network whose only endpoint is down. */
export const MAX_FREE_RETURNS = 64
/** After so many of them the pause is longer by its length. */
const RETURNS_OF_ONE_PAUSE = 4

/** A dispatch as whoever moves it on reads it. */
export interface RunRow {
  readonly id: string
  readonly job_id: string
  readonly segment: number
  readonly attempts: number
  readonly fence: number
  readonly node_id: Uint8Array | null
  readonly operator: string | null
  readonly excluded_operators: readonly string[]
  readonly avoided_operators: readonly string[]
  readonly compared: boolean
  readonly failed_by: readonly FailedBy[] | null
  readonly free_returns: number
}

export const RUN_COLUMNS = `dispatch.id, dispatch.job_id, dispatch.segment, dispatch.attempts, dispatch.fence,
  dispatch.node_id, dispatch.operator, dispatch.excluded_operators, dispatch.avoided_operators, dispatch.compared,
  dispatch.failed_by, dispatch.free_returns`

export interface GivenBack {
  readonly run: RunRow
  readonly reason: string
  /** The attempt does not count, and the next one waits for a moment; a run that came back so too often counts. */
  readonly isFree?: boolean
  /** The conduct of its node is recorded with this: nothing more is held against it when another delivers. */
  readonly isRecorded?: boolean
}

const REQUEUE = statement(
  'dispatch_requeue',
  `UPDATE dispatch SET state = 'queued', node_id = NULL, operator = NULL, leased_at = NULL, lease_expires_at = NULL,
     attempts = given.attempts, reserved_for = given.reserved_for, reserved_until = given.reserved_until,
     avoided_operators = ARRAY(SELECT jsonb_array_elements_text(given.avoided)), reason = given.reason,
     failed_by = given.failed_by, free_returns = given.free_returns
   FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::timestamptz[], $5::jsonb[], $6::text[], $7::jsonb[], $8::smallint[])
     AS given (id, attempts, reserved_for, reserved_until, avoided, reason, failed_by, free_returns)
   WHERE dispatch.id = given.id`,
)
const POISON = statement(
  'dispatch_poison',
  `UPDATE dispatch SET state = 'poisoned', lease_expires_at = NULL, reason = given.reason
   FROM unnest($1::uuid[], $2::text[]) AS given (id, reason) WHERE dispatch.id = given.id`,
)

/** Puts leased runs back that this transaction has locked, with the locks of their jobs. */
export async function giveBack(
  tx: Tx,
  { roster }: Pick<LifeParts, 'roster'>,
  options: {
    readonly runs: readonly GivenBack[]
    readonly jobs: ReadonlyMap<string, JobFacts>
    readonly effects: Effects
    readonly now: Date
  },
): Promise<void> {
  const { runs, jobs, effects, now } = options
  const poisoned: GivenBack[] = []
  const rows: RequeueRow[] = []
  for (const given of runs) {
    const { run, reason } = given
    const job = jobs.get(run.job_id) as JobFacts
    const isFree = given.isFree === true && run.free_returns < MAX_FREE_RETURNS
    const failedBy = isFree ? run.failed_by : failedAfter(run.failed_by, failureOf(given))
    const isSpent = run.attempts >= job.spec.maxAttempts + (isFree ? 1 : 0)
    if (!isFree && isSpent && isTriedEnough(failedBy ?? [], job, run)) {
      poisoned.push(given)
      continue
    }
    const avoided = [...new Set([...run.avoided_operators, run.operator ?? ''])]
      .filter(Boolean)
      .slice(-MAX_AVOIDED)
    const ask = {
      queue: job.queue,
      excluded: run.excluded_operators,
      // Its last attempt waits for an operator that did not fail at it, even if it gave it back before.
      avoided: isSpent && !isFree ? failedOperators(failedBy ?? []) : avoided,
      ticket: ticketOf(job, run, now),
      isDelayed: isFree || isSpent,
    }
    const place = run.compared ? placeAudit(roster(), ask) : placeRetry(roster(), ask)
    const pauses = isFree && place.reservedFor === null ? pausesAfter(run.free_returns) : 1
    const until = place.forMs === null ? null : new Date(now.getTime() + pauses * place.forMs)
    // At most those it has: a run that waits for a second operator does not count on.
    const attempts = isFree ? run.attempts - 1 : Math.min(run.attempts, job.spec.maxAttempts)
    rows.push([
      run.id,
      attempts,
      place.reservedFor,
      until,
      JSON.stringify(avoided),
      reason,
      failedBy === null ? null : JSON.stringify(failedBy),
      isFree ? run.free_returns + 1 : run.free_returns,
    ])
  }
  if (rows.length > 0) await tx.query(REQUEUE, columns(rows))
  if (poisoned.length > 0) await poison(tx, poisoned, effects)

  /** Two operators failed at it, or all that there are. */
  function isTriedEnough(failedBy: readonly FailedBy[], { queue }: JobFacts, run: RunRow): boolean {
    const failed = failedOperators(failedBy)
    return failed.length > 1 || !hasOthers(roster(), queue, [...failed, ...run.excluded_operators])
  }
}

type RequeueRow = readonly [
  id: string,
  attempts: number,
  reservedFor: string | null,
  reservedUntil: Date | null,
  avoided: string,
  reason: string,
  failedBy: string | null,
  freeReturns: number,
]

function failureOf({ run: { operator, node_id: nodeId }, isRecorded = false }: GivenBack): FailedBy {
  const node = isRecorded || nodeId === null ? null : Buffer.from(nodeId).toString('hex')
  return { operator: operator ?? '', node }
}

function pausesAfter(freeReturns: number): number {
  return 1 + Math.floor(freeReturns / RETURNS_OF_ONE_PAUSE)
}

async function poison(tx: Tx, poisoned: readonly GivenBack[], effects: Effects): Promise<void> {
  await tx.query(POISON, [poisoned.map(({ run }) => run.id), poisoned.map(({ reason }) => reason)])
  for (const { run, reason } of poisoned) setAside(effects, run, { code: 'job/poisoned', reason })
}

/** Ends the job of a segment that was tried as often as it may. */
export function setAside(
  { ends, events }: Effects,
  { job_id: jobId, segment, attempts }: Pick<RunRow, 'job_id' | 'segment' | 'attempts'>,
  { code, reason }: { readonly code: 'job/poisoned' | 'job/unchecked'; readonly reason: string },
): void {
  const why = `segment ${segment} was set aside after ${attempts} attempts: ${reason}`
  if (!ends.has(jobId)) ends.set(jobId, { state: 'failed', code, reason: why.slice(0, 2048) })
  events.push({ type: 'segment.poisoned', jobId, segment, data: { attempts, reason } })
}

/** Differs between runs, attempts and times, and nobody outside can foresee it. */
export function ticketOf(
  { secret }: JobFacts,
  { id, fence }: Pick<RunRow, 'id' | 'fence'>,
  now: Date,
): number {
  return fractionOf(hashFields('assay/place/v1', [secret, uuidBytes(id), u64be(fence), u64be(now.getTime())]))
}

function columns<Row extends readonly unknown[]>(rows: readonly Row[]): never[][] {
  return (rows[0] as Row).map((_, i) => rows.map((row) => row[i] as never))
}

/** Tells that a run came back, and why. */
export function tellRequeue(
  { events }: Effects,
  { run, reason, code }: { readonly run: RunRow; readonly reason: string; readonly code: string },
): void {
  const nodeId = run.node_id === null ? null : Buffer.from(run.node_id).toString('hex')
  events.push({
    type: 'segment.requeued',
    jobId: run.job_id,
    nodeId,
    segment: run.segment,
    data: { code, reason },
  })
}
