/**
 * Admission: which jobs an account may submit now, by its quotas and its balance.
 *
 * Jobs a minute are a level that each job raises by one and that sinks evenly, so that a quota holds for every minute
 * and not for those of the clock. Open segments are counted here and given back by `settleJobs`.
 *
 * Threat: submitters who send more than the network can hold, through many replicas at once. The ledger is held still
 * while usage is read and written, so that two replicas cannot both admit the last job.
 */
import { AssayError, type Rejection, reject, type Verdict } from 'assay/core/errors'
import { type Queryable, statement, type Tx } from '../store/database.ts'
import {
  escrowTransfer,
  type JobEscrow,
  lockBalances,
  post,
  submitterAccount,
  type Transfer,
} from './ledger.ts'

export interface NewJob extends JobEscrow {
  readonly segments: number
}

/** What an account has used, and what it may. */
export interface Usage {
  readonly jobsPerMinute: number
  readonly queuedSegments: number
  readonly openSegments: number
  /** Jobs of the last minute, as of `levelAt` in Unix milliseconds. */
  readonly jobLevel: number
  readonly levelAt: number
}

interface UsageRow {
  readonly name: string
  readonly jobs_per_minute: number
  readonly queued_segments: number
  readonly open_segments: number
  readonly job_level: number
  readonly level_at: Date
}

const MINUTE_MS = 60_000

/**
 * Admits jobs, in their order, as far as quotas and balances of their submitters go, and takes their budgets into
 * escrow. The others come back with the error to answer them with. Submitters must exist. `now` in Unix milliseconds.
 */
export async function admitJobs(
  tx: Tx,
  jobs: readonly NewJob[],
  { now }: { readonly now: number },
): Promise<ReadonlyMap<string, AssayError>> {
  const names = [...new Set(jobs.map(({ submitter }) => submitter))]
  const balances = await lockBalances(tx, names.map(submitterAccount))
  const { rows } = await tx.query<UsageRow>(
    `SELECT name, jobs_per_minute, queued_segments, coalesce(open_segments, 0) AS open_segments,
       coalesce(job_level, 0) AS job_level, coalesce(level_at, to_timestamp(0)) AS level_at
     FROM submitter LEFT JOIN submitter_usage ON submitter = name WHERE name = ANY ($1::text[])`,
    [names],
  )
  const usage = new Map(rows.map((row) => [row.name, usageOf(row)]))
  const refused = new Map<string, AssayError>()
  const transfers: Transfer[] = []
  for (const job of jobs) {
    const admission = admit(usage.get(job.submitter), job, now)
    const escrow = admission.ok ? escrowTransfer(balances, job) : admission
    if (!admission.ok || !escrow.ok) {
      refused.set(job.jobId, AssayError.fromJSON(escrow as Rejection))
      continue
    }
    usage.set(job.submitter, admission.value)
    transfers.push(escrow.value)
  }
  if (transfers.length > 0) await writeUsage(tx, usage)
  await post(tx, transfers)
  return refused
}

async function writeUsage(tx: Tx, usage: ReadonlyMap<string, Usage>): Promise<void> {
  const all = [...usage.values()]
  await tx.query(
    `INSERT INTO submitter_usage (submitter, open_segments, job_level, level_at)
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::float8[], $4::timestamptz[])
     ON CONFLICT (submitter) DO UPDATE SET open_segments = excluded.open_segments, job_level = excluded.job_level,
       level_at = excluded.level_at`,
    [
      [...usage.keys()],
      all.map(({ openSegments }) => openSegments),
      all.map(({ jobLevel }) => jobLevel),
      all.map(({ levelAt }) => new Date(levelAt)),
    ],
  )
}

function usageOf(row: UsageRow): Usage {
  return {
    jobsPerMinute: row.jobs_per_minute,
    queuedSegments: row.queued_segments,
    openSegments: row.open_segments,
    jobLevel: row.job_level,
    levelAt: row.level_at.getTime(),
  }
}

/** The usage with one more job, or why it may not be: pure. */
export function admit(
  usage: Usage | undefined,
  { submitter, segments }: NewJob,
  now: number,
): Verdict<Usage> {
  if (usage === undefined) return reject('wire/not-found', `there is no account ${submitter}`)
  const perMs = usage.jobsPerMinute / MINUTE_MS
  const level = Math.max(0, usage.jobLevel - Math.max(0, now - usage.levelAt) * perMs)
  if (level + 1 > usage.jobsPerMinute) {
    const retryAfterSeconds = perMs === 0 ? 60 : Math.ceil((level + 1 - usage.jobsPerMinute) / perMs / 1000)
    return reject('wire/quota', `the account may submit ${usage.jobsPerMinute} jobs a minute`, {
      quota: 'jobsPerMinute',
      limit: usage.jobsPerMinute,
      retryAfterSeconds,
    })
  }
  const openSegments = usage.openSegments + segments
  if (openSegments > usage.queuedSegments) {
    const message = `the account may have ${usage.queuedSegments} segments open, and these would make ${openSegments}`
    return reject('wire/quota', message, { quota: 'queuedSegments', limit: usage.queuedSegments })
  }
  return { ok: true, value: { ...usage, openSegments, jobLevel: level + 1, levelAt: now } }
}

export interface BlobClaim {
  readonly cid: string
  readonly submitter: string
  readonly sizeBytes: number
}

const BLOB_LOCKS = 0x626c_6f62

/** Whoever claims a blob and whoever deletes it take turns (retention.ts), until the end of the transaction. */
export async function lockBlob(tx: Tx, cid: string): Promise<void> {
  await tx.query('SELECT pg_advisory_xact_lock($1, hashtext($2))', [BLOB_LOCKS, cid])
}

/**
 * Makes a blob one of the account's, within its quota: 'wire/quota'. Claiming it again changes nothing. Whether its file
 * is still there is to be looked at afterwards.
 */
export async function claimBlob(tx: Tx, { cid, submitter, sizeBytes }: BlobClaim): Promise<Verdict<true>> {
  await lockBlob(tx, cid)
  // Claims of one account one after the other, so that two cannot both be the last that fits.
  const { rows } = await tx.query<{ blob_bytes: number }>(
    'SELECT blob_bytes FROM submitter WHERE name = $1 FOR NO KEY UPDATE',
    [submitter],
  )
  const limit = rows[0]?.blob_bytes ?? 0
  if (await ownsBlob(tx, { cid, submitter })) return { ok: true, value: true }
  const used = await blobBytes(tx, submitter)
  if (used + sizeBytes > limit) {
    const message = `the account may store ${limit} bytes, and this would make ${used + sizeBytes}`
    return reject('wire/quota', message, { quota: 'blobBytes', limit, used })
  }
  await tx.query(
    `INSERT INTO blob_owner (cid, submitter, size_bytes) VALUES ($1, $2, $3)
     ON CONFLICT (cid, submitter) DO UPDATE SET dropped_at = NULL, needed_until = now()`,
    [cid, submitter, sizeBytes],
  )
  return { ok: true, value: true }
}

/** Takes a claim back. */
export async function disclaimBlob(
  db: Queryable,
  { cid, submitter }: Omit<BlobClaim, 'sizeBytes'>,
): Promise<void> {
  await db.query('DELETE FROM blob_owner WHERE cid = $1 AND submitter = $2', [cid, submitter])
}

export interface BlobNeed {
  readonly cid: string
  readonly submitter: string
  readonly until: Date
}

const DAY_MS = 86_400_000
const NEED = statement(
  'blobs_need',
  `UPDATE blob_owner SET needed_until = given.until, dropped_at = NULL
   FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS given (cid, submitter, until)
   WHERE blob_owner.cid = given.cid AND blob_owner.submitter = given.submitter
     AND (needed_until < given.until OR dropped_at IS NOT NULL)`,
)

/** Keeps blobs until jobs with them have ended, in whole days: so one that many jobs use is written once a day. */
export async function needBlobs(tx: Tx, needs: readonly BlobNeed[]): Promise<void> {
  const last = new Map<string, BlobNeed>()
  for (const { cid, submitter, until } of needs) {
    const day = new Date(Math.ceil(until.getTime() / DAY_MS) * DAY_MS)
    const key = `${cid} ${submitter}`
    const known = last.get(key)
    if (known === undefined || known.until < day) last.set(key, { cid, submitter, until: day })
  }
  if (last.size === 0) return
  const all = [...last.values()]
  await tx.query(NEED, [
    all.map(({ cid }) => cid),
    all.map(({ submitter }) => submitter),
    all.map(({ until }) => until),
  ])
}

export async function ownsBlob(
  db: Queryable,
  { cid, submitter }: Omit<BlobClaim, 'sizeBytes'>,
): Promise<boolean> {
  const { rows } = await db.query(
    'SELECT FROM blob_owner WHERE cid = $1 AND submitter = $2 AND dropped_at IS NULL',
    [cid, submitter],
  )
  return rows.length > 0
}

const OWNED = statement(
  'blobs_owned',
  'SELECT cid FROM blob_owner WHERE submitter = $1 AND cid = ANY ($2::text[]) AND dropped_at IS NULL',
)

/** Which of these blobs are the account's. */
export async function ownedBlobs(
  db: Queryable,
  { cids, submitter }: { readonly cids: readonly string[]; readonly submitter: string },
): Promise<ReadonlySet<string>> {
  const { rows } = await db.query<{ cid: string }>(OWNED, [submitter, cids])
  return new Set(rows.map(({ cid }) => cid))
}

/** Bytes that the account stores. */
export async function blobBytes(db: Queryable, submitter: string): Promise<number> {
  const { rows } = await db.query<{ used: number }>(
    'SELECT coalesce(sum(size_bytes), 0)::int8 AS used FROM blob_owner WHERE submitter = $1 AND dropped_at IS NULL',
    [submitter],
  )
  return rows[0]?.used ?? 0
}
