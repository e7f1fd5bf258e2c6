/** The digits model over a batch of images, as a task: each image is one inference and one state. */
import { readFile } from 'node:fs/promises'
import { openBatch } from 'assay/onnx/batch'
import { loadModel } from 'assay/onnx/model'
import { decodeNpy } from 'assay/onnx/npy'
import { onnxBatch } from 'assay/onnx/onnx-task'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { tensor } from 'assay/state/tensor'

const read = (name) => readFile(new URL(`../digits/${name}`, import.meta.url))

/** Opens the model in the runtime that gives the same bits everywhere; `batch.close()` lets go of it. */
export async function openDigits() {
  const batch = await openBatch(loadModel(await read('model.onnx')), await wasmRuntime())
  return { batch, task: onnxBatch(batch) }
}

/** The first `count` images, by the name of the model's input, and the digits on them. */
export async function readImages(count) {
  const images = decodeNpy(await read('images.npy'))
  const labels = decodeNpy(await read('labels.npy'))
  const [, ...shape] = images.shape
  const pixels = shape.reduce((product, size) => product * size, 1)
  return {
    input: { image: tensor(images.dtype, [count, ...shape], images.data.slice(0, count * pixels)) },
    labels: Array.from(labels.data.slice(0, count), Number),
  }
}

/** The digit that each row of logits stands for. */
export function classes({ data, shape: [rows, width] }) {
  return Array.from({ length: rows }, (_, row) => {
    const logits = data.subarray(row * width, (row + 1) * width)
    return logits.indexOf(Math.max(...logits))
  })
}
