/**
 * The two halves of a run, `assay solve onnx` and `assay verify`, over published models: honest runs must be
 * accepted, runs with altered rows rejected. Two cheats that the command line has no words for, a lazy solver and
 * one that signs what it altered, are made with the library.
 *
 *     node scripts/conformance/command-line.mjs FIXTURES_DIR
 *
 * FIXTURES_DIR is laid out as for onnx-models.mjs. Needs a build. Exit code: 0 when all verdicts are right, 1
 * when one is not, 2 when the folder is absent.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { generateKey } from 'assay/core/keys'
import { fakedIndices, lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { verifyLazy } from 'assay/method/sampling/verifier'
import { openBatch } from 'assay/onnx/batch'
import { toHalfBits } from 'assay/onnx/float16'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { decodeNpz, encodeNpz } from 'assay/onnx/npz'
import { onnxBatch } from 'assay/onnx/onnx-task'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { tensor } from 'assay/state/tensor'

const COMMAND = fileURLToPath(new URL('../../packages/node/bin/assay.js', import.meta.url))
const IMAGES = 1000
const ALTERED_SHARE = 0.05

const given = process.argv[2]
const root = [join(given ?? '', 'models'), given ?? ''].find((folder) =>
  existsSync(join(folder, 'mnist-8', 'model.onnx')),
)
if (given === undefined || root === undefined) {
  console.error('command-line: not run: expected a folder of models. Usage: command-line.mjs FIXTURES_DIR')
  process.exit(2)
}

const scratch = mkdtempSync(join(tmpdir(), 'assay-conformance-'))
const read = (...path) => new Uint8Array(readFileSync(join(root, ...path)))
let failed = 0
let checked = 0

function assay(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, ...args, '--json'], {
    encoding: 'utf8',
    env: { ...process.env, XDG_CONFIG_HOME: scratch },
  })
  return { status, result: stdout.startsWith('{') ? JSON.parse(stdout) : { stdout, stderr } }
}

function expectExit(what, { status, result }, expected) {
  checked += 1
  const evidence = result.evidence?.code ?? result.error?.code ?? ''
  const ok = status === expected
  if (!ok) failed += 1
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}: exit ${status} ${evidence}`)
  if (!ok) console.log(JSON.stringify(result).slice(0, 1000))
}

/** Changes the first value of some rows of every output. */
function alterRows(outputs) {
  const altered = Object.entries(outputs).map(([name, value]) => {
    const rows = value.shape[0] ?? 1
    const stride = value.data.length / rows
    const data = value.data.slice()
    for (let row = 0; row < Math.max(1, ALTERED_SHARE * rows); row++) {
      const at = Math.floor((row * rows) / Math.max(1, ALTERED_SHARE * rows)) * stride
      data[at] = typeof data[at] === 'bigint' ? data[at] + 1n : data[at] === 0 ? 1 : 0
    }
    return [name, tensor(value.dtype, value.shape, data)]
  })
  return Object.fromEntries(altered)
}

/** In this process: a solver that makes up 5 % of the rows, and one that alters 5 % after it proved all. */
async function checkCheats(what, { model: path, inputs }) {
  const batch = await openBatch(loadModel(new Uint8Array(readFileSync(path))), await wasmRuntime())
  const task = onnxBatch(batch)
  const random = () => crypto.getRandomValues(new Uint8Array(32))
  const options = { job: { requestId: random(), nonce: random() }, key: await generateKey() }
  const request = { solverInput: inputs, falsePositiveRate: 0.01 }
  const states = task.states(inputs)
  const faked = fakedIndices(random(), { states, faked: Math.max(1, Math.ceil(ALTERED_SHARE * states)) })
  const lazy = lazyTask(task, faked, async (given, index) => alterRows(await batch.row(given, index)))
  const cheats = {
    lazy: await solve(lazy, request, options),
    adversarial: await solveAdversarially(task, request, { ...options, alter: alterRows }),
  }
  for (const [name, solution] of Object.entries(cheats)) {
    const { response } = await verifyLazy(
      task,
      { solverRequest: request, ...solution.response, verificationRatio: 0.1 },
      {
        job: options.job,
        commitment: solution.commitment,
        seed: random(),
        ask: { confidence: 0.999999, faked: 0.05 },
      },
    )
    const result = { evidence: response.evidence }
    expectExit(`${what} ${name}`, { status: response.isVerified ? 0 : 1, result }, 1)
  }
  await batch.close()
}

async function check(name, { model, inputs, runtime = 'wasm', tolerance }) {
  const file = join(scratch, `${name}.npz`)
  writeFileSync(file, encodeNpz(inputs))
  const run = join(scratch, `run-${name}-${runtime}`)
  const job = ['--model', model, '--input', file, '--runtime', runtime]
  if (tolerance !== undefined) job.push('--tolerance', String(tolerance))
  const what = `${name} (${runtime})`
  expectExit(`${what} solved`, assay('solve', 'onnx', ...job, '--out', run), 0)
  const ask = ['--confidence', '0.99', '--faked', '0.05']
  const honest = assay('verify', run, ...job, ...ask)
  expectExit(`${what} honest, ${honest.result.countItems} samples`, honest, 0)
  expectExit(`${what} receipt`, assay('receipt', 'verify', join(run, 'receipt.json')), 0)
  const output = join(run, 'output.npz')
  writeFileSync(output, encodeNpz(alterRows(decodeNpz(new Uint8Array(readFileSync(output))))))
  expectExit(`${what} altered`, assay('verify', run, ...job, ...ask), 1)
  if (runtime === 'wasm') await checkCheats(what, { model, inputs })
}

function mnist(name, prepare) {
  const model = join(root, name, 'model.onnx')
  const [{ name: input }] = loadModel(read(name, 'model.onnx')).inputs
  const pixels = gunzipSync(read('_data-mnist-t10k', 't10k-images-idx3-ubyte.gz')).subarray(
    16,
    16 + IMAGES * 784,
  )
  return {
    model,
    inputs: { [input]: tensor('float32', [IMAGES, 1, 28, 28], Float32Array.from(pixels, prepare)) },
  }
}

function squeezenet() {
  const planes = new Uint16Array(2 * 3 * 224 * 224)
  for (const [image, file] of ['input_fish_224_rgb.u8.npy', 'input_kitten_224_rgb.u8.npy'].entries()) {
    const pixels = Object.values(decodeInputs(read('squeezenet-fp16', file), 'npy'))[0].data
    planes.set(Uint16Array.from(pixels, toHalfBits), image * 3 * 224 * 224)
  }
  const inputs = { data_0: tensor('float16', [2, 3, 224, 224], planes) }
  return { model: join(root, 'squeezenet-fp16', 'model.onnx'), inputs }
}

/** Rows around the one that came with the model, so that there is a batch to sample. */
function tabular(name) {
  const model = loadModel(read(name, 'model.onnx'))
  const archive = decodeInputs(read(name, 'io.npz'), 'npz')
  const [{ name: input }] = model.inputs
  const [row] = [archive[input]]
  const data = Float32Array.from({ length: 200 * row.data.length }, (_, i) => {
    const scale = 1 + 0.3 * Math.sin(i)
    return row.data[i % row.data.length] * scale
  })
  return {
    model: join(root, name, 'model.onnx'),
    inputs: { [input]: tensor('float32', [200, row.data.length], data) },
  }
}

function trees(name) {
  const path = join('tabular-sklearn-trees', `${name}.onnx`)
  const [{ name: input }] = loadModel(read(path)).inputs
  const data = Float32Array.from({ length: 200 * 20 }, (_, i) => 5 * Math.sin(i))
  return { model: join(root, path), inputs: { [input]: tensor('float32', [200, 20], data) } }
}

try {
  const digits = mnist('mnist-8', (pixel) => pixel)
  await check('mnist-8', digits)
  await check('mnist-8', { ...digits, runtime: 'native', tolerance: 0.05 })
  await check(
    'mnist-bn-pytorch',
    mnist('mnist-bn-pytorch', (pixel) => (pixel / 255 - 0.1307) / 0.3081),
  )
  await check('squeezenet-fp16', squeezenet())
  for (const name of ['tabular-lgbm_classifier_tensor', 'tabular-xgboost_regressor_tree'])
    await check(name, tabular(name))
  for (const name of ['treecl', 'treecl2', 'treecl3']) await check(name, trees(name))
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
console.log(`${checked - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
