/**
 * Whole models with inputs, as cases for onnx-node.mjs: published inputs where there are some, else numbers
 * from a fixed formula. A folder holds one folder a model.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { toHalfBits } from 'assay/onnx/float16'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { tensor } from 'assay/state/tensor'
import onnxProto from 'onnx-proto'

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  bool: Uint8Array,
}
/** Sizes of dimensions that a model leaves open, where 1 is not a good choice. */
const OPEN_SIZES = { seq_len: 6, total_seq_len: 6, past_seq_len: 0, length: 24 }
/** Values of inputs where the formula is not a good choice. */
const VALUES = {
  position_ids: (i) => i % OPEN_SIZES.seq_len,
  attention_mask: () => 1,
  input_ids: (i) => (i * 195 + 52) % 1000,
}
const WIDE_ROWS = [50, 20]

function readBytes(...path) {
  return new Uint8Array(readFileSync(join(...path)))
}

/** Every .onnx file below a folder, with the inputs that lie beside it. */
export function* modelCases(folder) {
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name)
    const files = readdirSync(folder, { withFileTypes: true }).some(
      (entry) => entry.name === name && entry.isDirectory(),
    )
      ? readdirSync(path)
          .filter((file) => file.endsWith('.onnx'))
          .sort()
      : []
    for (const file of files)
      yield modelCase(join(path, file), { name: files.length > 1 ? `${name}/${file}` : name })
    // Its file says operator set 10 and needs 12; runtimes refuse it as it is.
    if (name === 'ezkl_nanoGPT') {
      yield modelCase(join(path, 'network.onnx'), { name: `${name}, operator set raised to 12`, opset: 12 })
    }
  }
}

function modelCase(file, { name, opset }) {
  const folder = join(file, '..')
  const load = () => loadModel(opset === undefined ? readBytes(file) : withOpset(readBytes(file), opset))
  return {
    name,
    load,
    inputs: (model) => inputsFor(model, folder),
    expected: (model) => expectedFor(model, folder),
    tolerance: { rtol: 1e-3, atol: 1e-4 },
  }
}

function withOpset(bytes, version) {
  const proto = onnxProto.onnx.ModelProto.decode(bytes)
  for (const entry of proto.opsetImport) if (!entry.domain) entry.version = version
  return Uint8Array.from(onnxProto.onnx.ModelProto.encode(proto).finish())
}

function inputsFor(model, folder) {
  const archive = join(folder, 'io.npz')
  if (existsSync(archive)) {
    const tensors = decodeInputs(readBytes(archive), 'npz')
    return Object.fromEntries(model.inputs.map(({ name }) => [name, tensors[name]]))
  }
  const published = join(folder, 'test_data_set_0', 'input_0.pb')
  if (existsSync(published)) return decodeInputs(readBytes(published), 'pb', { expect: model.inputs })
  const json = join(folder, 'input.json')
  const rows = existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')).input_data : undefined
  return Object.fromEntries(
    model.inputs.map((info, i) => [info.name, fill(info, rows?.[i]?.flat(9) ?? pixels(folder), model)]),
  )
}

/** An image beside the model, planes first, scaled to -1 to 1. */
function pixels(folder) {
  const file = readdirSync(folder).find((name) => name.endsWith('.u8.npy'))
  if (file === undefined) return undefined
  const [image] = Object.values(decodeInputs(readBytes(folder, file), 'npy'))
  const channels = image.shape.at(-1) <= 4 ? image.shape.at(-1) : 1
  const plane = image.data.length / channels
  return Array.from(
    image.data,
    (_, at) => (image.data[(at % plane) * channels + Math.floor(at / plane)] - 127) / 128,
  )
}

function fill({ name, dtype, dims }, values, model) {
  const wide = [...model.operators.keys()].some((operator) => operator.includes('TreeEnsembleClassifier'))
  const shape = wide ? WIDE_ROWS : dims.map((dim) => (typeof dim === 'number' ? dim : (OPEN_SIZES[dim] ?? 1)))
  const count = shape.reduce((product, size) => product * size, 1)
  const data = new ARRAYS[dtype](count)
  const formula = VALUES[name] ?? (dtype.startsWith('float') ? (i) => Math.sin(i + 1) : (i) => i % 2)
  for (let i = 0; i < count; i++) {
    const value = values?.[i] ?? formula(i)
    data[i] = dtype === 'float16' ? toHalfBits(value) : dtype === 'int64' ? BigInt(value) : value
  }
  return tensor(dtype, shape, data)
}

function expectedFor(model, folder) {
  const archive = join(folder, 'io.npz')
  if (existsSync(archive)) return decodeInputs(readBytes(archive), 'npz')
  const published = join(folder, 'test_data_set_0', 'output_0.pb')
  if (existsSync(published)) {
    const [output] = Object.values(decodeInputs(readBytes(published), 'pb', { expect: model.outputs }))
    return { [model.outputs[0].name]: output }
  }
  const recorded = join(folder, 'expected_output.onnxruntime.json')
  if (!existsSync(recorded)) return {}
  const { outputs } = JSON.parse(readFileSync(recorded, 'utf8'))
  return Object.fromEntries(
    outputs.map(({ name, dims, type, data }) => [name, tensor(type, dims, ARRAYS[type].from(data))]),
  )
}
