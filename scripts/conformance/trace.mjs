/**
 * Interactive proofs over traces of real models: honest runs must be accepted, and each cheat be caught as often
 * as the formula says.
 *
 *     node scripts/conformance/trace.mjs FIXTURES_DIR
 *
 * FIXTURES_DIR is laid out as for onnx-models.mjs; the project's own model runs as well. A cheat's wrong nodes
 * are found once, by checking every node; then challenges are drawn, and the share that names a wrong node is set
 * beside the formula within its 99.9 % interval. Exit code: 0, 1 when one fails, 2 when the folder is absent.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { u64be } from 'assay/core/bytes'
import { sha256 } from 'assay/core/digest'
import { binomialInterval } from 'assay/core/interval'
import { ed25519KeyPair } from 'assay/core/keys'
import { runAltered } from 'assay/method/trace/cheat'
import { commitTrace, memoryStore, openTensors, signTrace } from 'assay/method/trace/prover'
import { detectNodes } from 'assay/method/trace/security'
import { challengeTrace, checkOpenings, openTraceResponse, positionsOf } from 'assay/method/trace/verifier'
import { openGraph } from 'assay/onnx/graph'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { tensor } from 'assay/state/tensor'
import onnxProto from 'onnx-proto'

const CHALLENGES = 1000
const DRAWS = 5

const given = process.argv[2]
const root = [join(given ?? '', 'models'), given ?? ''].find((folder) =>
  existsSync(join(folder, 'mnist-8', 'model.onnx')),
)
if (given === undefined || root === undefined) {
  console.error(
    'trace: not run: expected a folder of models. Usage: node scripts/conformance/trace.mjs FIXTURES_DIR',
  )
  process.exit(2)
}

const own = (name) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))
const bytesOf = (path) => new Uint8Array(readFileSync(path))
// Fixed seeds: with fresh ones an interval of 99.9 % would miss the truth in one of some forty runs.
let drawn = 0
const random = () => sha256(u64be(drawn++))
const key = ed25519KeyPair(random())
const runtime = await wasmRuntime()
let failed = 0

function report(ok, what) {
  if (!ok) failed += 1
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}`)
}

/** One value changed: what a rounding, a shortcut or a lie does. Shapes and indices stay, or nothing would run on. */
function nudge(value) {
  if (value.data.length === 0 || !value.dtype.startsWith('float')) return value
  const data = value.data.slice()
  data[0] += 1
  return tensor(value.dtype, value.shape, data)
}

/** The same graph with every large weight of type float a little off. */
function swapped(bytes) {
  const model = onnxProto.onnx.ModelProto.decode(bytes)
  for (const weight of model.graph.initializer) {
    if (weight.dataType !== 1 && weight.dataType !== 10) continue
    if (weight.rawData?.length > 64) {
      const raw = Uint8Array.from(weight.rawData)
      for (let at = 1; at < raw.length; at += 64) raw[at] ^= 1
      weight.rawData = raw
    } else if (weight.floatData?.length > 16) weight.floatData = weight.floatData.map((x) => x * 1.001)
  }
  return loadModel(Uint8Array.from(onnxProto.onnx.ModelProto.encode(model).finish()))
}

async function wrongNodes(graph, { response, store }, parts) {
  const opened = await openTraceResponse(graph, response, parts)
  if (!opened.ok) throw new Error(`${opened.code}: ${opened.message}`)
  const wrong = []
  for (const { node } of opened.value.nodes) {
    const openings = await openTensors(response.manifest, positionsOf(graph, [node]), store)
    const evidence = await checkOpenings(
      graph,
      { traceRoot: opened.value.traceRoot, nodes: [node], openings },
      { runtime },
    )
    if (evidence !== null) wrong.push(node)
  }
  return { opened: opened.value, wrong }
}

function measure(opened, wrong) {
  let caught = 0
  for (let i = 0; i < CHALLENGES; i++) {
    if (challengeTrace(opened, { seed: random(), draws: DRAWS }).some((node) => wrong.includes(node)))
      caught += 1
  }
  const total = opened.nodes.reduce((sum, { cost }) => sum + cost, 0)
  const costShare =
    opened.nodes.filter(({ node }) => wrong.includes(node)).reduce((sum, { cost }) => sum + cost, 0) / total
  const expected = detectNodes({ costShare, countShare: wrong.length / opened.nodes.length }, DRAWS)
  const { lower, upper } = binomialInterval({ successes: caught, trials: CHALLENGES, confidence: 0.999 })
  return { caught: caught / CHALLENGES, expected, agrees: lower <= expected && expected <= upper, costShare }
}

async function checkModel(name, bytes, inputs) {
  const graph = openGraph(loadModel(bytes))
  const job = { requestId: random(), nonce: random() }
  const parts = { job, inputs, runtime }
  const store = memoryStore()
  const response = await commitTrace(graph, { runtime, inputs }, { job, key, store })
  const honest = await wrongNodes(graph, { response, store }, parts)
  report(honest.wrong.length === 0, `${name}: honest, all ${honest.opened.nodes.length} nodes follow`)
  const byCost = [...honest.opened.nodes].sort((a, b) => b.cost - a.cost)
  const total = byCost.reduce((sum, { cost }) => sum + cost, 0)
  const tenth = new Set()
  for (let sum = 0, at = byCost.length - 1; sum < total / 10 && at >= 0; at--) {
    tenth.add(byCost[at].node)
    sum += byCost[at].cost
  }
  const cheats = {
    'dearest node faked': new Set([byCost[0].node]),
    'middle node faked': new Set([byCost[byCost.length >> 1].node]),
    'cheapest nodes faked, a tenth of the work': tenth,
  }
  for (const [what, wanted] of Object.entries(cheats)) {
    const run = await runAltered(graph, { runtime, inputs }, (node, _name, made) =>
      wanted.has(node.index) ? nudge(made) : made,
    )
    const signed = await signTrace(graph, { runtime, ...run }, { job, key })
    judge(`${name}: ${what}`, await wrongNodes(graph, { response: signed, store: run.store }, parts))
  }
  const other = openGraph(swapped(bytes))
  const otherStore = memoryStore()
  const run = await commitTrace(other, { runtime, inputs }, { job, key, store: otherStore })
  const signed = await signTrace(graph, { runtime, ...run }, { job, key })
  judge(`${name}: weights changed`, await wrongNodes(graph, { response: signed, store: otherStore }, parts))
}

function judge(what, { opened, wrong }) {
  const { caught, expected, agrees, costShare } = measure(opened, wrong)
  const percent = (share) => `${(100 * share).toFixed(1)} %`
  report(
    wrong.length > 0 && agrees,
    `${what}: ${wrong.length} wrong nodes, ${percent(costShare)} of the work; ${DRAWS} draws catch ${percent(caught)}, formula ${percent(expected)}`,
  )
}

/** Twenty tokens, and a cache that holds none yet. */
function emptyOrTokens({ dtype, dims }) {
  const sizes = { batch: 1, seq: 20, past: 0 }
  const shape = dims.map((dim) => (typeof dim === 'number' ? dim : sizes[dim]))
  return ramp(dtype, shape, (i) => (dtype === 'int64' ? BigInt(97 + (i % 26)) : 97 + (i % 26)))
}

function ramp(dtype, shape, of) {
  const count = shape.reduce((product, size) => product * size, 1)
  const types = { float32: Float32Array, float16: Uint16Array, int32: Int32Array, int64: BigInt64Array }
  const type = types[dtype]
  return tensor(
    dtype,
    shape,
    type.from({ length: count }, (_, i) => of(i)),
  )
}

const digits = bytesOf(own('digits/model.onnx'))
const images = decodeInputs(bytesOf(own('digits/images.npy')), 'npy').arr_0
const some = tensor('float32', [8, 1, 8, 8], images.data.slice(0, 8 * 64))
await checkModel('digits', digits, { image: some })
const lm = loadModel(bytesOf(own('byte-lm/model.onnx')))
await checkModel(
  'byte-lm',
  lm.bytes,
  Object.fromEntries(lm.inputs.map((input) => [input.name, emptyOrTokens(input)])),
)
await checkModel('mnist-8', bytesOf(join(root, 'mnist-8/model.onnx')), {
  Input3: ramp('float32', [1, 1, 28, 28], (i) => 127 + 127 * Math.sin(i)),
})
await checkModel('squeezenet-fp16', bytesOf(join(root, 'squeezenet-fp16/model.onnx')), {
  data_0: ramp('float16', [1, 3, 224, 224], (i) => 0x5000 + (i % 1024)),
})
await checkModel('super-resolution', bytesOf(join(root, 'super-resolution/model.onnx')), {
  input: ramp('float32', [1, 1, 224, 224], (i) => 0.5 + 0.5 * Math.sin(i)),
})
const gpt = loadModel(bytesOf(join(root, 'tiny-random-gpt2/model.onnx')))
const past = gpt.inputs.filter(({ name }) => name.startsWith('past'))
await checkModel('tiny-random-gpt2', gpt.bytes, {
  input_ids: ramp('int32', [1, 6], (i) => 17 + 31 * i),
  position_ids: ramp('int32', [1, 6], (i) => i),
  attention_mask: ramp('int32', [1, 6], () => 1),
  ...Object.fromEntries(
    past.map(({ name }) => [name, tensor('float32', [2, 1, 4, 0, 8], new Float32Array(0))]),
  ),
})
console.log(failed === 0 ? 'all traces behave as predicted' : `${failed} checks failed`)
process.exitCode = failed === 0 ? 0 : 1
