/**
 * What is fixed of a job from its intake on, kept in memory: leases and results ask for it all the time.
 *
 * From it follow, without any row of the input: the task and its id, the bounds of each segment, the seed of all
 * draws, and the nonce of each lease, T("assay/lease-nonce/v1", secret, dispatch id, fence as u32), which is stored
 * nowhere and which nobody can foresee who does not know the secret of the job.
 */
import { fromHex, toHex } from 'assay/core/bytes'
import type { Digest } from 'assay/core/digest'
import { digestAt, hashFieldsMany } from 'assay/core/hash-many'
import type { SeedSource } from 'assay/core/seed'
import { openSeed } from 'assay/core/seed'
import { jobSeedContext } from 'assay/receipt/job/draws'
import type { JobSpec } from 'assay/wire/job'
import { type SegmentInput, type SegmentTask, segmentTask, withoutRows } from 'assay/wire/segment'
import type { WorkSpec } from 'assay/wire/work'
import { type Queryable, statement } from '../../store/database.ts'
import { createLru, type Lru } from './lru.ts'
import { queueOf } from './queue.ts'

/** Jobs under way at once, about; an entry has up to 16 KiB of inline input, mostly far less. */
const MAX_JOBS = 4096
/** Kinds of work that differ in more than their rows. */
const MAX_TASKS = 256

export interface JobFacts {
  readonly id: string
  readonly submitter: string
  readonly spec: JobSpec
  readonly queue: string
  readonly segments: number
  readonly inputCid: string
  readonly secret: Uint8Array
  /** To the secret, made at intake. */
  readonly seedCommitment: Uint8Array
  /** Of all draws: opened from the secret. */
  readonly seed: Uint8Array
  readonly deadlineAt: Date
  /** Unix milliseconds that the job's id carries; ids of its dispatches carry the same. */
  readonly idMs: number
  readonly isCanary: boolean
  readonly task: SegmentTask
  readonly taskDigest: Digest
}

export interface JobRow {
  readonly id: string
  readonly submitter: string
  readonly spec: JobSpec
  readonly segments: number
  readonly input_cid: string
  readonly seed_secret: Uint8Array
  readonly seed_commitment: Uint8Array
  readonly deadline_at: Date
  readonly is_canary: boolean
}

export interface FactsCache {
  readonly jobs: Lru<string, JobFacts>
  readonly tasks: Lru<string, SegmentTask>
}

export function createFactsCache(): FactsCache {
  return { jobs: createLru(MAX_JOBS), tasks: createLru(MAX_TASKS) }
}

const LOAD = statement(
  'job_facts',
  `SELECT id, submitter, spec, segments, input_cid, seed_secret, seed_commitment, deadline_at, is_canary
   FROM job WHERE id = ANY ($1::uuid[])`,
)

/** Of the jobs that there are. */
export async function jobFacts(
  db: Queryable,
  cache: FactsCache,
  jobIds: readonly string[],
): Promise<Map<string, JobFacts>> {
  const found = new Map<string, JobFacts>()
  const missing = new Set<string>()
  // Rows of one job come in hundreds.
  for (const id of new Set(jobIds)) {
    const facts = cache.jobs.get(id)
    if (facts === undefined) missing.add(id)
    else found.set(id, facts)
  }
  if (missing.size === 0) return found
  const { rows } = await db.query<JobRow>(LOAD, [[...missing]])
  for (const row of rows) found.set(row.id, rememberJob(cache, row))
  return found
}

export function rememberJob(cache: FactsCache, row: JobRow): JobFacts {
  const { seed_commitment: commitment, seed_secret: secret } = row
  const opened = openSeed({ commitment, secret, context: jobSeedContext(row.id) })
  if (!opened.ok) throw new Error(`the seed of job ${row.id} does not open: ${opened.message}`)
  const task = taskOf(cache, row.spec.work, row.spec.validation.sampling?.guessProbability ?? 0)
  const facts: JobFacts = {
    id: row.id,
    submitter: row.submitter,
    spec: row.spec,
    queue: queueOf(row.spec.work),
    segments: row.segments,
    inputCid: row.input_cid,
    secret,
    seedCommitment: commitment,
    seed: opened.value,
    deadlineAt: row.deadline_at,
    idMs: Number.parseInt(row.id.slice(0, 8) + row.id.slice(9, 13), 16),
    isCanary: row.is_canary,
    task,
    taskDigest: fromHex(task.id) as Digest,
  }
  cache.jobs.set(row.id, facts)
  return facts
}

/** Making a task takes half a millisecond; jobs of one model or module share theirs. */
export function taskOf(cache: FactsCache, work: WorkSpec, guessProbability: number): SegmentTask {
  const key = JSON.stringify([guessProbability, work])
  const known = cache.tasks.get(key)
  if (known !== undefined) return known
  const task = segmentTask(work, withoutRows, { guessProbability })
  cache.tasks.set(key, task)
  return task
}

export function segmentsOf({ rows, segmentRows }: Pick<JobSpec, 'rows' | 'segmentRows'>): number {
  return Math.ceil(rows / segmentRows)
}

export function segmentInput({ spec, inputCid }: JobFacts, segment: number): SegmentInput {
  const from = segment * spec.segmentRows
  return { input: inputCid, from, to: Math.min(spec.rows, from + spec.segmentRows) }
}

/** As the verifier and the receipt have it. */
export function seedSource({ id, secret, seedCommitment }: JobFacts): SeedSource {
  return {
    kind: 'commit-reveal',
    commitment: toHex(seedCommitment),
    secret: toHex(secret),
    context: toHex(jobSeedContext(id)),
  }
}

export interface LeaseRef {
  readonly job: JobFacts
  readonly dispatchId: string
  readonly fence: number
}

/** The nonces of leases, 32 bytes each. */
export function leaseNonces(leases: readonly LeaseRef[]): Digest[] {
  const digests = hashFieldsMany(
    'assay/lease-nonce/v1',
    leases.map(({ job, dispatchId, fence }) => [job.secret, uuidBytes(dispatchId), u32(fence)]),
  )
  return leases.map((_, i) => digestAt(digests, i) as Digest)
}

export function uuidBytes(id: string): Uint8Array {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}
