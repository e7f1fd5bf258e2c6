/**
 * What computes the rows of a job: the one interface behind which nodes and verifiers see every kind of work.
 *
 * A row is bytes (`Row` of the wire); the same row comes out whatever it was asked for together with.
 */
import { AssayError } from 'assay/core/errors'
import { MAX_ROW_BYTES, type Row } from 'assay/wire/segment'

export interface RowRange {
  readonly from: number
  /** Exclusive. */
  readonly to: number
}

export interface RowOptions {
  readonly signal?: AbortSignal
}

/** Opened over the whole input of a job; rows are counted from the job's first. */
export interface RowRunner {
  /** Rows of the input. */
  readonly count: number
  /**
   * The rows of a range in order. Several calls may be under way.
   *
   * @throws AssayError `task/cancelled` as soon as the signal says so, `work/rows` for rows that are not there, and
   * what the kind of work refuses.
   */
  rows(range: RowRange, options?: RowOptions): Promise<Row[]>
  /** One row: what a verifier asks for. */
  row(index: number, options?: RowOptions): Promise<Row>
  close(): Promise<void>
}

/** Rows of one segment together: a node holds some of them at once. */
const MAX_SEGMENT_BYTES = 2 ** 28

export function assertRange({ from, to }: RowRange, count: number): void {
  if (Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 0 && from < to && to <= count) return
  throw new AssayError(
    'work/rows',
    `expected rows within the ${count} of the input, got ${from} to before ${to}: the job names another number of rows than its input has`,
    { detail: { count, from, to } },
  )
}

/** Adds up what a segment holds, and refuses what no message may carry. */
export function rowBudget(): (row: Row) => void {
  let total = 0
  return (row) => {
    total += row.length
    if (row.length > MAX_ROW_BYTES || total > MAX_SEGMENT_BYTES) {
      throw new AssayError(
        'work/output-too-large',
        `expected rows of at most ${MAX_ROW_BYTES} bytes and ${MAX_SEGMENT_BYTES} bytes a segment, got ${row.length} and ${total}: cut the job into smaller segments`,
        { detail: { rowBytes: row.length, segmentBytes: total } },
      )
    }
  }
}
