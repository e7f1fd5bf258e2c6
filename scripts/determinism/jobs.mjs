/**
 * Which models run on which inputs: those of this repository, and published ones from a folder that is laid out
 * one folder a model. Nothing of that folder is copied; inputs are made from its data, once, for all environments.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rowInputs } from 'assay/onnx/batch'
import { toHalfBits } from 'assay/onnx/float16'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { tensor } from 'assay/state/tensor'

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url))
const DIGIT_ROWS = [0, 1285]
const TEXT = 'It was the best of times, it was the worst of times'
const TOKENS = [0, 0, 195, 731]

/** Published models: file, and inputs out of the files beside it. */
const PUBLISHED = {
  'mnist-8': ['model.onnx', ({ read }) => read('test_data_set_0/input_0.pb')],
  'mnist-bn-pytorch': ['model.onnx', digit],
  'derived-mnist-int8': ['mnist-bn-qdq-s8s8-perchannel.onnx', digit],
  'squeezenet-fp16': [
    'model.onnx',
    (from) => image(from, 'input_fish_224_rgb.u8.npy', { channels: [2, 1, 0], scale: (value) => value }),
  ],
  'ultraface-slim-320': [
    'model-simplified.onnx',
    (from) => image(from, 'input_2_320x240_rgb.u8.npy', { scale: (value) => (value - 127) / 128 }),
  ],
  'super-resolution': [
    'model.onnx',
    (from) => image(from, 'input_y_224.u8.npy', { channels: [0], scale: (value) => value / 255 }),
  ],
  'byte-lstm': ['model.onnx', ({ read }) => read('io.npz')],
  'tabular-lgbm_classifier_tensor': ['model.onnx', ({ read }) => read('io.npz')],
  'tiny-random-gpt2': ['model.onnx', ({ model }) => decoderInputs(model, TOKENS)],
  'dtln-denoise': ['model_2.onnx', ({ model }) => wave(model)],
}

/**
 * @param folder holds the published models, itself or in its folder `models`; may be undefined.
 * @returns `{ jobs: [{ name, path, inputs }], absent: [{ name, why }] }`
 */
export function collectJobs(folder) {
  const jobs = []
  const absent = []
  const add = (name, path, inputsOf) => {
    if (!existsSync(path)) return void absent.push({ name, why: `${path} is not there` })
    const model = loadModel(new Uint8Array(readFileSync(path)))
    const beside = (file) => join(dirname(path), file)
    const read = (file) =>
      decodeInputs(new Uint8Array(readFileSync(beside(file))), file, { expect: model.inputs })
    jobs.push({ name, path, inputs: pick(inputsOf({ model, read, beside }), model) })
  }
  for (const row of DIGIT_ROWS) {
    const path = join(EXAMPLES, 'digits', 'model.onnx')
    add(`digits, row ${row}`, path, ({ model, read }) => rowInputs(model, read('images.npy'), { index: row }))
  }
  add('byte-lm', join(EXAMPLES, 'byte-lm', 'model.onnx'), ({ model }) =>
    decoderInputs(model, new TextEncoder().encode(TEXT)),
  )
  const root = [join(folder ?? '', 'models'), folder ?? ''].find((path) => existsSync(join(path, 'mnist-8')))
  if (root === undefined) {
    const why = folder === undefined ? 'no folder of published models was given' : `none is in ${folder}`
    absent.push({ name: Object.keys(PUBLISHED).join(', '), why })
    return { jobs, absent }
  }
  for (const [name, [file, inputsOf]] of Object.entries(PUBLISHED))
    add(name, join(root, name, file), inputsOf)
  return { jobs, absent }
}

/** The model's inputs out of what a file holds: an array that came alone is the one input. */
function pick(tensors, model) {
  const values = Object.values(tensors)
  const entries = model.inputs.map(({ name }) => [name, tensors[name] ?? (values.length === 1 && values[0])])
  const lacking = entries.find(([, value]) => !value)
  if (lacking !== undefined) throw new Error(`no data for the input ${lacking[0]}`)
  return Object.fromEntries(entries)
}

/** The first of the MNIST test images, normalised as in training. */
function digit({ model, beside }) {
  const pixels = readFileSync(beside('../_data-mnist-t10k/images.u8')).subarray(0, 28 * 28)
  const data = Float32Array.from(pixels, (pixel) => (pixel / 255 - 0.1307) / 0.3081)
  return { [model.inputs[0].name]: tensor('float32', [1, 1, 28, 28], data) }
}

/** Pixels, row-major with the channel last, as planes of the model's element type. */
function image({ model, read }, file, { channels = [0, 1, 2], scale }) {
  const [pixels] = Object.values(read(file))
  const [{ name, dtype }] = model.inputs
  const [height, width, depth = 1] = pixels.shape
  const area = height * width
  const data = new (dtype === 'float16' ? Uint16Array : Float32Array)(channels.length * area)
  for (const [plane, channel] of channels.entries()) {
    for (let at = 0; at < area; at++) {
      const value = scale(pixels.data[at * depth + channel])
      data[plane * area + at] = dtype === 'float16' ? toHalfBits(value) : value
    }
  }
  return { [name]: tensor(dtype, [1, channels.length, height, width], data) }
}

/** A decoder's first pass over tokens: positions from 0, nothing masked, an empty cache. */
function decoderInputs(model, tokens) {
  const given = {
    input_ids: Array.from(tokens),
    position_ids: Array.from(tokens, (_, position) => position),
    attention_mask: Array.from(tokens, () => 1),
  }
  const entries = model.inputs.map(({ name, dtype, dims }) => {
    const numbers = given[name]
    if (numbers === undefined) {
      const shape = dims.map((dim) =>
        typeof dim === 'number' ? dim : dim === 'batch' || dim === 'batch_size' ? 1 : 0,
      )
      return [name, tensor(dtype, shape, new Float32Array(0))]
    }
    const data = dtype === 'int64' ? BigInt64Array.from(numbers, BigInt) : Int32Array.from(numbers)
    return [name, tensor(dtype, [1, numbers.length], data)]
  })
  return Object.fromEntries(entries)
}

/** A signal made of two tones, and a state of zeros. */
function wave(model) {
  const [signal, state] = model.inputs
  const size = ({ dims }) => dims.reduce((a, b) => a * b, 1)
  const samples = Float32Array.from(
    { length: size(signal) },
    (_, t) => 0.3 * Math.sin(t / 5) + 0.1 * Math.sin(t),
  )
  return {
    [signal.name]: tensor('float32', signal.dims, samples),
    [state.name]: tensor('float32', state.dims, new Float32Array(size(state))),
  }
}
