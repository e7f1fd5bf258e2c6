/**
 * Admission: which jobs an account may submit now, by its quotas and its balance.
 *
 * Jobs a minute are a level that each job raises by one and that sinks evenly, so that a quota holds for every minute
 * and not for those of the clock. Open segments are counted here, and freed when their job is settled.
 *
 * One transaction admits at a time, but settlements go on beside it: the ledger is held only at its end, when budgets
 * are taken (`takeBudgets`). What settles meanwhile gives back segments and credits, so nothing is admitted that may not
 * be; where something else spent the balance, the transaction fails as a whole and is tried in parts.
 *
 * Threat: submitters who send more than the network can hold, through many replicas at once. Usage is read behind the
 * lock of admission, so that two replicas cannot both admit the last job.
 */
import { AssayError, type Rejection, reject, type Verdict } from 'assay/core/errors'
import { type Queryable, statement, type Tx } from '../store/database.ts'
import { escrowTransfer, type JobEscrow, post, submitterAccount, type Transfer } from './ledger.ts'

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

interface AdmissionRow {
  readonly name: string
  readonly jobs_per_minute: number
  readonly queued_segments: number
  readonly open_segments: number
  readonly job_level: number
  readonly level_at: Date
  readonly balance: number
}

const MINUTE_MS = 60_000

/** What a transaction admits: budgets that are still to be taken, and what that makes of the usage of accounts. */
export interface Admission {
  /** By job: the error to answer with. */
  readonly refused: ReadonlyMap<string, AssayError>
  readonly budgets: readonly Transfer[]
  readonly added: readonly AddedUsage[]
}

interface AddedUsage {
  readonly submitter: string
  /** Beyond those that were open. */
  readonly segments: number
  readonly jobLevel: number
  readonly levelAt: number
}

const ADMISSION = statement(
  'admission',
  `SELECT name, jobs_per_minute, queued_segments, open_segments, job_level, level_at, balance
   FROM admission($1::text[])`,
)

/**
 * Admits jobs, in their order, as far as quotas and balances of their submitters go, with every other admission held up
 * until the end of the transaction, which calls `takeBudgets` last. Submitters must exist. `now` in Unix milliseconds.
 */
export async function admitJobs(
  tx: Tx,
  jobs: readonly NewJob[],
  { now }: { readonly now: number },
): Promise<Admission> {
  const names = [...new Set(jobs.map(({ submitter }) => submitter))]
  const { rows } = await tx.query<AdmissionRow>(ADMISSION, [names])
  const balances = new Map(rows.map(({ name, balance }) => [submitterAccount(name), balance]))
  const before = new Map(rows.map((row) => [row.name, usageOf(row)]))
  const usage = new Map(before)
  const refused = new Map<string, AssayError>()
  const budgets: Transfer[] = []
  for (const job of jobs) {
    const admission = admit(usage.get(job.submitter), job, now)
    const escrow = admission.ok ? escrowTransfer(balances, job) : admission
    if (!admission.ok || !escrow.ok) {
      refused.set(job.jobId, AssayError.fromJSON(escrow as Rejection))
      continue
    }
    usage.set(job.submitter, admission.value)
    budgets.push(escrow.value)
  }
  const added = [...usage].flatMap(([submitter, { openSegments, jobLevel, levelAt }]) => {
    const segments = openSegments - (before.get(submitter)?.openSegments ?? 0)
    return segments === 0 ? [] : [{ submitter, segments, jobLevel, levelAt }]
  })
  return { refused, budgets, added }
}

// Accounts in one order, and segments added to what settlements left meanwhile.
const ADD_USAGE = statement(
  'usage_add',
  `INSERT INTO submitter_usage (submitter, open_segments, job_level, level_at)
   SELECT * FROM unnest($1::text[], $2::bigint[], $3::float8[], $4::timestamptz[])
     AS given (submitter, segments, job_level, level_at) ORDER BY submitter
   ON CONFLICT (submitter) DO UPDATE SET open_segments = submitter_usage.open_segments + excluded.open_segments,
     job_level = excluded.job_level, level_at = excluded.level_at`,
)

/** Takes the budgets of what was admitted into escrow; 'ledger/insufficient' where a balance was spent meanwhile. */
export async function takeBudgets(tx: Tx, { budgets, added }: Admission): Promise<void> {
  await post(tx, budgets)
  if (added.length === 0) return
  await tx.query(ADD_USAGE, [
    added.map(({ submitter }) => submitter),
    added.map(({ segments }) => segments),
    added.map(({ jobLevel }) => jobLevel),
    added.map(({ levelAt }) => new Date(levelAt)),
  ])
}

const FREE_SEGMENTS = statement(
  'usage_free',
  `WITH ended AS (
     SELECT submitter, sum(segments) AS segments FROM job WHERE id = ANY ($1::uuid[]) GROUP BY submitter
   ), locked AS (
     SELECT submitter FROM submitter_usage WHERE submitter IN (SELECT submitter FROM ended)
     ORDER BY submitter FOR NO KEY UPDATE
   )
   UPDATE submitter_usage AS usage SET open_segments = greatest(0, usage.open_segments - ended.segments)
   FROM ended JOIN locked USING (submitter) WHERE usage.submitter = ended.submitter`,
)

/** Segments of jobs that ended count no more. Behind the post, like those that are added. */
export async function freeSegments(tx: Tx, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length > 0) await tx.query(FREE_SEGMENTS, [jobIds])
}

function usageOf(row: AdmissionRow): Usage {
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
