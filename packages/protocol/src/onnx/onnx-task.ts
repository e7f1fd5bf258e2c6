/**
 * An ONNX model over a batch, as a parallel task: each row is one inference and one state.
 *
 * The task id binds the model by its content address, and the runtime by name and version, since another
 * runtime may give other bits. With the reproducible runtime states are exact; with the native one they
 * need a tolerance between machines, which the caller states (and should have measured).
 */
import { AssayError } from '../core/errors.ts'
import type { StateKind } from '../state/kind.ts'
import { tensorsState } from '../state/tensor-state.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { tolerantTensorsState } from '../state/tolerant-tensors.ts'
import { defineTask } from '../task/define.ts'
import { checkRows } from '../task/output.ts'
import type { OutputRule, Task } from '../task/task.ts'
import type { Batch } from './batch.ts'

export type OnnxTask = Task<NamedTensors, NamedTensors, NamedTensors>

export interface OnnxBatchOptions {
  /** Largest difference of a float output between honest machines; without it rows must agree in every bit. */
  readonly tolerance?: number
  /** Float elements in one row's outputs; needed with a tolerance. */
  readonly elements?: number
}

/** The task of running `batch`'s model over the rows of an input; the output is that of the whole batch. */
export function onnxBatch(batch: Batch, options: OnnxBatchOptions = {}): OnnxTask {
  const { model, runtime, mode } = batch
  return defineTask({
    name: 'onnx-batch',
    version: '1',
    shape: 'parallel',
    parameters: { runtime: runtime.name, runtimeVersion: runtime.version, batch: mode },
    content: { model: model.cid },
    input: tensorsState(),
    state: rowState(batch, options),
    count: (inputs: NamedTensors) => batch.count(inputs),
    compute: (inputs: NamedTensors, index: number) => batch.row(inputs, index),
    output: stackedRows(batch),
  })
}

function rowState({ model }: Batch, { tolerance, elements }: OnnxBatchOptions): StateKind<NamedTensors> {
  if (tolerance === undefined) return tensorsState({ names: model.outputs.map(({ name }) => name) })
  if (elements === undefined) {
    throw new AssayError(
      'task/definition',
      'a tolerance needs the number of float elements of a row: give elements',
    )
  }
  return tolerantTensorsState({ elements, epsilon: tolerance })
}

function stackedRows(batch: Batch): OutputRule<NamedTensors, NamedTensors, NamedTensors> {
  const codec = tensorsState({ names: batch.model.outputs.map(({ name }) => name) })
  return {
    complete: true,
    derive: (rows) => batch.stack(rows),
    *claims(outputs, inputs) {
      const count = batch.count(inputs)
      if (batch.mode === 'first-axis') {
        for (const { shape } of Object.values(outputs)) checkRows(shape[0] ?? 0, count)
      }
      for (let index = 0; index < count; index++) yield [index, batch.unstack(outputs, index)]
    },
    assert: (value: unknown): asserts value is NamedTensors =>
      (codec.assert as (value: unknown) => void)(value),
    encode: (outputs) => codec.encode(outputs),
    decode: (bytes) => codec.decode(bytes),
  }
}
