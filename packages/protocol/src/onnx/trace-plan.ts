/**
 * How large the tensors of a run will be, before it runs: the runtime's own inference of shapes, asked with
 * the sizes of the inputs and the values of small ones.
 *
 * A planning model is the range of nodes with its inputs at their exact sizes and, for small tensors, as
 * constants, so that what depends on their values (ConstantOfShape, Expand, Tile, Range, Resize, ...) has
 * a known size as well. It is opened and never run. The runtimes describe scalars and values of unknown rank
 * alike, so the model has a Shape node beside each value: its own size is the rank where that is known.
 *
 * Threat: models that allocate without bound. A size that is known beyond a limit is refused here, naming
 * the node.
 */
import { utf8 } from '../core/bytes.ts'
import { AssayError } from '../core/errors.ts'
import { dtypeBytes, prepareTensor, type Tensor, tensorBytes } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import {
  assembleCut,
  type CutOptions,
  cutSegment,
  liveIns,
  type NodeRange,
  type TensorType,
  typedInputs,
} from './cut.ts'
import type { Graph, GraphNode } from './graph.ts'
import type { Model } from './model.ts'
import { lengthField, varintField } from './proto-bytes.ts'
import type { Runtime, Session, SessionOutput } from './runtime.ts'
import { dataTypeOf } from './tensor-proto.ts'

/** Limits of a traced run; see TraceOptions in traced-run.ts. */
export interface TraceLimits {
  readonly maxLiveBytes: number
  readonly maxTensorBytes: number
  readonly segmentNodes: number
}

interface Run {
  readonly graph: Graph
  readonly runtime: Runtime
}

/** Tensors of at most this many elements are shapes, axes, scales: their values are given to the planner. */
const MAX_VALUE_ELEMENTS = 64
/** What a text element is counted as; its true size is checked after the run. */
const STRING_BYTES = 32
/** What the runtimes report for a size that they do not know, beside names: -1 as 32 bits. */
const UNKNOWN_SIZE = 2 ** 32 - 1
/** Operator set of the Shape nodes, where the model imports no ai.onnx. */
const SHAPE_OPSET = 13

/** Whether one run of everything stays within the limits, as far as the runtime knows ahead: false where a size is unknown. */
export async function planWhole(
  { graph, runtime }: Run,
  inputs: NamedTensors,
  limits: TraceLimits,
): Promise<boolean> {
  const range = { from: 0, to: graph.nodes.length }
  const { sizes, half } = await inferSizes({ graph, runtime }, range, new Map(Object.entries(inputs)))
  if (half) return false
  let total = 0
  for (const node of graph.nodes) {
    const bytes = nodeBytes(node, sizes, limits)
    if (bytes === undefined) return false
    total += bytes
  }
  return total <= limits.maxLiveBytes
}

export interface SegmentStart {
  readonly from: number
  readonly live: ReadonlyMap<string, Tensor>
  readonly limits: TraceLimits
  /** Most nodes to look at. */
  readonly window: number
}

/**
 * The position up to which nodes can run as one segment: as far as sizes are known and fit beside what is
 * live. A node whose size is unknown gets a segment of its own.
 *
 * @throws AssayError `onnx/too-large` where not even the first node fits.
 */
export async function planSegment(
  { graph, runtime }: Run,
  { from, live, limits, window }: SegmentStart,
): Promise<number> {
  const end = Math.min(from + window, graph.nodes.length)
  const { sizes, half } = await inferSizes({ graph, runtime }, { from, to: end }, live)
  let held = 0
  for (const tensor of live.values()) held += tensorBytes(tensor)
  for (let at = from; at < end; at++) {
    const node = graph.nodes[at]!
    const bytes = nodeBytes(node, sizes, limits)
    if (bytes === undefined) return Math.max(at, from + 1)
    held += bytes
    if (held <= limits.maxLiveBytes) {
      if (half) return at + 1
      continue
    }
    if (at > from) return at
    throw new AssayError(
      'onnx/too-large',
      `node ${at} ${JSON.stringify(node.name)} (${node.operator}) needs ${held} bytes of tensors at a time, above the cap of ${limits.maxLiveBytes}: raise maxLiveBytes if that is meant`,
      { detail: { node: at, operator: node.operator, bytes: held, maxLiveBytes: limits.maxLiveBytes } },
    )
  }
  return end
}

/** Bytes of what a node gives; undefined where a size is unknown. Throws where one value alone is above the cap. */
function nodeBytes(
  node: GraphNode,
  sizes: ReadonlyMap<string, number | undefined>,
  { maxTensorBytes }: TraceLimits,
): number | undefined {
  if (node.isConstant) return 0
  let total = 0
  let known = true
  for (const name of node.outputs) {
    if (name === '') continue
    const bytes = sizes.get(name)
    if (bytes === undefined) known = false
    else if (bytes > maxTensorBytes) {
      throw new AssayError(
        'onnx/too-large',
        `${JSON.stringify(name)}, which node ${node.index} (${node.operator}) gives, would have ${bytes} bytes, above the cap of ${maxTensorBytes}`,
        { detail: { name, node: node.index, operator: node.operator, bytes, maxTensorBytes } },
      )
    } else total += bytes
  }
  return known ? total : undefined
}

interface Inferred {
  /** Bytes by name; undefined where the runtime does not know. */
  readonly sizes: ReadonlyMap<string, number | undefined>
  /** Whether half floats are computed; see traced-run.ts. */
  readonly half: boolean
}

/** What the runtime knows of the values that a range computes. */
async function inferSizes(
  { graph, runtime }: Run,
  range: NodeRange,
  given: ReadonlyMap<string, Tensor>,
): Promise<Inferred> {
  const values = new Map([...given].filter(([, value]) => isSmall(value)))
  const { model, ranks } = planningModel(graph, range, { types: given, values })
  const outputs = await describeOutputs({ graph, runtime }, { model, range, given })
  const byName = new Map(outputs.map((output) => [output.name, output]))
  const sizes = new Map<string, number | undefined>()
  for (const [name, rankName] of ranks) sizes.set(name, sizeOf(byName.get(name), byName.get(rankName)))
  return { sizes, half: outputs.some(isHalf) }
}

/**
 * Shapes of what the graph computes, as the runtime infers them from the types of the inputs alone: nothing is
 * run. Values whose size is not known ahead are left out.
 *
 * @throws AssayError `input/missing` for an input without a type, and what opening the model throws.
 */
export async function inferShapes(
  { graph, runtime }: Run,
  inputs: { readonly [name: string]: TensorType },
): Promise<ReadonlyMap<string, readonly number[]>> {
  const shapes = new Map<string, readonly number[]>()
  if (graph.nodes.every(({ isConstant }) => isConstant)) return shapes
  const range = { from: 0, to: graph.nodes.length }
  const given = new Map(Object.entries(inputs))
  const { model, ranks } = planningModel(graph, range, { types: given, values: new Map() })
  const outputs = await describeOutputs({ graph, runtime }, { model, range, given })
  const byName = new Map(outputs.map((output) => [output.name, output]))
  for (const [name, rankName] of ranks) {
    const shape = shapeOf(byName.get(name), byName.get(rankName))
    if (shape !== undefined) shapes.set(name, shape)
  }
  return shapes
}

export function isHalf({ dtype }: SessionOutput): boolean {
  return dtype === 'float16'
}

interface Planning {
  readonly model: Model
  readonly range: NodeRange
  readonly given: ReadonlyMap<string, TensorType>
}

/** Opens the planning model; where that fails because a value has no shape, since it is no tensor, says so. */
async function describeOutputs(
  { graph, runtime }: Run,
  { model, range, given }: Planning,
): Promise<readonly SessionOutput[]> {
  let session: Session
  try {
    session = await runtime.open(model)
  } catch (failure) {
    const inputs = Object.fromEntries(given)
    await (await openExposed({ graph, runtime }, range, { inputs })).close()
    throw failure
  }
  await session.close()
  for (const output of session.outputs) assertHeld(output)
  return session.outputs
}

/**
 * Opens a range with all that it computes exposed, by default with the graph's own inputs. Refuses values
 * that a trace cannot hold, by name: `onnx/unsupported-type`.
 */
export async function openExposed(
  { graph, runtime }: Run,
  range: NodeRange,
  options: Pick<CutOptions, 'inputs'> = {},
): Promise<Session> {
  const model = cutSegment(graph, range, options)
  let session: Session
  try {
    session = await runtime.open(model)
  } catch (failure) {
    if (!(failure instanceof AssayError) || failure.code !== 'onnx/unsupported-type') throw failure
    const names = model.exposed ?? []
    const fails = (count: number) =>
      runtime.open(cutSegment(graph, range, { ...options, outputs: names.slice(0, count) })).then(
        (opened) => opened.close().then(() => false),
        () => true,
      )
    const name = names[(await smallest(names.length, fails)) - 1] ?? ''
    throw notHeld(name, `a tensor of ${String(failure.detail.type)}`)
  }
  const faulty = session.outputs.find(({ dtype }) => dtype === null)
  if (faulty !== undefined) await session.close()
  if (faulty !== undefined) assertHeld(faulty)
  return session
}

/** The least count of 1 to `most` that fails, where `most` does and more fail once one has. */
async function smallest(most: number, fails: (count: number) => Promise<boolean>): Promise<number> {
  let low = 0
  let high = most
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (await fails(middle)) high = middle
    else low = middle
  }
  return high
}

/** Refuses a value that a trace cannot hold, by name: `onnx/unsupported-type`. */
function assertHeld({ name, dtype, type }: SessionOutput): void {
  if (dtype === null) throw notHeld(name, type === 'not a tensor' ? type : `a tensor of ${type}`)
}

function notHeld(name: string, what: string): AssayError {
  return new AssayError(
    'onnx/unsupported-type',
    `value ${JSON.stringify(name)} cannot be traced: it is ${what}`,
    { detail: { name, what } },
  )
}

function sizeOf(output: SessionOutput | undefined, rank: SessionOutput | undefined): number | undefined {
  const shape = shapeOf(output, rank)
  if (shape === undefined || output?.dtype == null) return undefined
  return shape.reduce((product, size) => product * size, 1) * (dtypeBytes(output.dtype) || STRING_BYTES)
}

function shapeOf(
  output: SessionOutput | undefined,
  rank: SessionOutput | undefined,
): readonly number[] | undefined {
  if (output?.dtype == null || rank === undefined) return undefined
  // No sizes: a scalar, if its rank is known to be 0.
  if (output.dims.length === 0 && rank.dims[0] !== 0) return undefined
  const known = output.dims.every((dim) => typeof dim === 'number' && dim !== UNKNOWN_SIZE)
  return known ? (output.dims as readonly number[]) : undefined
}

interface Given {
  readonly types: ReadonlyMap<string, TensorType>
  /** Of small tensors, for those operators whose shapes depend on them. */
  readonly values: ReadonlyMap<string, Tensor>
}

/** The range with exact inputs, small ones as constants, and a Shape node for each value it computes. */
function planningModel(
  graph: Graph,
  { from, to }: NodeRange,
  { types, values }: Given,
): { readonly model: Model; readonly ranks: ReadonlyMap<string, string> } {
  const nodes = graph.nodes.slice(from, to)
  const names = liveIns(nodes)
  const small = names.filter((name) => values.has(name))
  const large = names.filter((name) => !values.has(name))
  const computed = nodes.filter(({ isConstant }) => !isConstant).flatMap(({ outputs }) => outputs)
  const prefix = freePrefix(graph)
  const ranks = new Map(computed.filter((name) => name !== '').map((name) => [name, `${prefix}${name}`]))
  const model = assembleCut(graph, {
    nodes,
    inputs: typedInputs(large, { inputs: Object.fromEntries(types) }),
    exposed: [...ranks].flat(),
    extraHeader: graph.model.opsets.has('') ? [] : [lengthField(8, varintField(2, SHAPE_OPSET))],
    extraGraph: [
      ...small.map((name) => encodeInitialiser(name, values.get(name)!)),
      ...[...ranks].map(([name, rank]) => encodeShapeNode(name, rank)),
    ],
  })
  return { model, ranks }
}

function isSmall({ dtype, data }: Tensor): boolean {
  return dtype !== 'string' && data.length <= MAX_VALUE_ELEMENTS
}

/** A prefix that no value of the graph has. */
function freePrefix(graph: Graph): string {
  let prefix = 'rank:'
  while ([...graph.values.keys()].some((name) => name.startsWith(prefix))) prefix += ':'
  return prefix
}

/** GraphProto.node {input, output, op_type}. */
function encodeShapeNode(input: string, output: string): Uint8Array {
  return lengthField(
    1,
    lengthField(1, utf8(input)),
    lengthField(2, utf8(output)),
    lengthField(4, utf8('Shape')),
  )
}

/** GraphProto.initializer {dims, data_type, name, raw_data}. */
function encodeInitialiser(name: string, tensor: Tensor): Uint8Array {
  return lengthField(
    5,
    ...tensor.shape.map((size) => varintField(1, size)),
    varintField(2, dataTypeOf(tensor.dtype)),
    lengthField(8, utf8(name)),
    lengthField(9, prepareTensor(tensor).data),
  )
}
