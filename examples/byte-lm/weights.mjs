/**
 * The model with other weights: what a solver would run to save money, or by mistake.
 *
 * Each function takes the bytes of model.onnx and gives those of another model with the same graph.
 */

import { fromHalfBits, toHalfBits } from 'assay/onnx/float16'
import onnxProto from 'onnx-proto'

const FLOAT = 1

/** `change(values, { name, dims })` gives the new values of each weight; constants of the graph are left alone. */
function withWeights(bytes, change) {
  const model = onnxProto.onnx.ModelProto.decode(bytes)
  for (const initializer of model.graph.initializer) {
    const { name, dataType, rawData } = initializer
    if (dataType !== FLOAT || !isWeight(name)) continue
    const values = new Float32Array(Uint8Array.from(rawData).buffer)
    const dims = initializer.dims.map(Number)
    initializer.rawData = new Uint8Array(change(values, { name, dims }).buffer)
  }
  return Uint8Array.from(onnxProto.onnx.ModelProto.encode(model).finish())
}

/** Weights are named after their layer, as train.py has them. */
function isWeight(name) {
  return name === 'embedding' || name.includes('.')
}

/**
 * Matrices rounded to 255 steps a column, the usual 8-bit format for weights: column maximum over 127. Vectors
 * stay as they are.
 */
export function roundedTo8Bits(bytes) {
  return withWeights(bytes, (values, { dims }) => {
    if (dims.length < 2) return values
    const columns = dims.at(-1)
    const largest = new Float64Array(columns)
    for (const [i, value] of values.entries()) {
      largest[i % columns] = Math.max(largest[i % columns], Math.abs(value))
    }
    return values.map((value, i) => {
      const step = largest[i % columns] / 127
      return step === 0 ? 0 : Math.round(value / step) * step
    })
  })
}

/** All weights rounded to half precision. */
export function roundedToHalf(bytes) {
  return withWeights(bytes, (values) => values.map((value) => fromHalfBits(toHalfBits(value))))
}

/** The model as it was before the last quarter of its training: `delta` is the file earlier.delta.f16. */
export function earlierCheckpoint(bytes, delta) {
  const halves = new Uint16Array(Uint8Array.from(delta).buffer)
  let at = 0
  const earlier = withWeights(bytes, (values) => values.map((value) => value + fromHalfBits(halves[at++])))
  if (at !== halves.length) throw new Error(`the delta has ${halves.length} values, the model ${at} weights`)
  return earlier
}
