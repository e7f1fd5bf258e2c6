/**
 * Sealing: accepted jobs get their receipts, and each receipt its leaf of the transparency log.
 *
 * Many jobs a transaction, one replica at a time (`tryLog`): the others go on with other things, and take over when it
 * ends. The transaction begins with its turn and reads, builds and signs before it writes; until then it holds no lock
 * that anybody else waits for. A job whose records make no receipt is told so, and holds up no other.
 */
import { fromHex, utf8 } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { type Envelope, sealEnvelope } from 'assay/receipt/envelope'
import { jobLogEntry } from 'assay/receipt/job/bundle'
import { type JobReceiptParts, makeJobStatement } from 'assay/receipt/job/sign'
import { MAX_JOB_PAYLOAD_BYTES } from 'assay/receipt/job/statement'
import { logEntryObject } from 'assay/receipt/log/entry'
import { signNative } from '../../service/native-signature.ts'
import { type Database, statement, type Tx } from '../../store/database.ts'
import { append } from '../events.ts'
import type { FactsCache } from '../life/job-facts.ts'
import { appendToLog, type LogKeeper, tryLog } from './log-store.ts'
import { type PendingJob, pendingJobs, receiptParts } from './records.ts'

/** Receipts of one transaction: some tenths of a second of work. */
const BATCH_JOBS = 500
/** Segments of one transaction, unless one job has more. */
const BATCH_SEGMENTS = 20_000
/** Between two looks when there was nothing to do. */
const IDLE_MS = 200

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

/** Seals a batch; null when another replica is at it. */
export async function sealBatch(db: Database, options: SealOptions): Promise<Sealed | null> {
  return db.tx(async (tx) => {
    if (!(await tryLog(tx))) return null
    const jobs = await pendingJobs(tx, { jobs: BATCH_JOBS, segments: BATCH_SEGMENTS })
    if (jobs.length === 0) return { sealed: 0, failed: 0 }
    const made = await makeReceipts(tx, jobs, options)
    const receipts = made.filter((each) => 'leaf' in each)
    const failures = made.filter((each) => 'error' in each)
    if (receipts.length > 0) await store(tx, receipts, options)
    if (failures.length > 0) await giveUp(tx, failures)
    return { sealed: receipts.length, failed: failures.length }
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

async function makeReceipts(
  tx: Tx,
  jobs: readonly PendingJob[],
  options: SealOptions,
): Promise<(Receipt | Failure)[]> {
  let parts: JobReceiptParts[]
  try {
    parts = await receiptParts(tx, { jobs, cache: options.cache, issuedAt: new Date(options.now) })
  } catch (error) {
    if (!isAboutRecords(error)) throw error
    const [job] = jobs as readonly [PendingJob]
    if (jobs.length === 1) return [{ jobId: job.id, error }]
    // Somewhere among them is one whose records cannot be read.
    const each: (Receipt | Failure)[] = []
    for (const one of jobs) each.push(...(await makeReceipts(tx, [one], options)))
    return each
  }
  // Signatures are made on other threads, so that they run beside the next statement.
  return Promise.all(parts.map((own) => makeReceipt(own, options)))
}

async function makeReceipt(parts: JobReceiptParts, { keeper }: SealOptions): Promise<Receipt | Failure> {
  const jobId = parts.job.id
  try {
    const made = makeJobStatement(parts, keeper.key.publicKey)
    const payload = utf8(JSON.stringify(made))
    const envelope = await sealEnvelope(payload, keeper.key, {
      maxBytes: MAX_JOB_PAYLOAD_BYTES,
      signer: signNative,
    })
    const leaf = logEntryObject.encode(jobLogEntry(envelope, made))
    return { jobId, envelope, outputRoot: fromHex(made.predicate.output.root), leaf }
  } catch (error) {
    if (isAboutRecords(error)) return { jobId, error }
    throw error
  }
}

function isAboutRecords(error: unknown): error is AssayError {
  return error instanceof AssayError && !error.code.startsWith('store/')
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

async function store(tx: Tx, receipts: readonly Receipt[], { keeper, now }: SealOptions): Promise<void> {
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
  /** Ends what is under way, and stops. */
  close(): Promise<void>
}

export interface SealerOptions extends Omit<SealOptions, 'now'> {
  readonly db: Database
  readonly clock: () => number
  readonly onSealed?: (sealed: Sealed) => void
  /** Told of a batch that failed; it is tried again. */
  readonly onError: (error: unknown) => void
}

export function openSealer({ db, clock, onSealed, onError, ...options }: SealerOptions): Sealer {
  let isClosed = false
  let wake: () => void = () => {}

  async function run(): Promise<void> {
    while (!isClosed) {
      let done: Sealed | null = null
      try {
        done = await sealBatch(db, { ...options, now: clock() })
        if (done !== null && done.sealed + done.failed > 0) onSealed?.(done)
      } catch (error) {
        onError(error)
      }
      if (!isClosed && (done === null || done.sealed + done.failed === 0)) await pause()
    }
  }

  function pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, IDLE_MS)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  const running = run()
  return {
    wake: () => wake(),
    close() {
      isClosed = true
      wake()
      return running
    },
  }
}
