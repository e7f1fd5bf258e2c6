import { describe, expect, test } from 'vitest'
import { AssayError } from '../core/errors.ts'
import { equalTensors, type Tensor, tensor, tensorBytes } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { cutNode } from './cut.ts'
import { openGraph } from './graph.ts'
import type { Model } from './model.ts'
import type { Runtime } from './runtime.ts'
import { nativeRuntime } from './runtime-native.ts'
import { wasmRuntime } from './runtime-wasm.ts'
import { node, TYPE, value } from './testing/models.ts'
import {
  allocatingModel,
  branchingModel,
  chainModel,
  floatTensor,
  load,
  loopInputs,
  loopModel,
} from './testing/traced-models.ts'
import { untraceableNodes } from './trace-refusal.ts'
import { type TracedTensor, type TraceOptions, traceRun } from './traced-run.ts'

const wasm = await wasmRuntime()

async function trace(
  model: Model,
  inputs: NamedTensors,
  options: TraceOptions & { readonly runtime?: Runtime } = {},
): Promise<TracedTensor[]> {
  const { runtime = wasm, ...rest } = options
  const found: TracedTensor[] = []
  for await (const entry of traceRun(openGraph(model), runtime, inputs, rest)) found.push(entry)
  return found
}

async function refusal(act: () => Promise<unknown>): Promise<AssayError> {
  try {
    await act()
  } catch (error) {
    expect(error).toBeInstanceOf(AssayError)
    return error as AssayError
  }
  throw new Error('expected a refusal')
}

function expectSame(a: readonly TracedTensor[], b: readonly TracedTensor[]): void {
  expect(a.map(({ name }) => name)).toEqual(b.map(({ name }) => name))
  for (const [i, { tensor: got, name }] of a.entries()) {
    expect([name, equalTensors(got, b[i]!.tensor)]).toEqual([name, true])
  }
}

const half = load({
  node: [
    node('Cast', ['x'], ['hx'], { attribute: [{ name: 'to', type: 2, i: TYPE.float16 }] }),
    node('Exp', ['hx'], ['e']),
    node('Sigmoid', ['e'], ['s']),
    node('Softmax', ['s'], ['p']),
    node('Cast', ['p'], ['y'], { attribute: [{ name: 'to', type: 2, i: TYPE.float }] }),
  ],
  input: [value('x', TYPE.float, ['n', 9])],
  output: [value('y', TYPE.float, ['n', 9])],
})

describe('the same bits in the same order', () => {
  test.each<[string, Model, NamedTensors]>([
    ['branches', branchingModel(), { x: floatTensor([3, 4]) }],
    ['a loop', loopModel(), loopInputs(4n)],
    ['a chain', chainModel(7), { x: floatTensor([5, 64]) }],
    ['half floats', half, { x: floatTensor([4, 9]) }],
  ])('at once, by segments of any length, and chosen: %s', async (_, model, inputs) => {
    const graph = openGraph(model)
    const all = await trace(model, inputs, { mode: 'all' })
    expect(all.map(({ name, node: at }) => ({ name, node: at }))).toEqual(graph.traced)
    for (const segmentNodes of [1, 2, 3, 64]) {
      expectSame(await trace(model, inputs, { mode: 'segments', segmentNodes }), all)
    }
    expectSame(await trace(model, inputs), all)
  })

  test('each node of half floats, run alone, gives what the trace holds', async () => {
    const graph = openGraph(half)
    const all = new Map(
      (await trace(half, { x: floatTensor([4, 9]) }, { mode: 'all' })).map((t) => [t.name, t.tensor]),
    )
    expect(all.get('e')!.dtype).toBe('float16')
    for (const at of graph.nodes) {
      const inputs = Object.fromEntries(at.needs.map((name) => [name, all.get(name) as Tensor]))
      const session = await wasm.open(cutNode(graph, at.index, inputs))
      const outputs = await session.run(inputs)
      await session.close()
      expect(equalTensors(outputs[at.outputs[0]!]!, all.get(at.outputs[0]!)!)).toBe(true)
    }
  })

  test('in the native runtime, node by node against at once', async () => {
    const runtime = await nativeRuntime()
    const inputs = { x: floatTensor([3, 4]) }
    const all = await trace(branchingModel(), inputs, { runtime, mode: 'all' })
    expectSame(await trace(branchingModel(), inputs, { runtime, mode: 'segments', segmentNodes: 2 }), all)
  })
})

describe('memory', () => {
  const rows = 256
  const inputs = { x: floatTensor([rows, 64]) }
  const layerBytes = rows * 64 * 4
  const model = chainModel(24)

  /** A runtime that records how many bytes its sessions were given and gave, at most in one run. */
  function watched(): { runtime: Runtime; largest(): number } {
    let largest = 0
    const open: Runtime['open'] = async (cut) => {
      const session = await wasm.open(cut)
      return {
        ...session,
        async run(given) {
          const outputs = await session.run(given)
          const bytes = Object.values({ ...given, ...outputs }).reduce((sum, t) => sum + tensorBytes(t), 0)
          largest = Math.max(largest, bytes)
          return outputs
        },
      }
    }
    return { runtime: { ...wasm, open }, largest: () => largest }
  }

  test('a trace larger than the limit is streamed within it', async () => {
    const maxLiveBytes = 6 * layerBytes
    const { runtime, largest } = watched()
    const streamed = await trace(model, inputs, { runtime, maxLiveBytes })
    const total = streamed.reduce((sum, { tensor: t }) => sum + tensorBytes(t), 0)
    expect(total).toBe(25 * layerBytes)
    expect(largest()).toBeLessThanOrEqual(maxLiveBytes)
    expect(largest()).toBeGreaterThan(2 * layerBytes)
    expectSame(streamed, await trace(model, inputs, { mode: 'all' }))
  })

  test('what does not fit even node by node is refused before it runs', async () => {
    const { runtime, largest } = watched()
    const error = await refusal(() => trace(model, inputs, { runtime, maxLiveBytes: 1.5 * layerBytes }))
    expect(error).toMatchObject({ code: 'onnx/too-large', detail: { node: 0, operator: 'MatMul' } })
    expect(largest()).toBe(0)
  })

  test('one run that turns out too large is refused', async () => {
    const error = await refusal(() => trace(model, inputs, { mode: 'all', maxLiveBytes: 6 * layerBytes }))
    expect(error.code).toBe('onnx/too-large')
  })
})

describe('models that allocate without bound', () => {
  const shape = (...sizes: bigint[]): NamedTensors => ({
    shape: tensor('int64', [sizes.length], BigInt64Array.from(sizes)),
  })

  test.each<TraceOptions['mode']>(['auto', 'segments'])('are refused before they run: %s', async (mode) => {
    let runs = 0
    const open: Runtime['open'] = async (cut) => {
      const session = await wasm.open(cut)
      const run: typeof session.run = (given) => {
        runs++
        return session.run(given)
      }
      return { ...session, run }
    }
    const runtime = { ...wasm, open }
    const error = await refusal(() =>
      trace(allocatingModel(), shape(2n ** 14n, 2n ** 14n), {
        runtime,
        ...(mode && { mode }),
        maxTensorBytes: 2 ** 20,
      }),
    )
    expect(error).toMatchObject({ code: 'onnx/too-large', detail: { name: 'ones', bytes: 2 ** 30 } })
    expect(runs).toBe(0)
  })

  test('run where they ask for little', async () => {
    const found = await trace(allocatingModel(), shape(2n, 3n))
    expect(found.at(-1)!.tensor.shape).toEqual([2, 3])
  })

  test('fail with a typed error where only the runtime can know', async () => {
    const error = await refusal(() => trace(allocatingModel(), shape(2n ** 40n, 2n ** 40n), { mode: 'all' }))
    expect(error.code).toMatch(/^onnx\/(runtime|too-large)$/)
  })

  test('a value of unknown size is checked after it ran', async () => {
    const nonZero = load({
      node: [
        node('NonZero', ['x'], ['where']),
        node('Cast', ['where'], ['y'], { attribute: [{ name: 'to', type: 2, i: 1 }] }),
      ],
      input: [value('x', TYPE.float, ['n'])],
      output: [value('y', TYPE.float, null)],
    })
    const inputs = { x: floatTensor([2000], 1) }
    expect((await trace(nonZero, inputs)).at(-1)!.tensor.shape).toEqual([1, 2000])
    const error = await refusal(() => trace(nonZero, inputs, { maxTensorBytes: 9000 }))
    expect(error).toMatchObject({ code: 'onnx/too-large', detail: { name: 'where', bytes: 16000 } })
  })
})

describe('what cannot be traced is refused by name', () => {
  const io = { input: [value('x', TYPE.float, [4])], output: [value('y', TYPE.float, null)] }

  test('sequences', async () => {
    const model = load({
      node: [
        node('SequenceConstruct', ['x', 'x'], ['s']),
        node('ConcatFromSequence', ['s'], ['y'], { attribute: [{ name: 'axis', type: 2, i: 0 }] }),
      ],
      ...io,
    })
    expect(untraceableNodes(openGraph(model)).map(({ node: at }) => at.operator)).toEqual([
      'SequenceConstruct',
    ])
    const error = await refusal(() => trace(model, { x: floatTensor([4]) }))
    expect(error).toMatchObject({
      code: 'onnx/unsupported-feature',
      detail: { node: 0, operator: 'SequenceConstruct' },
    })
  })

  test('random draws, also in a subgraph', async () => {
    const random = node('RandomNormalLike', ['x'], ['r'])
    const model = load({ node: [random, node('Add', ['x', 'r'], ['y'])], ...io })
    const error = await refusal(() => trace(model, { x: floatTensor([4]) }))
    expect(error).toMatchObject({
      code: 'onnx/unsupported-feature',
      message: expect.stringMatching(/random/),
    })
  })

  test('element types that are not held', async () => {
    const model = load({
      node: [
        node('Cast', ['x'], ['b'], { attribute: [{ name: 'to', type: 2, i: TYPE.bfloat16 }] }),
        node('Cast', ['b'], ['y'], { attribute: [{ name: 'to', type: 2, i: TYPE.float }] }),
      ],
      ...io,
    })
    for (const mode of ['all', 'segments', 'auto'] as const) {
      const error = await refusal(() => trace(model, { x: floatTensor([4]) }, { mode }))
      expect(error).toMatchObject({ code: 'onnx/unsupported-type', message: expect.stringMatching(/"b"/) })
    }
  })
})

test('inputs are checked, and a stream that is left early frees what it holds', async () => {
  expect((await refusal(() => trace(branchingModel(), {}))).code).toBe('input/missing')
  expect((await refusal(() => trace(branchingModel(), { x: floatTensor([3, 5]) }))).code).toBe('input/shape')
  for await (const { name } of traceRun(openGraph(branchingModel()), wasm, { x: floatTensor([1, 4]) })) {
    expect(name).toBe('x')
    break
  }
})
