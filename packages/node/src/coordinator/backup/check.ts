/**
 * Whether a network's records are whole: what `assay doctor` looks at, and what is to be done after a restore.
 *
 * The books balance; the log computed from its leaves has the root that its newest checkpoint signs, with this network's
 * key; every receipt is the one that its leaf names; every accepted job has a receipt or waits for one; and the blobs
 * that open jobs need are there. Reads all of it, in one snapshot.
 *
 * What it cannot see is what the backup never had: a log that clients have seen at a larger size convicts itself when it
 * goes on from a smaller one. So restore the newest backup there is, and ask `assay log verify` of somebody who kept a
 * checkpoint.
 */
import { toHex } from 'assay/core/bytes'
import { attempt, type Verdict } from 'assay/core/errors'
import type { PublicKey } from 'assay/core/keys'
import { MAX_JOB_PAYLOAD_BYTES } from 'assay/receipt/job/statement'
import { verifyCheckpoint } from 'assay/receipt/log/checkpoint'
import { logEntryObject, receiptDigest } from 'assay/receipt/log/entry'
import type { Database, Queryable } from '../../store/database.ts'
import { checkBooks } from '../ledger-read.ts'
import { logHead, recomputeLog } from '../sealing/log-store.ts'

export interface NetworkCheck {
  readonly isSound: boolean
  readonly transfers: number
  readonly logSize: number
  readonly receipts: number
  /** Accepted jobs whose receipts are to be sealed yet. */
  readonly pending: number
  /** Blobs that were looked for. */
  readonly blobs: number
  /** In words; at most some hundred. */
  readonly faults: readonly string[]
}

export interface CheckOptions {
  /** Which of these addresses are not in the folder of blobs; without it, nothing is looked for. */
  readonly missingBlobs?: (cids: readonly string[]) => Promise<readonly string[]>
}

/** Receipts and addresses that are read at once. */
const PAGE = 1_000
const MAX_FAULTS = 100

export function checkNetwork(db: Database, options: CheckOptions = {}): Promise<NetworkCheck> {
  return db.tx((tx) => checkRecords(tx, options), {
    isolation: 'repeatable read',
    readOnly: true,
    statementTimeoutMs: 0,
    maxAttempts: 1,
  })
}

/** The same in a transaction of the caller. */
export async function checkRecords(
  db: Queryable,
  { missingBlobs }: CheckOptions = {},
): Promise<NetworkCheck> {
  const books = await checkBooks(db)
  const log = await recomputeLog(db)
  const faults = [...books.faults, ...(log.fault === null ? [] : [`the log: ${log.fault}`])]
  if (log.size > 0) faults.push(...(await checkSignature(db)))
  const receipts = await checkReceipts(db, faults)
  if (receipts !== log.size) faults.push(`the log has ${log.size} leaves, and there are ${receipts} receipts`)
  const blobs = missingBlobs === undefined ? 0 : await checkBlobs(db, { missingBlobs, faults })
  const pending = await pendingReceipts(db, faults)
  return {
    isSound: faults.length === 0,
    transfers: books.transfers,
    logSize: log.size,
    receipts,
    pending,
    blobs,
    faults: faults.slice(0, 2 * MAX_FAULTS),
  }
}

async function checkSignature(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ public_key: Uint8Array }>('SELECT public_key FROM coordinator_key')
  const [row] = rows
  if (row === undefined) return ['the key that signs the log is missing']
  const publicKey: PublicKey = { type: 'ed25519', bytes: row.public_key }
  const { checkpoint, size, root } = await logHead(db)
  const [origin = ''] = checkpoint.split('\n', 1)
  const verified = await verifyCheckpoint(checkpoint, { origin, publicKey })
  if (!verified.ok) return [`the newest checkpoint: ${verified.message}`]
  const isSame = verified.value.size === size && toHex(verified.value.root) === toHex(root)
  return isSame ? [] : ['the newest checkpoint signs another size or root than its row says']
}

interface ReceiptRow {
  readonly job_id: string
  readonly log_index: number
  readonly envelope: unknown
  readonly entry: Uint8Array | null
}

/** How many there are; what is wrong with them goes to `faults`. */
async function checkReceipts(db: Queryable, faults: string[]): Promise<number> {
  let count = 0
  for (let after = -1; ; ) {
    const { rows } = await db.query<ReceiptRow>(
      `SELECT job_id, log_index, envelope, entry FROM receipt LEFT JOIN log_leaf ON log_leaf.index = log_index
       WHERE log_index > $1 ORDER BY log_index LIMIT $2`,
      [after, PAGE],
    )
    for (const row of rows) {
      const named = leafOf(row)
      if (!named.ok && faults.length < MAX_FAULTS)
        faults.push(`the receipt of job ${row.job_id}: ${named.message}`)
    }
    count += rows.length
    const last = rows.at(-1)
    if (last === undefined || rows.length < PAGE) return count
    after = last.log_index
  }
}

function leafOf({ job_id: jobId, envelope, entry }: ReceiptRow): Verdict<true> {
  const read = attempt(() => {
    const leaf = logEntryObject.decode(entry ?? new Uint8Array(0))
    const digest = receiptDigest(envelope, { maxBytes: MAX_JOB_PAYLOAD_BYTES })
    return leaf.jobId === jobId && toHex(leaf.receipt) === toHex(digest)
  })
  if (!read.ok) return read
  return read.value
    ? { ok: true, value: true }
    : {
        ok: false,
        code: 'log/malformed',
        message: 'its leaf in the log is that of another receipt',
        detail: {},
      }
}

async function pendingReceipts(db: Queryable, faults: string[]): Promise<number> {
  const { rows } = await db.query<{ pending: number; lost: number }>(
    `SELECT count(*) FILTER (WHERE receipt_state = 'pending') AS pending,
       count(*) FILTER (WHERE receipt_state = 'ready' AND receipt.job_id IS NULL) AS lost
     FROM job LEFT JOIN receipt ON receipt.job_id = job.id WHERE job.state = 'accepted'`,
  )
  const [{ pending, lost }] = rows as [{ pending: number; lost: number }]
  if (lost > 0) faults.push(`${lost} jobs say that their receipt is ready, and have none`)
  return pending
}

/** Inputs, models and modules of open jobs, and results that somebody may still ask for. */
async function checkBlobs(
  db: Queryable,
  { missingBlobs, faults }: { missingBlobs: NonNullable<CheckOptions['missingBlobs']>; faults: string[] },
): Promise<number> {
  let count = 0
  for (let after = ''; ; ) {
    const { rows } = await db.query<{ cid: string }>(
      `SELECT DISTINCT cid FROM (
         SELECT cid FROM blob_owner UNION ALL SELECT output_cid FROM dispatch WHERE output_cid IS NOT NULL AND is_result
       ) AS used WHERE cid > $1 ORDER BY cid LIMIT $2`,
      [after, PAGE],
    )
    const cids = rows.map(({ cid }) => cid)
    for (const cid of await missingBlobs(cids)) {
      if (faults.length < MAX_FAULTS) faults.push(`the blob ${cid} is missing`)
    }
    count += cids.length
    const last = cids.at(-1)
    if (last === undefined || cids.length < PAGE) return count
    after = last
  }
}
