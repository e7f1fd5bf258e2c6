/**
 * What cannot be traced: the explicit list, with the reason for each entry.
 *
 * A trace holds tensors, and a verifier recomputes each node from the tensors that it read. So values that
 * are not tensors, and operators that give another result each time, are refused by name before anything
 * runs. Within subgraphs values that are not tensors are allowed, since only what the node gives is traced.
 */
import onnxProto from 'onnx-proto'
import { AssayError } from '../core/errors.ts'
import { type Graph, type GraphNode, subgraphsOf } from './graph.ts'
import { operatorName } from './graph-check.ts'

type INodeProto = onnxProto.onnx.INodeProto

/** Operators that make sequences, optional values or maps. Those that only take them cannot be reached without one that makes them. */
export const NON_TENSOR_OPERATORS: { readonly [operator: string]: string } = {
  SequenceEmpty: 'it makes a sequence',
  SequenceConstruct: 'it makes a sequence',
  SequenceInsert: 'it makes a sequence',
  SequenceErase: 'it makes a sequence',
  SequenceMap: 'it makes a sequence',
  SplitToSequence: 'it makes a sequence',
  Optional: 'it makes an optional value',
  'ai.onnx.ml::ZipMap': 'it makes a sequence of maps: export classifiers with zipmap off',
  'ai.onnx.ml::CastMap': 'it takes a map',
  'ai.onnx.ml::DictVectorizer': 'it takes a map',
}

/** Operators whose result is drawn at random, seeded or not: a runtime advances the generator with each run. */
export const RANDOM_OPERATORS: ReadonlySet<string> = new Set([
  'RandomNormal',
  'RandomNormalLike',
  'RandomUniform',
  'RandomUniformLike',
  'Multinomial',
  'Bernoulli',
  'com.microsoft::BitmaskDropout',
  'com.microsoft::Sampling',
])

export interface Untraceable {
  readonly node: GraphNode
  readonly reason: string
}

/** Nodes that cannot be traced, with the reasons; empty for most models. */
export function untraceableNodes(graph: Graph): readonly Untraceable[] {
  return graph.nodes.flatMap((node) => {
    const reason = NON_TENSOR_OPERATORS[node.operator] ?? randomReason(node)
    return reason === undefined ? [] : [{ node, reason }]
  })
}

/** Throws `onnx/unsupported-feature`, which names the first node that cannot be traced. */
export function assertTraceable(graph: Graph): void {
  const [first] = untraceableNodes(graph)
  if (first === undefined) return
  const { node, reason } = first
  throw new AssayError(
    'onnx/unsupported-feature',
    `node ${node.index} ${JSON.stringify(node.name)} (${node.operator}) cannot be traced: ${reason}`,
    { detail: { node: node.index, operator: node.operator } },
  )
}

function randomReason(node: GraphNode): string | undefined {
  if (RANDOM_OPERATORS.has(node.operator)) return 'its result is drawn at random'
  if (node.operator === 'Dropout' && (node.inputs[2] ?? '') !== '') {
    return 'with a training mode its result may be drawn at random: export for inference'
  }
  return hasRandomSubgraph(onnxProto.onnx.NodeProto.decode(node.bytes))
    ? 'a subgraph draws values at random'
    : undefined
}

function hasRandomSubgraph(proto: INodeProto): boolean {
  return subgraphsOf(proto).some(({ node }) =>
    (node ?? []).some((inner) => RANDOM_OPERATORS.has(operatorName(inner)) || hasRandomSubgraph(inner)),
  )
}
