/**
 * The verifier of a trace, in three steps: open the response, draw the nodes, check what was opened.
 *
 * What is proved: the committed trace starts from these inputs and ends in this output, and each node that was
 * drawn follows from its committed inputs. Local checks compose: if the output is wrong, some node of the
 * trace is locally wrong, since the inputs are right and every node between is checked against the prover's
 * own tensors. So the chance to miss a wrong output is the chance to miss all locally wrong nodes.
 *
 * What is not: that a node which was not drawn is right. A prover that computes one cheap node wrongly and goes
 * on from there has one locally wrong node; see security.ts.
 *
 * Threat: response and openings are hostile. Nothing of them is run before it hashes to what was signed.
 */
import { equalBytes, toHex } from '../../core/bytes.ts'
import type { ChunkHasher } from '../../core/chunk-tree.ts'
import type { Digest } from '../../core/digest.ts'
import { AssayError, attempt, reject, type Verdict } from '../../core/errors.ts'
import { commitExecution, type Job, verifyExecution } from '../../core/poe.ts'
import { challengeSeed } from '../../core/seed.ts'
import { cutNode } from '../../onnx/cut.ts'
import type { Graph, GraphNode } from '../../onnx/graph.ts'
import { nodeCost } from '../../onnx/node-cost.ts'
import type { Runtime } from '../../onnx/runtime.ts'
import { inferShapes } from '../../onnx/trace-plan.ts'
import { equalTensors, type Tensor } from '../../state/tensor.ts'
import { headerRoot, tensorRoot } from '../../state/tensor-root.ts'
import type { NamedTensors } from '../../state/tensors.ts'
import { verifyTrace } from '../../state/trace-root.ts'
import { drawNodes, type WeightedNode } from './challenge.ts'
import {
  endsOf,
  type Manifest,
  type ManifestEntry,
  manifestObject,
  manifestRoot,
  type TraceOpenings,
  type TraceResponse,
  tracedOutputs,
  traceExecution,
  traceTaskId,
} from './proof.ts'

/** A response that hangs together: signed, over these inputs, ending in its output. */
export interface OpenedTrace {
  readonly manifest: Manifest
  readonly traceRoot: Digest
  readonly commitmentDigest: Digest
  /** Checkable nodes with their costs, from the shapes that were committed to. */
  readonly nodes: readonly WeightedNode[]
}

export interface TraceParts {
  readonly job: Job
  readonly inputs: NamedTensors
  /** The prover's, as it was agreed on; shapes are inferred with it, and nothing is run. */
  readonly runtime: Runtime
  /** Hashes chunks in bulk; the WebAssembly kernel by default. */
  readonly hasher?: ChunkHasher | undefined
}

/** Step 1: everything that can be refused before a challenge. */
export async function openTraceResponse(
  graph: Graph,
  response: TraceResponse,
  { job, inputs, runtime, hasher }: TraceParts,
): Promise<Verdict<OpenedTrace>> {
  const signer = await verifyExecution(response.commitment)
  if (!signer.ok) return signer
  const read = attempt(() => {
    assertResponse(response)
    checkNames(graph, response.manifest)
    const { root } = manifestRoot(response.manifest)
    checkEnds(graph, response, { inputs, hasher })
    const binding = { ...job, nodeId: signer.value.nodeId, taskDigest: traceTaskId(graph.model, runtime) }
    const digests = { ...endsOf(graph, response.manifest), traceRoot: root }
    return { root, expected: commitExecution(traceExecution(binding, digests)) }
  })
  if (!read.ok) return read
  const { root, expected } = read.value
  if (!equalBytes(expected, signer.value.commitment)) {
    return reject('poe/mismatch', 'expected a commitment to this request, model, input, output and trace', {
      expected: toHex(expected),
      found: toHex(signer.value.commitment),
    })
  }
  const shapes = await inferShapes({ graph, runtime }, inputs)
  const lie = response.manifest.find(({ name, shape }) => {
    const known = shapes.get(name)
    return known !== undefined && String(known) !== String(shape)
  })
  if (lie !== undefined) {
    return reject(
      'trace/manifest',
      `tensor ${JSON.stringify(lie.name)} is said to have shape [${lie.shape}], and has [${shapes.get(lie.name)}]`,
      {
        expected: [...(shapes.get(lie.name) ?? [])],
        found: [...lie.shape],
      },
    )
  }
  const nodes = weighNodes(graph, response.manifest)
  return {
    ok: true,
    value: { manifest: response.manifest, traceRoot: root, commitmentDigest: expected, nodes },
  }
}

/** What came over a wire, before anything is read of it. */
function assertResponse({ manifest, output }: TraceResponse): void {
  if (!Array.isArray(manifest) || typeof output !== 'object' || output === null) {
    throw new AssayError('trace/manifest', 'expected an output and a manifest, got something else')
  }
  manifestObject.encode([...manifest])
}

function checkNames(graph: Graph, manifest: Manifest): void {
  const expected = graph.traced
  const at = expected.findIndex(({ name }, position) => manifest[position]?.name !== name)
  if (manifest.length === expected.length && at < 0) return
  throw new AssayError(
    'trace/manifest',
    `expected the ${expected.length} tensors of the model in its order, got ${manifest.length}` +
      (at < 0 ? '' : `; the first that differs is ${at}, ${JSON.stringify(expected[at]?.name)}`),
  )
}

/** The trace starts from our inputs, and ends in the output that was handed over. */
function checkEnds(
  graph: Graph,
  { manifest, output }: TraceResponse,
  { inputs, hasher }: Pick<TraceParts, 'inputs' | 'hasher'>,
): void {
  const options = hasher === undefined ? {} : { hasher }
  const entries = new Map(manifest.map((entry) => [entry.name, entry]))
  for (const { name } of graph.model.inputs) {
    const entry = entries.get(name) as ManifestEntry
    if (!equalBytes(headerRoot(entry), tensorRoot(inputs[name] as Tensor, options))) {
      throw new AssayError('trace/input', `the trace starts from another input ${JSON.stringify(name)}`)
    }
  }
  const names = tracedOutputs(graph)
  if (Object.keys(output).length !== names.length) {
    throw new AssayError(
      'trace/output',
      `expected the outputs ${names.join(', ')}, got ${Object.keys(output).join(', ')}`,
    )
  }
  for (const name of names) {
    const tensor = Object.hasOwn(output, name) ? output[name] : undefined
    const root = tensor === undefined ? undefined : tensorRoot(tensor, options)
    if (root === undefined || !equalBytes(headerRoot(entries.get(name) as ManifestEntry), root)) {
      throw new AssayError(
        'trace/output',
        `the output ${JSON.stringify(name)} is not the one that the trace ends in`,
      )
    }
  }
}

function weighNodes(graph: Graph, manifest: Manifest): WeightedNode[] {
  const shapes = new Map(manifest.map(({ name, shape }) => [name, shape]))
  return graph.nodes
    .filter(({ isConstant, outputs }) => !isConstant && outputs.some((name) => name !== ''))
    .map((node) => ({ node: node.index, cost: nodeCost(graph, node, shapes) }))
}

/** Step 2: the nodes to open. `seed` came after the commitment; see core/seed.ts and `transcriptSeed`. */
export function challengeTrace(
  opened: OpenedTrace,
  { seed, draws }: { readonly seed: Uint8Array; readonly draws: number },
): number[] {
  const challenge = challengeSeed({ seed, commitmentDigest: opened.commitmentDigest })
  return drawNodes(challenge, { nodes: opened.nodes, draws })
}

/** Positions in the trace of all tensors that checking `nodes` takes: what the prover has to open. */
export function positionsOf(graph: Graph, nodes: readonly number[]): number[] {
  const positions = new Map(graph.traced.map(({ name }, position) => [name, position]))
  const wanted = new Set<number>()
  for (const index of nodes) {
    const node = graph.nodes[index] as GraphNode
    for (const name of [...node.needs, ...node.outputs]) {
      const position = positions.get(name)
      if (position !== undefined) wanted.add(position)
    }
  }
  return [...wanted].sort((a, b) => a - b)
}

/** What was found wrong with a node: enough for anybody with model and opening to look again. */
export interface TraceEvidence {
  readonly code: string
  readonly message: string
  /** Position of the node in the graph; null where the response failed as a whole. */
  readonly node: number | null
  readonly operator: string | null
  /** The output of the node that differs, with the roots of what was computed and of what was committed. */
  readonly output: string | null
  readonly expected: string | null
  readonly found: string | null
}

export interface CheckOptions {
  readonly runtime: Runtime
  /** Whether two tensors agree; the default compares bits. The native tier passes a calibrated tolerance. */
  readonly agree?: (
    computed: Tensor,
    committed: Tensor,
    place: { readonly node: GraphNode; readonly output: string },
  ) => boolean
  readonly signal?: AbortSignal
  readonly hasher?: ChunkHasher
}

/** Step 3: openings against the root, then each node on its own. Null where all of it holds. */
export async function checkOpenings(
  graph: Graph,
  {
    traceRoot,
    nodes,
    openings,
  }: {
    readonly traceRoot: Digest
    readonly nodes: readonly number[]
    readonly openings: TraceOpenings
  },
  options: CheckOptions,
): Promise<TraceEvidence | null> {
  if (nodes.length === 0) return null
  const { hasher } = options
  const read = attempt(() => readOpenings(graph, { traceRoot, nodes, openings, hasher }))
  if (!read.ok) return responseEvidence(read.code, read.message)
  for (const index of nodes) {
    options.signal?.throwIfAborted()
    const evidence = await checkNode(
      graph,
      { node: graph.nodes[index] as GraphNode, tensors: read.value },
      options,
    )
    if (evidence) return evidence
  }
  return null
}

function assertOpenings(value: unknown): asserts value is TraceOpenings {
  const { tensors, proof, merkleRoot } = (value ?? {}) as { readonly [key: string]: unknown }
  const isOpening = (entry: unknown) =>
    typeof entry === 'object' &&
    entry !== null &&
    Number.isSafeInteger((entry as { position?: unknown }).position)
  if (
    !Array.isArray(tensors) ||
    !tensors.every(isOpening) ||
    !Array.isArray(proof) ||
    !(merkleRoot instanceof Uint8Array)
  ) {
    throw new AssayError('trace/opening', 'expected tensors by position with a proof, got something else')
  }
}

function readOpenings(
  graph: Graph,
  {
    traceRoot,
    nodes,
    openings,
    hasher,
  }: {
    readonly traceRoot: Digest
    readonly nodes: readonly number[]
    readonly openings: TraceOpenings
    readonly hasher: ChunkHasher | undefined
  },
): ReadonlyMap<string, Tensor> {
  const options = hasher === undefined ? {} : { hasher }
  assertOpenings(openings)
  const wanted = positionsOf(graph, nodes)
  const got = openings.tensors.map(({ position }) => position)
  if (got.length !== wanted.length || wanted.some((position, i) => position !== got[i])) {
    throw new AssayError(
      'trace/opening',
      `expected the ${wanted.length} tensors asked for, ascending, got ${got.length}`,
    )
  }
  const named = openings.tensors.map(({ position, tensor }) => ({
    position,
    name: (graph.traced[position] as { name: string }).name,
    tensor,
  }))
  const verdict = verifyTrace(traceRoot, {
    size: graph.traced.length,
    merkleRoot: openings.merkleRoot,
    entries: named.map(({ position, name, tensor }) => ({
      index: position,
      name,
      root: tensorRoot(tensor, options),
    })),
    proof: openings.proof,
  })
  if (!verdict.ok)
    throw new AssayError('trace/opening', `a tensor is not the one committed to: ${verdict.message}`)
  return new Map(named.map(({ name, tensor }) => [name, tensor]))
}

/** Runs one node on its committed inputs. */
export async function checkNode(
  graph: Graph,
  { node, tensors }: { readonly node: GraphNode; readonly tensors: ReadonlyMap<string, Tensor> },
  { runtime, agree = equalTensors }: CheckOptions,
): Promise<TraceEvidence | null> {
  const inputs: { [name: string]: Tensor } = {}
  for (const name of node.needs) inputs[name] = tensors.get(name) as Tensor
  const endless = unboundedLoop(graph, node, inputs)
  if (endless !== null) return nodeEvidence('trace/node-failed', node, { message: endless })
  try {
    const computed = await runNode(graph, node, { runtime, inputs })
    for (const output of node.outputs) {
      if (output === '') continue
      const committed = tensors.get(output) as Tensor
      const ours = computed[output] as Tensor
      if (agree(ours, committed, { node, output })) continue
      return nodeEvidence('trace/node-mismatch', node, {
        message: 'run again on its committed inputs, it gives another output than the committed one',
        output,
        expected: toHex(tensorRoot(ours)),
        found: toHex(tensorRoot(committed)),
      })
    }
    return null
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    return nodeEvidence('trace/node-failed', node, { message: error.message })
  }
}

async function runNode(
  graph: Graph,
  node: GraphNode,
  { runtime, inputs }: { readonly runtime: Runtime; readonly inputs: NamedTensors },
): Promise<NamedTensors> {
  const session = await runtime.open(cutNode(graph, node.index, inputs))
  try {
    return await session.run(inputs)
  } finally {
    await session.close()
  }
}

/** Most turns of a loop whose number the prover committed to. */
const MAX_TRIPS = 2n ** 20n

/** A committed trip count could keep the verifier busy for ever; one that is a constant of the model is its own. */
function unboundedLoop(graph: Graph, node: GraphNode, inputs: NamedTensors): string | null {
  if (node.operator !== 'Loop') return null
  const trips = inputs[node.inputs[0] ?? '']?.data[0]
  if (trips === undefined || graph.values.get(node.inputs[0] ?? '')?.kind === 'constant') return null
  return BigInt(trips as bigint) > MAX_TRIPS
    ? `it is asked to turn ${trips} times, more than ${MAX_TRIPS}`
    : null
}

function nodeEvidence(
  code: 'trace/node-mismatch' | 'trace/node-failed',
  node: GraphNode,
  found: {
    readonly message: string
    readonly output?: string
    readonly expected?: string
    readonly found?: string
  },
): TraceEvidence {
  const name = node.name === '' ? '' : ` ${JSON.stringify(node.name)}`
  return {
    code,
    message: `node ${node.index}${name} (${node.operator}): ${found.message}`,
    node: node.index,
    operator: node.operator,
    output: found.output ?? null,
    expected: found.expected ?? null,
    found: found.found ?? null,
  }
}

function responseEvidence(code: string, message: string): TraceEvidence {
  return { code, message, node: null, operator: null, output: null, expected: null, found: null }
}
