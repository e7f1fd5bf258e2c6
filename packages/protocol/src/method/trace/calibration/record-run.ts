/** Records traced rows of this machine, for a calibration on another. */
import { rowInputs } from '../../../onnx/batch.ts'
import type { Graph } from '../../../onnx/graph.ts'
import type { NamedTensors } from '../../../state/tensors.ts'
import type { Side } from './calibrate.ts'
import { type CalibrationRun, runRow } from './run-file.ts'
import { openTracer } from './traces.ts'

export interface RecordOptions {
  readonly inputs: NamedTensors
  readonly rows: readonly number[]
  readonly onProgress?: (done: number, total: number) => void
  readonly signal?: AbortSignal
}

export async function recordRun(graph: Graph, side: Side, options: RecordOptions): Promise<CalibrationRun> {
  const tracer = await openTracer(graph, side.runtime)
  try {
    const rows: CalibrationRun['rows'][number][] = []
    for (const row of options.rows) {
      options.signal?.throwIfAborted()
      options.onProgress?.(rows.length, options.rows.length)
      rows.push(runRow(row, await tracer.trace(rowInputs(graph.model, options.inputs, { index: row }))))
    }
    return { model: graph.model.cid, configuration: side.configuration, rows }
  } finally {
    await tracer.close()
  }
}
