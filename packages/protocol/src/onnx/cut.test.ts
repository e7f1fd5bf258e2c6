import onnxProto from 'onnx-proto'
import { expect, test } from 'vitest'
import type { AssayError } from '../core/errors.ts'
import { equalTensors, type Tensor, tensor } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { cutNode, cutSegment, exposeAll, liveIns } from './cut.ts'
import { type Graph, openGraph } from './graph.ts'
import type { Model } from './model.ts'
import { wasmRuntime } from './runtime-wasm.ts'
import { floats, node, TYPE, value } from './testing/models.ts'
import { branchingModel, floatTensor, load, loopInputs, loopModel } from './testing/traced-models.ts'

const runtime = await wasmRuntime()

async function run(model: Model, inputs: NamedTensors): Promise<NamedTensors> {
  const session = await runtime.open(model)
  try {
    return await session.run(inputs)
  } finally {
    await session.close()
  }
}

async function traceOf(graph: Graph, inputs: NamedTensors): Promise<NamedTensors> {
  return { ...inputs, ...(await run(exposeAll(graph), inputs)) }
}

function pick(trace: NamedTensors, names: readonly string[]): NamedTensors {
  return Object.fromEntries(names.map((name) => [name, trace[name] as Tensor]))
}

const CASES: [string, Model, NamedTensors][] = [
  ['branches, an If that reads outer values', branchingModel(), { x: floatTensor([3, 4]) }],
  ['a Loop', loopModel(), loopInputs(3n)],
]

test.each(CASES)('every node alone gives the bits of the whole: %s', async (_, model, inputs) => {
  const graph = openGraph(model)
  const trace = await traceOf(graph, inputs)
  for (const { name } of model.outputs) {
    expect(equalTensors((await run(model, inputs))[name]!, trace[name]!)).toBe(true)
  }
  let checked = 0
  for (const at of graph.nodes) {
    if (at.isConstant) continue
    const outputs = await run(cutNode(graph, at.index, trace), pick(trace, at.needs))
    expect(Object.keys(outputs)).toEqual(at.outputs)
    for (const [name, got] of Object.entries(outputs)) {
      expect(equalTensors(got, trace[name]!)).toBe(true)
      checked++
    }
  }
  expect(checked).toBe(graph.traced.length - model.inputs.length)
})

test('every segment, with all its values or only those that live on', async () => {
  const graph = openGraph(branchingModel())
  const trace = await traceOf(graph, { x: floatTensor([2, 4], 5) })
  for (const [from, to] of [
    [0, 4],
    [2, 8],
    [5, 6],
    [8, 10],
  ] as const) {
    const nodes = graph.nodes.slice(from, to)
    const inputs = pick(trace, liveIns(nodes))
    const all = await run(cutSegment(graph, { from, to }, { inputs }), inputs)
    for (const [name, got] of Object.entries(all)) {
      if (trace[name] !== undefined) expect(equalTensors(got, trace[name])).toBe(true)
    }
    const live = cutSegment(graph, { from, to }, { inputs, outputs: 'live' })
    expect(live.exposed!.every((name) => name in all || from === 5)).toBe(true)
  }
  const live = cutSegment(graph, { from: 1, to: 7 }, { inputs: trace, outputs: 'live' })
  expect(live.exposed).toEqual(['h', 'c', 'positive'])
})

test('a Constant node can be cut as well', async () => {
  const graph = openGraph(branchingModel())
  const outputs = await run(cutNode(graph, 0, {}), {})
  expect(outputs.limit).toEqual({ dtype: 'float32', shape: [], data: Float32Array.of(2.5) })
})

test('the bytes are a function of model, range and types; nodes and weights are copied as they are', () => {
  const types = {
    x: floatTensor([3, 4]),
    h: floatTensor([3, 4]),
    positive: tensor('bool', [], Uint8Array.of(1)),
  }
  const cut = (index: number) => cutNode(openGraph(branchingModel()), index, types)
  expect(cut(7).bytes).toEqual(cut(7).bytes)
  expect(cut(7).cid).toBe(cut(7).cid)
  expect(cut(7).cid).not.toBe(cut(1).cid)
  const original = onnxProto.onnx.ModelProto.decode(branchingModel().bytes)
  const decoded = onnxProto.onnx.ModelProto.decode(cut(7).bytes)
  expect(decoded.graph!.node).toEqual([original.graph!.node![7]])
  expect(decoded.graph!.initializer).toEqual([original.graph!.initializer![0]])
  expect(decoded.opsetImport).toEqual(original.opsetImport)
  expect(decoded.irVersion).toEqual(original.irVersion)
})

test('64-bit attributes and unknown fields survive', () => {
  const model = load(
    {
      node: [
        node('Slice', ['x'], ['y'], {
          attribute: [
            { name: 'starts', type: 7, ints: [0] },
            { name: 'ends', type: 7, ints: [2 ** 53 - 1] },
          ],
        }),
      ],
      input: [value('x', TYPE.float, [3])],
      output: [value('y', TYPE.float, [3])],
    },
    { opsetImport: [{ domain: '', version: 9 }] },
  )
  const graph = openGraph(model)
  const cut = cutNode(graph, 0, { x: floatTensor([3]) })
  expect(Buffer.from(cut.bytes).includes(Buffer.from(graph.nodes[0]!.bytes))).toBe(true)
})

test('initialisers that may be overridden stay so', () => {
  const graph = openGraph(
    load({
      node: [node('Add', ['x', 'b'], ['y'])],
      input: [value('x', TYPE.float, [2]), value('b', TYPE.float, [2])],
      output: [value('y', TYPE.float, [2])],
      initializer: [floats('b', [2], [1, 2])],
    }),
  )
  const cut = cutNode(graph, 0, { x: floatTensor([2]) })
  expect(cut.inputs.map(({ name }) => name)).toEqual(['x'])
  const decoded = onnxProto.onnx.ModelProto.decode(cut.bytes)
  expect(decoded.graph!.input!.map(({ name }) => name)).toEqual(['b', 'x'])
})

test('shapes that lie are refused before anything runs', async () => {
  const graph = openGraph(branchingModel())
  const session = await runtime.open(cutNode(graph, 1, { x: floatTensor([3, 4]) }))
  await expect(session.run({ x: floatTensor([2, 4]) })).rejects.toMatchObject({ code: 'input/shape' })
  await session.close()
  await expect(runtime.open(cutNode(graph, 1, { x: floatTensor([3, 5]) }))).rejects.toMatchObject({
    code: 'onnx/runtime',
  })
})

test.each([
  [() => ({ from: 3, to: 3 }), 'input/out-of-range'],
  [() => ({ from: -1, to: 3 }), 'input/out-of-range'],
  [() => ({ from: 0, to: 11 }), 'input/out-of-range'],
  [() => ({ from: 0.5, to: 3 }), 'input/out-of-range'],
  [() => ({ from: 2, to: 3 }), 'input/missing'],
])('refuses a bad range or a missing type %#', (range, code) => {
  try {
    cutSegment(openGraph(branchingModel()), range(), { inputs: {} })
    throw new Error('expected a refusal')
  } catch (error) {
    expect((error as AssayError).code).toBe(code)
  }
})
