/**
 * What a network forgets, where its operator said after how many days: events; runs of jobs that have ended; blobs that
 * no job needs any more. Jobs, receipts, the log and the ledger are kept for ever; and what nodes and verifiers signed
 * for a receipt is packed beside it before the runs go.
 *
 * A blob goes in two steps. First its owners lose it: from then on no job is taken with it, unless it is uploaded again.
 * After a grace in which every request of before has ended, what is still nobody's is deleted, under a lock that uploads
 * of the same blob take as well (quota.ts). Deleted is the file first: a row without a file is nobody's, and goes next
 * time.
 *
 * Any number of replicas may do all of it at any time; each step is one bite, and says whether it may have left some.
 *
 * Threat: none of its own. Who uploads and never uses pays with its quota until the days are over.
 */
import { MAX_DEADLINE_SECONDS } from 'assay/wire/job'
import type { BlobStore } from '../store/blobs.ts'
import { type Database, type Queryable, statement } from '../store/database.ts'
import { lockBlob } from './quota.ts'

const DAY_MS = 86_400_000
/** No request and no transaction lasts as long. */
const GRACE_MS = 3_600_000
/** Rows of one bite: some tens of milliseconds. */
const DELETE_BITE = 5_000
const JOBS_BITE = 500
const BLOBS_BITE = 200
/** Receipts: some milliseconds each, and seconds for the largest. */
const EVIDENCE_BITE = 100
/** Bites of one step in one round. */
const MAX_BITES = 16
/** When to look again at a blob that is still needed. */
const LOOK_AGAIN_MS = DAY_MS

export interface RetentionParts {
  readonly db: Database
  readonly blobs: Pick<BlobStore, 'delete'>
  /** What was signed of a job with a receipt, packed (sealing/bundle.ts). */
  readonly evidence: (jobId: string) => Promise<Uint8Array>
  /** Evidence that cannot be packed keeps the runs that it would be made of. */
  readonly onError: (error: unknown, jobId: string) => void
  /** 0 keeps all. */
  readonly keepDays: number
  /** Unix milliseconds. */
  readonly now: number
}

/** One round of all steps, in bounded bites. */
export async function forget(parts: RetentionParts): Promise<void> {
  if (parts.keepDays === 0) return
  for (const step of [forgetEvents, packEvidence, forgetRuns, forgetBatches, dropBlobs, deleteBlobs]) {
    for (let bite = 0; bite < MAX_BITES && (await step(parts)); bite++);
  }
}

const before = ({ keepDays, now }: RetentionParts) => new Date(now - keepDays * DAY_MS)

// Ids are drawn in the order of time, nearly: what is a little older than its neighbours goes with them.
const DELETE_EVENTS = statement(
  'forget_events',
  `DELETE FROM event WHERE at < $1 AND id = ANY (ARRAY(SELECT id FROM event ORDER BY id LIMIT ${DELETE_BITE}))`,
)

async function forgetEvents(parts: RetentionParts): Promise<boolean> {
  return (await parts.db.query(DELETE_EVENTS, [before(parts)])).count === DELETE_BITE
}

const UNPACKED = statement(
  'forget_unpacked',
  `SELECT job.id FROM job JOIN receipt ON receipt.job_id = job.id
   WHERE ended_at < $1 AND ended_at IS NOT NULL AND pruned_at IS NULL AND evidence IS NULL
   ORDER BY ended_at LIMIT ${EVIDENCE_BITE}`,
)
const PACK = statement(
  'forget_pack',
  'UPDATE receipt SET evidence = $2 WHERE job_id = $1 AND evidence IS NULL',
)

async function packEvidence(parts: RetentionParts): Promise<boolean> {
  const { db, evidence, onError } = parts
  const { rows } = await db.query<{ id: string }>(UNPACKED, [before(parts)])
  let packed = 0
  for (const { id } of rows) {
    try {
      packed += (await db.query(PACK, [id, await evidence(id)])).count
    } catch (error) {
      onError(error, id)
    }
  }
  return packed > 0 && rows.length === EVIDENCE_BITE
}

const OLD_JOBS = statement(
  'forget_jobs',
  `SELECT id, segmented FROM job
   WHERE ended_at < $1 AND ended_at IS NOT NULL AND pruned_at IS NULL AND NOT to_clear AND receipt_state <> 'pending'
     AND NOT EXISTS (SELECT FROM receipt WHERE receipt.job_id = job.id AND evidence IS NULL)
     AND NOT EXISTS (SELECT FROM canary WHERE canary.job_id = job.id AND judged_at IS NULL)
   ORDER BY ended_at LIMIT ${JOBS_BITE} FOR NO KEY UPDATE SKIP LOCKED`,
)
const DELETE_RUNS = statement(
  'forget_runs',
  `DELETE FROM dispatch WHERE id = ANY (ARRAY(
     SELECT id FROM dispatch WHERE job_id = ANY ($1::uuid[]) LIMIT ${DELETE_BITE}))`,
)
const DELETE_CHECKS = statement('forget_checks', 'DELETE FROM verification WHERE job_id = ANY ($1::uuid[])')
const DELETE_NOTES = statement('forget_notes', 'DELETE FROM undecided WHERE job_id = ANY ($1::uuid[])')
const MARK_JOBS = statement('forget_marks', 'UPDATE job SET pruned_at = $2 WHERE id = ANY ($1::uuid[])')

/** Of several small jobs, or a part of a large one: it is marked when nothing of it is left. */
function forgetRuns(parts: RetentionParts): Promise<boolean> {
  return parts.db.tx(async (tx) => {
    const { rows } = await tx.query<{ id: string; segmented: number }>(OLD_JOBS, [before(parts)])
    const ids: string[] = []
    let segments = 0
    for (const { id, segmented } of rows) {
      segments += segmented
      if (ids.length > 0 && segments > DELETE_BITE) break
      ids.push(id)
    }
    if (ids.length === 0) return false
    const { count } = await tx.query(DELETE_RUNS, [ids])
    if (count === DELETE_BITE) return true
    await tx.query(DELETE_CHECKS, [ids])
    await tx.query(DELETE_NOTES, [ids])
    await tx.query(MARK_JOBS, [ids, new Date(parts.now)])
    return rows.length === JOBS_BITE || ids.length < rows.length
  })
}

const DELETE_BATCHES = statement(
  'forget_batches',
  `DELETE FROM result_batch WHERE id = ANY (ARRAY(
     SELECT id FROM result_batch WHERE id < $1 ORDER BY id LIMIT ${DELETE_BITE}))`,
)

/** Signatures over results of several jobs: those that came so long ago that each of the jobs is forgotten. */
async function forgetBatches(parts: RetentionParts): Promise<boolean> {
  const atMs = before(parts).getTime() - 1000 * MAX_DEADLINE_SECONDS - DAY_MS
  return (await parts.db.query(DELETE_BATCHES, [firstUuidAt(atMs)])).count === DELETE_BITE
}

/** The smallest version 7 UUID of a time. */
function firstUuidAt(unixMs: number): string {
  const hex = Math.max(0, unixMs).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`
}

const OLD_BLOBS = statement(
  'forget_blobs',
  `SELECT cid, submitter FROM blob_owner WHERE dropped_at IS NULL AND needed_until < $1
   ORDER BY needed_until LIMIT ${BLOBS_BITE} FOR UPDATE SKIP LOCKED`,
)
/** By runs that are kept, jobs under way, and known answers. */
const NEEDED = statement(
  'forget_blobs_needed',
  `SELECT cid FROM unnest($1::text[]) AS given (cid) WHERE
     EXISTS (SELECT FROM dispatch WHERE output_cid = given.cid)
     OR EXISTS (SELECT FROM dispatch WHERE sampling->'proof' ? 'cid' AND sampling->'proof'->>'cid' = given.cid)
   UNION SELECT cid FROM (
     SELECT unnest(ARRAY[input_cid, spec->'work'->>'model', spec->'work'->>'module']) AS cid FROM job
       WHERE state IN ('submitted', 'running')
     UNION ALL SELECT unnest(ARRAY[spec->'work'->>'model', spec->'work'->>'module']) FROM canary_pool
   ) AS used JOIN unnest($1::text[]) AS given (cid) USING (cid)`,
)
const KEEP_BLOBS = statement(
  'forget_blobs_keep',
  'UPDATE blob_owner SET dropped_at = NULL, needed_until = $2 WHERE cid = ANY ($1::text[]) AND needed_until < $2',
)
const DROP_BLOBS = statement(
  'forget_blobs_drop',
  `UPDATE blob_owner SET dropped_at = $3 FROM unnest($1::text[], $2::text[]) AS given (cid, submitter)
   WHERE blob_owner.cid = given.cid AND blob_owner.submitter = given.submitter`,
)

async function neededOf(db: Queryable, cids: readonly string[]): Promise<ReadonlySet<string>> {
  const { rows } = await db.query<{ cid: string }>(NEEDED, [cids])
  return new Set(rows.map(({ cid }) => cid))
}

/** When a blob that is needed today is looked at again. */
const nextLook = (parts: RetentionParts) => new Date(before(parts).getTime() + LOOK_AGAIN_MS)

/** Takes blobs from their owners, who did not need them for so long. */
function dropBlobs(parts: RetentionParts): Promise<boolean> {
  return parts.db.tx(async (tx) => {
    const { rows } = await tx.query<{ cid: string; submitter: string }>(OLD_BLOBS, [before(parts)])
    if (rows.length === 0) return false
    const needed = await neededOf(
      tx,
      rows.map(({ cid }) => cid),
    )
    await tx.query(KEEP_BLOBS, [[...needed], nextLook(parts)])
    const gone = rows.filter(({ cid }) => !needed.has(cid))
    await tx.query(DROP_BLOBS, [
      gone.map(({ cid }) => cid),
      gone.map(({ submitter }) => submitter),
      new Date(parts.now),
    ])
    return rows.length === BLOBS_BITE
  })
}

const DROPPED_BLOBS = statement(
  'forget_blobs_dropped',
  `SELECT DISTINCT cid FROM (
     SELECT cid FROM blob_owner WHERE dropped_at IS NOT NULL AND dropped_at < $1 ORDER BY dropped_at LIMIT ${BLOBS_BITE}
   ) AS dropped`,
)
const DELETE_OWNERS = statement(
  'forget_blobs_owners',
  'DELETE FROM blob_owner WHERE cid = $1 AND dropped_at IS NOT NULL AND dropped_at < $2',
)
const IS_OWNED = statement('forget_blobs_owned', 'SELECT FROM blob_owner WHERE cid = $1 LIMIT 1')

/** Deletes blobs that nobody claimed again. */
async function deleteBlobs(parts: RetentionParts): Promise<boolean> {
  const graceEnd = new Date(parts.now - GRACE_MS)
  const { rows } = await parts.db.query<{ cid: string }>(DROPPED_BLOBS, [graceEnd])
  const cids = rows.map(({ cid }) => cid)
  if (cids.length === 0) return false
  // A job that was being taken when its blob was dropped is there by now; one that came later needs it anew.
  const needed = await neededOf(parts.db, cids)
  await parts.db.query(KEEP_BLOBS, [[...needed], nextLook(parts)])
  for (const cid of cids) if (!needed.has(cid)) await deleteBlob(parts, cid, graceEnd)
  return cids.length === BLOBS_BITE
}

function deleteBlob(parts: RetentionParts, cid: string, graceEnd: Date): Promise<void> {
  return parts.db.tx(async (tx) => {
    await lockBlob(tx, cid)
    const { count } = await tx.query(DELETE_OWNERS, [cid, graceEnd])
    if (count === 0 || (await tx.query(IS_OWNED, [cid])).count > 0) return
    await parts.blobs.delete(cid)
  })
}
