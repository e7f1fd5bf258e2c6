/**
 * Sealing: accepted jobs get their receipts, and each receipt its leaf of the transparency log.
 *
 * Many jobs a transaction, one replica at a time (`tryLog`): the others go on with other things, and take over when it
 * ends. The transaction begins with its turn and reads, builds and signs before it writes; until then it holds no lock
 * that anybody else waits for. A large job is built before its transaction, on another thread, and only written in it:
 * that two replicas may build the same is the price for holding up nobody. A job whose records make no receipt is told
 * so, and holds up no other.
 */
import { fromBase64, fromHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { type Envelope, sealEnvelope } from 'assay/receipt/envelope'
import { MAX_JOB_PAYLOAD_BYTES } from 'assay/receipt/job/statement'
import { logEntryObject, openedReceiptDigest } from 'assay/receipt/log/entry'
import { signNative } from '../../service/native-signature.ts'
import { type Database, type Queryable, statement, type Tx } from '../../store/database.ts'
import { append } from '../events.ts'
import type { FactsCache } from '../life/job-facts.ts'
import { appendToLog, type LogKeeper, lockLog, tryLog } from './log-store.ts'
import { type PendingJob, pendingJobs, type ReceiptRecords, receiptRecords } from './records.ts'
import { makePayload, type Payload } from './statement.ts'
import { openStatementThread, type StatementThread } from './statement-thread.ts'

/** Jobs of more segments are large: others take the main thread some milliseconds at most. */
const LARGE_SEGMENTS = 500
/** Of one transaction: a tenth of a second of work. */
const BATCH = { above: 0, atMost: LARGE_SEGMENTS, jobs: 250, segments: 5_000 }
const LARGE = { above: LARGE_SEGMENTS, atMost: 2 ** 31 - 1, jobs: 1, segments: 1 }
/** Receipts that are made before other work of the process gets its turn: some milliseconds. */
const SLICE = 16
/** Between two looks when there was nothing to do. */
const IDLE_MS = 200
const LARGE_IDLE_MS = 1_000
/** From the start of one batch to that of the next, so that a short one is worth its statements. */
const SPACING_MS = 100

export interface SealOptions {
  readonly cache: FactsCache
  readonly keeper: LogKeeper
  /** Unix milliseconds. */
  readonly now: number
}

export interface Sealed {
  readonly sealed: number
  /** Jobs whose records make no receipt. */
  readonly failed: number
}

const NOTHING: Sealed = { sealed: 0, failed: 0 }

/** Seals a batch of small jobs; null when another replica is at it. */
export async function sealBatch(db: Database, options: SealOptions): Promise<Sealed | null> {
  return db.tx(async (tx) => {
    if (!(await tryLog(tx))) return null
    const jobs = await pendingJobs(tx, BATCH)
    if (jobs.length === 0) return NOTHING
    const make = async (records: ReceiptRecords) => makePayload(records, options.keeper.key.publicKey)
    return store(tx, await makeReceipts(tx, { jobs, make, ...options }), options)
  })
}

/** Seals the oldest large job. */
export async function sealLarge(
  db: Database,
  { thread, ...options }: SealOptions & { readonly thread: StatementThread },
): Promise<Sealed> {
  const jobs = await pendingJobs(db, LARGE)
  if (jobs.length === 0) return NOTHING
  const make = (records: ReceiptRecords) => thread.make(records, options.keeper.key.publicKey)
  const made = await makeReceipts(db, { jobs, make, ...options })
  return db.tx(async (tx) => {
    await lockLog(tx)
    const { rows } = await tx.query('SELECT FROM job WHERE id = $1 AND receipt_state = $2', [
      (made[0] as Receipt | Failure).jobId,
      'pending',
    ])
    // Another replica was faster.
    if (rows.length === 0) return NOTHING
    return store(tx, made, options)
  })
}

interface Receipt {
  readonly jobId: string
  readonly envelope: Envelope
  readonly outputRoot: Uint8Array
  readonly leaf: Uint8Array
}

interface Failure {
  readonly jobId: string
  readonly error: AssayError
}

interface Making extends SealOptions {
  readonly jobs: readonly PendingJob[]
  readonly make: (records: ReceiptRecords) => Promise<Payload>
}

async function makeReceipts(db: Queryable, making: Making): Promise<(Receipt | Failure)[]> {
  const { jobs, cache, now } = making
  let all: ReceiptRecords[]
  try {
    all = await receiptRecords(db, { jobs, cache, issuedAt: new Date(now) })
  } catch (error) {
    if (!isAboutRecords(error)) throw error
    const [job] = jobs as readonly [PendingJob]
    if (jobs.length === 1) return [{ jobId: job.id, error }]
    // Somewhere among them is one whose records cannot be read.
    const each: (Receipt | Failure)[] = []
    for (const one of jobs) each.push(...(await makeReceipts(db, { ...making, jobs: [one] })))
    return each
  }
  const made: (Receipt | Failure)[] = []
  for (let at = 0; at < all.length; at += SLICE) {
    // Signatures are made on other threads.
    made.push(...(await Promise.all(all.slice(at, at + SLICE).map((own) => makeReceipt(own, making)))))
  }
  return made
}

async function makeReceipt(records: ReceiptRecords, { keeper, make }: Making): Promise<Receipt | Failure> {
  const jobId = records.parts.job.id
  try {
    const { payload, outputRoot, issuedAtMs } = await make(records)
    const limits = { maxBytes: MAX_JOB_PAYLOAD_BYTES }
    const envelope = await sealEnvelope(payload, keeper.key, { ...limits, signer: signNative })
    const [{ keyid, sig }] = envelope.signatures
    const receipt = openedReceiptDigest({ payload, keyid, signature: fromBase64(sig) })
    // As `jobLogEntry` has it, which would take the statement.
    const leaf = logEntryObject.encode({ jobId, receipt, issuedAtMs })
    return { jobId, envelope, outputRoot: fromHex(outputRoot), leaf }
  } catch (error) {
    if (isAboutRecords(error)) return { jobId, error }
    throw error
  }
}

function isAboutRecords(error: unknown): error is AssayError {
  return error instanceof AssayError && !error.code.startsWith('store/')
}

async function store(tx: Tx, made: readonly (Receipt | Failure)[], options: SealOptions): Promise<Sealed> {
  const receipts = made.filter((each) => 'leaf' in each)
  const failures = made.filter((each) => 'error' in each)
  if (receipts.length > 0) await storeReceipts(tx, receipts, options)
  if (failures.length > 0) await giveUp(tx, failures)
  return { sealed: receipts.length, failed: failures.length }
}

const RECEIPTS = statement(
  'sealing_receipts',
  `INSERT INTO receipt (job_id, envelope, log_index)
   SELECT id, envelope, $3::bigint + place - 1
   FROM unnest($1::uuid[], $2::jsonb[]) WITH ORDINALITY AS given (id, envelope, place)`,
)
const LOCK_JOBS = statement(
  'sealing_lock',
  'SELECT FROM job WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE',
)
const READY = statement(
  'sealing_ready',
  `UPDATE job SET receipt_state = 'ready', output_root = given.root
   FROM unnest($1::uuid[], $2::bytea[]) AS given (id, root) WHERE job.id = given.id`,
)

async function storeReceipts(
  tx: Tx,
  receipts: readonly Receipt[],
  { keeper, now }: SealOptions,
): Promise<void> {
  const ids = receipts.map(({ jobId }) => jobId)
  const head = await appendToLog(tx, keeper, { leaves: receipts.map(({ leaf }) => leaf), now })
  const first = head.size - receipts.length
  await tx.query(RECEIPTS, [ids, receipts.map(({ envelope }) => JSON.stringify(envelope)), first])
  await tx.query(LOCK_JOBS, [ids])
  await tx.query(READY, [ids, receipts.map(({ outputRoot }) => outputRoot)])
  await append(
    tx,
    ids.map((jobId, i) => ({ type: 'receipt.sealed', jobId, data: { logIndex: first + i } })),
  )
}

/** An operator must look at these: the receipt could say nothing true. */
async function giveUp(tx: Tx, failures: readonly Failure[]): Promise<void> {
  const ids = failures.map(({ jobId }) => jobId)
  await tx.query(LOCK_JOBS, [ids])
  await tx.query("UPDATE job SET receipt_state = 'none' WHERE id = ANY ($1::uuid[])", [ids])
  await append(
    tx,
    failures.map(({ jobId, error: { code, message } }) => ({
      type: 'receipt.failed',
      jobId,
      data: { code, reason: message },
    })),
  )
}

export interface Sealer {
  /** There may be jobs to seal. */
  wake(): void
  /** Ends the batch that is under way, drops a large job, and stops. */
  close(): Promise<void>
}

export interface SealerOptions extends Omit<SealOptions, 'now'> {
  readonly db: Database
  readonly clock: () => number
  readonly onSealed?: (sealed: Sealed) => void
  /** Told of what failed; it is tried again. */
  readonly onError: (error: unknown) => void
}

export function openSealer({ db, clock, onSealed, onError, ...options }: SealerOptions): Sealer {
  const thread = openStatementThread()
  const waking = new Set<() => void>()
  let isClosed = false

  async function run(seal: () => Promise<Sealed | null>, idleMs: number): Promise<void> {
    while (!isClosed) {
      const started = performance.now()
      let count = 0
      try {
        const done = await seal()
        count = done === null ? 0 : done.sealed + done.failed
        if (done !== null && count > 0) onSealed?.(done)
      } catch (error) {
        if (!isClosed) onError(error)
      }
      const restMs = count === 0 ? idleMs : started + SPACING_MS - performance.now()
      if (!isClosed && restMs > 0) await pause(restMs)
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        waking.delete(end)
        resolve()
      }
      const timer = setTimeout(end, ms)
      waking.add(end)
    })
  }

  const running = Promise.all([
    run(() => sealBatch(db, { ...options, now: clock() }), IDLE_MS),
    run(() => sealLarge(db, { ...options, now: clock(), thread }), LARGE_IDLE_MS),
  ])
  const wake = () => {
    for (const end of [...waking]) end()
  }
  return {
    wake,
    async close() {
      isClosed = true
      wake()
      await thread.close()
      await running
    },
  }
}
