/**
 * What a submitter does: hand a job in, wait for it, fetch what came out, and check all of it without trust.
 *
 *     const job = await submitJob(client, spec, { input, content: [model] })
 *     await waitForJob(client, job.id)
 *     const [rows, receipt] = [await fetchResult(client, job.id), await fetchReceipt(client, job.id)]
 *     const verdict = await verifyJob(receipt, { job, rows, signer: coordinatorId })
 *
 * Threat: the coordinator. What it says of a result holds only as far as `verifyJob` confirms it.
 */
import { equalBytes, toBase64 } from '../core/bytes.ts'
import { parseCid } from '../core/cid.ts'
import { encodeCanonical, parseWith } from '../core/codec.ts'
import { AssayError, type Rejection, reject, type Verdict } from '../core/errors.ts'
import {
  MAX_BUNDLE_BYTES,
  parseReceiptBundle,
  type ReceiptBundle,
  type VerifiedBundle,
  type VerifyBundleOptions,
  verifyReceiptBundle,
} from '../receipt/job/bundle.ts'
import type { AskedValidation } from '../receipt/job/statement.ts'
import { decodeRows, encodeRows, MAX_ROWS_BYTES } from '../task/rows.ts'
import type { EventView } from './account.ts'
import { addressOf, type BlobSource, uploadBlob, uploadBytes } from './blob-transfer.ts'
import type { Client } from './client.ts'
import { type JobSpecInput, type JobView, jobSpec, samplingPolicy, type ValidationPolicy } from './job.ts'
import { isFinal } from './life.ts'
import { isTolerant, segmentTask, withoutRows } from './segment.ts'
import { segmentInputDigests } from './segment-digests.ts'
import { MAX_INLINE_BYTES, type ValueRef } from './text.ts'
import { readAll } from './transport.ts'
import { contentOf } from './work.ts'

/** Between two looks at something that has no event: some sealings of receipts. */
const POLL_MS = 500

/** A job without its input, which comes beside; or with one that the coordinator has already. */
export type JobDraft = Omit<JobSpecInput, 'input'> & { readonly input?: ValueRef }

export interface SubmitOptions {
  /** All rows: canonical tensors or a list of records (task/rows.ts), in memory or to be read piece by piece. */
  readonly input?: Uint8Array | BlobSource
  /** Models and modules that the work names by address; uploaded where the coordinator lacks them. */
  readonly content?: readonly (Uint8Array | BlobSource)[]
  /** The same key submits the same job once, whatever breaks meanwhile. Random unless told. */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: {
    readonly cid: string
    readonly sentBytes: number
    readonly sizeBytes: number
  }) => void
}

/**
 * Uploads what is missing and submits. Keep the answer for `verifyJob`: its specification is what was sent, and it has the
 * commitment to the seed of all draws, made before anything was computed. Throws `cid/mismatch` for content that the work
 * does not name, `wire/answer` where the coordinator took another job.
 */
export async function submitJob(
  client: Client,
  draft: JobDraft,
  options: SubmitOptions = {},
): Promise<JobView> {
  const { idempotencyKey, signal } = options
  const named = Object.values(contentOf(draft.work))
  for (const content of options.content ?? []) {
    const cid = content instanceof Uint8Array ? await nameOf(content, named) : content.cid
    if (!named.includes(cid)) throw unnamed(cid, named)
    await upload(client, content instanceof Uint8Array ? sourceOf(cid, content) : content, options)
  }
  const body = { ...draft, input: await inputRef(client, draft, options) }
  const job = await client.submitJob(
    { body },
    {
      ...(signal === undefined ? {} : { signal }),
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    },
  )
  if (equalBytes(specBytes(body), specBytes(job.spec))) return job
  throw new AssayError('wire/answer', `job ${job.id} is another than was submitted: cancel it`, {
    detail: { id: job.id },
  })
}

/** What a job comes to, defaults and all. */
function specBytes(spec: JobSpecInput): Uint8Array {
  // Through JSON, as it travels: what is undefined is not there.
  return encodeCanonical(JSON.parse(JSON.stringify(parseWith(jobSpec, spec, 'the job'))))
}

async function inputRef(client: Client, draft: JobDraft, options: SubmitOptions): Promise<ValueRef> {
  const { input } = options
  if (input instanceof Uint8Array) {
    if (input.length <= MAX_INLINE_BYTES) return { inline: toBase64(input) }
    return { cid: await uploadBytes(client, input, uploadOptions(await addressOf(input), options)) }
  }
  if (input !== undefined) {
    await upload(client, input, options)
    return { cid: input.cid }
  }
  if (draft.input === undefined) {
    throw new AssayError('wire/malformed', 'a job needs its input: pass `input`, or `input` of the job')
  }
  return draft.input
}

/** The name of these among those that the work has: the codec is part of a name, and is the work's to say. */
async function nameOf(content: Uint8Array, named: readonly string[]): Promise<string> {
  for (const cid of named) {
    if ((await addressOf(content, parseCid(cid).codec)) === cid) return cid
  }
  return addressOf(content)
}

function unnamed(cid: string, named: readonly string[]): AssayError {
  const list = named.length === 0 ? 'no content' : named.join(', ')
  return new AssayError('cid/mismatch', `the work names ${list}, got content at ${cid}`)
}

function sourceOf(cid: string, bytes: Uint8Array): BlobSource {
  return { cid, sizeBytes: bytes.length, read: (from, to) => bytes.subarray(from, to) }
}

function upload(client: Client, source: BlobSource, options: SubmitOptions): Promise<void> {
  return uploadBlob(client, source, uploadOptions(source.cid, options))
}

function uploadOptions(cid: string, { signal, onProgress }: SubmitOptions) {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined
      ? {}
      : {
          onProgress: (progress: { sentBytes: number; sizeBytes: number }) =>
            onProgress({ cid, ...progress }),
        }),
  }
}

export interface WaitOptions {
  /** `ended` unless told; `receipt` waits until that can be fetched, too. */
  readonly until?: 'ended' | 'receipt'
  /** Each event of the job, from its first on. */
  readonly onEvent?: (event: EventView) => Promise<void> | void
  readonly signal?: AbortSignal
}

/** Waits until the job has ended, well or not: look at its `state`. */
export async function waitForJob(client: Client, id: string, options: WaitOptions = {}): Promise<JobView> {
  const { until = 'ended', onEvent, signal } = options
  const call = signal === undefined ? {} : { signal }
  const show = () => client.showJob({ params: { id } }, call)
  const isOver = ({ state, receipt }: JobView) =>
    isFinal(state) && (until === 'ended' || receipt !== 'pending')
  let job = await show()
  if (onEvent !== undefined || !isOver(job)) {
    for await (const event of client.jobEvents({ params: { id } }, call)) {
      await onEvent?.(event)
      // Only what is of the job as a whole can have ended it.
      if (/^(job|receipt)\./.test(event.type) && !isOver(job)) job = await show()
      if (onEvent === undefined && isOver(job)) return job
    }
  }
  while (!isOver(job)) {
    await client.transport.sleep(POLL_MS, signal)
    job = await show()
  }
  return job
}

export interface FetchOptions {
  readonly signal?: AbortSignal
  readonly maxBytes?: number
}

/** All rows of an accepted job. */
export async function fetchResult(
  client: Client,
  id: string,
  { maxBytes = MAX_ROWS_BYTES, ...options }: FetchOptions = {},
): Promise<Uint8Array[]> {
  return decodeRows(await client.jobResult({ params: { id } }, { ...options, maxBytes }))
}

/** The receipt of an accepted job with its evidence; waits while it is being made. */
export async function fetchReceipt(
  client: Client,
  id: string,
  { maxBytes = MAX_BUNDLE_BYTES, ...options }: FetchOptions = {},
): Promise<ReceiptBundle> {
  await waitForJob(client, id, { ...options, until: 'receipt' })
  const bytes = await client.transport.call(
    'jobReceipt',
    { params: { id } },
    { ...options, read: ({ body }) => readAll(body, maxBytes) },
  )
  return parseReceiptBundle(bytes)
}

export interface VerifyOptions extends Omit<VerifyBundleOptions, 'outputs' | 'taskId' | 'inputDigest'> {
  /** The answer of `submitJob`, and not what the coordinator says of the job later. */
  readonly job: Pick<JobView, 'id' | 'spec' | 'seedCommitment'>
  /** Address of its input; that of the inline bytes, too. */
  readonly inputCid: string
  /** What `fetchResult` gave; without it the receipt alone is checked. */
  readonly rows?: readonly Uint8Array[]
}

/**
 * Whether a receipt is that of this job (task, input, rows, validation, seed), and holds. Name the coordinator that you
 * submitted to as `signer`: without it, anybody's signature does. Never throws for a bundle that was read.
 */
export async function verifyJob(
  bundle: ReceiptBundle,
  options: VerifyOptions,
): Promise<Verdict<VerifiedBundle>> {
  const { job, inputCid, rows, ...rest } = options
  const { work, segmentRows, rows: count, validation } = job.spec
  const guessProbability = validation.sampling?.guessProbability ?? 0
  const verdict = await verifyReceiptBundle(bundle, {
    ...rest,
    taskId: segmentTask(work, withoutRows, { guessProbability }).id,
    inputDigest: (segment) => {
      const from = segment * segmentRows
      const to = Math.min(from + segmentRows, count)
      return segmentInputDigests([{ input: inputCid, from, to }])[0] as Uint8Array
    },
    ...(rows === undefined ? {} : { outputs: segmentsOf(rows, segmentRows) }),
  })
  return verdict.ok ? (otherJob(verdict.value, options) ?? verdict) : verdict
}

function otherJob({ statement }: VerifiedBundle, { job, inputCid }: VerifyOptions): Rejection | undefined {
  const { predicate } = statement
  if (predicate.job.id !== job.id) {
    return reject('wire/receipt', `expected the receipt of job ${job.id}, got that of ${predicate.job.id}`)
  }
  const { cids, rows, segmentRows } = predicate.input
  const isSameInput = cids.length === 1 && cids[0] === inputCid
  if (!isSameInput || rows !== job.spec.rows || segmentRows !== job.spec.segmentRows) {
    return reject('wire/receipt', 'the receipt is of another input, or of one that was cut otherwise')
  }
  const { asked, seed, comparison } = predicate.validation
  if (!isAsked(asked, job.spec.validation)) {
    return reject('wire/receipt', 'the receipt is over another validation than the job asked for')
  }
  if ((comparison === 'tolerant') !== isTolerant(job.spec.work)) {
    return reject(
      'wire/receipt',
      `the receipt compares results in another way than the work says: ${comparison}`,
    )
  }
  // A secret that is chosen when the results are known draws whatever the coordinator likes.
  if (seed.commitment === job.seedCommitment) return undefined
  return reject('wire/receipt', 'the receipt draws from another seed than the coordinator had committed to', {
    expected: job.seedCommitment,
    found: seed.commitment,
  })
}

function isAsked(asked: AskedValidation, { sampling, redundancy }: ValidationPolicy): boolean {
  if ((asked.redundancy?.share ?? null) !== (redundancy?.share ?? null)) return false
  const names = Object.keys(samplingPolicy.shape) as (keyof typeof samplingPolicy.shape)[]
  return names.every((name) => (asked.sampling?.[name] ?? null) === (sampling?.[name] ?? null))
}

function segmentsOf(rows: readonly Uint8Array[], segmentRows: number): Uint8Array[] {
  const outputs: Uint8Array[] = []
  for (let from = 0; from < rows.length; from += segmentRows) {
    outputs.push(encodeRows(rows.slice(from, from + segmentRows)))
  }
  return outputs
}
