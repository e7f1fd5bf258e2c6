import { beforeAll, describe, expect, it } from 'vitest'
import { openGraph } from '../../../onnx/graph.ts'
import { loadModel } from '../../../onnx/model.ts'
import { nativeRuntime } from '../../../onnx/runtime-native.ts'
import { wasmRuntime } from '../../../onnx/runtime-wasm.ts'
import { encode, floats, modelProto, node, TYPE, value } from '../../../onnx/testing/models.ts'
import { tensor } from '../../../state/tensor.ts'
import { type CalibrationOptions, calibrate, type Side } from './calibrate.ts'
import { nearestCheats, prune, roundTo8Bits } from './cheats.ts'
import { editWeights, skipNode } from './edit-model.ts'
import { drawsToCatch } from './power.ts'
import { recordRun } from './record-run.ts'
import { runObject } from './run-file.ts'
import { openTracer } from './traces.ts'

const WIDTH = 24

/** y = tanh(tanh(x · w0) · w1 + b) · w2, in a mix of initialisers and Constant nodes. */
function model(seed = 1) {
  const weights = (at: number) =>
    Array.from({ length: WIDTH * WIDTH }, (_, i) => Math.sin(seed * 997 + at * 577 + i) / 3)
  const constant = node('Constant', [], ['w2'], {
    attribute: [{ name: 'value', type: 4, t: floats('', [WIDTH, WIDTH], weights(2)) }],
  })
  return loadModel(
    encode(
      modelProto({
        node: [
          constant,
          node('MatMul', ['x', 'w0'], ['p0']),
          node('Tanh', ['p0'], ['h0']),
          node('Gemm', ['h0', 'w1', 'b'], ['p1']),
          node('Tanh', ['p1'], ['h1']),
          node('MatMul', ['h1', 'w2'], ['y']),
        ],
        input: [value('x', TYPE.float, ['n', WIDTH])],
        output: [value('y', TYPE.float, ['n', WIDTH])],
        initializer: [
          floats('w0', [WIDTH, WIDTH], weights(0)),
          floats('w1', [WIDTH, WIDTH], weights(1)),
          floats('b', [WIDTH], weights(3).slice(0, WIDTH)),
        ],
      }),
    ),
  )
}

const COUNT = 30
const inputs = {
  x: tensor(
    'float32',
    [COUNT, WIDTH],
    Float32Array.from({ length: COUNT * WIDTH }, (_, i) => Math.cos(i * i)),
  ),
}
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)
const configuration = (name: string) => ({ name, runtime: name, version: '1', machine: '' })

let wasm: Side
let native: Side
let options: CalibrationOptions
beforeAll(async () => {
  wasm = { configuration: configuration('wasm'), runtime: await wasmRuntime() }
  native = { configuration: configuration('native'), runtime: await nativeRuntime() }
  options = {
    verifier: wasm,
    provers: [native],
    inputs,
    rows: { calibrate: range(0, 19), heldOut: range(19, COUNT) },
    alpha: 0.05,
    safety: 2,
    date: '2026-01-31',
  }
})

describe('a calibration', () => {
  it('accepts honest runs and catches every cheat', async () => {
    const stages = new Set<string>()
    const report = await calibrate(model(), { ...options, onProgress: (stage) => stages.add(stage) })
    expect(stages.size).toBe(2)
    expect(report.profile).toMatchObject({ model: model().cid, samples: 19, alpha: 0.05, dtype: 'float32' })
    expect(report.layers.map(({ name }) => name)).toEqual(['p0', 'h0', 'p1', 'h1', 'y'])
    expect(report.layers.some(({ threshold }) => (threshold as number) > 0)).toBe(true)
    for (const { threshold } of report.layers) expect(threshold).toBeLessThan(1e-5)
    expect(report.falseAlarms.endToEnd.rate).toBeLessThan(0.5)
    expect(report.cheats.map(({ name }) => name)).toEqual([
      'weights-half',
      'weights-int8',
      'weights-pruned',
      'weights-noise',
      'layer-zeros',
      'layer-skipped',
      'other-input',
    ])
    for (const { missed, draws } of report.cheats) {
      expect(missed.allNodes.count).toBe(0)
      expect(missed.endToEnd.count).toBe(0)
      expect(draws).toBeGreaterThan(0)
    }
    const skipped = report.cheats.find(({ name }) => name === 'layer-skipped')
    expect(skipped?.refused).toHaveLength(1)
  })

  it('demands equality where the verifier runs what the prover runs', async () => {
    const twin = { ...wasm, configuration: configuration('the same') }
    const report = await calibrate(model(), { ...options, provers: [twin] })
    for (const { threshold } of report.profile.layers) expect(threshold).toBe(0)
    expect(report.falseAlarms.allNodes.count).toBe(0)
  })

  it('takes another model as a cheat, and runs of other machines', async () => {
    const rows = { calibrate: range(0, 19), heldOut: [20, 21] }
    const all = [...rows.calibrate, ...rows.heldOut]
    const run = await recordRun(openGraph(model()), native, { inputs, rows: all })
    const other = { ...run, configuration: configuration('elsewhere') }
    const read = runObject.decode(runObject.encode(other))
    expect(read).toEqual(other)
    const report = await calibrate(model(), { ...options, rows, runs: [read], otherModel: model(2) })
    expect(report.profile.provers.map(({ name }) => name)).toEqual(['native', 'elsewhere'])
    expect(report.layers[0]?.byConfiguration.map(({ name }) => name)).toEqual(['native', 'elsewhere'])
    expect(report.cheats.find(({ name }) => name === 'other-model')?.missed.allNodes.count).toBe(0)
    await expect(calibrate(model(2), { ...options, rows, runs: [read] })).rejects.toMatchObject({
      code: 'calibration/other-run',
    })
    const shifted = { x: tensor('float32', [COUNT, WIDTH], new Float32Array(COUNT * WIDTH).fill(1)) }
    await expect(
      calibrate(model(), { ...options, inputs: shifted, rows, runs: [read] }),
    ).rejects.toMatchObject({
      code: 'calibration/other-run',
    })
  })

  it('is refused with too few rows, shared rows, or nothing to compare', async () => {
    const refusal = (change: Partial<CalibrationOptions>) =>
      calibrate(model(), { ...options, ...change }).catch((error) => error.code)
    expect(await refusal({ alpha: 0.01 })).toBe('calibration/too-few')
    expect(await refusal({ rows: { calibrate: range(0, 19), heldOut: [18] } })).toBe('calibration/config')
    expect(await refusal({ rows: { calibrate: range(0, 19), heldOut: [] } })).toBe('calibration/config')
    expect(await refusal({ provers: [] })).toBe('calibration/config')
    expect(await refusal({ provers: [native, native] })).toBe('calibration/config')
    expect(await refusal({ safety: 0.1 })).toBe('calibration/config')
  })

  it('stops when asked to', async () => {
    const signal = AbortSignal.abort(new Error('stop'))
    await expect(calibrate(model(), { ...options, signal })).rejects.toThrow('stop')
  })
})

describe('cheats', () => {
  it('round, prune and keep what they should', () => {
    expect(Array.from(roundTo8Bits(Float64Array.of(127, 0.4, -126.6, 0)))).toEqual([127, 0, -127, 0])
    expect(Array.from(roundTo8Bits(Float64Array.of(0, 0)))).toEqual([0, 0])
    expect(Array.from(prune(Float64Array.of(5, -1, 2, 0.5), 0.5))).toEqual([5, 0, 2, 0])
  })

  it('change weights in initialisers and Constant nodes, and not biases', async () => {
    const seen: string[] = []
    const { model: made, edited } = editWeights(model(), (weight) => {
      seen.push(weight.shape.join())
      return weight.shape.length < 2 ? undefined : { ...weight, data: new Float32Array(weight.data.length) }
    })
    expect([edited, seen.sort()]).toEqual([3, ['24', '24,24', '24,24', '24,24']])
    const tracer = await openTracer(openGraph(made), wasm.runtime)
    const trace = await tracer.trace({ x: tensor('float32', [1, WIDTH], new Float32Array(WIDTH).fill(1)) })
    await tracer.close()
    expect(Array.from(trace.y?.data as Float32Array).every((element) => element === 0)).toBe(true)
    expect((trace.p1 as { data: Float32Array }).data[0]).not.toBe(0)
    expect(editWeights(model(), () => undefined).model.cid).toBe(model().cid)
  })

  it('skip one node and leave the others as they are', async () => {
    const graph = openGraph(model())
    const x = tensor('float32', [1, WIDTH], new Float32Array(WIDTH).fill(0.5))
    const like = tensor('float32', [1, WIDTH], new Float32Array(WIDTH))
    for (const [replacement, expected] of [
      [{ kind: 'input' }, (trace: { p0: number }) => trace.p0],
      [{ kind: 'zeros', like }, () => 0],
    ] as const) {
      const index = graph.nodes.find(({ outputs }) => outputs[0] === 'h0')?.index as number
      const tracer = await openTracer(openGraph(skipNode(graph, index, replacement)), wasm.runtime)
      const trace = await tracer.trace({ x })
      await tracer.close()
      expect(Object.keys(trace)).toEqual(['x', 'p0', 'h0', 'p1', 'h1', 'y'])
      const at = (name: string) => (trace[name] as { data: Float32Array }).data[0] as number
      expect(at('h0')).toBe(expected({ p0: at('p0') }))
    }
  })

  it('are left out where they change nothing', async () => {
    const graph = openGraph(loadModel(encode(modelProto(plainGraph()))))
    const x = tensor('float32', [1, 4], Float32Array.of(1, 2, 3, 4))
    const cheats = nearestCheats(graph, { trace: { x, y: x }, seed: new Uint8Array(32) })
    expect(cheats.map(({ name }) => name)).toEqual(['layer-zeros', 'layer-skipped', 'other-input'])
  })
})

function plainGraph() {
  return {
    node: [node('Relu', ['x'], ['y'])],
    input: [value('x', TYPE.float, ['n', 4])],
    output: [value('y', TYPE.float, ['n', 4])],
    initializer: [],
  }
}

it('draws for 99 % follow the chance of a hit, row by row', () => {
  const hits = (...list: number[]) =>
    list.map((hit) => ({ oneNode: false, allNodes: true, endToEnd: true, hit, refused: [] }))
  expect(drawsToCatch(hits(1, 1))).toBe(1)
  expect(drawsToCatch(hits(0.5))).toBe(7)
  expect(drawsToCatch(hits(0.01))).toBe(459)
  expect(drawsToCatch(hits(0, 1))).toBeNull()
  expect(drawsToCatch(hits(0))).toBeNull()
})
