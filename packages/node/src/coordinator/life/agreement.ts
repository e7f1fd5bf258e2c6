/** Whether two outputs are equal, where equal is more than the same bytes: row by row, within the tolerance of the work. */
import { equalBytes } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import type { StateKind } from 'assay/state/kind'
import { type Row, rowsAgree } from 'assay/wire/segment'
import type { ValueRef } from 'assay/wire/text'
import { outputRows } from './output.ts'
import type { Content } from './parts.ts'

/** Outputs that were taken, so that both are lists of rows. Holds one row of each at a time. */
export async function outputsAgree(
  content: Content,
  kind: StateKind<Row>,
  [first, second]: readonly [ValueRef, ValueRef],
): Promise<boolean> {
  const others = outputRows(content, second)
  try {
    for await (const row of outputRows(content, first)) {
      const other = await others.next()
      if (other.done === true || !agree(kind, row, other.value)) return false
    }
    return (await others.next()).done === true
  } finally {
    await others.return(undefined)
  }
}

/** A row that means nothing to the kind agrees with its own bytes alone. */
function agree(kind: StateKind<Row>, a: Row, b: Row): boolean {
  if (equalBytes(a, b)) return true
  try {
    return rowsAgree(kind, a, b)
  } catch (error) {
    if (error instanceof AssayError) return false
    throw error
  }
}
