/**
 * What travels between a service and the processes in which models run (inference.ts, inference-process.ts).
 *
 * Both ends are of one release, and structured clone carries the messages. A model is named by its file and address
 * instead of being sent: the process reads it, and checks that it is the one named.
 */
import type { SerializedError } from 'assay/core/errors'
import type { BatchMode } from 'assay/onnx/batch'
import type { ValueInfo } from 'assay/onnx/model'
import type { RuntimeTier } from 'assay/onnx/runtime'
import type { NamedTensors } from 'assay/state/tensors'

export interface ModelSource {
  readonly cid: string
  /** File with the model. */
  readonly path: string
  readonly runtime: RuntimeTier
  readonly batch: BatchMode
}

export interface InferenceRequest {
  readonly id: number
  readonly source: ModelSource
  /** Null only opens the model. */
  readonly inputs: NamedTensors | null
  /** Rows of `inputs`. */
  readonly count: number
}

export interface InferenceReply {
  readonly id: number
  /** Names of the models that the process holds open now. */
  readonly open: readonly string[]
  readonly result: InferenceResult | { readonly error: SerializedError }
}

export interface InferenceResult {
  readonly inputs: readonly ValueInfo[]
  /** Encoded tensors of each row, as a list (task/rows.ts). */
  readonly rows: Uint8Array
  readonly elapsedMs: number
}

export function modelName({ cid, runtime, batch }: ModelSource): string {
  return `${cid} ${runtime} ${batch}`
}
