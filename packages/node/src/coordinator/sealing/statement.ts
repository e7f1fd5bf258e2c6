/** The signed part of a receipt, from the records of its job: what takes time for a large one. */
import { utf8 } from 'assay/core/bytes'
import type { SerializedError } from 'assay/core/errors'
import type { PublicKey } from 'assay/core/keys'
import { makeJobStatement } from 'assay/receipt/job/sign'
import type { ReceiptRecords } from './records.ts'
import { runsOf } from './results.ts'

export interface StatementRequest {
  readonly records: ReceiptRecords
  readonly coordinator: PublicKey
}

export interface Payload {
  /** The statement as it is signed. */
  readonly payload: Uint8Array<ArrayBuffer>
  /** 64 hexadecimal digits. */
  readonly outputRoot: string
  readonly issuedAtMs: number
}

export type StatementReply = Payload | { readonly error: SerializedError }

/** Throws what `makeJobStatement` does. */
export function makePayload({ parts, results }: ReceiptRecords, coordinator: PublicKey): Payload {
  const segments = { [Symbol.iterator]: () => runsOf(results) }
  const statement = makeJobStatement({ ...parts, segments }, coordinator)
  const { output, issuedAt } = statement.predicate
  const payload = new Uint8Array(utf8(JSON.stringify(statement)))
  return { payload, outputRoot: output.root, issuedAtMs: Date.parse(issuedAt) }
}
