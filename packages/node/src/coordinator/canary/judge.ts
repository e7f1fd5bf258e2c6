/**
 * Canaries that have ended: whether the nodes gave the known answers.
 *
 * Every run that was accepted is judged, also where two nodes agreed on it: that is what finds those that collude. What
 * is told of a fault names neither the job nor the answer, since it is told to the node's operator, too.
 */
import { toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { decodeRows } from 'assay/task/rows'
import { isTolerant, segmentOutput } from 'assay/wire/segment'
import type { ValueRef } from 'assay/wire/text'
import type { Database, Queryable } from '../../store/database.ts'
import { outputsAgree } from '../life/agreement.ts'
import { type FactsCache, type JobFacts, jobFacts, segmentInput } from '../life/job-facts.ts'
import type { Content } from '../life/parts.ts'
import { runtimeOf } from '../life/queue.ts'
import { postRecorded, record } from '../registry/conduct.ts'
import type { Observation } from '../registry/node-record.ts'
import type { NodePolicy } from '../registry/policy.ts'

/** Canaries of one look. */
const BATCH = 50

export interface JudgeOptions {
  readonly policy: NodePolicy
  readonly cache: FactsCache
  readonly content: Content
  /** Unix milliseconds. */
  readonly now: number
}

interface RunRow {
  readonly id: string
  readonly segment: number
  readonly fence: number
  readonly node_id: Uint8Array
  readonly output_digest: Uint8Array
  readonly output_inline: Uint8Array | null
  readonly output_cid: string | null
  readonly audited: boolean
}

/** Judges what has ended since the last time; how many canaries. Any replica may do it at any time. */
export async function judgeCanaries(db: Database, options: JudgeOptions): Promise<number> {
  const { rows } = await db.query<{ job_id: string; answers: Uint8Array }>(
    `SELECT canary.job_id, answers FROM canary JOIN job ON job.id = canary.job_id
     WHERE judged_at IS NULL AND job.state NOT IN ('submitted', 'running') ORDER BY canary.job_id LIMIT $1`,
    [BATCH],
  )
  let judged = 0
  for (const { job_id: jobId, answers } of rows) {
    const job = (await jobFacts(db, options.cache, [jobId])).get(jobId) as JobFacts
    const observations = await compareRuns(db, job, { ...options, answers: decodeRows(answers) })
    if (observations !== null && (await write(db, { jobId, observations, ...options }))) judged++
  }
  return judged
}

/** Null where an output cannot be read now. */
async function compareRuns(
  db: Queryable,
  job: JobFacts,
  { answers, content }: Pick<JudgeOptions, 'content'> & { readonly answers: readonly Uint8Array[] },
): Promise<readonly (Observation & { readonly isAudited: boolean })[] | null> {
  const { rows } = await db.query<RunRow>(
    `SELECT id, segment, fence, node_id, output_digest, output_inline, output_cid, audited FROM dispatch
     WHERE job_id = $1 AND state = 'accepted' ORDER BY segment, ordinal`,
    [job.id],
  )
  const observations = []
  for (const run of rows) {
    const { from, to } = segmentInput(job, run.segment)
    const expected = segmentOutput(answers.slice(from, to))
    let isRight = toHex(expected.digest) === toHex(run.output_digest)
    if (!isRight && isTolerant(job.spec.work)) {
      const given = refOf(run)
      const known: ValueRef = { inline: Buffer.from(expected.bytes).toString('base64') }
      try {
        isRight = await outputsAgree(content, job.task.state, [known, given])
      } catch (error) {
        if (error instanceof AssayError && error.code.startsWith('blob/')) return null
        throw error
      }
    }
    observations.push(observationOf(run, job, isRight))
  }
  return observations
}

function refOf({ output_inline: inline, output_cid: cid }: RunRow): ValueRef {
  return cid === null ? { inline: Buffer.from(inline ?? []).toString('base64') } : { cid }
}

function observationOf(
  { id, fence, node_id: node, audited: isAudited }: RunRow,
  { spec }: JobFacts,
  isRight: boolean,
): Observation & { readonly isAudited: boolean } {
  const nodeId = toHex(node)
  const runtime = runtimeOf(spec.work)
  if (isRight) return { nodeId, runtime, outcome: 'clean', isAudited }
  return {
    nodeId,
    runtime,
    outcome: 'fault',
    isAudited,
    // As validation names a fault of this run: what is found twice is penalised once.
    once: `${id}/${fence}`,
    code: 'audit/wrong',
    reason: 'an audit of one of its results found another one right',
  }
}

async function write(
  db: Database,
  {
    jobId,
    observations,
    policy,
    now,
  }: Pick<JudgeOptions, 'policy' | 'now'> & {
    readonly jobId: string
    readonly observations: readonly (Observation & { readonly isAudited: boolean })[]
  },
): Promise<boolean> {
  return db.tx(async (tx) => {
    const wrong = observations.filter(({ outcome }) => outcome === 'fault')
    const { count } = await tx.query(
      `UPDATE canary SET judged_at = now(), right_runs = $2, wrong_runs = $3
       WHERE job_id = $1 AND judged_at IS NULL`,
      [jobId, observations.length - wrong.length, wrong.length],
    )
    if (count === 0) return false
    // One result is one audit: those that were found right before are not counted again.
    const fresh = observations.filter(({ outcome, isAudited }) => outcome === 'fault' || !isAudited)
    const seen = fresh.map(({ isAudited: _, ...observation }) => observation)
    await postRecorded(tx, await record(tx, seen, { policy, now }))
    return true
  })
}
