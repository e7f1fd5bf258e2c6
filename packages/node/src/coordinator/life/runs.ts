/** Further runs of a segment: to compare with, to decide, or in place of what was found wrong. */
import { statement, type Tx } from '../../store/database.ts'
import { ticketOf } from './give-back.ts'
import type { JobFacts } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { placeAudit, placeRetry } from './roster.ts'
import { uuidAt } from './uuid.ts'

export interface NewRun {
  readonly id: string
  readonly jobId: string
  readonly segment: number
  readonly excluded: readonly string[]
  readonly avoided: readonly string[]
  readonly isCompared: boolean
  readonly isForced: boolean
  readonly attempts: number
  readonly reservedFor: string | null
  readonly reservedUntil: Date | null
}

export interface NewRunAsk {
  readonly job: JobFacts
  readonly like: { readonly segment: number }
  readonly excluded: readonly string[]
  readonly avoided?: readonly string[]
  readonly isCompared: boolean
  readonly isForced: boolean
  /** Used up before. */
  readonly attempts: number
  readonly now: Date
}

export function newRun({ roster }: Pick<LifeParts, 'roster'>, ask: NewRunAsk): NewRun {
  const { job, like, excluded, avoided = [], isCompared, isForced, attempts, now } = ask
  const id = uuidAt(job.idMs)
  const wanted = { queue: job.queue, excluded, avoided, ticket: ticketOf(job, { id, fence: 0 }, now) }
  const place = isCompared ? placeAudit(roster(), wanted) : placeRetry(roster(), wanted)
  return {
    id,
    jobId: job.id,
    segment: like.segment,
    excluded,
    avoided,
    isCompared,
    isForced,
    attempts,
    reservedFor: place.reservedFor,
    reservedUntil: place.forMs === null ? null : new Date(now.getTime() + place.forMs),
  }
}

// Everything else is that of the first run, whose turn it has: it is older than most that is queued.
const INSERT = statement(
  'runs_insert',
  `INSERT INTO dispatch (id, job_id, segment, ordinal, state, queue, reserved_for, reserved_until, priority, turn,
     deadline_at, lease_seconds, attempts, excluded_operators, avoided_operators, compared, forced)
   SELECT given.id, given.job_id, given.segment, last.ordinal + 1, 'queued', last.queue, given.reserved_for,
     given.reserved_until, last.priority, last.turn, last.deadline_at, last.lease_seconds, given.attempts,
     ARRAY(SELECT jsonb_array_elements_text(given.excluded)), ARRAY(SELECT jsonb_array_elements_text(given.avoided)),
     given.compared, given.forced
   FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::timestamptz[], $6::smallint[], $7::jsonb[],
       $8::jsonb[], $9::boolean[], $10::boolean[])
     AS given (id, job_id, segment, reserved_for, reserved_until, attempts, excluded, avoided, compared, forced),
   LATERAL (
     SELECT ordinal, queue, priority, turn, deadline_at, lease_seconds FROM dispatch
     WHERE job_id = given.job_id AND segment = given.segment ORDER BY ordinal DESC LIMIT 1
   ) AS last`,
)

/** At most one for each segment; needs the locks of their jobs. */
export async function insertRuns(tx: Tx, runs: readonly NewRun[]): Promise<void> {
  if (runs.length === 0) return
  await tx.query(INSERT, [
    runs.map(({ id }) => id),
    runs.map(({ jobId }) => jobId),
    runs.map(({ segment }) => segment),
    runs.map(({ reservedFor }) => reservedFor),
    runs.map(({ reservedUntil }) => reservedUntil),
    runs.map(({ attempts }) => attempts),
    runs.map(({ excluded }) => JSON.stringify(excluded)),
    runs.map(({ avoided }) => JSON.stringify(avoided)),
    runs.map(({ isCompared }) => isCompared),
    runs.map(({ isForced }) => isForced),
  ])
}
