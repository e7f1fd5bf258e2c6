/**
 * Traces: what committing costs over the traced run, how fast tensors are hashed, what checking one node costs
 * beside the whole run, and how much faster the native runtime is than the reproducible one.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { generateKey } from 'assay/core/keys'
import { commitTrace, memoryStore, openTensors } from 'assay/method/trace/prover'
import { checkOpenings, openTraceResponse, positionsOf } from 'assay/method/trace/verifier'
import { openGraph } from 'assay/onnx/graph'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { traceRun } from 'assay/onnx/traced-run'
import { prepareTensor, tensor } from 'assay/state/tensor'
import { tensorRoot } from 'assay/state/tensor-root'
import onnxProto from 'onnx-proto'
import { hashChunksNatively } from '../packages/node/dist/hash-chunks.js'
import { openHashThread } from '../packages/node/dist/hash-thread.js'
import { median, record, SMOKE } from './record.mjs'

const ROUNDS = SMOKE ? 1 : 9
const NODES = 100
const WIDTH = SMOKE ? 32 : 256
const ROWS = SMOKE ? 8 : 512
const BATCH = SMOKE ? 4 : 256
const HASHED_BYTES = SMOKE ? 2 ** 20 : 2 ** 26

const thread = openHashThread()
const { hasher } = thread
const key = await generateKey()
const random = () => crypto.getRandomValues(new Uint8Array(32))
const runtimes = { wasm: await wasmRuntime(), native: await nativeRuntime() }

/** A hundred products in a row, each with the same share of the work. */
function chainModel() {
  const node = []
  const initializer = []
  for (let layer = 0; layer < NODES; layer++) {
    const weights = Array.from({ length: WIDTH * WIDTH }, (_, i) => Math.sin(layer + i) / WIDTH)
    initializer.push({ name: `w${layer}`, dims: [WIDTH, WIDTH], dataType: 1, floatData: weights })
    const input = [layer === 0 ? 'x' : `h${layer - 1}`, `w${layer}`]
    node.push({ opType: 'MatMul', input, output: [layer === NODES - 1 ? 'y' : `h${layer}`] })
  }
  const value = (name) => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'n' }, { dimValue: WIDTH }] } } },
  })
  const graph = { name: 'chain', node, initializer, input: [value('x')], output: [value('y')] }
  const model = { irVersion: 8, opsetImport: [{ domain: '', version: 13 }], graph }
  return loadModel(Uint8Array.from(onnxProto.onnx.ModelProto.encode(model).finish()))
}

function digits() {
  const read = (name) =>
    new Uint8Array(readFileSync(fileURLToPath(new URL(`../examples/digits/${name}`, import.meta.url))))
  const model = loadModel(read('model.onnx'))
  const { image } = decodeInputs(read('images.npy'), 'npy', { expect: model.inputs })
  return { model, inputs: { image: tensor('float32', [BATCH, 1, 8, 8], image.data.slice(0, BATCH * 64)) } }
}

const CASES = {
  [`digits, ${BATCH} images`]: digits(),
  [`chain of ${NODES} products`]: {
    model: chainModel(),
    inputs: {
      x: tensor(
        'float32',
        [ROWS, WIDTH],
        Float32Array.from({ length: ROWS * WIDTH }, (_, i) => Math.cos(i)),
      ),
    },
  },
}

async function timed(run) {
  const started = performance.now()
  const result = await run()
  return [performance.now() - started, result]
}

async function plainMs(model, inputs, runtime) {
  const session = await runtime.open(model)
  await session.run(inputs)
  const [ms] = await timed(() => session.run(inputs))
  await session.close()
  return ms
}

async function traceOnly(graph, inputs, runtime) {
  const tensors = []
  for await (const traced of traceRun(graph, runtime, inputs, { mode: 'all' })) tensors.push(traced)
  return tensors
}

async function measure(name, { model, inputs }) {
  const graph = openGraph(model)
  const runtime = runtimes.wasm
  const rounds = []
  for (let round = 0; round <= ROUNDS; round++) {
    const job = { requestId: random(), nonce: random() }
    const run = { mode: 'all' }
    const [tracedMs, traced] = await timed(() => traceOnly(graph, inputs, runtime))
    const [plainHashMs] = await timed(() => hashPlainly(traced))
    const [aloneMs] = await timed(() =>
      commitTrace(
        graph,
        { runtime, inputs },
        { job, key, store: memoryStore(), hasher: hashChunksNatively, run },
      ),
    )
    const store = memoryStore()
    const [commitMs, response] = await timed(() =>
      commitTrace(graph, { runtime, inputs }, { job, key, store, hasher, run }),
    )
    const opened = await openTraceResponse(graph, response, { job, inputs, runtime, hasher })
    if (!opened.ok) throw new Error(opened.message)
    const { node } = opened.value.nodes[opened.value.nodes.length >> 1]
    const openings = await openTensors(response.manifest, positionsOf(graph, [node]), store)
    const [checkMs, evidence] = await timed(() =>
      checkOpenings(
        graph,
        { traceRoot: opened.value.traceRoot, nodes: [node], openings },
        { runtime, hasher },
      ),
    )
    if (evidence !== null) throw new Error(evidence.message)
    const plain = await plainMs(model, inputs, runtime)
    const native = await plainMs(model, inputs, runtimes.native)
    if (round > 0) rounds.push({ tracedMs, plainHashMs, aloneMs, commitMs, checkMs, plain, native })
  }
  const of = (pick) => median(rounds.map(pick).sort((a, b) => a - b))
  return {
    name,
    nodes: graph.nodes.length,
    plainMs: of(({ plain }) => plain),
    tracedMs: of(({ tracedMs }) => tracedMs),
    commitMs: of(({ commitMs }) => commitMs),
    overhead: of(({ tracedMs, commitMs }) => commitMs / tracedMs) - 1,
    aloneOverhead: of(({ tracedMs, aloneMs }) => aloneMs / tracedMs) - 1,
    plainHash: of(({ tracedMs, plainHashMs }) => plainHashMs / tracedMs),
    checkShare: of(({ checkMs, plain }) => checkMs / plain),
    nativeRatio: of(({ plain, native }) => plain / native),
  }
}

/** The least that anybody pays who hashes all tensors in one stream: the limit of one thread. */
function hashPlainly(traced) {
  const hash = createHash('sha256')
  for (const { tensor } of traced) hash.update(prepareTensor(tensor).data)
  return hash.digest()
}

function hashRates() {
  const large = tensor('uint8', [HASHED_BYTES], new Uint8Array(HASHED_BYTES).fill(7))
  const rates = { plain: [], natively: [], kernel: [] }
  for (let round = 0; round < ROUNDS; round++) {
    const rate = (run) => {
      const started = performance.now()
      run()
      return HASHED_BYTES / 1e6 / (performance.now() - started)
    }
    rates.plain.push(rate(() => createHash('sha256').update(large.data).digest()))
    rates.natively.push(rate(() => tensorRoot(large, { hasher: hashChunksNatively })))
    rates.kernel.push(rate(() => tensorRoot(large)))
  }
  return Object.fromEntries(
    Object.entries(rates).map(([name, list]) => [name, median(list.sort((a, b) => a - b))]),
  )
}

const measured = []
for (const [name, parts] of Object.entries(CASES)) measured.push(await measure(name, parts))
const rates = hashRates()
const percent = (share) => `${(100 * share).toFixed(1)} %`
const chain = measured[1]

record('trace', {
  title: 'Committing to traces and checking nodes',
  about:
    `Reproducible runtime, one thread; medians of ${ROUNDS} rounds, ratios within a round. The traced run exposes ` +
    'every tensor; committing adds hashing, on two threads, the manifest, the trees and a signature; beside it the same ' +
    'on one thread, and plain SHA-256 of all tensors, which is the least for one thread. Checking a node is from the ' +
    `openings to the verdict, its session included: some 4 ms whatever the node, and the node. Hashing ${HASHED_BYTES / 2 ** 20} MiB: plain SHA-256 of ` +
    `node:crypto ${rates.plain.toFixed(2)} GB/s, tensor root with the processor's instructions ` +
    `${rates.natively.toFixed(2)} GB/s, with the WebAssembly kernel (browsers) ${rates.kernel.toFixed(2)} GB/s.`,
  columns: [
    'model',
    'nodes',
    'plain ms',
    'traced ms',
    'committed ms',
    'overhead',
    'on one thread',
    'plain SHA-256 alone',
    'one node, share of plain',
    'wasm : native',
  ],
  rows: measured.map((m) => [
    m.name,
    m.nodes,
    m.plainMs.toFixed(1),
    m.tracedMs.toFixed(1),
    m.commitMs.toFixed(1),
    percent(m.overhead),
    percent(m.aloneOverhead),
    percent(m.plainHash),
    percent(m.checkShare),
    `${m.nativeRatio.toFixed(1)} : 1`,
  ]),
  targets: [
    ...measured.map((m) => ({
      what: `committing over the traced run, ${m.name}`,
      target: 'at most 25 %',
      measured: percent(m.overhead),
      met: m.overhead <= 0.25,
    })),
    {
      what: 'hash rate of a tensor root against plain SHA-256',
      target: 'at least 50 %',
      measured: percent(rates.natively / rates.plain),
      met: rates.natively / rates.plain >= 0.5,
    },
    {
      what: `checking one node of ${chain.nodes}`,
      target: 'under 3 %',
      measured: percent(chain.checkShare),
      met: chain.checkShare < 0.03,
    },
  ],
  data: { measured, rates },
})
await thread.close()
