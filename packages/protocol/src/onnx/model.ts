/**
 * ONNX models: load, check, and describe.
 *
 * A model is its bytes, and its bytes have an address. What is exposed here is read from them once: inputs
 * and outputs, operator sets, how often each operator occurs. Format: onnx.proto and IR.md of ONNX.
 *
 * Threat: hostile model files. The wire is scanned before it is decoded, the graph is checked before any
 * runtime sees it, and the bytes hold everything that is computed (weights in other files are refused).
 * What a model computes, how long it runs and how much memory its values take is not bounded here.
 */
import onnxProto from 'onnx-proto'
import { type Cid, contentAddress } from '../core/cid.ts'
import { AssayError } from '../core/errors.ts'
import type { Dtype } from '../state/tensor.ts'
import { checkFeatures, checkGraph, checkIrVersion, checkOpsets } from './graph-check.ts'
import { MAX_MODEL_BYTES } from './limits.ts'
import { dataTypeName, dtypeOf, plainBytes, toSafeInteger } from './tensor-proto.ts'
import { assertProtoWire } from './wire-scan.ts'

type IGraphProto = onnxProto.onnx.IGraphProto
type IValueInfoProto = onnxProto.onnx.IValueInfoProto

/** A dimension: its size, the name of a size that is known when running, or null for one without a name. */
export type Dim = number | string | null

/** What a model takes or gives under a name. `dims` is null where not even the rank is declared. */
export interface ValueInfo {
  readonly name: string
  readonly dtype: Dtype
  readonly dims: readonly Dim[] | null
}

export interface Model {
  /** Content address of `bytes` (codec raw). */
  readonly cid: Cid
  /** The file as it came; do not change it. */
  readonly bytes: Uint8Array
  readonly irVersion: number
  /** Versions of the imported operator sets by domain; '' is ai.onnx. */
  readonly opsets: ReadonlyMap<string, number>
  /** How often each operator occurs, subgraphs included; outside ai.onnx the name is 'domain::Operator'. */
  readonly operators: ReadonlyMap<string, number>
  /** What must be given: graph inputs without an initialiser. Those with one are constants here. */
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  /** Names of further values that a run gives, whose types only the runtime knows (cut.ts); none in a file. */
  readonly exposed?: readonly string[]
}

/**
 * @param options.maxBytes cap on the file, 512 MiB by default.
 * @throws AssayError every code `onnx/...` but those of running; the message names the part that is wrong.
 */
export function loadModel(bytes: Uint8Array, options: { readonly maxBytes?: number } = {}): Model {
  const { maxBytes = MAX_MODEL_BYTES } = options
  if (bytes.length > maxBytes) {
    throw new AssayError(
      'onnx/too-large',
      `the model has ${bytes.length} bytes, above the cap of ${maxBytes}: raise maxBytes if that is meant`,
      { detail: { bytes: bytes.length, maxBytes } },
    )
  }
  if (bytes.length === 0) throw new AssayError('onnx/malformed', 'expected an ONNX model, got an empty file')
  assertProtoWire(bytes, 'ModelProto')
  const plain = plainBytes(bytes)
  const proto = decodeProto(plain)
  const { graph } = proto
  if (graph == null) {
    throw new AssayError('onnx/malformed', 'expected an ONNX model, got a protobuf message without a graph')
  }
  const irVersion = checkIrVersion(proto)
  const opsets = checkOpsets(proto)
  checkFeatures(proto)
  const operators = new Map<string, number>()
  checkGraph(graph, { opsets, operators })
  const { inputs, outputs } = signature(graph)
  return { cid: contentAddress(plain, 'raw'), bytes: plain, irVersion, opsets, operators, inputs, outputs }
}

/** After the scan the decoder has no reason left to fail; if it finds one, it is still the file's fault. */
function decodeProto(bytes: Uint8Array): onnxProto.onnx.ModelProto {
  try {
    return onnxProto.onnx.ModelProto.decode(bytes)
  } catch (cause) {
    throw new AssayError('onnx/malformed', 'the bytes do not decode as an ONNX model', { cause })
  }
}

function signature(graph: IGraphProto): { inputs: ValueInfo[]; outputs: ValueInfo[] } {
  const constants = new Set((graph.initializer ?? []).map(({ name }) => name))
  const inputs = (graph.input ?? [])
    .filter(({ name }) => !constants.has(name))
    .map((info) => valueInfo(info, 'input'))
  const outputs = (graph.output ?? []).map((info) => valueInfo(info, 'output'))
  if (outputs.length === 0)
    throw new AssayError('onnx/invalid-graph', 'the model is not valid: it has no outputs')
  return { inputs, outputs }
}

function valueInfo({ name: given, type }: IValueInfoProto, role: 'input' | 'output'): ValueInfo {
  const name = given ?? ''
  if (type?.tensorType == null) {
    const kind = type == null ? 'no type' : (Object.keys(type)[0] ?? 'no type')
    throw new AssayError(
      'onnx/unsupported-type',
      `${role} ${JSON.stringify(name)} is not a tensor (${kind}): export the model with plain tensors`,
      { detail: { name, kind } },
    )
  }
  const { elemType, shape } = type.tensorType
  const dtype = dtypeOf(elemType ?? 0)
  if (dtype === undefined) {
    throw new AssayError(
      'onnx/unsupported-type',
      `${role} ${JSON.stringify(name)} is a tensor of ${dataTypeName(elemType ?? 0)}, which is not supported`,
      { detail: { name, type: dataTypeName(elemType ?? 0) } },
    )
  }
  return { name, dtype, dims: shape == null ? null : (shape.dim ?? []).map(toDim) }
}

/** Exporters write -1 for a size that is not known. */
function toDim(dim: onnxProto.onnx.TensorShapeProto.IDimension): Dim {
  if (dim.dimParam != null && dim.dimParam !== '') return dim.dimParam
  const size = dim.dimValue == null ? -1 : (toSafeInteger(dim.dimValue) ?? -1)
  return size < 0 ? null : size
}
