import type onnxProto from 'onnx-proto'
import { describe, expect, test } from 'vitest'
import { type GraphNode, openGraph } from './graph.ts'
import { nodeCost, operatorCost } from './node-cost.ts'
import { node, TYPE, value } from './testing/models.ts'
import { branchingModel, chainModel, load } from './testing/traced-models.ts'

type Attributes = onnxProto.onnx.IAttributeProto[]
type Shapes = (number[] | undefined)[]

/** A node as a graph has it; the rest of the model does not matter to its cost. */
function nodeOf(operator: string, inputs: number, attribute: Attributes = []): GraphNode {
  const [domain, opType] = operator.includes('::') ? operator.split('::') : ['', operator]
  const names = Array.from({ length: inputs }, (_, i) => `i${i}`)
  const model = load(
    {
      node: [node(opType!, names, ['y'], { domain: domain!, attribute })],
      input: names.map((name) => value(name, TYPE.float, null)),
      output: [value('y', TYPE.float, null)],
    },
    {
      opsetImport: [
        { domain: '', version: 17 },
        { domain: 'com.microsoft', version: 1 },
        { domain: 'ai.onnx.ml', version: 3 },
      ],
    },
  )
  return openGraph(model).nodes[0]!
}

const ints = (name: string, ...values: number[]) => ({ name, type: 7, ints: values })
const int = (name: string, i: number) => ({ name, type: 2, i })

describe('multiply-accumulates', () => {
  test.each<[string, Attributes, Shapes, Shapes, number]>([
    [
      'MatMul',
      [],
      [
        [5, 7],
        [7, 3],
      ],
      [[5, 3]],
      105,
    ],
    [
      'MatMul',
      [],
      [
        [2, 4, 5, 7],
        [7, 3],
      ],
      [[2, 4, 5, 3]],
      8 * 105,
    ],
    ['MatMul', [], [[7], [7]], [[]], 7],
    [
      'com.microsoft::FusedMatMul',
      [int('transA', 1)],
      [
        [7, 5],
        [7, 3],
      ],
      [[5, 3]],
      105,
    ],
    [
      'Gemm',
      [int('transA', 1)],
      [
        [7, 5],
        [7, 3],
      ],
      [[5, 3]],
      105,
    ],
    ['Gemm', [], [[5, 7], [3, 7], [3]], [[5, 3]], 105],
    ['QLinearMatMul', [], [[5, 7], [], [], [7, 3], [], [], [], []], [[5, 3]], 105],
    ['com.microsoft::QGemm', [], [[5, 7], [], [], [3, 7], [], []], [[5, 3]], 105],
    // 3x3, 4 to 8 channels, then the same in two groups.
    [
      'Conv',
      [],
      [
        [1, 4, 10, 10],
        [8, 4, 3, 3],
      ],
      [[1, 8, 10, 10]],
      800 * 36,
    ],
    [
      'Conv',
      [int('group', 2)],
      [
        [1, 4, 10, 10],
        [8, 2, 3, 3],
      ],
      [[1, 8, 10, 10]],
      800 * 18,
    ],
    ['QLinearConv', [], [[1, 4, 10, 10], [], [], [8, 4, 3, 3], [], [], [], []], [[1, 8, 10, 10]], 800 * 36],
    [
      'ConvTranspose',
      [],
      [
        [1, 4, 5, 5],
        [4, 8, 3, 3],
      ],
      [[1, 8, 11, 11]],
      100 * 72,
    ],
    [
      'LSTM',
      [],
      [
        [9, 2, 6],
        [1, 20, 6],
        [1, 20, 5],
      ],
      [[9, 1, 2, 5]],
      18 * (120 + 100),
    ],
    [
      'GRU',
      [],
      [
        [9, 2, 6],
        [2, 15, 6],
        [2, 15, 5],
      ],
      [[9, 2, 2, 5]],
      18 * (180 + 150),
    ],
    ['MaxPool', [ints('kernel_shape', 3, 3)], [[1, 2, 9, 9]], [[1, 2, 3, 3]], 162],
    ['AveragePool', [ints('kernel_shape', 3, 3)], [[1, 2, 9, 9]], [[1, 2, 7, 7]], 98 * 9],
    [
      'Einsum',
      [{ name: 'equation', type: 3, s: new TextEncoder().encode('bij, bjk -> bik') }],
      [
        [2, 3, 4],
        [2, 4, 5],
      ],
      [[2, 3, 5]],
      120,
    ],
    [
      'Einsum',
      [{ name: 'equation', type: 3, s: new TextEncoder().encode('...ij,...jk->...ik') }],
      [
        [6, 2, 3, 4],
        [2, 4, 5],
      ],
      [[6, 2, 3, 5]],
      720,
    ],
    // 4 tokens of 8 features, three projections, two heads; then one token with 4 in the cache.
    [
      'com.microsoft::Attention',
      [int('num_heads', 2)],
      [[1, 4, 8], [8, 24], [24]],
      [
        [1, 4, 8],
        [2, 1, 2, 4, 4],
      ],
      32 * 24 + 2 * 32 * 4,
    ],
    [
      'com.microsoft::Attention',
      [int('num_heads', 2)],
      [[1, 1, 8], [8, 24], [24]],
      [
        [1, 1, 8],
        [2, 1, 2, 5, 4],
      ],
      8 * 24 + 2 * 8 * 5,
    ],
    [
      'com.microsoft::MultiHeadAttention',
      [int('num_heads', 2)],
      [
        [1, 4, 8],
        [1, 6, 8],
        [1, 6, 8],
      ],
      [[1, 4, 8]],
      64 * 6,
    ],
  ])('of %s', (operator, attributes, inputs, outputs, expected) => {
    expect(operatorCost(nodeOf(operator, inputs.length, attributes), inputs, outputs)).toBe(expected)
  })
})

describe('elements', () => {
  test.each<[string, Shapes, Shapes, number]>([
    ['Relu', [[5, 7]], [[5, 7]], 35],
    ['Add', [[5, 7], [7]], [[5, 7]], 35],
    ['Softmax', [[5, 7]], [[5, 7]], 105],
    ['ReduceMean', [[5, 7]], [[5, 1]], 35],
    ['GlobalAveragePool', [[1, 2, 9, 9]], [[1, 2, 1, 1]], 162],
    ['Gather', [[1000, 8], [3]], [[3, 8]], 24],
    ['com.microsoft::FastGelu', [[5, 7]], [[5, 7]], 35],
    [
      'com.microsoft::SkipLayerNormalization',
      [
        [5, 7],
        [5, 7],
      ],
      [[5, 7]],
      210,
    ],
  ])('of %s', (operator, inputs, outputs, expected) => {
    expect(operatorCost(nodeOf(operator, inputs.length), inputs, outputs)).toBe(expected)
  })
})

test('no node costs less than 1, whatever is known of it', () => {
  for (const operator of [
    'MatMul',
    'Conv',
    'Relu',
    'LSTM',
    'Gemm',
    'Einsum',
    'Shape',
    'com.microsoft::Attention',
  ]) {
    expect(operatorCost(nodeOf(operator, 2), [undefined, undefined], [undefined])).toBe(1)
    expect(operatorCost(nodeOf(operator, 2), [[0], [0]], [[0]])).toBe(1)
  }
})

test('in a graph, with the shapes of constants from the model', () => {
  const chain = openGraph(chainModel(3))
  const shapes = new Map(chain.traced.map(({ name }) => [name, [5, 64]]))
  expect(chain.nodes.map((at) => nodeCost(chain, at, shapes))).toEqual([1, 2, 3].map(() => 5 * 64 * 64))
  const branching = openGraph(branchingModel())
  const known = new Map([
    ['x', [3, 4]],
    ['a', [3, 4]],
    ['chosen', [3, 4]],
  ])
  expect(nodeCost(branching, branching.nodes[1]!, known)).toBe(48)
  // Two branches of one node each, and what they may touch.
  expect(nodeCost(branching, branching.nodes[7]!, known)).toBe(24)
})
