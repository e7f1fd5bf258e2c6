/**
 * Digests of every tensor of the example's model on a few images: what vectors/determinism.json holds, computed on
 * this machine.
 */
import { readFileSync } from 'node:fs'
import { rowInputs } from 'assay/onnx/batch'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { encodeNpz } from 'assay/onnx/npz'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { digestJob } from './digests.mjs'

/** Among them one that the model gets wrong: close scores, whose last bits decide. */
const ROWS = [0, 1, 1285]

const example = (name) =>
  new Uint8Array(readFileSync(new URL(`../../examples/digits/${name}`, import.meta.url)))

export async function digitsDigests() {
  const model = example('model.onnx')
  const loaded = loadModel(model)
  const images = decodeInputs(example('images.npy'), 'npy', { expect: loaded.inputs })
  const runtime = await wasmRuntime()
  const cases = []
  for (const row of ROWS) {
    const inputs = rowInputs(loaded, images, { index: row })
    cases.push({ row, tensors: await digestJob({ model, inputs: encodeNpz(inputs) }, runtime) })
  }
  return {
    description:
      'every tensor of examples/digits/model.onnx on rows of images.npy: SHA-256 of the canonical encoding; equal on every machine',
    madeBy: 'scripts/vectors/determinism.mjs',
    runtime: `onnxruntime-web ${runtime.version}, wasm, one thread, graph optimisations disabled`,
    model: loaded.cid,
    cases,
  }
}
