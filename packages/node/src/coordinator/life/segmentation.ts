/**
 * Segmentation: one dispatch for each segment, set by set. A job of many segments is cut in chunks, each a transaction
 * that says how far it came, so that whoever finds a job half cut goes on with it.
 */
import { statement, type Tx } from '../../store/database.ts'
import type { LifeParts } from './parts.ts'
import { TURN_SEGMENTS } from './turns.ts'

/** Segments of one transaction: about a third of a second. */
const CHUNK = 20_000

export interface SegmentRange {
  readonly jobId: string
  readonly from: number
  /** Exclusive. */
  readonly to: number
}

// Ids as `uuid_at` makes them: the first six bytes of the job's, the version, and the rest random. In line, because the
// call of a function for each row took a fifth of it all.
const INSERT = statement(
  'segments_insert',
  `INSERT INTO dispatch (id, job_id, segment, state, queue, priority, turn, deadline_at, lease_seconds)
   SELECT (left(job.id::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid, job.id, segment, 'queued',
     job.queue, job.priority, (job.first_position + segment) / ${TURN_SEGMENTS}, job.deadline_at,
     (job.spec->>'leaseSeconds')::smallint
   FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS given (job_id, from_segment, to_segment)
   JOIN job ON job.id = given.job_id, generate_series(given.from_segment, given.to_segment - 1) AS segment`,
)

export async function insertSegments(tx: Tx, ranges: readonly SegmentRange[]): Promise<void> {
  if (ranges.length === 0) return
  await tx.query(INSERT, [
    ranges.map(({ jobId }) => jobId),
    ranges.map(({ from }) => from),
    ranges.map(({ to }) => to),
  ])
}

const NEXT = statement(
  'segments_next',
  `SELECT id, segments, segmented FROM job WHERE segmented < segments AND state IN ('submitted', 'running')
   ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED`,
)

/** Cuts one chunk of one job that is not cut to its end; false where there is none that nobody else is at. */
export async function segmentChunk({ db, onWork }: Pick<LifeParts, 'db' | 'onWork'>): Promise<boolean> {
  const isDone = await db.tx(async (tx) => {
    const { rows } = await tx.query<{ id: string; segments: number; segmented: number }>(NEXT)
    const [job] = rows
    if (job === undefined) return false
    const to = Math.min(job.segments, job.segmented + CHUNK)
    await insertSegments(tx, [{ jobId: job.id, from: job.segmented, to }])
    await tx.query(`UPDATE job SET segmented = $2, state = 'running' WHERE id = $1`, [job.id, to])
    return true
  })
  if (isDone) onWork()
  return isDone
}
