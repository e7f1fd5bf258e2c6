import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AssayError } from '../core/errors.ts'
import { cutNode, exposeAll } from './cut.ts'
import { constantShape, type Graph, openGraph } from './graph.ts'
import { loadModel } from './model.ts'
import { nodeCost } from './node-cost.ts'
import { floats, node, TYPE, value } from './testing/models.ts'
import { branchingModel, constant, graphAttribute, load, loopModel } from './testing/traced-models.ts'

function refusal(act: () => unknown): AssayError {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(AssayError)
    return error as AssayError
  }
  throw new Error('expected a refusal')
}

test('nodes, their operators, and what they read', () => {
  const graph = openGraph(branchingModel())
  expect(graph.nodes.map(({ operator }) => operator)).toEqual([
    'Constant',
    'MatMul',
    'Relu',
    'Clip',
    'ReduceSum',
    'Constant',
    'Greater',
    'If',
    'Add',
    'MatMul',
  ])
  const clip = graph.nodes[3]!
  expect(clip).toMatchObject({ index: 3, inputs: ['h', '', 'limit'], needs: ['h'], constants: ['limit'] })
  const branch = graph.nodes[7]!
  expect(branch).toMatchObject({ captured: ['h', 'w1'], needs: ['positive', 'h'], constants: ['w1'] })
  expect(graph.nodes[0]!.isConstant).toBe(true)
})

test('where values are made and read last', () => {
  const graph = openGraph(branchingModel())
  expect(graph.values.get('x')).toEqual({
    name: 'x',
    kind: 'input',
    producer: -1,
    lastRead: 1,
    isOutput: false,
  })
  // The If captures it.
  expect(graph.values.get('h')).toMatchObject({ kind: 'computed', producer: 2, lastRead: 7 })
  expect(graph.values.get('w1')).toMatchObject({ kind: 'constant', producer: -1, lastRead: 7 })
  expect(graph.values.get('limit')).toMatchObject({ kind: 'constant', producer: 0 })
  expect(graph.values.get('y')).toMatchObject({ producer: 9, lastRead: -1, isOutput: true })
  expect(graph.traced.map(({ name }) => name)).toEqual([
    'x',
    'a',
    'h',
    'c',
    'total',
    'positive',
    'chosen',
    'sum',
    'y',
  ])
})

test('captures through two levels, and only what is outside', () => {
  const graph = openGraph(loopModel())
  expect(graph.nodes[1]!.captured).toEqual(['scale'])
  const inner = { node: [node('Add', ['x', 'one'], ['deep'])], output: [value('deep', TYPE.float, null)] }
  const outer = {
    node: [
      node('If', ['flag'], ['mid'], {
        attribute: [graphAttribute('then_branch', inner), graphAttribute('else_branch', inner)],
      }),
    ],
    output: [value('mid', TYPE.float, null)],
  }
  const nested = load({
    node: [
      node('If', ['flag'], ['y'], {
        attribute: [graphAttribute('then_branch', outer), graphAttribute('else_branch', outer)],
      }),
    ],
    input: [value('x', TYPE.float, [1]), value('flag', TYPE.bool, [])],
    output: [value('y', TYPE.float, null)],
    initializer: [floats('one', [1], [1])],
  })
  expect(openGraph(nested).nodes[0]!.captured).toEqual(['flag', 'one', 'x'])
})

test('a file out of order is put in order, the same for everybody', () => {
  const nodes = [node('Relu', ['b'], ['y']), node('Neg', ['a'], ['b']), node('Abs', ['x'], ['a'])]
  const graph = openGraph(
    load({ node: nodes, input: [value('x', TYPE.float, [2])], output: [value('y', TYPE.float, [2])] }),
  )
  expect(graph.nodes.map(({ operator }) => operator)).toEqual(['Abs', 'Neg', 'Relu'])
  expect(graph.nodes.map(({ index }) => index)).toEqual([0, 1, 2])
})

test('a subgraph that hides an outer name is refused', () => {
  const branch = { node: [node('Neg', ['x'], ['h'])], output: [value('h', TYPE.float, null)] }
  const model = load({
    node: [
      node('Abs', ['x'], ['h']),
      node('If', ['flag'], ['y'], {
        attribute: [graphAttribute('then_branch', branch), graphAttribute('else_branch', branch)],
      }),
    ],
    input: [value('x', TYPE.float, [1]), value('flag', TYPE.bool, [])],
    output: [value('y', TYPE.float, null)],
  })
  expect(refusal(() => openGraph(model))).toMatchObject({
    code: 'onnx/invalid-graph',
    message: expect.stringMatching(/"h"/),
  })
})

test('cycles, duplicate names and missing producers do not get this far', () => {
  const io = { input: [value('x', TYPE.float, [1])], output: [value('y', TYPE.float, [1])] }
  const codeOf = (...nodes: ReturnType<typeof node>[]) => refusal(() => load({ node: nodes, ...io })).code
  expect(codeOf(node('Add', ['x', 'b'], ['a']), node('Neg', ['a'], ['b']), node('Neg', ['a'], ['y']))).toBe(
    'onnx/invalid-graph',
  )
  expect(codeOf(node('Neg', ['x'], ['y']), node('Abs', ['x'], ['y']))).toBe('onnx/invalid-graph')
  expect(codeOf(node('Neg', ['ghost'], ['y']))).toBe('onnx/invalid-graph')
})

test('shapes of constants', () => {
  const graph = openGraph(
    load({
      node: [
        constant('c', floats('', [2, 1], [1, 2])),
        node('Constant', [], ['s'], { attribute: [{ name: 'value_float', type: 1, f: 2 }] }),
        node('Constant', [], ['v'], { attribute: [{ name: 'value_ints', type: 7, ints: [1, 2, 3] }] }),
        node('Add', ['x', 'w'], ['y']),
      ],
      input: [value('x', TYPE.float, [3])],
      output: [value('y', TYPE.float, [3])],
      initializer: [floats('w', [3], [1, 2, 3])],
    }),
  )
  expect(['c', 's', 'v', 'w', 'x'].map((name) => constantShape(graph, name))).toEqual([
    [2, 1],
    [],
    [3],
    [3],
    undefined,
  ])
})

test('mutated models open, cut and are weighed, or are refused with a typed error', () => {
  const bytes = branchingModel().bytes
  let opened = 0
  const attempt = (mutated: Uint8Array): void => {
    try {
      const graph: Graph = openGraph(loadModel(mutated))
      opened++
      exposeAll(graph)
      const types = Object.fromEntries(
        [...graph.values.keys()].map((name) => [name, { dtype: 'float32' as const, shape: [2, 4] }]),
      )
      const shapes = new Map(graph.traced.map(({ name }) => [name, [2, 4]]))
      for (const at of graph.nodes) {
        cutNode(graph, at.index, types)
        expect(nodeCost(graph, at, shapes)).toBeGreaterThanOrEqual(1)
      }
    } catch (error) {
      expect(error).toBeInstanceOf(AssayError)
    }
  }
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length - 1), (at, byte, other) => {
      const mutated = bytes.slice()
      mutated[at] = byte
      attempt(mutated)
      mutated[other] = bytes[at]!
      attempt(mutated)
    }),
    { numRuns: 1500 },
  )
  expect(opened).toBeGreaterThan(100)
})
