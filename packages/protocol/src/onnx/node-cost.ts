/**
 * What a node costs, in multiply-accumulates, from the shapes of what it reads and gives: the weights with
 * which a challenge draws nodes, so that skipping work is found in proportion to the work.
 *
 * Products of matrices, convolutions, recurrent cells and attention are counted as their definitions have
 * it; all else is counted by elements, times a small factor where several passes are made. The figures need
 * to be proportional to time only roughly: an error of a factor of two in one operator moves probability
 * between nodes, and never takes it to zero, as every node costs at least 1. Nodes with subgraphs are an
 * estimate: the trip count of a loop is not known from shapes.
 *
 * Threat: shapes come from the one who is checked. Whoever lies about a shape fails the check of the node
 * that gives it and of each that reads it; and a verifier who holds the runtime can compare shapes with
 * what it infers (trace-plan.ts).
 */
import onnxProto from 'onnx-proto'
import { constantShape, type Graph, type GraphNode, subgraphsOf } from './graph.ts'
import { toSafeInteger } from './tensor-proto.ts'

type INodeProto = onnxProto.onnx.INodeProto
type Shape = readonly number[]
type Shapes = readonly (Shape | undefined)[]

/**
 * Cost of a node of the graph.
 *
 * @param shapes of the values of the trace by name; those of constants are read from the model.
 * @returns an integer >= 1.
 */
export function nodeCost(graph: Graph, node: GraphNode, shapes: ReadonlyMap<string, Shape>): number {
  const shapeOf = (name: string) =>
    name === '' ? undefined : (shapes.get(name) ?? constantShape(graph, name))
  return operatorCost(node, node.inputs.map(shapeOf), node.outputs.map(shapeOf))
}

/** Cost of an operator; shapes stand as in `node.inputs` and `node.outputs`, undefined where left out or not known. */
export function operatorCost(node: GraphNode, inputs: Shapes, outputs: Shapes): number {
  const rule = RULES[node.operator]
  const cost = rule?.(call(node, inputs, outputs)) ?? 0
  return Math.max(1, Math.ceil(Number.isFinite(cost) && cost > 0 ? cost : elementCost(node, inputs, outputs)))
}

/** Largest of what is given and read counts for operators without a rule: each element is touched once. */
function elementCost({ operator }: GraphNode, inputs: Shapes, outputs: Shapes): number {
  const touched = REDUCING.test(operator) ? [...inputs, ...outputs] : outputs
  return Math.max(0, ...touched.map(elements)) * (FACTORS[operator] ?? 1)
}

/** Operators that read more than they give. */
const REDUCING =
  /^(Reduce\w+|Arg(Max|Min)|Global\w+Pool|MeanVarianceNormalization|NonZero|Compress|Unique|Det|NonMaxSuppression)$/

/** Passes over the elements, where there are several. */
const FACTORS: { readonly [operator: string]: number } = {
  Softmax: 3,
  LogSoftmax: 3,
  Hardmax: 2,
  BatchNormalization: 2,
  LayerNormalization: 5,
  InstanceNormalization: 5,
  GroupNormalization: 5,
  RMSNormalization: 4,
  LpNormalization: 3,
  MeanVarianceNormalization: 5,
  RotaryEmbedding: 4,
  Resize: 4,
  GridSample: 4,
  RoiAlign: 4,
  'com.microsoft::LayerNormalization': 5,
  'com.microsoft::SkipLayerNormalization': 6,
  'com.microsoft::SimplifiedLayerNormalization': 4,
  'com.microsoft::SkipSimplifiedLayerNormalization': 5,
  'com.microsoft::EmbedLayerNormalization': 7,
  'com.microsoft::RotaryEmbedding': 4,
}

interface Call {
  readonly inputs: Shapes
  readonly outputs: Shapes
  /** Decodes the node's attributes. */
  proto(): INodeProto
}

function call({ bytes }: GraphNode, inputs: Shapes, outputs: Shapes): Call {
  return { inputs, outputs, proto: () => onnxProto.onnx.NodeProto.decode(bytes) }
}

type Rule = (call: Call) => number

const RULES: { readonly [operator: string]: Rule } = {
  Shape: () => 1,
  Size: () => 1,
  MatMul: matMul,
  MatMulInteger: matMul,
  QLinearMatMul: matMul,
  Gemm: gemm,
  Conv: ({ inputs, outputs }) => elements(outputs[0]) * perOutput(inputs[1]),
  ConvInteger: ({ inputs, outputs }) => elements(outputs[0]) * perOutput(inputs[1]),
  DeformConv: ({ inputs, outputs }) => elements(outputs[0]) * perOutput(inputs[1]),
  QLinearConv: ({ inputs, outputs }) => elements(outputs[0]) * perOutput(inputs[3]),
  ConvTranspose: ({ inputs }) => elements(inputs[0]) * perOutput(inputs[1]),
  LSTM: recurrent,
  GRU: recurrent,
  RNN: recurrent,
  Attention: scoresOfHeads,
  Einsum: einsum,
  MaxPool: pool,
  AveragePool: pool,
  LpPool: pool,
  LRN: ({ outputs, proto }) => elements(outputs[0]) * (integer(proto(), 'size') ?? 1),
  TopK: ({ inputs }) => elements(inputs[0]) * Math.log2(2 + elements(inputs[0])),
  DFT: ({ inputs }) => elements(inputs[0]) * Math.log2(2 + elements(inputs[0])),
  If: subgraphs,
  Loop: subgraphs,
  Scan: subgraphs,
  'ai.onnx.ml::TreeEnsemble': trees,
  'ai.onnx.ml::TreeEnsembleClassifier': trees,
  'ai.onnx.ml::TreeEnsembleRegressor': trees,
  'ai.onnx.ml::LinearClassifier': coefficients,
  'ai.onnx.ml::LinearRegressor': coefficients,
  'ai.onnx.ml::SVMClassifier': coefficients,
  'ai.onnx.ml::SVMRegressor': coefficients,
  'com.microsoft::Attention': fusedAttention,
  'com.microsoft::QAttention': fusedAttention,
  'com.microsoft::MultiHeadAttention': scoresOfHeads,
  'com.microsoft::GroupQueryAttention': scoresOfHeads,
  'com.microsoft::FusedMatMul': matMul,
  'com.microsoft::TransposeMatMul': matMul,
  'com.microsoft::MatMulIntegerToFloat': matMul,
  'com.microsoft::DynamicQuantizeMatMul': matMul,
  'com.microsoft::MatMulNBits': matMul,
  'com.microsoft::QLinearMatMul': matMul,
  'com.microsoft::FusedGemm': gemm,
  'com.microsoft::QGemm': gemm,
  'com.microsoft::FusedConv': ({ inputs, outputs }) => elements(outputs[0]) * perOutput(inputs[1]),
  'com.microsoft::QLinearConv': ({ inputs, outputs }) => elements(outputs[0]) * perOutput(inputs[3]),
  'com.microsoft::DynamicQuantizeLSTM': recurrent,
}

function elements(shape: Shape | undefined): number {
  return shape === undefined ? 0 : shape.reduce((product, size) => product * size, 1)
}

/** Weights that each output channel (for ConvTranspose: each input channel) is multiplied with. */
function perOutput(weights: Shape | undefined): number {
  return elements(weights) / (weights?.[0] || 1)
}

/** Each output is a sum over the inner dimension, the last of A unless that is transposed. */
function matMul({ inputs, outputs, proto }: Call): number {
  const [a] = inputs
  if (a === undefined) return 0
  const inner = integer(proto(), 'transA') === 1 ? a.at(-2) : a.at(-1)
  return elements(outputs[0]) * (inner ?? 1)
}

/** A has M × K elements, transposed or not; each meets N columns. */
function gemm({ inputs, outputs }: Call): number {
  return elements(inputs[0]) * (outputs[0]?.at(-1) ?? 1)
}

/** X is [sequence, batch, features] or, batch first, the other way round; W and R hold all gates and directions. */
function recurrent({ inputs: [x, w, r] }: Call): number {
  const steps = (x?.[0] ?? 1) * (x?.[1] ?? 1)
  return steps * (elements(w) + elements(r))
}

/**
 * Scores and their use: each element of Q meets all keys, each element of the result all values. Q, K, V are
 * [batch, heads, length, size] or [batch, length, heads × size]; the present keys, [batch, heads, length,
 * size], count those of the past as well.
 */
function scoresOfHeads({ inputs: [q, k], outputs: [y, present] }: Call): number {
  const keys = present?.length === 4 ? present[2]! : (k?.at(-2) ?? q?.at(-2) ?? 1)
  return (elements(q) + elements(y)) * keys
}

/** Projection of [batch, length, features] by [features, Q + K + V], then scores; present is [2, batch, heads, length, size]. */
function fusedAttention({ inputs: [x, weights], outputs: [y, present] }: Call): number {
  const keys = present?.length === 5 ? present[3]! : (x?.[1] ?? 1)
  return elements(x) * (weights?.at(-1) ?? 1) + 2 * elements(y) * keys
}

function pool({ inputs, outputs, proto }: Call): number {
  const kernel = integers(proto(), 'kernel_shape')
  return Math.max(elements(outputs[0]) * elements(kernel), elements(inputs[0]))
}

/** The product of the sizes of all labels; those that '...' stands for are aligned from the right. */
function einsum({ inputs, proto }: Call): number {
  const equation = proto().attribute?.find(({ name }) => name === 'equation')?.s
  if (equation == null) return 0
  const terms = new TextDecoder().decode(equation).replace(/\s/g, '').split('->')[0]!.split(',')
  const sizes = new Map<string, number>()
  for (const [at, term] of terms.entries()) {
    const shape = inputs[at]
    if (shape === undefined) return 0
    for (const [axis, label] of labelsOf(term, shape.length).entries()) {
      sizes.set(label, Math.max(sizes.get(label) ?? 1, shape[axis] ?? 1))
    }
  }
  return elements([...sizes.values()])
}

function labelsOf(term: string, rank: number): readonly string[] {
  const [before, after] = term.split('...')
  if (after === undefined) return [...term]
  const hidden = Math.max(0, rank - before!.length - after.length)
  return [...before!, ...Array.from({ length: hidden }, (_, i) => `.${hidden - i}`), ...after]
}

/** Each row goes down every tree, as deep as a balanced one would be, and at least as deep as one comparison. */
function trees({ inputs, proto }: Call): number {
  const node = proto()
  const ids = integers(node, 'nodes_treeids')
  const count = ids.length > 0 ? new Set(ids).size : Math.max(1, integers(node, 'tree_roots').length)
  const nodes = ids.length > 0 ? ids.length : integers(node, 'nodes_featureids').length
  return (inputs[0]?.[0] ?? 1) * count * (1 + Math.log2(1 + nodes / count))
}

function coefficients({ inputs, proto }: Call): number {
  const lengths = (proto().attribute ?? [])
    .filter(({ name }) => name === 'coefficients' || name === 'support_vectors')
    .map(({ floats }) => floats?.length ?? 0)
  return (inputs[0]?.[0] ?? 1) * Math.max(0, ...lengths)
}

/** Every node of the bodies touches what goes in and out once. */
function subgraphs({ inputs, outputs, proto }: Call): number {
  const touched = [...inputs, ...outputs].reduce((sum, shape) => sum + elements(shape), 0)
  return Math.max(1, touched) * Math.max(1, countNodes(proto()))
}

function countNodes(node: INodeProto): number {
  return subgraphsOf(node).reduce(
    (sum, graph) => sum + (graph.node ?? []).reduce((inner, at) => inner + 1 + countNodes(at), 0),
    0,
  )
}

function integer(node: INodeProto, name: string): number | undefined {
  const value = node.attribute?.find((attribute) => attribute.name === name)?.i
  return value == null ? undefined : toSafeInteger(value)
}

function integers(node: INodeProto, name: string): readonly number[] {
  const values = node.attribute?.find((attribute) => attribute.name === name)?.ints ?? []
  return values.map((value) => toSafeInteger(value) ?? 1)
}
