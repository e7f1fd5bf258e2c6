/**
 * Where demonstrations and tests step between a node and its answers (network/cheats.ts). An honest node has none.
 */
import type { SegmentResult } from 'assay/wire/dispatch'
import type { Row } from 'assay/wire/segment'
import type { WorkSpec } from 'assay/wire/work'
import type { RowRange } from '../work/row-runner.ts'

export interface RowsRequest {
  readonly jobId: string
  readonly work: WorkSpec
  /** Rows of one segment or of several side by side. */
  readonly range: RowRange
  readonly signal: AbortSignal
  /** Computes rows as an honest node does. */
  compute(range: RowRange): Promise<Row[]>
}

export interface NodeHooks {
  /** Gives the rows of `range`. */
  readonly rows?: (request: RowsRequest) => Promise<Row[]>
  /** Last look at a result before it is signed and sent. */
  readonly result?: (result: SegmentResult) => SegmentResult
}
