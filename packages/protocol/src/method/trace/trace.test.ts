import { beforeAll, describe, expect, it } from 'vitest'
import { sha256 } from '../../core/digest.ts'
import { ed25519KeyPair } from '../../core/keys.ts'
import { randomStream, uniformInteger } from '../../core/sampling.ts'
import { type Graph, openGraph } from '../../onnx/graph.ts'
import { loadModel } from '../../onnx/model.ts'
import type { Runtime } from '../../onnx/runtime.ts'
import { wasmRuntime } from '../../onnx/runtime-wasm.ts'
import { encode, floats, modelProto, node, TYPE, value } from '../../onnx/testing/models.ts'
import { type Tensor, tensor } from '../../state/tensor.ts'
import type { NamedTensors } from '../../state/tensors.ts'
import { drawNodes, transcriptSeed } from './challenge.ts'
import { runAltered } from './cheat.ts'
import { drawsOf } from './config.ts'
import type { TraceOpenings, TraceResponse } from './proof.ts'
import { commitTrace, memoryStore, openTensors, signTrace, type TensorStore } from './prover.ts'
import { detectNodes, detectSkipped } from './security.ts'
import { challengeTrace, checkOpenings, openTraceResponse, positionsOf, type TraceParts } from './verifier.ts'

const bytes32 = (text: string) => sha256(new TextEncoder().encode(text))
const key = ed25519KeyPair(bytes32('prover'))
const job = { requestId: bytes32('request'), nonce: bytes32('nonce') }
const LAYERS = 6

/** y = relu(… relu(x · w0) … · w5): twelve nodes, of which the products hold nearly all the work. */
function deepModel(seed = 1) {
  const nodes = []
  const initializer = []
  for (let layer = 0; layer < LAYERS; layer++) {
    const w = Array.from({ length: 64 }, (_, i) => Math.sin(seed * 100 + layer * 64 + i) / 2)
    initializer.push(floats(`w${layer}`, [8, 8], w))
    nodes.push(node('MatMul', [layer === 0 ? 'x' : `h${layer - 1}`, `w${layer}`], [`p${layer}`]))
    nodes.push(node('Relu', [`p${layer}`], [layer === LAYERS - 1 ? 'y' : `h${layer}`]))
  }
  const graph = {
    node: nodes,
    initializer,
    input: [value('x', TYPE.float, ['n', 8])],
    output: [value('y', TYPE.float, ['n', 8])],
  }
  return loadModel(encode(modelProto(graph)))
}

const inputs: NamedTensors = {
  x: tensor(
    'float32',
    [3, 8],
    Float32Array.from({ length: 24 }, (_, i) => Math.cos(i)),
  ),
}
let runtime: Runtime
let graph: Graph

beforeAll(async () => {
  runtime = await wasmRuntime()
  graph = openGraph(deepModel())
})

const parts = (): TraceParts => ({ job, inputs, runtime })

async function commit(over = inputs): Promise<{ response: TraceResponse; store: TensorStore }> {
  const store = memoryStore()
  return { response: await commitTrace(graph, { runtime, inputs: over }, { job, key, store }), store }
}

async function checkAll(response: TraceResponse, store: TensorStore, nodes?: readonly number[]) {
  const opened = await openTraceResponse(graph, response, parts())
  if (!opened.ok) return opened
  const asked = nodes ?? graph.nodes.map(({ index }) => index)
  const openings = await openTensors(response.manifest, positionsOf(graph, asked), store)
  return checkOpenings(graph, { traceRoot: opened.value.traceRoot, nodes: asked, openings }, { runtime })
}

function nudge(value: Tensor): Tensor {
  const data = Float32Array.from(value.data as Float32Array)
  data[0] = (data[0] as number) + 0.125
  return tensor('float32', value.shape, data)
}

describe('a trace', () => {
  it('of an honest run is accepted, node by node and in whole', async () => {
    const { response, store } = await commit()
    expect(await checkAll(response, store)).toBeNull()
    const opened = await openTraceResponse(graph, response, parts())
    if (!opened.ok) throw new Error(opened.message)
    const nodes = challengeTrace(opened.value, { seed: bytes32('seed'), draws: 5 })
    expect(nodes.length).toBeGreaterThan(0)
    expect(await checkAll(response, store, nodes)).toBeNull()
    expect(challengeTrace(opened.value, { seed: bytes32('seed'), draws: 5 })).toEqual(nodes)
    expect(
      challengeTrace(opened.value, { seed: transcriptSeed(opened.value.commitmentDigest), draws: 5 }),
    ).not.toEqual(nodes)
  })

  it('of a run with one wrong node has exactly that node wrong, whatever follows from it', async () => {
    for (const wrong of [0, 5, 10]) {
      const run = await runAltered(graph, { runtime, inputs }, (at, _name, made) =>
        at.index === wrong ? nudge(made) : made,
      )
      const response = await signTrace(graph, { runtime, ...run }, { job, key })
      expect(await checkAll(response, run.store)).toMatchObject({ code: 'trace/node-mismatch', node: wrong })
      const others = graph.nodes.map(({ index }) => index).filter((index) => index !== wrong)
      expect(await checkAll(response, run.store, others)).toBeNull()
    }
  })

  it('with a wrong output has a locally wrong node: local checks compose', async () => {
    const honest = await commit()
    for (let trial = 0; trial < 8; trial++) {
      const stream = randomStream(bytes32(`compose ${trial}`), 'test')
      const wrong = new Set([uniformInteger(stream, 12), uniformInteger(stream, 12)])
      const run = await runAltered(graph, { runtime, inputs }, (at, _name, made) =>
        wrong.has(at.index) ? nudge(made) : made,
      )
      const response = await signTrace(graph, { runtime, ...run }, { job, key })
      const differs = String(run.output.y?.data) !== String(honest.response.output.y?.data)
      if (differs) expect(await checkAll(response, run.store)).toMatchObject({ code: 'trace/node-mismatch' })
    }
  })

  it('of another model is caught at its first product', async () => {
    const swapped = openGraph(deepModel(2))
    const store = memoryStore()
    const other = await commitTrace(swapped, { runtime, inputs }, { job, key, store })
    const response = await signTrace(graph, { runtime, ...other }, { job, key })
    expect(await checkAll(response, store)).toMatchObject({ code: 'trace/node-mismatch', node: 0 })
  })
})

describe('what is refused before a challenge', () => {
  it('names what is wrong', async () => {
    const { response } = await commit()
    const open = async (changed: Partial<TraceResponse>, over = parts()) => {
      const verdict = await openTraceResponse(graph, { ...response, ...changed }, over)
      return verdict.ok ? 'accepted' : verdict.code
    }
    expect(await open({})).toBe('accepted')
    expect(await open({ output: { y: nudge(response.output.y as Tensor) } })).toBe('trace/output')
    expect(await open({ output: {} })).toBe('trace/output')
    expect(await open({ manifest: response.manifest.slice(1) })).toBe('trace/manifest')
    expect(await open({ manifest: [...response.manifest].reverse() })).toBe('trace/manifest')
    const forged = response.manifest.map((entry, i) =>
      i === 4 ? { ...entry, merkleRoot: bytes32('x') } : entry,
    )
    expect(await open({ manifest: forged })).toBe('poe/mismatch')
    const shrunk = response.manifest.map((entry, i) => (i === 5 ? { ...entry, shape: [1] } : entry))
    expect(await open({ manifest: shrunk })).toBe('poe/mismatch')
    expect(await open({ manifest: null as never })).toBe('trace/manifest')
    expect(await open({ output: null as never })).toBe('trace/manifest')
    const signed = await signTrace(
      graph,
      { runtime, output: response.output, manifest: shrunk },
      { job, key },
    )
    expect(await open(signed)).toBe('trace/manifest')
    expect(await open({}, { ...parts(), inputs: { x: nudge(inputs.x as Tensor) } })).toBe('trace/input')
    expect(await open({}, { ...parts(), job: { ...job, nonce: bytes32('other') } })).toBe('poe/mismatch')
    expect(await open({}, { ...parts(), runtime: { ...runtime, name: 'native' } })).toBe('poe/mismatch')
  })
})

describe('openings', () => {
  it('of other tensors, positions or proofs are refused', async () => {
    const { response, store } = await commit()
    const opened = await openTraceResponse(graph, response, parts())
    if (!opened.ok) throw new Error(opened.message)
    const nodes = [2, 7]
    const honest = await openTensors(response.manifest, positionsOf(graph, nodes), store)
    const check = async (openings: TraceOpenings) =>
      (await checkOpenings(graph, { traceRoot: opened.value.traceRoot, nodes, openings }, { runtime }))
        ?.code ?? 'accepted'
    expect(await check(honest)).toBe('accepted')
    const [first, ...rest] = honest.tensors
    if (!first) throw new Error('nothing opened')
    expect(await check({ ...honest, tensors: rest })).toBe('trace/opening')
    expect(await check({ ...honest, tensors: [{ ...first, tensor: nudge(first.tensor) }, ...rest] })).toBe(
      'trace/opening',
    )
    expect(await check({ ...honest, tensors: [{ ...first, position: 9 }, ...rest] })).toBe('trace/opening')
    expect(await check({ ...honest, proof: honest.proof.slice(1) })).toBe('trace/opening')
    for (const garbage of [
      null,
      {},
      { tensors: null },
      { tensors: [null], proof: [], merkleRoot: honest.merkleRoot },
    ]) {
      expect(await check(garbage as never)).toBe('trace/opening')
    }
    const reshaped = tensor('float32', [8, 3], first.tensor.data)
    expect(await check({ ...honest, tensors: [{ ...first, tensor: reshaped }, ...rest] })).toBe(
      'trace/opening',
    )
  })

  it('are refused by name where the prover does not have them', async () => {
    const { response } = await commit()
    await expect(openTensors(response.manifest, [99], memoryStore())).rejects.toMatchObject({
      code: 'trace/unknown-tensor',
    })
  })
})

describe('draws', () => {
  const nodes = [
    { node: 0, cost: 1 },
    { node: 1, cost: 90 },
    { node: 2, cost: 9 },
  ]

  it('follow the cost, and leave no node out', () => {
    const counts = [0, 0, 0]
    for (let i = 0; i < 4000; i++) {
      for (const drawn of drawNodes(bytes32(`draw ${i}`), { nodes, draws: 1 }))
        counts[drawn] = (counts[drawn] ?? 0) + 1
    }
    const shares = counts.map((count) => count / 4000)
    expect(shares[0]).toBeCloseTo(0.9 * 0.01 + 0.1 / 3, 1)
    expect(shares[1]).toBeCloseTo(0.9 * 0.9 + 0.1 / 3, 1)
    expect(Math.abs((shares[2] ?? 0) - (0.9 * 0.09 + 0.1 / 3))).toBeLessThan(0.02)
  })

  it('catch skipped work as often as the formula says', () => {
    const draws = 4
    let caught = 0
    for (let i = 0; i < 3000; i++)
      if (drawNodes(bytes32(`catch ${i}`), { nodes, draws }).includes(2)) caught += 1
    const expected = detectNodes({ costShare: 0.09, countShare: 1 / 3 }, draws)
    expect(Math.abs(caught / 3000 - expected)).toBeLessThan(0.035)
    expect(detectSkipped({ skipped: 0.09, draws })).toBeLessThanOrEqual(expected)
  })

  it('are as many as the confidence takes, and more against grinding', () => {
    expect(drawsOf({ confidence: 0.99, skipped: 0.5 })).toBe(8)
    expect(drawsOf({ confidence: 0.99, skipped: 0.5, grindingBits: 40 })).toBeGreaterThan(50)
    expect(() => drawsOf({ confidence: 0.99, skipped: 1e-9 })).toThrow(
      expect.objectContaining({ code: 'trace/config' }),
    )
    expect(() => drawsOf({ confidence: 1, skipped: 0.5 })).toThrow(
      expect.objectContaining({ code: 'codec/schema' }),
    )
  })

  it('cope with costs that no double sums', () => {
    const huge = [
      { node: 0, cost: Number.MAX_SAFE_INTEGER },
      { node: 1, cost: Number.MAX_SAFE_INTEGER },
    ]
    expect(drawNodes(bytes32('huge'), { nodes: huge, draws: 40 })).toEqual([0, 1])
  })
})
