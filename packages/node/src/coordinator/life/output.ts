/**
 * Outputs of results: encoded rows (task/rows.ts), small ones inside the message, large ones as blobs.
 *
 * Threat: the bytes are a node's to choose. They are read once, in pieces; as many rows as the segment has, none larger
 * than the work allows, nothing behind them. A count or a length that lies costs nothing.
 */
import { createHash } from 'node:crypto'
import { fromBase64 } from 'assay/core/bytes'
import { parseCid } from 'assay/core/cid'
import { type Digest, tagBlock } from 'assay/core/digest'
import { AssayError, attempt, type Rejection, reject, type Verdict } from 'assay/core/errors'
import { MAX_ROWS_BYTES } from 'assay/task/rows'
import { MAX_ROW_BYTES } from 'assay/wire/segment'
import type { ValueRef } from 'assay/wire/text'
import type { WorkSpec } from 'assay/wire/work'
import type { Content } from './parts.ts'

const LENGTH_BYTES = 4

export interface OutputShape {
  readonly rows: number
  readonly maxRowBytes: number
}

export interface OutputRead {
  /** SHA-256 of the bytes. */
  readonly digest: Digest
  /** As results with a proof name it (method/sampling/commitment.ts). */
  readonly taskDigest: Digest
  readonly inline: Uint8Array | null
  readonly cid: string | null
}

/** Largest row that the work may give. */
export function maxRowBytes(work: WorkSpec): number {
  return work.kind === 'wasm' ? work.maxOutputBytes : MAX_ROW_BYTES
}

/**
 * Reads an output whole. Rejects with 'result/rows' what is no list of such rows, with 'result/output' an address that
 * is not there; throws what the store of blobs does otherwise.
 */
export async function readOutput(
  content: Content,
  output: ValueRef,
  shape: OutputShape,
): Promise<Verdict<OutputRead>> {
  const hash = createHash('sha256')
  const taskHash = createHash('sha256').update(tagBlock('assay/task-output/v1'))
  const scanner = rowScanner(shape)
  const take = (piece: Uint8Array): Rejection | undefined => {
    hash.update(piece)
    taskHash.update(piece)
    return scanner.take(piece)
  }
  const done = (parts: Pick<OutputRead, 'inline' | 'cid'>): OutputRead => ({
    digest: new Uint8Array(hash.digest()) as Digest,
    taskDigest: new Uint8Array(taskHash.digest()) as Digest,
    ...parts,
  })
  if ('inline' in output) {
    const bytes = attempt(() => fromBase64(output.inline))
    if (!bytes.ok) return rowsRejected(bytes.message)
    const wrong = take(bytes.value) ?? scanner.end()
    return wrong ?? { ok: true, value: done({ inline: bytes.value, cid: null }) }
  }
  for await (const piece of blobPieces(content, output.cid)) {
    const wrong = piece instanceof Uint8Array ? take(piece) : piece
    if (wrong !== undefined) return wrong
  }
  return scanner.end() ?? { ok: true, value: done({ inline: null, cid: output.cid }) }
}

/** Rows of an output that was read before, one after the other. */
export async function* outputRows(content: Content, output: ValueRef): AsyncGenerator<Uint8Array> {
  const pieces = 'inline' in output ? [fromBase64(output.inline)] : content.read(output.cid)
  let buffer = Buffer.alloc(0)
  let isCounted = false
  for await (const piece of pieces) {
    buffer = buffer.length === 0 ? Buffer.from(piece) : Buffer.concat([buffer, piece])
    if (!isCounted && buffer.length >= LENGTH_BYTES) {
      buffer = buffer.subarray(LENGTH_BYTES)
      isCounted = true
    }
    while (isCounted && buffer.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + buffer.readUInt32BE(0)
      if (buffer.length < end) break
      yield new Uint8Array(buffer.subarray(LENGTH_BYTES, end))
      buffer = buffer.subarray(end)
    }
  }
}

/** A whole blob of at most `maxBytes`: 'result/output' where it is not there, 'result/proof' where it is larger. */
export async function readSmall(
  content: Content,
  value: ValueRef,
  maxBytes: number,
): Promise<Verdict<Uint8Array>> {
  const tooLarge = () => reject('result/proof', `expected at most ${maxBytes} bytes of proof`, { maxBytes })
  if ('inline' in value) {
    const bytes = attempt(() => fromBase64(value.inline))
    if (!bytes.ok) return reject('result/proof', bytes.message)
    return bytes.value.length <= maxBytes ? bytes : tooLarge()
  }
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of blobPieces(content, value.cid)) {
    if (!(piece instanceof Uint8Array)) return piece
    size += piece.length
    if (size > maxBytes) return tooLarge()
    pieces.push(piece)
  }
  return { ok: true, value: new Uint8Array(Buffer.concat(pieces)) }
}

async function* blobPieces(content: Content, cid: string): AsyncGenerator<Uint8Array | Rejection> {
  const parsed = attempt(() => parseCid(cid))
  if (!parsed.ok || parsed.value.codec !== 'raw') {
    yield reject('result/output', 'expected the address of raw bytes', { cid })
    return
  }
  try {
    yield* content.read(cid)
  } catch (error) {
    if (!(error instanceof AssayError) || error.code !== 'blob/missing') throw error
    yield reject('result/output', `${cid} was not uploaded`, { cid })
  }
}

/** Checks encoded rows as they come by, whatever the pieces are. */
function rowScanner({ rows, maxRowBytes }: OutputShape) {
  const field = new Uint8Array(LENGTH_BYTES)
  let filled = 0
  let inRow = 0
  let row = -1
  let total = 0
  const length = () => new DataView(field.buffer).getUint32(0)
  const take = (piece: Uint8Array): Rejection | undefined => {
    total += piece.length
    if (total > MAX_ROWS_BYTES) return rowsRejected(`expected at most ${MAX_ROWS_BYTES} bytes`)
    for (let at = 0; at < piece.length; ) {
      if (inRow > 0) {
        const step = Math.min(inRow, piece.length - at)
        inRow -= step
        at += step
        continue
      }
      if (row === rows) return rowsRejected(`expected nothing behind ${rows} rows`)
      field[filled++] = piece[at++] as number
      if (filled < LENGTH_BYTES) continue
      filled = 0
      row += 1
      // What comes first is the number of rows.
      if (row === 0 && length() !== rows) return rowsRejected(`expected ${rows} rows, got ${length()}`)
      if (row === 0) continue
      if (length() > maxRowBytes) {
        return rowsRejected(`expected at most ${maxRowBytes} bytes in row ${row - 1}, got ${length()}`)
      }
      inRow = length()
    }
    return undefined
  }
  const end = (): Rejection | undefined =>
    row === rows && inRow === 0 && filled === 0
      ? undefined
      : rowsRejected(`expected ${rows} rows, and its bytes end in row ${Math.max(0, row - 1)}`)
  return { take, end }
}

function rowsRejected(message: string): Rejection {
  return reject('result/rows', message)
}
