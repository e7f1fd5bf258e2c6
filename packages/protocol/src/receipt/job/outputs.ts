/**
 * The outputs of a job against its receipt: every segment's bytes, in order.
 *
 * Threat: whoever serves the outputs. Each must hash to its leaf, have the rows of its segment, and all of them together
 * must be the whole that the receipt names.
 */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { toHex } from '../../core/bytes.ts'
import { DIGEST_BYTES } from '../../core/digest.ts'
import { type Rejection, reject } from '../../core/errors.ts'
import { hashMany } from '../../core/hash-many.ts'
import { leafHashes, packedTree } from '../../core/merkle.ts'
import { type JobPredicate, rowsOfSegment } from './statement.ts'

/** Bytes of the number of rows that opens encoded rows (task/rows.ts). */
const COUNT_BYTES = 4

/** The first output that is another: 'job-receipt/output'. */
export function checkOutputs(predicate: JobPredicate, outputs: readonly Uint8Array[]): Rejection | undefined {
  const { input, output, segments } = predicate
  const refuse = (message: string) => reject('job-receipt/output', message)
  if (outputs.length !== segments.count) {
    return refuse(`expected the outputs of ${segments.count} segments, got ${outputs.length}`)
  }
  const short = outputs.findIndex((bytes, index) => countOf(bytes) !== rowsOfSegment(input, index))
  if (short >= 0)
    return refuse(`the output of segment ${short} does not have its ${rowsOfSegment(input, short)} rows`)
  const packed = hashMany(new Uint8Array(), outputs)
  const digests = outputs.map((_, i) => packed.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES))
  const other = segments.list?.findIndex((segment, index) => segment.output !== toHex(digests[index]!)) ?? -1
  if (other >= 0) return refuse(`the output of segment ${other} is not the accepted one`)
  if (toHex(packedTree(leafHashes(digests)).root) !== output.root)
    return refuse('the outputs are not the accepted ones')
  if (output.sha256 !== null && wholeSha256(outputs, input.rows) !== output.sha256) {
    return refuse('all rows together are not the output that the receipt names')
  }
  return undefined
}

/** SHA-256 of all rows as one list (task/rows.ts): their number, then what stands behind the number in each segment. */
export function wholeSha256(outputs: readonly Uint8Array[], rows: number): string {
  const count = new Uint8Array(COUNT_BYTES)
  new DataView(count.buffer).setUint32(0, rows)
  const hash = nobleSha256.create().update(count)
  for (const bytes of outputs) hash.update(bytes.subarray(COUNT_BYTES))
  return toHex(hash.digest())
}

function countOf(bytes: Uint8Array): number {
  if (bytes.length < COUNT_BYTES) return -1
  return new DataView(bytes.buffer, bytes.byteOffset, COUNT_BYTES).getUint32(0)
}
