/**
 * The file that a receipt travels in: the signed envelope, what the nodes and verifiers signed, and where the receipt
 * stands in the transparency log. Everything but the envelope is there to be checked against it, and may be missing.
 *
 *     { format: 'assay/receipt-bundle', version: 1, envelope, executions, verdicts, inclusion }
 *
 * Threat: the file comes from anybody. Its length and depth are bounded before it is parsed, the length of each list by
 * its schema.
 */
import * as z from 'zod/mini'
import { fromHex, toHex } from '../../core/bytes.ts'
import { parseWith } from '../../core/codec.ts'
import { AssayError, attempt, reject, type Verdict } from '../../core/errors.ts'
import { decodePublicKey } from '../../core/key-file.ts'
import type { Checkpoint, LogIdentity } from '../log/checkpoint.ts'
import { type LogEntry, logEntryObject, receiptDigest } from '../log/entry.ts'
import { MAX_NOTE_LENGTH } from '../log/note.ts'
import { type LogInclusion, verifyLogInclusion } from '../log/verify.ts'
import { parseShallowJson } from '../shallow-json.ts'
import { bundleExecution, MAX_BUNDLE_EXECUTIONS } from './executions.ts'
import { type JobStatement, MAX_JOB_PAYLOAD_BYTES } from './statement.ts'
import { MAX_BUNDLE_VERDICTS } from './verdicts.ts'
import { type VerifiedJob, type VerifyJobOptions, verifyJobReceipt } from './verify.ts'

/** A full envelope takes 22 MB, full lists of executions and verdicts some 45 and 20. */
export const MAX_BUNDLE_BYTES = 2 ** 27
const MAX_PATH = 64

const bundle = z.strictObject({
  format: z.literal('assay/receipt-bundle'),
  version: z.literal(1),
  /** DSSE; checked by `verifyJobReceipt`. */
  envelope: z.json(),
  executions: z.array(bundleExecution).check(z.maxLength(MAX_BUNDLE_EXECUTIONS)),
  /** DSSE envelopes of the verifiers. */
  verdicts: z.array(z.json()).check(z.maxLength(MAX_BUNDLE_VERDICTS)),
  inclusion: z.nullable(
    z.strictObject({
      leafIndex: z.int().check(z.minimum(0)),
      path: z.array(z.string().check(z.regex(/^[0-9a-f]{64}$/))).check(z.maxLength(MAX_PATH)),
      checkpoint: z.string().check(z.maxLength(MAX_NOTE_LENGTH)),
    }),
  ),
})
export type ReceiptBundle = z.infer<typeof bundle>

/** A bundle of these parts; what is left out is empty. */
export function makeReceiptBundle(parts: {
  readonly envelope: ReceiptBundle['envelope']
  readonly executions?: ReceiptBundle['executions']
  readonly verdicts?: ReceiptBundle['verdicts']
  readonly inclusion?: LogInclusion | null
}): ReceiptBundle {
  const { envelope, executions = [], verdicts = [], inclusion = null } = parts
  return {
    format: 'assay/receipt-bundle',
    version: 1,
    envelope,
    executions,
    verdicts,
    inclusion: inclusion === null ? null : { ...inclusion, path: inclusion.path.map(toHex) },
  }
}

/** The bundle in a file. Throws 'receipt/malformed'. */
export function parseReceiptBundle(file: string | Uint8Array): ReceiptBundle {
  return readReceiptBundle(parseShallowJson(file, { what: 'receipt bundle', maxBytes: MAX_BUNDLE_BYTES }))
}

/** The same, of JSON that was parsed already. */
export function readReceiptBundle(value: unknown): ReceiptBundle {
  const read = attempt(() => parseWith(bundle, value, 'receipt bundle'))
  if (read.ok) return read.value
  throw new AssayError('receipt/malformed', read.message, { detail: read.detail })
}

/** The leaf that the log must hold for a receipt. */
export function jobLogEntry(envelope: unknown, { predicate }: JobStatement): LogEntry {
  return {
    jobId: predicate.job.id,
    receipt: receiptDigest(envelope, { maxBytes: MAX_JOB_PAYLOAD_BYTES }),
    issuedAtMs: Date.parse(predicate.issuedAt),
  }
}

export interface VerifyBundleOptions extends Omit<VerifyJobOptions, 'executions' | 'verdicts'> {
  /** The log that it must be in; without it, one that the coordinator itself signs, by whatever name. */
  readonly log?: LogIdentity
  /** Refuse a bundle without proof of inclusion. */
  readonly requireLogged?: boolean
}

export interface VerifiedBundle extends VerifiedJob {
  /** The checkpoint that the receipt is under; null where no proof came. */
  readonly checkpoint: Checkpoint | null
}

/**
 * Everything in the bundle; the first reason why something does not hold. Never throws for a bundle that was read.
 * Evidence that a bundle has room for must be there, unless `requireEvidence` says otherwise: what was left out is what
 * somebody would not show.
 */
export async function verifyReceiptBundle(
  bundle: ReceiptBundle,
  options: VerifyBundleOptions = {},
): Promise<Verdict<VerifiedBundle>> {
  const { log, requireLogged = false, requireEvidence = 'where it fits', ...rest } = options
  const { envelope, executions, verdicts, inclusion } = bundle
  const verified = await verifyJobReceipt(envelope, { ...rest, requireEvidence, executions, verdicts })
  if (!verified.ok) return verified
  if (inclusion === null) {
    if (!requireLogged) return { ok: true, value: { ...verified.value, checkpoint: null } }
    return reject('job-receipt/unlogged', 'the bundle has no proof that the receipt is in a transparency log')
  }
  const { statement } = verified.value
  const leaf = attempt(() => logEntryObject.encode(jobLogEntry(envelope, statement)))
  if (!leaf.ok) return leaf
  const included = await verifyLogInclusion(
    { ...inclusion, path: inclusion.path.map(fromHex), leaf: leaf.value },
    log ?? ownLog(statement, inclusion.checkpoint),
    rest.verify === undefined ? {} : { verify: rest.verify },
  )
  return included.ok ? { ok: true, value: { ...verified.value, checkpoint: included.value } } : included
}

/** By the name that the checkpoint opens with, under the coordinator's key. */
function ownLog({ predicate }: JobStatement, checkpoint: string): LogIdentity {
  const [origin = ''] = checkpoint.split('\n', 1)
  return { origin, publicKey: decodePublicKey(predicate.coordinator.publicKey) }
}
