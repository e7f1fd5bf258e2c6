/**
 * Rows of an ONNX job: each row one inference, its output tensors encoded (state/tensors.ts).
 *
 * The input is decoded once here, and what a process needs of it goes there with each piece.
 */
import { AssayError } from 'assay/core/errors'
import { countRows, rangeInputs } from 'assay/onnx/batch'
import { MAX_INPUT_BYTES } from 'assay/onnx/limits'
import { decodeTensors } from 'assay/state/tensors'
import type { OnnxWork } from 'assay/wire/work'
import type { Inference } from './inference.ts'
import { assertRange, type RowRunner } from './row-runner.ts'

/** Inputs of one piece: more would only be copied at once. */
const MAX_PIECE_BYTES = 2 ** 23

export interface OnnxContent {
  /** File with the model. */
  readonly model: string
  /** Canonical tensors. */
  readonly input: Uint8Array
}

export async function openOnnxRows(
  work: OnnxWork,
  { model: path, input }: OnnxContent,
  { inference, signal }: { readonly inference: Inference; readonly signal?: AbortSignal },
): Promise<RowRunner> {
  const { batch } = work
  const source = { cid: work.model, path, runtime: work.runtime, batch }
  const model = { inputs: await inference.open(source, signal) }
  const tensors = decodeTensors(input, { maxBytes: MAX_INPUT_BYTES })
  const count = countRows(model, tensors, { batch })
  const maxPieceRows = Math.max(1, Math.floor(MAX_PIECE_BYTES / (input.length / count)))
  let closed = false
  const rows: RowRunner['rows'] = async (range, options = {}) => {
    if (closed) throw new AssayError('work/closed', 'the rows of this job were closed')
    assertRange(range, count)
    return inference.run({
      source,
      range,
      inputs: (part) => rangeInputs(model, tensors, { ...part, batch }),
      maxPieceRows,
      ...options,
    })
  }
  return {
    count,
    rows,
    row: async (index, options) => (await rows({ from: index, to: index + 1 }, options))[0]!,
    close: async () => {
      closed = true
    },
  }
}
