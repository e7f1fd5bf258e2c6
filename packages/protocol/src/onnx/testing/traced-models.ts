/**
 * Models for the tests of graphs, cuts and traces: branches, subgraphs that read outer values, Constant
 * nodes, omitted inputs, nodes out of order.
 */
import type onnxProto from 'onnx-proto'
import { type Tensor, tensor } from '../../state/tensor.ts'
import type { NamedTensors } from '../../state/tensors.ts'
import { loadModel, type Model } from '../model.ts'
import { encode, floats, modelProto, node, TYPE, value } from './models.ts'

type IGraphProto = onnxProto.onnx.IGraphProto
type INodeProto = onnxProto.onnx.INodeProto

const GRAPH_ATTRIBUTE = 5
const TENSOR_ATTRIBUTE = 4

export function load(graph: IGraphProto, rest: onnxProto.onnx.IModelProto = {}): Model {
  return loadModel(encode(modelProto(graph, rest)))
}

export function graphAttribute(name: string, g: IGraphProto): onnxProto.onnx.IAttributeProto {
  return { name, type: GRAPH_ATTRIBUTE, g: { name, ...g } }
}

export function constant(name: string, t: onnxProto.onnx.ITensorProto): INodeProto {
  return node('Constant', [], [name], { attribute: [{ name: 'value', type: TENSOR_ATTRIBUTE, t }] })
}

export function floatTensor(shape: readonly number[], from = 0): Tensor {
  const count = shape.reduce((product, size) => product * size, 1)
  return tensor(
    'float32',
    shape,
    Float32Array.from({ length: count }, (_, i) => Math.sin(from + i) * 3),
  )
}

/** Two layers with a residual, a Clip without its lower bound, and an If whose branches read `h` and `w1`. */
export function branchingModel(): Model {
  const w = (name: string, from: number) =>
    floats(
      name,
      [4, 4],
      Array.from({ length: 16 }, (_, i) => Math.cos(from + i)),
    )
  const branch = (name: string, op: string): IGraphProto => ({
    node: [node(op, ['h', 'w1'], [`${name}_out`])],
    output: [value(`${name}_out`, TYPE.float, null)],
  })
  return load({
    node: [
      constant('limit', floats('', [], [2.5])),
      node('MatMul', ['x', 'w1'], ['a']),
      node('Relu', ['a'], ['h']),
      node('Clip', ['h', '', 'limit'], ['c']),
      node('ReduceSum', ['c', ''], ['total'], { attribute: [{ name: 'keepdims', type: 2, i: 0 }] }),
      constant('zero', floats('', [], [0])),
      node('Greater', ['total', 'zero'], ['positive']),
      node('If', ['positive'], ['chosen'], {
        attribute: [
          graphAttribute('then_branch', branch('then', 'MatMul')),
          graphAttribute('else_branch', branch('else', 'Gemm')),
        ],
      }),
      node('Add', ['chosen', 'c'], ['sum']),
      node('MatMul', ['sum', 'w2'], ['y']),
    ],
    input: [value('x', TYPE.float, ['n', 4])],
    output: [value('y', TYPE.float, ['n', 4])],
    initializer: [w('w1', 1), w('w2', 7)],
  })
}

/** y = x doubled `count` times in a Loop; the body reads the outer value `scale`. */
export function loopModel(): Model {
  const body: IGraphProto = {
    node: [node('Identity', ['keep_in'], ['keep']), node('Mul', ['state_in', 'scale'], ['state'])],
    input: [
      value('iteration', TYPE.int64, []),
      value('keep_in', TYPE.bool, []),
      value('state_in', TYPE.float, null),
    ],
    output: [value('keep', TYPE.bool, []), value('state', TYPE.float, null)],
  }
  return load({
    node: [
      node('Identity', ['factor'], ['scale']),
      node('Loop', ['count', '', 'x'], ['looped'], { attribute: [graphAttribute('body', body)] }),
      node('Relu', ['looped'], ['y']),
    ],
    input: [value('x', TYPE.float, ['n', 4]), value('count', TYPE.int64, [])],
    output: [value('y', TYPE.float, null)],
    initializer: [floats('factor', [], [2])],
  })
}

export function loopInputs(count: bigint): NamedTensors {
  return { x: floatTensor([2, 4]), count: tensor('int64', [], BigInt64Array.of(count)) }
}

/** A chain of `layers` products with a large activation: rows × 64 floats each. */
export function chainModel(layers: number): Model {
  const names = Array.from({ length: layers + 1 }, (_, i) => (i === 0 ? 'x' : i === layers ? 'y' : `h${i}`))
  return load({
    node: Array.from({ length: layers }, (_, i) => node('MatMul', [names[i]!, `w${i % 3}`], [names[i + 1]!])),
    input: [value('x', TYPE.float, ['n', 64])],
    output: [value('y', TYPE.float, ['n', 64])],
    initializer: [0, 1, 2].map((k) =>
      floats(
        `w${k}`,
        [64, 64],
        Array.from({ length: 64 * 64 }, (_, i) => Math.sin(i * (k + 1)) / 8),
      ),
    ),
  })
}

/** y = ConstantOfShape(shape): as large as the input asks for. */
export function allocatingModel(): Model {
  return load({
    node: [node('ConstantOfShape', ['shape'], ['ones']), node('Relu', ['ones'], ['y'])],
    input: [value('shape', TYPE.int64, ['rank'])],
    output: [value('y', TYPE.float, null)],
  })
}
