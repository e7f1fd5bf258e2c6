/**
 * Runs that come back without a result: into the queue again, for others first; and after the last attempt aside, with
 * the job that they belong to.
 */
import { u64be } from 'assay/core/bytes'
import { hashFields } from 'assay/core/digest'
import { fractionOf } from 'assay/method/redundancy/audit'
import { statement, type Tx } from '../../store/database.ts'
import type { Effects } from './effects.ts'
import { type JobFacts, uuidBytes } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { placeAudit, placeRetry } from './roster.ts'

/** Operators that are remembered to have failed at one run. */
const MAX_AVOIDED = 16

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
}

export const RUN_COLUMNS = `dispatch.id, dispatch.job_id, dispatch.segment, dispatch.attempts, dispatch.fence,
  dispatch.node_id, dispatch.operator, dispatch.excluded_operators, dispatch.avoided_operators, dispatch.compared`

export interface GivenBack {
  readonly run: RunRow
  readonly reason: string
  /** The attempt does not count, and the next one waits for a moment. */
  readonly isFree?: boolean
}

const REQUEUE = statement(
  'dispatch_requeue',
  `UPDATE dispatch SET state = 'queued', node_id = NULL, operator = NULL, leased_at = NULL, lease_expires_at = NULL,
     attempts = given.attempts, reserved_for = given.reserved_for, reserved_until = given.reserved_until,
     avoided_operators = ARRAY(SELECT jsonb_array_elements_text(given.avoided)), reason = given.reason
   FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::timestamptz[], $5::jsonb[], $6::text[])
     AS given (id, attempts, reserved_for, reserved_until, avoided, reason)
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
  const rows: (readonly [string, number, string | null, Date | null, string, string])[] = []
  for (const given of runs) {
    const { run, reason, isFree = false } = given
    const job = jobs.get(run.job_id) as JobFacts
    if (!isFree && run.attempts >= job.spec.maxAttempts) {
      poisoned.push(given)
      continue
    }
    const avoided = [...new Set([...run.avoided_operators, run.operator ?? ''])]
      .filter(Boolean)
      .slice(-MAX_AVOIDED)
    const ask = {
      queue: job.queue,
      excluded: run.excluded_operators,
      avoided,
      ticket: ticketOf(job, run, now),
      isDelayed: isFree,
    }
    const place = run.compared ? placeAudit(roster(), ask) : placeRetry(roster(), ask)
    const until = place.forMs === null ? null : new Date(now.getTime() + place.forMs)
    const attempts = isFree ? run.attempts - 1 : run.attempts
    rows.push([run.id, attempts, place.reservedFor, until, JSON.stringify(avoided), reason])
  }
  if (rows.length > 0) await tx.query(REQUEUE, columns(rows))
  if (poisoned.length > 0) await poison(tx, poisoned, effects)
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
