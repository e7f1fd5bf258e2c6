/** Cancellation, at any step: what was accepted is paid, the rest of the budget goes back, what runs is let go. */
import { AssayError } from 'assay/core/errors'
import { isFinal, type JobState } from 'assay/wire/life'
import { statement } from '../../store/database.ts'
import { applyEffects, noEffects } from './effects.ts'
import type { LifeParts } from './parts.ts'

const LOCK = statement(
  'job_lock_owned',
  `SELECT state FROM job WHERE id = $1 AND ($2::text IS NULL OR submitter = $2) FOR NO KEY UPDATE`,
)

export interface CancelOptions {
  readonly jobId: string
  /** Whose job it must be; null for whoever may cancel any. */
  readonly submitter: string | null
  readonly reason?: string
  readonly now: Date
}

/**
 * Cancels a job; once more changes nothing. Its runs are taken away behind this (sweep.ts): until then nodes that hold
 * them lose them at their next renewal, and their results are refused.
 *
 * @throws AssayError 'wire/not-found', 'wire/conflict' for a job that ended otherwise.
 */
export async function cancelJob(
  parts: Pick<LifeParts, 'db' | 'policy'>,
  { jobId, submitter, reason = 'cancelled by its submitter', now }: CancelOptions,
): Promise<void> {
  await parts.db.tx(async (tx) => {
    const { rows } = await tx.query<{ state: JobState }>(LOCK, [jobId, submitter])
    const [job] = rows
    if (job === undefined) throw new AssayError('wire/not-found', `there is no job ${jobId}`)
    if (job.state === 'cancelled') return
    if (isFinal(job.state)) {
      throw new AssayError('wire/conflict', `the job is ${job.state}, and cannot be cancelled any more`, {
        detail: { state: job.state },
      })
    }
    const effects = noEffects()
    effects.ends.set(jobId, { state: 'cancelled', code: 'job/cancelled', reason })
    await applyEffects(tx, parts, { effects, now })
  })
}
