/**
 * Models cut out of a model: one node, or a range of nodes between committed tensors.
 *
 * Nodes, weights, operator sets and file version are the encoded fields of the original, byte for byte, so
 * that attributes and subgraphs are exactly its own. Initialisers and Constant nodes that are used stay
 * constants, because the runtimes treat constants differently (they may pack weights ahead); all else comes
 * in as an input, typed as the tensor that was committed. Declared types of intermediates are left out: a
 * file may lie about them, and the runtime infers them. The bytes are a function of the model's bytes, the
 * range, and the types: equal for everybody.
 *
 * Threat: hostile models, as graph.ts. What a cut model computes is not bounded here.
 */
import { concatBytes, utf8 } from '../core/bytes.ts'
import { contentAddress } from '../core/cid.ts'
import { AssayError } from '../core/errors.ts'
import type { Dtype } from '../state/tensor.ts'
import type { Graph, GraphNode } from './graph.ts'
import type { Model, ValueInfo } from './model.ts'
import { lengthField, varintField } from './proto-bytes.ts'
import { dataTypeOf } from './tensor-proto.ts'

/** Element type and shape of a tensor; a tensor has them. */
export interface TensorType {
  readonly dtype: Dtype
  readonly shape: readonly number[]
}

export interface NodeRange {
  /** First position. */
  readonly from: number
  /** Position after the last. */
  readonly to: number
}

export interface CutOptions {
  /** Types of what the range reads, by name; more may be given. Where it is left out, the whole graph is meant, with its own inputs. */
  readonly inputs?: { readonly [name: string]: TensorType }
  /** 'all' values that the range computes (default), those that are read after it or are outputs of the model, or those named. */
  readonly outputs?: 'all' | 'live' | readonly string[]
}

const MODEL = { graph: 7 } as const
const GRAPH = { node: 1, name: 2, input: 11, output: 12 } as const
const VALUE = { name: 1, type: 2 } as const

/**
 * One node as a model of its own. Its outputs are `exposed` under their names.
 *
 * @param inputs types of what the node reads (`graph.nodes[i].needs`), such as the tensors themselves.
 * @throws AssayError `input/missing`, and `input/out-of-range` for a position that the graph does not have.
 */
export function cutNode(
  graph: Graph,
  nodeIndex: number,
  inputs: { readonly [name: string]: TensorType },
): Model {
  return cutSegment(graph, { from: nodeIndex, to: nodeIndex + 1 }, { inputs })
}

/** A range of nodes as a model of its own; see `cutNode`. */
export function cutSegment(graph: Graph, range: NodeRange, options: CutOptions = {}): Model {
  const { from, to } = range
  const count = graph.nodes.length
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to > count || from >= to) {
    throw new AssayError(
      'input/out-of-range',
      `expected a range of nodes within 0 to ${count}, got ${from} to ${to}`,
      { detail: { count } },
    )
  }
  const nodes = graph.nodes.slice(from, to)
  const names = liveIns(nodes)
  const inputs = options.inputs === undefined ? ownInputs(graph) : typedInputs(names, options)
  return assembleCut(graph, { nodes, inputs, exposed: exposedNames(graph, range, options.outputs ?? 'all') })
}

/** The whole model with every traced value exposed: one run gives the trace. */
export function exposeAll(graph: Graph): Model {
  return cutSegment(graph, { from: 0, to: graph.nodes.length })
}

/** What a range reads from before it, without constants, in order of first use. */
export function liveIns(nodes: readonly GraphNode[]): readonly string[] {
  const made = new Set<string>()
  const read = new Set<string>()
  for (const { needs, outputs } of nodes) {
    for (const name of needs) if (!made.has(name)) read.add(name)
    for (const name of outputs) made.add(name)
  }
  return [...read]
}

/** Of a range whose nodes are all Constant, the constants; else what it computes. */
function exposedNames(
  graph: Graph,
  { from, to }: NodeRange,
  which: 'all' | 'live' | readonly string[],
): readonly string[] {
  if (typeof which !== 'string') return namedValues(graph, { from, to }, which)
  const made = graph.nodes.slice(from, to)
  const computed = made.filter(({ isConstant }) => !isConstant)
  const names = (computed.length > 0 ? computed : made).flatMap(({ outputs }) => outputs)
  return names.filter((name) => name !== '' && (which === 'all' || isLiveAt(graph, name, to)))
}

function namedValues(graph: Graph, { from, to }: NodeRange, names: readonly string[]): readonly string[] {
  for (const name of names) {
    const producer = graph.values.get(name)?.producer ?? -1
    if (producer >= from && producer < to) continue
    throw new AssayError(
      'input/unknown-name',
      `expected the name of a value that nodes ${from} to ${to - 1} compute, got ${JSON.stringify(name)}`,
      { detail: { name } },
    )
  }
  return names
}

function isLiveAt(graph: Graph, name: string, position: number): boolean {
  const { lastRead, isOutput } = graph.values.get(name)!
  return isOutput || lastRead >= position
}

/** An input of a cut model, and its encoded field. */
export interface CutInput {
  readonly info: ValueInfo
  readonly encoded: Uint8Array
}

function ownInputs({ model, parts }: Graph): readonly CutInput[] {
  return model.inputs.map((info) => ({ info, encoded: parts.inputs.get(info.name)! }))
}

/** Inputs of these names, typed by `options.inputs`. */
export function typedInputs(names: readonly string[], options: CutOptions): readonly CutInput[] {
  const { inputs = {} } = options
  return names.map((name) => {
    const type = Object.hasOwn(inputs, name) ? inputs[name] : undefined
    if (type === undefined) {
      throw new AssayError(
        'input/missing',
        `the type of ${JSON.stringify(name)} is needed, which the cut nodes read`,
        { detail: { missing: [name] } },
      )
    }
    return { info: { name, dtype: type.dtype, dims: [...type.shape] }, encoded: encodeInput(name, type) }
  })
}

/**
 * ValueInfoProto {name, type {tensor_type {elem_type, shape {dim {dim_value} ...}}}}. With sizes, not only a
 * rank: the inference of some operators (Resize) takes a dimension without a size for one of size 0.
 */
function encodeInput(name: string, { dtype, shape }: TensorType): Uint8Array {
  const sizes = shape.map((size) => lengthField(1, varintField(1, size)))
  const tensorType = lengthField(1, varintField(1, dataTypeOf(dtype)), lengthField(2, ...sizes))
  return lengthField(GRAPH.input, lengthField(VALUE.name, utf8(name)), lengthField(VALUE.type, tensorType))
}

export interface CutParts {
  readonly nodes: readonly GraphNode[]
  readonly inputs: readonly CutInput[]
  readonly exposed: readonly string[]
  /** Further encoded fields of the model and its graph (trace-plan.ts). */
  readonly extraHeader?: readonly Uint8Array[]
  readonly extraGraph?: readonly Uint8Array[]
}

/** Puts a model together from nodes, with the constants that they use. */
export function assembleCut(graph: Graph, cut: CutParts): Model {
  const { nodes, inputs, exposed, extraHeader = [], extraGraph = [] } = cut
  const { model, parts } = graph
  const constants = [...new Set(nodes.flatMap((node) => node.constants))]
  const initialisers = constants.filter((name) => parts.initialisers.has(name))
  const inRange = new Set(nodes)
  const constantNodes = new Set<GraphNode>()
  for (const name of constants) {
    const producer = graph.nodes[graph.values.get(name)?.producer ?? -1]
    if (producer !== undefined && !inRange.has(producer)) constantNodes.add(producer)
  }
  const kept = [...constantNodes, ...nodes]
  const graphBytes = lengthField(
    MODEL.graph,
    ...kept.map(({ bytes }) => lengthField(GRAPH.node, bytes)),
    lengthField(GRAPH.name, utf8('cut')),
    ...initialisers.map((name) => parts.initialisers.get(name)!),
    // An initialiser that is an input as well may be overridden, and is not a constant for the runtimes.
    ...initialisers.flatMap((name) => parts.inputs.get(name) ?? []),
    ...inputs.map(({ encoded }) => encoded),
    ...exposed.map((name) => lengthField(GRAPH.output, lengthField(VALUE.name, utf8(name)))),
    ...extraGraph,
  )
  const bytes = concatBytes(...parts.header, ...extraHeader, graphBytes)
  const operators = new Map<string, number>()
  for (const { operator } of kept) operators.set(operator, (operators.get(operator) ?? 0) + 1)
  return {
    // Hashing the weights costs more than most nodes: only whoever asks pays.
    get cid() {
      return contentAddress(bytes, 'raw')
    },
    bytes,
    irVersion: model.irVersion,
    opsets: model.opsets,
    operators,
    inputs: inputs.map(({ info }) => info),
    outputs: [],
    exposed,
  }
}
