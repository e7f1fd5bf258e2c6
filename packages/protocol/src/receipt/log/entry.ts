/**
 * Leaves of the transparency log: which receipt was issued, for which job, and when.
 *
 *     leaf = DAG-CBOR of {type: "assay/log-entry", v: 1, body: {jobId, receipt, issuedAtMs}}      (core/codec.ts)
 *     receipt = T("assay/receipt-digest/v1", payload type, payload, key id, signature)
 *
 * where T is `hashFields`, texts are UTF-8 and the key id enters as its 32 bytes. The digest covers the signature, so
 * that the log holds exactly the envelope that is shown, and its JSON may be laid out in any way. The log tells no
 * content: who has the receipt finds its leaf, and who has the log alone learns numbers and times.
 */
import * as z from 'zod/mini'
import { fromHex, utf8 } from '../../core/bytes.ts'
import { defineObject, type ObjectCodec } from '../../core/codec.ts'
import { DIGEST_BYTES, type Digest, hashFields } from '../../core/digest.ts'
import { leafHashes } from '../../core/merkle.ts'
import { type EnvelopeLimits, type OpenedEnvelope, PAYLOAD_TYPE, parseEnvelope } from '../envelope.ts'

/** A UUID has 36 characters. */
export const MAX_JOB_ID = 128
/** Name, digest, time, and the names of their fields. */
const MAX_ENTRY_BYTES = 512

export interface LogEntry {
  readonly jobId: string
  /** `receiptDigest` of the envelope. */
  readonly receipt: Digest
  /** When the receipt says that it was issued, in Unix milliseconds. */
  readonly issuedAtMs: number
}

/** The codec of a leaf; decoding throws codes of 'codec/'. */
export const logEntryObject: ObjectCodec<LogEntry> = defineObject<LogEntry>({
  type: 'assay/log-entry',
  version: 1,
  schema: z.strictObject({
    jobId: z.string().check(z.minLength(1), z.maxLength(MAX_JOB_ID)),
    receipt: z.custom<Digest>(
      (value) => value instanceof Uint8Array && value.length === DIGEST_BYTES,
      '32 bytes',
    ),
    issuedAtMs: z.int().check(z.minimum(0)),
  }),
  maxBytes: MAX_ENTRY_BYTES,
})

/** What the log holds of a receipt; the same for every JSON of one envelope. Throws 'codec/schema', 'bytes/malformed'. */
export function receiptDigest(envelope: unknown, options: EnvelopeLimits = {}): Digest {
  return openedReceiptDigest(parseEnvelope(envelope, options))
}

/** The same of an envelope that the caller has opened, or made. */
export function openedReceiptDigest({ payload, keyid, signature }: OpenedEnvelope): Digest {
  return hashFields('assay/receipt-digest/v1', [utf8(PAYLOAD_TYPE), payload, fromHex(keyid), signature])
}

/** Leaf hashes in a row, as `appendLeaves` (tree.ts) takes them. */
export function entryHashes(entries: readonly LogEntry[]): Uint8Array {
  return leafHashes(entries.map((entry) => logEntryObject.encode(entry)))
}
