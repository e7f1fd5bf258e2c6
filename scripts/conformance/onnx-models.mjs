/**
 * Runs published models over published data on both runtimes, and compares with the outputs that were
 * published with them.
 *
 *     node scripts/conformance/onnx-models.mjs FIXTURES_DIR
 *
 * FIXTURES_DIR, or the folder `models` in it, holds one folder a model (mnist-8, mnist-bn-pytorch,
 * squeezenet-fp16, tabular-..., and the MNIST test images in _data-mnist-t10k). It is not part of this
 * repository. Needs a build. Exit code: 0 when all agree, 1 when one does not, 2 when the folder is absent.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { openBatch } from 'assay/onnx/batch'
import { fromHalfBits, toHalfBits } from 'assay/onnx/float16'
import { assertFinite, decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { tensor } from 'assay/state/tensor'

const IMAGES = 1000
const PIXELS = 28 * 28
/** Features that the tree ensembles look at. */
const TREE_FEATURES = 20

const given = process.argv[2]
const root = [join(given ?? '', 'models'), given ?? ''].find((folder) =>
  existsSync(join(folder, 'mnist-8', 'model.onnx')),
)
if (given === undefined || root === undefined) {
  const where = given === undefined ? 'no folder was given' : `${given} has no mnist-8/model.onnx`
  console.error(
    `onnx-models: not run: ${where}. Usage: node scripts/conformance/onnx-models.mjs FIXTURES_DIR`,
  )
  process.exit(2)
}

const read = (...path) => new Uint8Array(readFileSync(join(root, ...path)))
const load = (...path) => loadModel(read(...path))
const file = (model, ...path) => decodeInputs(read(...path), path.at(-1), { expect: model.inputs })

/** Inputs of a model out of an archive that holds its outputs as well. */
function pick(tensors, infos) {
  return Object.fromEntries(
    infos.filter(({ name }) => name in tensors).map(({ name }) => [name, tensors[name]]),
  )
}

function floatsOf({ dtype, data }) {
  return dtype === 'float16' ? Array.from(data, fromHalfBits) : Array.from(data, Number)
}

/** Largest |got - expected| / (atol + rtol |expected|): at most 1 passes. */
function deviation(got, expected, { rtol, atol }) {
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY
  let worst = 0
  for (const [i, value] of expected.entries()) {
    const ratio = Math.abs(got[i] - value) / (atol + rtol * Math.abs(value))
    worst = Math.max(worst, Number.isNaN(ratio) ? Number.POSITIVE_INFINITY : ratio)
  }
  return worst
}

/** Runs all rows; returns the stacked outputs and the time a row took. */
async function runRows(model, inputs, { runtime }) {
  assertFinite(inputs)
  const batch = await openBatch(model, runtime)
  const rows = []
  const started = performance.now()
  for (let i = 0; i < batch.count(inputs); i++) rows.push(await batch.row(inputs, i))
  const rowMs = (performance.now() - started) / rows.length
  const outputs = batch.stack(rows)
  await batch.close()
  return { outputs, rowMs, rows: rows.length }
}

function mnist(count) {
  const images = gunzipSync(read('_data-mnist-t10k', 't10k-images-idx3-ubyte.gz')).subarray(16)
  const labels = gunzipSync(read('_data-mnist-t10k', 't10k-labels-idx1-ubyte.gz')).subarray(8)
  return { images: images.subarray(0, count * PIXELS), labels: labels.subarray(0, count) }
}

function digits(model, { images, prepare }) {
  const data = Float32Array.from(images, prepare)
  return { [model.inputs[0].name]: tensor('float32', [data.length / PIXELS, 1, 28, 28], data) }
}

function argmax(scores) {
  return scores.indexOf(Math.max(...scores))
}

function accuracy({ data }, labels) {
  const classes = data.length / labels.length
  const hits = labels.filter((label, i) => argmax(data.slice(i * classes, (i + 1) * classes)) === label)
  return hits.length / labels.length
}

/** Both folders of test data that came with the model, and 1,000 test images. */
async function checkMnist(runtime) {
  const model = load('mnist-8', 'model.onnx')
  const [output] = model.outputs
  for (const set of ['test_data_set_0', 'test_data_set_1']) {
    const input = file(model, 'mnist-8', set, 'input_0.pb')
    const expected = Object.values(file(model, 'mnist-8', set, 'output_0.pb'))[0]
    const { outputs } = await runRows(model, input, { runtime })
    const ratio = deviation(floatsOf(outputs[output.name]), floatsOf(expected), { rtol: 1e-3, atol: 1e-3 })
    report(`mnist-8 ${set}`, runtime, { ratio })
  }
  await checkAccuracy('mnist-8', runtime, { atLeast: 0.98, prepare: (pixel) => pixel })
  await checkAccuracy('mnist-bn-pytorch', runtime, {
    atLeast: 0.98,
    prepare: (pixel) => (pixel / 255 - 0.1307) / 0.3081,
  })
}

async function checkAccuracy(name, runtime, { atLeast, prepare }) {
  const model = load(name, 'model.onnx')
  const { images, labels } = mnist(IMAGES)
  const { outputs, rowMs, rows } = await runRows(model, digits(model, { images, prepare }), { runtime })
  const share = accuracy(outputs[model.outputs[0].name], labels)
  report(`${name} on ${rows} test images`, runtime, {
    ok: share >= atLeast,
    note: `accuracy ${(100 * share).toFixed(2)} %, ${(1000 * rowMs).toFixed(0)} µs a row`,
  })
}

/** The quantised forms of mnist-bn-pytorch, against outputs recorded with onnxruntime. */
async function checkQuantised(runtime) {
  for (const name of ['mnist-bn-qdq-s8s8-perchannel', 'mnist-bn-qoperator-u8s8']) {
    const model = load('derived-mnist-int8', `${name}.onnx`)
    const recorded = JSON.parse(
      readFileSync(join(root, 'derived-mnist-int8', `${name}.ort-disabled-first20.json`)),
    )
    const expected = (Array.isArray(recorded) ? recorded : Object.values(recorded).find(Array.isArray)).flat(
      9,
    )
    const images = mnist(20).images
    const inputs = digits(model, { images, prepare: (pixel) => (pixel / 255 - 0.1307) / 0.3081 })
    const { outputs } = await runRows(model, inputs, { runtime })
    const ratio = deviation(floatsOf(outputs[model.outputs[0].name]), expected, { rtol: 1e-3, atol: 1e-3 })
    report(name, runtime, { ratio })
  }
}

/** The fish of the Windows ML tests: blue first, 0 to 255, as half floats; expected probabilities as CSV. */
async function checkSqueezenet(runtime) {
  const model = load('squeezenet-fp16', 'model.onnx')
  const pixels = Object.values(file(model, 'squeezenet-fp16', 'input_fish_224_rgb.u8.npy'))[0]
  const planes = new Uint16Array(3 * 224 * 224)
  const channelLast = pixels.shape.at(-1) === 3
  for (let at = 0; at < 224 * 224; at++) {
    for (let channel = 0; channel < 3; channel++) {
      const from = channelLast ? at * 3 + 2 - channel : (2 - channel) * 224 * 224 + at
      planes[channel * 224 * 224 + at] = toHalfBits(pixels.data[from])
    }
  }
  const { outputs } = await runRows(
    model,
    { data_0: tensor('float16', [1, 3, 224, 224], planes) },
    { runtime },
  )
  const csv = new TextDecoder().decode(read('squeezenet-fp16', 'Squeezenet_fp16_fish_input_CPU.csv'))
  const expected = csv
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line) => Number(line.split(',')[1]))
  const got = floatsOf(outputs[model.outputs[0].name])
  report('squeezenet-fp16 on the fish', runtime, {
    ratio: deviation(got, expected, { rtol: 1e-2, atol: 1e-4 }),
    note: `class ${argmax(got)}`,
  })
}

/** Models that came with an archive of inputs and outputs. */
async function checkArchives(runtime) {
  const names = [
    'tabular-lgbm_classifier_tensor',
    'tabular-xgboost_regressor_tree',
    'byte-lstm',
    'int8-kaldi-qrelu_1',
    'int8-kaldi-qtanh_1',
  ]
  for (const name of names) {
    const model = load(name, 'model.onnx')
    const archive = decodeInputs(read(name, 'io.npz'), 'npz')
    const inputs = pick(archive, model.inputs)
    const { outputs, rows } = await runRows(model, inputs, { runtime })
    const known = Object.entries(archive).filter(([key]) => !(key in inputs))
    let ratio = known.length === 0 ? Number.POSITIVE_INFINITY : 0
    for (const [key, expected] of known) {
      const got = outputs[key] ?? outputs[model.outputs[0].name]
      ratio = Math.max(ratio, deviation(floatsOf(got), floatsOf(expected), { rtol: 1e-4, atol: 1e-5 }))
    }
    report(`${name} (${rows} rows)`, runtime, { ratio })
  }
}

/** No outputs were published: rows together must equal the model run over all rows at once. */
async function checkTrees(runtime) {
  for (const name of ['treecl', 'treecl2', 'treecl3']) {
    const model = load('tabular-sklearn-trees', `${name}.onnx`)
    const features = TREE_FEATURES
    const data = Float32Array.from({ length: 50 * features }, (_, i) => 5 * Math.sin(i))
    const inputs = { [model.inputs[0].name]: tensor('float32', [50, features], data) }
    const { outputs } = await runRows(model, inputs, { runtime })
    const whole = await openBatch(model, runtime, { batch: 'whole' })
    const together = await whole.row(inputs, 0)
    await whole.close()
    const ratios = model.outputs.map(({ name: key }) =>
      deviation(floatsOf(outputs[key]), floatsOf(together[key]), { rtol: 0, atol: 1e-7 }),
    )
    report(`${name} row by row against whole`, runtime, { ratio: Math.max(...ratios) })
  }
}

let failed = 0

function report(what, runtime, { ratio, ok = ratio <= 1, note }) {
  if (!ok) failed++
  const detail = [ratio === undefined ? undefined : `${ratio.toPrecision(2)} of the tolerance`, note]
  console.log(
    `${ok ? 'ok  ' : 'FAIL'} ${runtime.name.padEnd(6)} ${what}: ${detail.filter(Boolean).join(', ')}`,
  )
}

for (const runtime of [await wasmRuntime(), await nativeRuntime()]) {
  console.log(`onnxruntime ${runtime.name} ${runtime.version}`)
  for (const check of [checkMnist, checkQuantised, checkSqueezenet, checkArchives, checkTrees])
    await check(runtime)
}
console.log(failed === 0 ? 'all models agree' : `${failed} checks failed`)
process.exitCode = failed === 0 ? 0 : 1
