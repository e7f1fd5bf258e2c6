/**
 * The commitment to a run: every tensor of it, under one root, and the openings that a challenge asks for.
 *
 * A trace is the list of `graph.traced`: inputs of the model, then the outputs of each node, in topological
 * order. The **manifest** names type, shape and root of each tensor; the **trace root** is the Merkle root over
 * its entries (state/trace-root.ts). The prover signs a Proof-of-Execution over model, input, output and trace root, hands over
 * output and manifest, and keeps the tensors. Any of them can be opened later, by its position.
 *
 * Threat: manifest and openings are the prover's to choose. Names and order are the model's, sizes are capped,
 * the root is computed again, and an opened tensor must hash to its entry.
 */
import * as z from 'zod/mini'
import { fromHex, utf8 } from '../../core/bytes.ts'
import { defineObject } from '../../core/codec.ts'
import { type Digest, hashFields, isDigest } from '../../core/digest.ts'
import type { NodeId } from '../../core/keys.ts'
import type { ExecutionFields, SignedExecution } from '../../core/poe.ts'
import type { Graph } from '../../onnx/graph.ts'
import type { Model } from '../../onnx/model.ts'
import type { Runtime } from '../../onnx/runtime.ts'
import { isDtype } from '../../onnx/tensor-proto.ts'
import { type Dtype, decodeTensor, encodeTensor, MAX_TENSOR_BYTES, type Tensor } from '../../state/tensor.ts'
import { headerRoot, type RootOptions, type TensorHeader, tensorTree } from '../../state/tensor-root.ts'
import { tensorsState } from '../../state/tensor-state.ts'
import type { NamedTensors } from '../../state/tensors.ts'
import { type TraceTree, traceTree } from '../../state/trace-root.ts'
import { taskId } from '../../task/task.ts'

/** Tensors of one manifest; models have hundreds, long generations some thousands. */
export const MAX_MANIFEST_TENSORS = 2 ** 16
const MAX_MANIFEST_BYTES = 2 ** 24

/** What a trace says of one tensor: its header, from which its root follows (state/tensor-root.ts). */
export interface ManifestEntry extends TensorHeader {
  readonly name: string
}

export type Manifest = readonly ManifestEntry[]

const bytes32 = z.custom<Uint8Array>(
  (value) => value instanceof Uint8Array && isDigest(value),
  'expected 32 bytes',
)

export const manifestObject = defineObject<ManifestEntry[]>({
  type: 'assay/trace-manifest',
  version: 1,
  maxBytes: MAX_MANIFEST_BYTES,
  maxItems: 2 ** 20,
  schema: z
    .array(
      z.strictObject({
        name: z.string().check(z.maxLength(1024)),
        dtype: z.custom<Dtype>(isDtype, 'expected an element type'),
        shape: z.array(z.int().check(z.minimum(0), z.maximum(MAX_TENSOR_BYTES))).check(z.maxLength(32)),
        byteLength: z.int().check(z.minimum(0), z.maximum(MAX_TENSOR_BYTES)),
        merkleRoot: bytes32,
      }),
    )
    .check(z.maxLength(MAX_MANIFEST_TENSORS)),
})

export function manifestEntry(name: string, tensor: Tensor, options: RootOptions = {}): ManifestEntry {
  const { dtype, shape, byteLength, merkleRoot } = tensorTree(tensor, options)
  return { name, dtype, shape, byteLength, merkleRoot }
}

/** The root over a manifest. Each tensor's root is made of its header here, so that no shape can be a lie beside it. */
export function manifestRoot(manifest: Manifest): TraceTree {
  return traceTree(manifest.map((entry) => ({ name: entry.name, root: headerRoot(entry) })))
}

/** What the trace of one run is about. */
export interface TraceBinding {
  readonly requestId: Uint8Array
  readonly nonce: Uint8Array
  readonly nodeId: NodeId
  /** Of model and runtime: `traceTaskId`. */
  readonly taskDigest: Digest
}

/** Model and runtime, by content address and version: other bits come from other runtimes. */
export function traceTaskId(model: Model, runtime: Pick<Runtime, 'name' | 'version'>): Digest {
  const id = taskId(
    {
      name: 'onnx-trace',
      version: '1',
      shape: 'graph',
      parameters: { runtime: runtime.name, runtimeVersion: runtime.version },
      content: { model: model.cid },
    },
    tensorsState(),
  )
  return fromHex(id) as Digest
}

/** Outputs of the model that a run computes. Others are constants of the model, and need no proof. */
export function tracedOutputs(graph: Graph): readonly string[] {
  return graph.model.outputs
    .map(({ name }) => name)
    .filter((name) => graph.values.get(name)?.kind !== 'constant')
}

/** Digests of the ends of a trace: its inputs and its outputs, by the roots in its manifest. */
export function endsOf(graph: Graph, manifest: Manifest): Pick<TraceDigests, 'input' | 'output'> {
  const roots = new Map(manifest.map((entry) => [entry.name, headerRoot(entry)]))
  const digest = (names: readonly string[]) =>
    hashFields(
      'assay/trace-tensors/v1',
      names.flatMap((name) => [utf8(name), roots.get(name) as Uint8Array]),
    )
  return { input: digest(graph.model.inputs.map(({ name }) => name)), output: digest(tracedOutputs(graph)) }
}

export interface TraceDigests {
  readonly input: Digest
  readonly output: Digest
  /** `traceRoot` of state/trace-root.ts over the manifest. */
  readonly traceRoot: Digest
}

/** The fields that a prover signs. */
export function traceExecution(binding: TraceBinding, digests: TraceDigests): ExecutionFields {
  const { requestId, nonce, nodeId, taskDigest } = binding
  const resultDigest = hashFields('assay/trace-result/v1', [digests.output, digests.traceRoot])
  return { requestId, nonce, nodeId, taskDigest, inputDigest: digests.input, resultDigest }
}

/** What a prover hands over; `tensors` stay with it. */
export interface TraceResponse {
  readonly output: NamedTensors
  readonly manifest: Manifest
  readonly commitment: SignedExecution
}

/** Opened tensors, ascending by position, with one multi-proof under the trace root. */
export interface TraceOpenings {
  readonly tensors: readonly { readonly position: number; readonly tensor: Tensor }[]
  /** Root of the tree under the trace root; see `TraceOpening` of state/trace-root.ts. */
  readonly merkleRoot: Uint8Array
  readonly proof: readonly Uint8Array[]
}

const MAX_OPENINGS_BYTES = 2 ** 30

const openingsObject = defineObject<{
  merkleRoot: Uint8Array
  proof: Uint8Array[]
  tensors: { position: number; tensor: Uint8Array }[]
}>({
  type: 'assay/trace-openings',
  version: 1,
  maxBytes: MAX_OPENINGS_BYTES,
  maxItems: 2 ** 20,
  schema: z.strictObject({
    merkleRoot: bytes32,
    proof: z.array(bytes32),
    tensors: z.array(
      z.strictObject({
        position: z.int().check(z.minimum(0)),
        tensor: z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected bytes'),
      }),
    ),
  }),
})

/** Openings as they travel: tensors in their canonical encoding. */
export function encodeOpenings({ merkleRoot, proof, tensors }: TraceOpenings): Uint8Array {
  const encoded = tensors.map(({ position, tensor }) => ({ position, tensor: encodeTensor(tensor) }))
  return openingsObject.encode({ merkleRoot, proof: [...proof], tensors: encoded })
}

/** Strict inverse of `encodeOpenings`. Throws `codec/…` and `state/…`. */
export function decodeOpenings(bytes: Uint8Array): TraceOpenings {
  const { merkleRoot, proof, tensors } = openingsObject.decode(bytes)
  const decoded = tensors.map(({ position, tensor }) => ({
    position,
    tensor: decodeTensor(tensor, { maxBytes: MAX_OPENINGS_BYTES }),
  }))
  return { merkleRoot, proof, tensors: decoded }
}
