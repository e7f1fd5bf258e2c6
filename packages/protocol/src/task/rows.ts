/**
 * Lists of encoded states, as one run of bytes: how many there are, then each behind its length.
 *
 * Lists can be long, so they do not go through the DAG-CBOR codec, whose item cap protects small objects.
 * Counts and lengths are four bytes, most significant first; nothing follows the last row.
 */
import { AssayError } from '../core/errors.ts'

/** Cap on one list: what one response may carry. */
export const MAX_ROWS_BYTES = 2 ** 30

export function encodeRows(rows: readonly Uint8Array[]): Uint8Array {
  let size = 4
  for (const row of rows) size += 4 + row.length
  if (size > MAX_ROWS_BYTES) throw tooLarge(size)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, rows.length)
  let offset = 4
  for (const row of rows) {
    view.setUint32(offset, row.length)
    bytes.set(row, offset + 4)
    offset += 4 + row.length
  }
  return bytes
}

/** Strict inverse; the rows are views into `bytes`. Throws `task/output`. */
export function decodeRows(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length > MAX_ROWS_BYTES) throw tooLarge(bytes.length)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const count = bytes.length < 4 ? 0 : view.getUint32(0)
  // Each row takes four bytes at least, so a count that lies allocates nothing.
  if (bytes.length < 4 || count > (bytes.length - 4) / 4)
    throw malformed('a count of rows that fits its length')
  const rows: Uint8Array[] = []
  let offset = 4
  for (let row = 0; row < count; row++) {
    if (offset + 4 > bytes.length) throw malformed(`${count} rows, and its bytes end in row ${row}`)
    const end = offset + 4 + view.getUint32(offset)
    if (end > bytes.length) throw malformed(`${count} rows, and its bytes end in row ${row}`)
    rows.push(bytes.subarray(offset + 4, end))
    offset = end
  }
  if (offset !== bytes.length)
    throw malformed(`nothing after its last row, got ${bytes.length - offset} bytes`)
  return rows
}

function malformed(expected: string): AssayError {
  return new AssayError('task/output', `expected a list of encoded states with ${expected}`)
}

function tooLarge(size: number): AssayError {
  return new AssayError(
    'task/output',
    `expected at most ${MAX_ROWS_BYTES} bytes of encoded states, got ${size}`,
  )
}
