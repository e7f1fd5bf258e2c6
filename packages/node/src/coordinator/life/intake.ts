/**
 * Intake: what a job must fulfil to be taken, and the transaction that takes it.
 *
 * Jobs that come at the same time are taken in one transaction. Quotas and balances of their submitters are read first,
 * and budgets go into escrow last (quota.ts); a job of few segments is cut in the same transaction, one of many step by
 * step behind it (segmentation.ts).
 *
 * Threat: specifications come from submitters, parsed and otherwise believed in nothing: what cannot be paid, run or
 * verified is refused with a code before any row is made.
 */
import { randomBytes } from 'node:crypto'
import { fromBase64 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { AssayError, attempt } from 'assay/core/errors'
import { fingerprintBits } from 'assay/core/fingerprint'
import { commitSeed } from 'assay/core/seed'
import { samplesFor } from 'assay/method/sampling/config'
import { jobSeedContext } from 'assay/receipt/job/draws'
import { type JobSpec, MAX_SEGMENTS } from 'assay/wire/job'
import { contentOf } from 'assay/wire/work'
import { statement, type Tx } from '../../store/database.ts'
import { append } from '../events.ts'
import { admitJobs, type BlobNeed, needBlobs, takeBudgets } from '../quota.ts'
import { type FactsCache, type JobFacts, type JobRow, rememberJob, segmentsOf, taskOf } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { queueOf } from './queue.ts'
import { insertSegments } from './segmentation.ts'
import { takePositions } from './turns.ts'
import { uuidAt } from './uuid.ts'

/** Jobs of at most so many segments are cut at intake. */
export const SEGMENTS_AT_INTAKE = 2_000
/** Runs of a segment that are paid at most where it is compared: two that agree, or three. */
const COMPARED_RUNS = 3

export interface Submission {
  /** Drawn before, so that the same submission makes one job; a fresh one otherwise. */
  readonly id?: string
  readonly submitter: string
  /** Parsed (wire/job.ts). */
  readonly spec: JobSpec
  /** Known answers: a job of the network itself, which no node can tell from others. */
  readonly isCanary?: boolean
}

/** A job that may be taken, if its account can pay for it. */
export interface PreparedJob extends Submission {
  readonly id: string
  readonly queue: string
  readonly segments: number
  readonly inputCid: string
  readonly secret: Uint8Array
  readonly seedCommitment: Uint8Array
  readonly submittedAt: Date
  /** Else its segments are made step by step behind it. */
  readonly isCutAtIntake: boolean
}

/** Whatever can be said without the database. Throws 'job/…', 'codec/…', 'task/…'. */
export async function prepareJob(parts: LifeParts, submission: Submission, now: Date): Promise<PreparedJob> {
  const { spec, submitter } = submission
  const segments = segmentsOf(spec)
  if (segments > MAX_SEGMENTS) {
    const message = `expected at most ${MAX_SEGMENTS} segments, and ${spec.rows} rows by ${spec.segmentRows} make ${segments}`
    throw new AssayError('job/segments', message, { detail: { segments } })
  }
  assertBudget(spec, segments)
  assertVerifiable(parts.cache, spec)
  const inputCid = 'cid' in spec.input ? spec.input.cid : contentAddress(fromBase64(spec.input.inline), 'raw')
  const cids = [...('cid' in spec.input ? [inputCid] : []), ...Object.values(contentOf(spec.work))]
  const missing = await parts.content.missing(submitter, cids)
  if (missing.length > 0) {
    throw new AssayError('job/content', `upload these first: ${missing.join(', ')}`, { detail: { missing } })
  }
  const id = submission.id ?? uuidAt(now.getTime())
  const secret = new Uint8Array(randomBytes(32))
  return {
    ...submission,
    id,
    queue: queueOf(spec.work),
    segments,
    inputCid,
    secret,
    seedCommitment: commitSeed(secret, jobSeedContext(id)),
    submittedAt: now,
    isCutAtIntake: segments <= SEGMENTS_AT_INTAKE,
  }
}

function assertBudget({ validation, pricePerSegment, budget }: JobSpec, segments: number): void {
  const runs = validation.redundancy === undefined ? 1 : COMPARED_RUNS
  const needed = segments * pricePerSegment * runs
  if (budget >= needed) return
  throw new AssayError(
    'job/budget',
    `expected a budget of at least ${needed} credits: ${segments} segments at ${pricePerSegment}` +
      `${runs === 1 ? '' : `, up to ${runs} runs each`}; got ${budget}`,
    { detail: { budget, needed, segments, runs } },
  )
}

/** That the work makes a task, and that a sample of each segment can reach the confidence asked for. */
function assertVerifiable(
  cache: FactsCache,
  { work, rows, segmentRows, validation: { sampling } }: JobSpec,
): void {
  const task = attempt(() => taskOf(cache, work, sampling?.guessProbability ?? 0))
  if (!task.ok) throw new AssayError('job/unverifiable', task.message, { detail: { cause: task.code } })
  if (sampling === undefined) return
  if (work.kind === 'chat') {
    const message =
      'chat work cannot be sampled, since verifiers have no chat endpoint; ask for validation.redundancy instead'
    throw new AssayError('job/unverifiable', message, { detail: { kind: work.kind } })
  }
  const { confidence, fakedShare, falsePositiveRate: asked, guessProbability } = sampling
  const last = rows % segmentRows
  for (const states of new Set([
    Math.min(rows, segmentRows),
    last === 0 ? Math.min(rows, segmentRows) : last,
  ])) {
    const reached = attempt(() => {
      // Proofs are fingerprints (method/sampling/prover.ts), of whole bits.
      const falsePositiveRate = 2 ** -fingerprintBits(asked)
      samplesFor({ confidence, faked: fakedShare }, { states, falsePositiveRate, guessProbability })
    })
    if (reached.ok) continue
    const message = `a segment of ${states} rows cannot be sampled as asked: ${reached.message}`
    throw new AssayError('job/unverifiable', message, { detail: { states, cause: reached.code } })
  }
}

/** Takes jobs, in their order, as far as their accounts go: the facts of each, or why it is refused. */
export async function takeJobs(
  parts: LifeParts,
  jobs: readonly PreparedJob[],
  now: Date,
): Promise<(JobFacts | AssayError)[]> {
  const refused = await parts.db.tx(async (tx) => {
    const admission = await admitJobs(
      tx,
      jobs.map(({ id: jobId, submitter, segments, spec: { budget } }) => ({
        jobId,
        submitter,
        segments,
        budget,
      })),
      { now: now.getTime() },
    )
    const admitted = jobs.filter(({ id }) => !admission.refused.has(id))
    if (admitted.length > 0) await insertJobs(tx, admitted)
    await needBlobs(tx, admitted.flatMap(needsOf))
    await takeBudgets(tx, admission)
    return admission.refused
  })
  if (refused.size < jobs.length) parts.onWork()
  return jobs.map((job) => refused.get(job.id) ?? rememberJob(parts.cache, rowOf(job)))
}

const INSERT = statement(
  'job_insert',
  `INSERT INTO job (id, submitter, state, spec, queue, input_cid, segments, segmented, priority, first_position,
     seed_secret, seed_commitment, budget, price_per_segment, is_canary, submitted_at, deadline_at)
   SELECT id, submitter, CASE WHEN segmented = 0 THEN 'submitted' ELSE 'running' END, spec, queue, input_cid,
     segments, segmented, priority, first_position, seed_secret, seed_commitment, budget, price_per_segment,
     is_canary, submitted_at, deadline_at
   FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::text[], $5::text[], $6::integer[], $7::integer[],
     $8::smallint[], $9::bigint[], $10::bytea[], $11::bytea[], $12::bigint[], $13::bigint[], $14::boolean[],
     $15::timestamptz[], $16::timestamptz[]) AS given (id, submitter, spec, queue, input_cid, segments, segmented,
     priority, first_position, seed_secret, seed_commitment, budget, price_per_segment, is_canary, submitted_at,
     deadline_at)`,
)

async function insertJobs(tx: Tx, jobs: readonly PreparedJob[]): Promise<void> {
  const positions = await takePositions(
    tx,
    jobs.map(({ queue, submitter, segments, spec: { priority } }) => ({
      queue,
      priority,
      submitter,
      segments,
    })),
  )
  const segmented = jobs.map(({ segments, isCutAtIntake }) => (isCutAtIntake ? segments : 0))
  await tx.query(INSERT, [
    jobs.map(({ id }) => id),
    jobs.map(({ submitter }) => submitter),
    jobs.map(({ spec }) => JSON.stringify(spec)),
    jobs.map(({ queue }) => queue),
    jobs.map(({ inputCid }) => inputCid),
    jobs.map(({ segments }) => segments),
    segmented,
    jobs.map(({ spec }) => spec.priority),
    positions,
    jobs.map(({ secret }) => secret),
    jobs.map(({ seedCommitment }) => seedCommitment),
    jobs.map(({ spec }) => spec.budget),
    jobs.map(({ spec }) => spec.pricePerSegment),
    jobs.map(({ isCanary = false }) => isCanary),
    jobs.map(({ submittedAt }) => submittedAt),
    jobs.map(deadlineOf),
  ])
  await insertSegments(
    tx,
    jobs.flatMap(({ id: jobId }, i) =>
      segmented[i] === 0 ? [] : [{ jobId, from: 0, to: segmented[i] as number }],
    ),
  )
  await append(
    tx,
    jobs.map(({ id: jobId, segments, queue }) => ({
      type: 'job.submitted',
      jobId,
      data: { segments, queue },
    })),
  )
}

function needsOf(job: PreparedJob): BlobNeed[] {
  const { submitter, spec } = job
  const cids = ['cid' in spec.input ? [spec.input.cid] : [], Object.values(contentOf(spec.work))].flat()
  return cids.map((cid) => ({ cid, submitter, until: deadlineOf(job) }))
}

function deadlineOf({ submittedAt, spec }: PreparedJob): Date {
  return new Date(submittedAt.getTime() + 1000 * spec.deadlineSeconds)
}

function rowOf(job: PreparedJob): JobRow {
  return {
    id: job.id,
    submitter: job.submitter,
    spec: job.spec,
    segments: job.segments,
    input_cid: job.inputCid,
    seed_secret: job.secret,
    seed_commitment: job.seedCommitment,
    deadline_at: deadlineOf(job),
    is_canary: job.isCanary ?? false,
  }
}
