/**
 * The ONNX task as a worker thread makes it for itself, from the bytes of the model.
 */
import { type BatchMode, openBatch } from 'assay/onnx/batch'
import { loadModel } from 'assay/onnx/model'
import { type OnnxBatchOptions, type OnnxTask, onnxBatch } from 'assay/onnx/onnx-task'
import { openRuntime, type RuntimeName } from './onnx-runtime.ts'

export interface OnnxTaskParts {
  readonly model: Uint8Array
  readonly runtime: RuntimeName
  readonly batch: BatchMode
  readonly options: OnnxBatchOptions
}

export async function openOnnxTask({ model, runtime, batch, options }: OnnxTaskParts): Promise<OnnxTask> {
  return onnxBatch(await openBatch(loadModel(model), await openRuntime(runtime), { batch }), options)
}
