/**
 * How often and how long a check of the verifier is tried.
 *
 * A check that is handed back, or whose verifier does not come back, stands behind what was queued before, after a pause
 * that grows; after some attempts it is given up. Its result is then rejected without blame and another operator
 * computes the segment (validate.ts); it is never accepted unchecked.
 *
 * Threat: work that no verifier can compute, or only slowly. Its checks come up so seldom, and so few times, that those
 * of others go on.
 */
import { attempt } from 'assay/core/errors'
import { fingerprintBits } from 'assay/core/fingerprint'
import { samplesFor } from 'assay/method/sampling/config'
import { statement } from '../../store/database.ts'
import { lockJobs } from './effects.ts'
import { type JobFacts, segmentInput } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { noteUndecided } from './record-results.ts'

/** Together with the pauses some fourteen minutes: what is wrong with a verifier may be mended by then. */
export const MAX_CHECK_ATTEMPTS = 5
/** Seconds after the attempt that a check just had: the first is repeated when its turn comes, then 40, 160, 640. */
export const CHECK_PAUSE = `CASE WHEN verification.attempts > 1
  THEN 10 * interval '1 second' * power(4, least(verification.attempts, ${MAX_CHECK_ATTEMPTS}) - 1)
  ELSE interval '0' END`

/** Of a check that computes little; a verifier that is gone loses its checks sooner (sweep.ts). */
export const LEAST_LEASE_SECONDS = 120
/** A check that needs more is not for this network: it would hold a place of a verifier for all that time. */
const MOST_LEASE_SECONDS = 3600
/** For loading the work, and for looking at what was not drawn. */
const BESIDE_ROWS_SECONDS = 60
/** Of a model; the specification of such work bounds no row. */
const MODEL_ROW_SECONDS = 10

/** How long one check may take: its samples, each as long as the work allows a row to take. */
export function checkLeaseSeconds(job: JobFacts, segment: number): number {
  const { work, validation } = job.spec
  if (validation.sampling === undefined) return LEAST_LEASE_SECONDS
  const { confidence, fakedShare, falsePositiveRate, guessProbability } = validation.sampling
  const { from, to } = segmentInput(job, segment)
  const drawn = attempt(() =>
    samplesFor(
      { confidence, faked: fakedShare },
      { states: to - from, falsePositiveRate: 2 ** -fingerprintBits(falsePositiveRate), guessProbability },
    ),
  )
  const samples = drawn.ok ? drawn.value : to - from
  const rowSeconds = work.kind === 'wasm' ? work.timeLimitMs / 1000 : MODEL_ROW_SECONDS
  const seconds = Math.ceil(BESIDE_ROWS_SECONDS + samples * rowSeconds)
  return Math.min(MOST_LEASE_SECONDS, Math.max(LEAST_LEASE_SECONDS, seconds))
}

/** Checks of one bite: some tens of milliseconds. */
const BITE = 500

const TRIED_ENOUGH = statement(
  'checks_tried',
  `SELECT job_id FROM verification WHERE state = 'queued' AND attempts >= ${MAX_CHECK_ATTEMPTS} LIMIT ${BITE}`,
)
const GIVE_UP = statement(
  'checks_give_up',
  `UPDATE verification SET state = 'abandoned', decided_at = $2 FROM (
     SELECT verification.dispatch_id, dispatch.segment FROM verification
     JOIN dispatch ON dispatch.id = verification.dispatch_id
     WHERE verification.state = 'queued' AND verification.attempts >= ${MAX_CHECK_ATTEMPTS}
       AND verification.job_id = ANY ($1::uuid[])
     LIMIT ${BITE} FOR UPDATE OF verification SKIP LOCKED
   ) AS tried
   WHERE verification.dispatch_id = tried.dispatch_id
   RETURNING verification.job_id, tried.segment`,
)

/** Gives up checks that were tried often enough, and leaves notes for their segments to be decided. */
export async function giveUpChecks({ db }: Pick<LifeParts, 'db'>, now: Date): Promise<boolean> {
  const { rows } = await db.query<{ job_id: string }>(TRIED_ENOUGH)
  if (rows.length === 0) return false
  const given = await db.tx(async (tx) => {
    const jobs = await lockJobs(
      tx,
      rows.map(({ job_id }) => job_id),
      { wait: false },
    )
    const { rows: given } = await tx.query<{ job_id: string; segment: number }>(GIVE_UP, [
      [...jobs.keys()],
      now,
    ])
    await noteUndecided(tx, given, now)
    return given.length
  })
  return given === BITE
}
