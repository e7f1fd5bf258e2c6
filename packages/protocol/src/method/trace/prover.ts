import type { ChunkHasher } from '../../core/chunk-tree.ts'
import { AssayError } from '../../core/errors.ts'
import { type KeyPair, nodeId } from '../../core/keys.ts'
import { type Job, signExecution } from '../../core/poe.ts'
import type { Graph } from '../../onnx/graph.ts'
import type { Runtime } from '../../onnx/runtime.ts'
import { type TraceOptions, traceRun } from '../../onnx/traced-run.ts'
import type { Tensor } from '../../state/tensor.ts'
import type { NamedTensors } from '../../state/tensors.ts'
import { openTrace as openEntries } from '../../state/trace-root.ts'
import {
  endsOf,
  type ManifestEntry,
  manifestEntry,
  manifestRoot,
  type TraceOpenings,
  type TraceResponse,
  tracedOutputs,
  traceExecution,
  traceTaskId,
} from './proof.ts'

/** Where a prover keeps the tensors of a trace until they are asked for: memory, or files. */
export interface TensorStore {
  put(position: number, tensor: Tensor): void | Promise<void>
  get(position: number): Tensor | undefined | Promise<Tensor | undefined>
}

export function memoryStore(): TensorStore {
  const tensors = new Map<number, Tensor>()
  return {
    put: (position, tensor) => void tensors.set(position, tensor),
    get: (position) => tensors.get(position),
  }
}

export interface TraceProverOptions {
  readonly job: Job
  readonly key: KeyPair
  readonly store: TensorStore
  readonly run?: TraceOptions
  /** Hashes chunks in bulk; the WebAssembly kernel by default. */
  readonly hasher?: ChunkHasher
  readonly onProgress?: (done: number, total: number) => void
}

/**
 * Runs `graph` on `inputs` and commits to every tensor. Streamed: each tensor is hashed and stored as it comes,
 * so what is held in memory is what the traced run holds.
 */
export async function commitTrace(
  graph: Graph,
  { runtime, inputs }: { readonly runtime: Runtime; readonly inputs: NamedTensors },
  options: TraceProverOptions,
): Promise<TraceResponse> {
  const manifest: ManifestEntry[] = []
  const output: { [name: string]: Tensor } = {}
  const outputNames = new Set(tracedOutputs(graph))
  for await (const { name, tensor } of traceRun(graph, runtime, inputs, options.run ?? {})) {
    await options.store.put(manifest.length, tensor)
    if (outputNames.has(name)) output[name] = tensor
    manifest.push(manifestEntry(name, tensor, options))
    options.onProgress?.(manifest.length, graph.traced.length)
  }
  return signTrace(graph, { runtime, output, manifest }, options)
}

/** Signs a manifest with an output. An honest prover passes those of its run. */
export async function signTrace(
  graph: Graph,
  run: {
    readonly runtime: Pick<Runtime, 'name' | 'version'>
    readonly output: NamedTensors
    readonly manifest: readonly ManifestEntry[]
  },
  { job, key }: Pick<TraceProverOptions, 'job' | 'key'>,
): Promise<TraceResponse> {
  const { runtime, output, manifest } = run
  const binding = { ...job, nodeId: nodeId(key.publicKey), taskDigest: traceTaskId(graph.model, runtime) }
  const digests = { ...endsOf(graph, manifest), traceRoot: manifestRoot(manifest).root }
  const commitment = await signExecution(traceExecution(binding, digests), key)
  return { output, manifest, commitment }
}

/** Opens the tensors at `positions` (ascending, each once). Throws `trace/unknown-tensor`. */
export async function openTensors(
  manifest: readonly ManifestEntry[],
  positions: readonly number[],
  store: Pick<TensorStore, 'get'>,
): Promise<TraceOpenings> {
  const tensors: { position: number; tensor: Tensor }[] = []
  for (const position of positions) {
    const tensor = await store.get(position)
    if (tensor === undefined) {
      throw new AssayError(
        'trace/unknown-tensor',
        `expected a position from 0 to ${manifest.length - 1} whose tensor was kept, got ${position}`,
      )
    }
    tensors.push({ position, tensor })
  }
  const { merkleRoot, proof } = openEntries(manifestRoot(manifest), positions)
  return { tensors, merkleRoot, proof }
}
