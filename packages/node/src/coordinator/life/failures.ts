/**
 * Work that a node gives back: another gets it. Where the node drains or lacks something, no attempt is used up; what
 * it could not do counts, and after as many attempts as the job allows the segment is set aside.
 *
 * Threat: a node that fails what others could do. Each attempt goes to another operator while there is one; when one
 * delivers, the node counts as late (blame.ts). The reason of the last is told to the submitter.
 */
import type { FailuresRequest } from 'assay/wire/dispatch'
import { statement } from '../../store/database.ts'
import { storable } from '../events.ts'
import { applyEffects, lockJobs, noEffects } from './effects.ts'
import { type GivenBack, giveBack, tellRequeue } from './give-back.ts'
import { jobFacts } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { lockRuns } from './record-results.ts'

const FIND = statement('failures_find', 'SELECT id, job_id FROM dispatch WHERE id = ANY ($1::uuid[])')

/** Takes failures; those of leases that are no longer the node's change nothing. */
export async function takeFailures(
  parts: LifeParts,
  {
    nodeId,
    request,
    now,
  }: { readonly nodeId: string; readonly request: FailuresRequest; readonly now: Date },
): Promise<void> {
  const failures = new Map(request.failures.map((failure) => [failure.id, failure]))
  const { rows } = await parts.db.query<{ id: string; job_id: string }>(FIND, [[...failures.keys()]])
  const jobs = await jobFacts(
    parts.db,
    parts.cache,
    rows.map(({ job_id }) => job_id),
  )
  await parts.db.tx(async (tx) => {
    const states = await lockJobs(tx, jobs.keys())
    const locked = await lockRuns(
      tx,
      [...failures.values()].map(({ id, fence }) => ({ id, fence, nodeId })),
    )
    const effects = noEffects()
    const runs = locked
      .filter(({ job_id }) => states.get(job_id) === 'running')
      .map((run): GivenBack & { readonly code: string } => {
        const { code, message, retryElsewhere } = failures.get(run.id) as FailuresRequest['failures'][number]
        const reason = storable(`${code}: ${message}`).slice(0, 2048)
        return { run, reason, code: storable(code), isFree: retryElsewhere }
      })
    await giveBack(tx, parts, { runs, jobs, effects, now })
    for (const { run, code, reason } of runs) tellRequeue(effects, { run, code, reason })
    await applyEffects(tx, parts, { effects, now })
  })
  parts.onWork()
}
