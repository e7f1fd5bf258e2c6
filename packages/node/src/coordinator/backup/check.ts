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
import { usedBlobs } from './blobs.ts'

export interface NetworkCheck {
  readonly isSound: boolean
  readonly transfers: number
  readonly logSize: number
  readonly receipts: number
  /** Accepted jobs whose receipts are to be sealed yet. */
  readonly pending: number
  /** Blobs that were looked for. */
  readonly blobs: number
  /** In words; at most some hundred of a kind. */
  readonly faults: readonly string[]
  readonly found: Found
}

/** The same, by what is to be done about them. */
export interface Found {
  readonly books: readonly string[]
  /** Of the log and the receipts. */
  readonly log: readonly string[]
  readonly blobs: readonly string[]
}

export interface CheckOptions {
  /** Which of these addresses are not in the folder of blobs; without it, nothing is looked for. */
  readonly missingBlobs?: (cids: readonly string[]) => Promise<readonly string[]>
}

/** Receipts that are read at once. */
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
  const tree = await recomputeLog(db)
  const log = tree.fault === null ? [] : [`the log: ${tree.fault}`]
  if (tree.size > 0) log.push(...(await checkSignature(db)))
  const receipts = await checkReceipts(db, log)
  if (receipts !== tree.size) log.push(`the log has ${tree.size} leaves, and there are ${receipts} receipts`)
  const pending = await pendingReceipts(db, log)
  const missing: string[] = []
  const blobs = missingBlobs === undefined ? 0 : await checkBlobs(db, { missingBlobs, faults: missing })
  const found = { books: books.faults, log, blobs: missing }
  const faults = Object.values(found).flat()
  return {
    isSound: faults.length === 0,
    transfers: books.transfers,
    logSize: tree.size,
    receipts,
    pending,
    blobs,
    faults,
    found,
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

/** Whatever accounts and nodes uploaded, and what jobs and results refer to. */
async function checkBlobs(
  db: Queryable,
  { missingBlobs, faults }: { missingBlobs: NonNullable<CheckOptions['missingBlobs']>; faults: string[] },
): Promise<number> {
  let count = 0
  for await (const cids of usedBlobs(db)) {
    for (const cid of await missingBlobs(cids)) {
      if (faults.length < MAX_FAULTS) faults.push(`the blob ${cid} is missing`)
    }
    count += cids.length
  }
  return count
}
