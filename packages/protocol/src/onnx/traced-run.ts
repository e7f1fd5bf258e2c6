/**
 * Every tensor of one run, streamed in the order of the trace: inputs of the graph, then what each node
 * gives, in topological order.
 *
 * Two ways, with the same bits in the reproducible runtime. `all`: one run of the model with every value
 * exposed; fastest, and holds the whole trace at once. `segments`: node ranges are cut out and run one after
 * the other on the tensors before them; only tensors that are still to be read are kept. `auto`, the
 * default, takes `all` where the runtime's own inference of shapes says that the trace fits into
 * `maxLiveBytes`, and `segments` otherwise.
 *
 * Half floats: where the runtime has no kernel for them it computes in single precision, and keeps that
 * precision between neighbouring nodes. A trace must hold what the next node reads, so a model that computes
 * half floats is always run node by node, and its output may differ in the last bits from a plain run.
 *
 * Memory: at most `maxLiveBytes` of tensor data are held at a time, plus, inside the runtime, the copy of a
 * segment's inputs and outputs, and its weights. Sizes that the runtime infers ahead are refused before a
 * run; sizes that depend on values are, where they follow from tensors at hand (a shape, repeats, a range),
 * inferred from these; what remains unknown (Loop, If, NonZero, ...) runs alone in its segment, and is
 * checked after it ran.
 *
 * Threat: hostile models. A run ends in a typed error, and the process is safe from JavaScript's side; a
 * model that loops for ever can only be stopped from outside, by ending the process or worker.
 */
import { AssayError } from '../core/errors.ts'
import { MAX_TENSOR_BYTES, type Tensor, tensorBytes } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { cutSegment, liveIns, type NodeRange } from './cut.ts'
import { assertInputs } from './feed.ts'
import type { Graph } from './graph.ts'
import type { Runtime } from './runtime.ts'
import { isHalf, openExposed, planSegment, planWhole, type TraceLimits } from './trace-plan.ts'
import { assertTraceable } from './trace-refusal.ts'

export interface TraceOptions {
  readonly mode?: 'auto' | 'all' | 'segments'
  /** Most bytes of tensor data held at a time; 1 GiB by default. */
  readonly maxLiveBytes?: number
  /** Most bytes of one tensor; 1 GiB by default. */
  readonly maxTensorBytes?: number
  /** Most nodes of one segment; 64 by default. 1 runs node by node. */
  readonly segmentNodes?: number
}

export interface TracedTensor {
  /** Position of the node that made it; -1 for inputs of the graph. */
  readonly node: number
  readonly name: string
  readonly tensor: Tensor
}

/** Nodes of a segment: opening a session costs milliseconds, so not one by one; planning is linear in it. */
const SEGMENT_NODES = 64
const MAX_LIVE_BYTES = 2 ** 30

/**
 * The names and order are those of `graph.traced`.
 *
 * @throws AssayError what `Session.run` throws for inputs; `onnx/unsupported-feature` and
 * `onnx/unsupported-type` for what cannot be traced; `onnx/too-large` beyond a limit; `onnx/runtime`.
 */
export async function* traceRun(
  graph: Graph,
  runtime: Runtime,
  inputs: NamedTensors,
  options: TraceOptions = {},
): AsyncGenerator<TracedTensor, void, undefined> {
  const { mode = 'auto', ...given } = options
  const limits: TraceLimits = {
    maxLiveBytes: MAX_LIVE_BYTES,
    maxTensorBytes: MAX_TENSOR_BYTES,
    segmentNodes: SEGMENT_NODES,
    ...given,
  }
  assertInputs(inputs, graph.model.inputs)
  assertTraceable(graph)
  for (const { name } of graph.model.inputs) {
    assertTensorSize(name, inputs[name]!, limits)
    yield { node: -1, name, tensor: inputs[name]! }
  }
  if (graph.nodes.every(({ isConstant }) => isConstant)) return
  const fits = mode === 'all' || (mode === 'auto' && (await planWhole({ graph, runtime }, inputs, limits)))
  const run = { graph, runtime }
  yield* fits ? runAll(run, inputs, limits) : runSegments(run, inputs, limits)
}

interface Run {
  readonly graph: Graph
  readonly runtime: Runtime
}

async function* runAll(
  { graph, runtime }: Run,
  inputs: NamedTensors,
  limits: TraceLimits,
): AsyncGenerator<TracedTensor, void, undefined> {
  const outputs = await runExposed({ graph, runtime }, inputs)
  if (outputs === undefined) {
    yield* runSegments({ graph, runtime }, inputs, limits)
    return
  }
  let bytes = 0
  for (const { name, node } of graph.traced) {
    if (node < 0) continue
    const tensor = outputs[name]!
    bytes += assertTensorSize(name, tensor, limits)
    assertLive(bytes, limits)
    yield { node, name, tensor }
  }
}

/** All computed values of one run; undefined, and nothing is run, where that would not be the trace. */
async function runExposed({ graph, runtime }: Run, inputs: NamedTensors): Promise<NamedTensors | undefined> {
  const session = await openExposed({ graph, runtime }, { from: 0, to: graph.nodes.length })
  try {
    return session.outputs.some(isHalf) ? undefined : await session.run(inputs)
  } finally {
    await session.close()
  }
}

async function* runSegments(
  { graph, runtime }: Run,
  inputs: NamedTensors,
  limits: TraceLimits,
): AsyncGenerator<TracedTensor, void, undefined> {
  const live = new Map(Object.entries(inputs))
  const count = graph.nodes.length
  // Planning looks at a window ahead; where segments end up short, so does the window.
  let window = limits.segmentNodes
  for (let from = 0; from < count; ) {
    if (graph.nodes[from]!.isConstant) {
      from++
      continue
    }
    const to = await planSegment({ graph, runtime }, { from, live, limits, window })
    window = Math.min(limits.segmentNodes, 2 * (to - from))
    const outputs = await runSegment({ graph, runtime }, { from, to }, live)
    for (const node of graph.nodes.slice(from, to)) {
      if (node.isConstant) continue
      for (const name of node.outputs) {
        if (name === '') continue
        const tensor = outputs[name]!
        assertTensorSize(name, tensor, limits)
        if (isReadFrom(graph, name, to)) live.set(name, tensor)
        yield { node: node.index, name, tensor }
      }
    }
    for (const name of live.keys()) if (!isReadFrom(graph, name, to)) live.delete(name)
    assertLive(liveBytes(live), limits)
    from = to
  }
}

/** Outputs of the model are not kept for its end: the stream has handed them on. */
function isReadFrom(graph: Graph, name: string, position: number): boolean {
  return (graph.values.get(name)?.lastRead ?? -1) >= position
}

/** Runs a range on the tensors before it; gives all that it computes. */
async function runSegment(
  { graph, runtime }: Run,
  range: NodeRange,
  live: ReadonlyMap<string, Tensor>,
): Promise<NamedTensors> {
  const names = liveIns(graph.nodes.slice(range.from, range.to))
  const feeds = Object.fromEntries(names.map((name) => [name, live.get(name)!]))
  const session = await runtime.open(cutSegment(graph, range, { inputs: feeds }))
  try {
    return await session.run(feeds)
  } finally {
    await session.close()
  }
}

function liveBytes(live: ReadonlyMap<string, Tensor>): number {
  let bytes = 0
  for (const tensor of live.values()) bytes += tensorBytes(tensor)
  return bytes
}

function assertTensorSize(name: string, tensor: Tensor, { maxTensorBytes }: TraceLimits): number {
  const bytes = tensorBytes(tensor)
  if (bytes > maxTensorBytes) {
    throw new AssayError(
      'onnx/too-large',
      `tensor ${JSON.stringify(name)} has ${bytes} bytes, above the cap of ${maxTensorBytes}: raise maxTensorBytes if that is meant`,
      { detail: { name, bytes, maxTensorBytes } },
    )
  }
  return bytes
}

function assertLive(bytes: number, { maxLiveBytes }: TraceLimits): void {
  if (bytes > maxLiveBytes) {
    throw new AssayError(
      'onnx/too-large',
      `the run holds ${bytes} bytes of tensors at a time, above the cap of ${maxLiveBytes}: use segments, or raise maxLiveBytes`,
      { detail: { bytes, maxLiveBytes } },
    )
  }
}
