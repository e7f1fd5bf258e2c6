/**
 * The graph of a model as a verifier walks it: nodes in one topological order, which value is made where and
 * used last where, and the encoded parts from which smaller models are put together (cut.ts).
 *
 * ONNX ("IR.md") demands that nodes are listed in topological order; models that do not keep to it are put
 * in the order in which a depth-first walk in file order finishes, which is the file's order where that is
 * topological already. So positions are the same for everybody who holds the same bytes.
 *
 * Values are of three kinds. `input`: given at run time. `constant`: initialisers and outputs of Constant
 * nodes; they follow from the model's bytes, and are never committed to. `computed`: all else.
 *
 * Threat: hostile models. `loadModel` has refused cycles, duplicate names and values without a producer; a
 * name that a subgraph defines again although it can see it outside is refused here, since it would make
 * ambiguous what the subgraph reads.
 */
import onnxProto from 'onnx-proto'
import { AssayError } from '../core/errors.ts'
import { operatorName } from './graph-check.ts'
import type { Model, ValueInfo } from './model.ts'
import { fieldsOf, integersOf, lengthField } from './proto-bytes.ts'
import { toSafeInteger } from './tensor-proto.ts'

type INodeProto = onnxProto.onnx.INodeProto
type IGraphProto = onnxProto.onnx.IGraphProto

export interface GraphNode {
  /** Position in topological order. */
  readonly index: number
  /** As in the file; may be ''. */
  readonly name: string
  /** 'Conv', or 'com.microsoft::Attention' outside ai.onnx. */
  readonly operator: string
  /** As in the file, in order; '' where an optional input is left out. */
  readonly inputs: readonly string[]
  /** As in the file, in order; '' where an optional output is left out. */
  readonly outputs: readonly string[]
  /** Values of the graph that its subgraphs (If, Loop, Scan) read, sorted by name. */
  readonly captured: readonly string[]
  /** What must be there to run it: inputs, then captured values, without constants, each once. */
  readonly needs: readonly string[]
  /** The constants it uses, each once, in the same order. */
  readonly constants: readonly string[]
  /** A Constant node: its output follows from the model and is not part of a trace. */
  readonly isConstant: boolean
  /** The encoded NodeProto. */
  readonly bytes: Uint8Array
}

export interface GraphValue {
  readonly name: string
  readonly kind: 'input' | 'constant' | 'computed'
  /** Position of the node that makes it; -1 for graph inputs and initialisers. */
  readonly producer: number
  /** Position of the last node that reads it; -1 where none does. */
  readonly lastRead: number
  /** Whether it is an output of the model. */
  readonly isOutput: boolean
}

/** A tensor of the trace: a graph input (`node` is -1) or an output of a node. */
export interface TracedValue {
  readonly name: string
  readonly node: number
}

export interface Graph {
  readonly model: Model
  /** In topological order, Constant nodes included. */
  readonly nodes: readonly GraphNode[]
  readonly values: ReadonlyMap<string, GraphValue>
  /** All values that a trace holds, in its order: inputs of the graph in order, then the outputs of each node. */
  readonly traced: readonly TracedValue[]
  readonly parts: GraphParts
}

/** Encoded fields of the model, as views into its bytes, to be copied into other models. */
export interface GraphParts {
  /** Fields of ModelProto that say how to read the graph: ir_version and opset_import, tags included. */
  readonly header: readonly Uint8Array[]
  /** Fields `initializer` of the graph by name, tags included. */
  readonly initialisers: ReadonlyMap<string, Uint8Array>
  /** Fields `input` of the graph by name, tags included; those of overridable initialisers as well. */
  readonly inputs: ReadonlyMap<string, Uint8Array>
}

/** Field numbers of onnx.proto. */
const MODEL = { irVersion: 1, graph: 7, opsetImport: 8 } as const
const GRAPH = { node: 1, initializer: 5, input: 11 } as const
const NAMED = { valueInfo: 1, tensor: 8 } as const
const TENSOR_DIMS = 1

/** @throws AssayError `onnx/invalid-graph` for a subgraph that hides a name of the graph around it. */
export function openGraph(model: Model): Graph {
  const { parts, encodedNodes } = readParts(model.bytes)
  const protos = encodedNodes.map((bytes) => onnxProto.onnx.NodeProto.decode(bytes))
  const names = new Set([...parts.initialisers.keys(), ...model.inputs.map(({ name }) => name)])
  for (const { output } of protos) for (const name of output) if (name !== '') names.add(name)
  const captured = protos.map((proto) => [...capturedNames(proto, names)].sort())
  const order = topologicalOrder(protos, captured)
  const constants = new Set(parts.initialisers.keys())
  for (const proto of protos) if (isConstant(proto)) for (const name of proto.output) constants.add(name)
  const nodes = order.map((at, index) =>
    graphNode(protos[at]!, { index, captured: captured[at]!, constants, bytes: encodedNodes[at]! }),
  )
  const values = collectValues(model, nodes, parts)
  return { model, nodes, values, traced: tracedValues(model, nodes), parts }
}

function readParts(bytes: Uint8Array): { parts: GraphParts; encodedNodes: Uint8Array[] } {
  const header: Uint8Array[] = []
  const initialisers = new Map<string, Uint8Array>()
  const inputs = new Map<string, Uint8Array>()
  const encodedNodes: Uint8Array[] = []
  for (const { field, whole, value } of fieldsOf(bytes)) {
    if (field === MODEL.irVersion || field === MODEL.opsetImport) header.push(whole)
    if (field !== MODEL.graph) continue
    for (const part of fieldsOf(value)) {
      if (part.field === GRAPH.node) encodedNodes.push(part.value)
      else if (part.field === GRAPH.initializer) {
        initialisers.set(nameIn(part.value, NAMED.tensor), part.whole)
      } else if (part.field === GRAPH.input) inputs.set(nameIn(part.value, NAMED.valueInfo), part.whole)
    }
  }
  return { parts: { header, initialisers, inputs }, encodedNodes }
}

/**
 * The last field wins, as in every protobuf decoder; and the text is read by the decoder that reads the names
 * of nodes, so that both agree on bytes that are no UTF-8.
 */
function nameIn(message: Uint8Array, nameField: number): string {
  let name = ''
  for (const { field, value } of fieldsOf(message)) if (field === nameField) name = decodeName(value)
  return name
}

function decodeName(value: Uint8Array): string {
  return onnxProto.onnx.TensorProto.decode(lengthField(NAMED.tensor, value)).name
}

function isConstant(proto: INodeProto): boolean {
  return operatorName(proto) === 'Constant'
}

interface NodeContext {
  readonly index: number
  readonly captured: readonly string[]
  readonly constants: ReadonlySet<string>
  readonly bytes: Uint8Array
}

function graphNode(proto: INodeProto, { index, captured, constants, bytes }: NodeContext): GraphNode {
  const inputs = proto.input ?? []
  const used = [...new Set([...inputs, ...captured])].filter((name) => name !== '')
  return {
    index,
    name: proto.name ?? '',
    operator: operatorName(proto),
    inputs,
    outputs: proto.output ?? [],
    captured,
    needs: used.filter((name) => !constants.has(name)),
    constants: used.filter((name) => constants.has(name)),
    isConstant: isConstant(proto),
    bytes,
  }
}

/** Names among `outer` that the subgraphs of a node read. */
function capturedNames(proto: INodeProto, outer: ReadonlySet<string>): Set<string> {
  const captured = new Set<string>()
  for (const graph of subgraphsOf(proto)) for (const name of freeNames(graph, outer)) captured.add(name)
  return captured
}

/** The graphs in the attributes of a node. */
export function subgraphsOf(proto: INodeProto): readonly IGraphProto[] {
  return (proto.attribute ?? []).flatMap(({ g, graphs }) => [...(g == null ? [] : [g]), ...(graphs ?? [])])
}

function freeNames(graph: IGraphProto, outer: ReadonlySet<string>): Set<string> {
  const own = new Set<string>()
  for (const { name } of [...(graph.input ?? []), ...(graph.initializer ?? [])]) own.add(name ?? '')
  for (const { output } of graph.node ?? []) for (const name of output ?? []) own.add(name)
  own.delete('')
  for (const name of own) if (outer.has(name)) throw hiddenName(name)
  const free = new Set<string>()
  const read = (name: string): void => {
    if (name !== '' && !own.has(name)) free.add(name)
  }
  const visible = new Set([...outer, ...own])
  for (const node of graph.node ?? []) {
    for (const name of node.input ?? []) read(name)
    for (const name of capturedNames(node, visible)) read(name)
  }
  for (const { name } of graph.output ?? []) read(name ?? '')
  return free
}

function hiddenName(name: string): AssayError {
  return new AssayError(
    'onnx/invalid-graph',
    `the model is not valid: a subgraph defines ${JSON.stringify(name)}, which the graph around it defines as well`,
    { detail: { name } },
  )
}

/** Depth first, each node after what it reads, roots in file order. */
function topologicalOrder(
  protos: readonly INodeProto[],
  captured: readonly (readonly string[])[],
): readonly number[] {
  const producer = new Map<string, number>()
  for (const [at, { output }] of protos.entries()) for (const name of output ?? []) producer.set(name, at)
  producer.delete('')
  const reads = (at: number) => [...(protos[at]!.input ?? []), ...captured[at]!]
  const order: number[] = []
  const seen = new Uint8Array(protos.length)
  const stack: { readonly at: number; readonly names: readonly string[]; next: number }[] = []
  const enter = (at: number): void => {
    if (seen[at] === 1) return
    seen[at] = 1
    stack.push({ at, names: reads(at), next: 0 })
  }
  for (let root = 0; root < protos.length; root++) {
    enter(root)
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const name = top.names[top.next++]
      if (name === undefined) order.push(stack.pop()!.at)
      else if (producer.has(name)) enter(producer.get(name)!)
    }
  }
  return order
}

function collectValues(
  model: Model,
  nodes: readonly GraphNode[],
  parts: GraphParts,
): ReadonlyMap<string, GraphValue> {
  const lastRead = new Map<string, number>()
  for (const { index, inputs, captured } of nodes) {
    for (const name of [...inputs, ...captured]) lastRead.set(name, index)
  }
  const outputs = new Set(model.outputs.map(({ name }) => name))
  const values = new Map<string, GraphValue>()
  const add = (name: string, kind: GraphValue['kind'], producer: number): void => {
    if (name === '') return
    values.set(name, {
      name,
      kind,
      producer,
      lastRead: lastRead.get(name) ?? -1,
      isOutput: outputs.has(name),
    })
  }
  for (const { name } of model.inputs) add(name, 'input', -1)
  for (const name of parts.initialisers.keys()) add(name, 'constant', -1)
  for (const { index, outputs: names, isConstant: constant } of nodes) {
    for (const name of names) add(name, constant ? 'constant' : 'computed', index)
  }
  return values
}

function tracedValues(model: Model, nodes: readonly GraphNode[]): readonly TracedValue[] {
  const inputs = model.inputs.map(({ name }: ValueInfo) => ({ name, node: -1 }))
  const computed = nodes
    .filter(({ isConstant: constant }) => !constant)
    .flatMap(({ index, outputs }) =>
      outputs.filter((name) => name !== '').map((name) => ({ name, node: index })),
    )
  return [...inputs, ...computed]
}

/** The shape of a constant; undefined for what is none. */
export function constantShape({ values, nodes, parts }: Graph, name: string): readonly number[] | undefined {
  const value = values.get(name)
  if (value?.kind !== 'constant') return undefined
  const initialiser = parts.initialisers.get(name)
  if (initialiser !== undefined) {
    for (const { value: proto } of fieldsOf(initialiser)) return integersOf(proto, TENSOR_DIMS)
  }
  const node = nodes[value.producer]
  return node === undefined ? undefined : shapeOfConstantNode(onnxProto.onnx.NodeProto.decode(node.bytes))
}

function shapeOfConstantNode({ attribute }: INodeProto): readonly number[] {
  for (const { name, t, sparseTensor, floats, ints, strings } of attribute ?? []) {
    const dims = name === 'value' ? t?.dims : name === 'sparse_value' ? sparseTensor?.dims : undefined
    if (dims != null) return dims.map((dim) => toSafeInteger(dim) ?? 1)
    if (name === 'value_floats') return [floats?.length ?? 0]
    if (name === 'value_ints') return [ints?.length ?? 0]
    if (name === 'value_strings') return [strings?.length ?? 0]
  }
  return []
}
