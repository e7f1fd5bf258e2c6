/**
 * Canaries: jobs whose answers are known, mixed into the others. They find nodes that give wrong results also where
 * their auditors collude with them.
 *
 * An operator adds answers it knows: those of an accepted job of which every segment was compared by two operators, or
 * some that it computed itself. Some of their rows (canary/draw.ts) are submitted as an ordinary job, by an ordinary
 * looking account of the network's own, with the policy and the price of the work that they come from; nodes are leased,
 * paid and audited for it like for any other (what would give a canary away: trust/canary.ts). It costs the audit fund.
 * When it has ended, its results are judged (canary/judge.ts).
 *
 * Times between canaries are drawn from an exponential distribution: nothing that a node sees tells when the next is
 * due. Known answers of a submitter's job show nodes rows of it again: the operator decides whose.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { fromBase64 } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { decodeRows, encodeRows } from 'assay/task/rows'
import type { JobSpec } from 'assay/wire/job'
import { contentOf } from 'assay/wire/work'
import type { Database, Queryable, Tx } from '../store/database.ts'
import { ensureSubmitter } from './accounts.ts'
import { type CanaryPool, drawCanary, MAX_POOL_BYTES, misfit } from './canary/draw.ts'
import { AUDIT_FUND, lockBalances, post, submitterAccount } from './ledger.ts'
import type { Submission } from './life/intake.ts'
import { outputRows } from './life/output.ts'
import type { Content } from './life/parts.ts'

/** What such an account may do: never the quota that keeps a canary back. */
const QUOTA = { jobsPerMinute: 1e9, queuedSegments: 1e9, blobBytes: 2 ** 50 }

export interface KnownAnswers {
  /** Of the job that a canary looks like. */
  readonly spec: JobSpec
  /** Canonical tensors, or a list of records. */
  readonly input: Uint8Array
  /** Of each row, in order. */
  readonly answers: readonly Uint8Array[]
}

/** Adds known answers; the number of the pool. 'canary/answers' where they do not fit. */
export async function addCanary(tx: Tx, { spec, input, answers }: KnownAnswers): Promise<number> {
  const encoded = encodeRows(answers)
  if (input.length + encoded.length > MAX_POOL_BYTES) {
    throw new AssayError('canary/answers', `expected at most ${MAX_POOL_BYTES} bytes of rows and answers`)
  }
  if (answers.length !== spec.rows) throw misfit(spec.rows, answers.length)
  // Whether the pool can be drawn from is seen now, and not when a canary is due.
  drawCanary({ spec, input, answers }, () => 0)
  const submitter = `team-${randomBytes(4).toString('hex')}`
  await ensureSubmitter(tx, { name: submitter, quota: QUOTA })
  const { rows } = await tx.query<{ id: number }>(
    'INSERT INTO canary_pool (submitter, spec, input, answers) VALUES ($1, $2, $3, $4) RETURNING id',
    [submitter, JSON.stringify(spec), input, encoded],
  )
  return (rows[0] as { id: number }).id
}

/** The known answers of an accepted job; 'canary/answers' unless each of its segments was compared with another run. */
export async function answersOfJob(
  db: Queryable,
  jobId: string,
  { content }: { readonly content: Content },
): Promise<KnownAnswers> {
  const { rows: jobs } = await db.query<{ spec: JobSpec; segments: number; state: string }>(
    'SELECT spec, segments, state FROM job WHERE id = $1',
    [jobId],
  )
  const [job] = jobs
  if (job?.state !== 'accepted') throw new AssayError('canary/answers', 'expected a job that was accepted')
  const { rows } = await db.query<{ output_inline: Uint8Array | null; output_cid: string | null }>(
    `SELECT output_inline, output_cid FROM dispatch
     WHERE job_id = $1 AND is_result AND audited AND compared ORDER BY segment`,
    [jobId],
  )
  if (rows.length !== job.segments) {
    const message = `${rows.length} of ${job.segments} segments were compared with the run of another operator`
    throw new AssayError('canary/answers', message)
  }
  const answers: Uint8Array[] = []
  let size = 0
  for (const { output_inline: inline, output_cid: cid } of rows) {
    const ref = cid === null ? { inline: Buffer.from(inline ?? []).toString('base64') } : { cid }
    for await (const row of outputRows(content, ref)) {
      size += row.length
      if (size > MAX_POOL_BYTES)
        throw new AssayError('canary/answers', `expected at most ${MAX_POOL_BYTES} bytes`)
      answers.push(row.slice())
    }
  }
  const { input } = job.spec
  const bytes = 'cid' in input ? await readWhole(content, input.cid) : fromBase64(input.inline)
  return { spec: job.spec, input: bytes, answers }
}

async function readWhole(content: Content, cid: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of content.read(cid)) {
    size += piece.length
    if (size > MAX_POOL_BYTES)
      throw new AssayError('canary/answers', `expected at most ${MAX_POOL_BYTES} bytes`)
    pieces.push(piece.slice())
  }
  return Buffer.concat(pieces)
}

export interface InjectOptions {
  /** On average; 0 for none. */
  readonly perHour: number
  /** Unix milliseconds. */
  readonly now: number
  /** Takes a job as it takes those of submitters; its id. */
  readonly submit: (submission: Submission) => Promise<string>
  /** Keeps an input that is too large for a message. */
  readonly putBlob: (cid: string, bytes: Uint8Array) => Promise<void>
  /** Uniform from 0 to below 1; not to be foreseen. */
  readonly random?: () => number
}

/** Submits a canary if one is due; its job, or null. Any replica may call it at any time, about once a second. */
export async function injectCanary(db: Database, options: InjectOptions): Promise<string | null> {
  const { random = secureRandom, submit, putBlob } = options
  if (options.perHour <= 0 || !(await isDue(db, { ...options, random }))) return null
  const pool = await drawPool(db, random)
  if (pool === null) return null
  const { submitter } = pool
  const { spec, input, answers } = drawCanary(pool, random)
  if ('cid' in spec.input) await putBlob(spec.input.cid, input)
  await db.tx((tx) => prepareAccount(tx, { submitter, spec, inputBytes: input.length }))
  const jobId = await submit({ submitter, spec, isCanary: true })
  await db.query('INSERT INTO canary (job_id, answers) VALUES ($1, $2)', [jobId, encodeRows(answers)])
  return jobId
}

/** Takes the turn of the next canary, and sets that of the one after it. */
async function isDue(
  db: Database,
  { perHour, now, random }: { perHour: number; now: number; random: () => number },
): Promise<boolean> {
  const pauseMs = (3_600_000 / perHour) * -Math.log(1 - random())
  const next = new Date(now + pauseMs)
  return db.tx(async (tx) => {
    const begun = await tx.query('INSERT INTO canary_schedule (next_at) VALUES ($1) ON CONFLICT DO NOTHING', [
      next,
    ])
    if (begun.count > 0) return false
    const { count } = await tx.query('UPDATE canary_schedule SET next_at = $1 WHERE next_at <= $2', [
      next,
      new Date(now),
    ])
    return count > 0
  })
}

async function drawPool(
  db: Queryable,
  random: () => number,
): Promise<(CanaryPool & { readonly submitter: string }) | null> {
  const { rows: ids } = await db.query<{ id: number }>('SELECT id FROM canary_pool ORDER BY id')
  const chosen = ids[Math.floor(random() * ids.length)]
  if (chosen === undefined) return null
  const { rows } = await db.query<{
    submitter: string
    spec: JobSpec
    input: Uint8Array
    answers: Uint8Array
  }>('SELECT submitter, spec, input, answers FROM canary_pool WHERE id = $1', [chosen.id])
  const [pool] = rows
  return pool === undefined ? null : { ...pool, answers: decodeRows(pool.answers) }
}

/** The account owns what the job needs, and has what it may cost. */
async function prepareAccount(
  tx: Tx,
  { submitter, spec, inputBytes }: { submitter: string; spec: JobSpec; inputBytes: number },
): Promise<void> {
  if ('cid' in spec.input) {
    await tx.query(
      `INSERT INTO blob_owner (cid, submitter, size_bytes) VALUES ($1, $2, $3)
       ON CONFLICT (cid, submitter) DO UPDATE SET dropped_at = NULL, needed_until = now()`,
      [spec.input.cid, submitter, inputBytes],
    )
  }
  await tx.query(
    `INSERT INTO blob_owner (cid, submitter, size_bytes)
     SELECT DISTINCT ON (cid) cid, $2, size_bytes FROM blob_owner WHERE cid = ANY ($1::text[])
     ON CONFLICT (cid, submitter) DO UPDATE SET dropped_at = NULL`,
    [Object.values(contentOf(spec.work)), submitter],
  )
  const to = submitterAccount(submitter)
  const has = (await lockBalances(tx, [to])).get(to) ?? 0
  const amount = Math.max(0, spec.budget - has)
  await post(tx, [{ from: AUDIT_FUND, to, amount, kind: 'deposit', note: 'for a job with known answers' }])
}

const RANDOM_STEPS = 2 ** 47

function secureRandom(): number {
  return randomInt(RANDOM_STEPS) / RANDOM_STEPS
}
