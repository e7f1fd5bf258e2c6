/**
 * The workload of the demo: a network that was trained on handwritten digits, all the images, their labels, and
 * which of them took no part in the training (examples/digits/README.md).
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseWith } from 'assay/core/codec'
import { decodeInputs } from 'assay/onnx/inputs'
import type { Model } from 'assay/onnx/model'
import { decodeNpy } from 'assay/onnx/npy'
import type { NamedTensors } from 'assay/state/tensors'
import * as z from 'zod/mini'
import { readCapped, readJson } from './files.ts'
import { readModel } from './onnx-job.ts'

/** The folder in this repository; the published package does not hold it. */
export const DIGITS_FOLDER = fileURLToPath(new URL('../../../../examples/digits/', import.meta.url))
export const CLASSES = 10
/** The committed files have at most 460 kB. */
const MAX_DATA_BYTES = 2 ** 24

const splitSchema = z.strictObject({ train: z.array(z.int()), test: z.array(z.int()) })

export interface Digits {
  readonly model: Model
  readonly inputs: NamedTensors
  readonly labels: ArrayLike<number | bigint | string>
  /** Rows that took no part in the training. */
  readonly test: readonly number[]
}

export async function readDigits(folder: string): Promise<Digits> {
  const read = (name: string, what: string) =>
    readCapped(join(folder, name), { maxBytes: MAX_DATA_BYTES, what })
  const model = await readModel(join(folder, 'model.onnx'))
  const inputs = decodeInputs(await read('images.npy', 'the images'), 'images.npy', { expect: model.inputs })
  const labels = decodeNpy(await read('labels.npy', 'the labels')).data
  const splitPath = join(folder, 'split.json')
  const split = await readJson(splitPath, { maxBytes: MAX_DATA_BYTES, what: 'the split' })
  return { model, inputs, labels, test: parseWith(splitSchema, split, splitPath).test }
}

/** Share of `rows` whose largest logit is that of the label. */
export function accuracyOf(
  output: NamedTensors,
  { labels, rows }: { readonly labels: Digits['labels']; readonly rows: Iterable<number> },
): number {
  const logits = logitsOf(output)
  let right = 0
  let total = 0
  for (const row of rows) {
    if (bestClass(logits, row) === Number(labels[row])) right += 1
    total += 1
  }
  return right / total
}

export function logitsOf(output: NamedTensors): Float32Array {
  return output.logits?.data as Float32Array
}

export function bestClass(logits: Float32Array, row: number): number {
  let best = 0
  for (let k = 1; k < CLASSES; k++) {
    if ((logits[row * CLASSES + k] as number) > (logits[row * CLASSES + best] as number)) best = k
  }
  return best
}
