/**
 * The part that both runtimes share: onnxruntime's JavaScript interface behind ours.
 *
 * Checks inputs before the runtime sees them, hands data over without copying them, turns every failure of
 * the runtime into a typed error, and names the operator where the runtime does.
 */
import { AssayError } from '../core/errors.ts'
import type { Dtype, Tensor, TensorData } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { assertInputs } from './feed.ts'
import type { Model } from './model.ts'
import type { Session, SessionOutput } from './runtime.ts'
import { dataTypeName, isDtype } from './tensor-proto.ts'

/** onnxruntime-common's Tensor, as far as it is used. */
export interface OrtTensor {
  readonly type: string
  readonly dims: readonly number[]
  readonly data: unknown
}

/** onnxruntime-common's InferenceSession, as far as it is used. */
export interface OrtSession {
  readonly outputMetadata: readonly OrtValueMetadata[]
  run(feeds: { [name: string]: OrtTensor }): Promise<{ readonly [name: string]: OrtTensor }>
  release(): Promise<void>
}

/** onnxruntime-common's InferenceSession.ValueMetadata; type and shape of tensors only. */
export interface OrtValueMetadata {
  readonly name: string
  readonly isTensor: boolean
  readonly type?: string
  readonly shape?: readonly (number | string)[]
}

/** What both onnxruntime packages export, as far as it is used. */
export interface OrtApi {
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor
  readonly InferenceSession: {
    create(bytes: Uint8Array, options: { readonly [key: string]: unknown }): Promise<OrtSession>
  }
  readonly env: {
    logLevel?: string
    readonly versions: { readonly [name: string]: string | undefined }
    readonly wasm: { [key: string]: unknown }
  }
}

/** Severity "fatal": failures reach us as errors, and nothing is written to the terminal. */
const FATAL_ONLY = 4
/** Reasons of the runtime are cut here: some quote whole tensors. */
const MAX_REASON_CHARACTERS = 600
/** How the runtimes name an operator that they do not implement; by the place in their messages. */
const MISSING_OPERATOR = [
  /Fatal error: (?<domain>[\w.-]*):(?<op>\w+)\(-?\d+\) is not a registered function\/op/,
  /No Op registered for (?<op>\w+) with domain_version/,
  /Could not find an implementation for (?<op>[\w.:]+)\(\d+\) node/,
]
const UNSUPPORTED_TYPE = /^unsupported data type: (?<type>\d+)$/i
const FAILED_NODE = /running (?<op>\w+) node\. Name:'(?<node>[^']*)'/

/** Session options that both runtimes share. */
export const SESSION_OPTIONS = { logSeverityLevel: FATAL_ONLY, executionMode: 'sequential' } as const

export async function openSession(
  ort: OrtApi,
  model: Model,
  options: { readonly [key: string]: unknown },
): Promise<Session> {
  let session: OrtSession
  try {
    session = await ort.InferenceSession.create(model.bytes, { ...SESSION_OPTIONS, ...options })
  } catch (cause) {
    throw openFailure(cause)
  }
  return wrapSession(ort, model, session)
}

function wrapSession(ort: OrtApi, model: Model, session: OrtSession): Session {
  const running = new Set<Promise<unknown>>()
  let closing: Promise<void> | undefined
  return {
    outputs: session.outputMetadata.map(sessionOutput),
    async run(inputs) {
      if (closing !== undefined) {
        throw new AssayError('onnx/closed', 'the session is closed: open the model again')
      }
      assertInputs(inputs, model.inputs)
      const run = runOnce(ort, session, { model, inputs })
      running.add(run)
      try {
        return await run
      } finally {
        running.delete(run)
      }
    },
    close() {
      closing ??= Promise.allSettled(running).then(() => session.release())
      return closing
    },
  }
}

interface Call {
  readonly model: Model
  readonly inputs: NamedTensors
}

async function runOnce(ort: OrtApi, session: OrtSession, { model, inputs }: Call): Promise<NamedTensors> {
  let results: { readonly [name: string]: OrtTensor }
  try {
    const feeds: { [name: string]: OrtTensor } = {}
    for (const { name } of model.inputs) {
      feeds[name] = toOrt(ort, inputs[name]!)
    }
    results = await session.run(feeds)
  } catch (cause) {
    throw runFailure(cause)
  }
  const outputs: [string, Tensor][] = []
  for (const { name, dtype } of model.outputs) outputs.push([name, fromOrt(results[name], { name, dtype })])
  for (const name of model.exposed ?? []) {
    const dtype = heldType(name, results[name])
    outputs.push([name, fromOrt(results[name], { name, dtype })])
  }
  return Object.fromEntries(outputs)
}

function sessionOutput({ name, isTensor, type = 'unknown', shape = [] }: OrtValueMetadata): SessionOutput {
  if (!isTensor) return { name, dtype: null, type: 'not a tensor', dims: [] }
  const dims = shape.map((dim) => (dim === '' || (typeof dim === 'number' && dim < 0) ? null : dim))
  return { name, dtype: isDtype(type) ? type : null, type, dims }
}

/** The type of an exposed value, which no model declares; it must be one that we hold. */
function heldType(name: string, result: OrtTensor | undefined): Dtype {
  if (isDtype(result?.type)) return result.type as Dtype
  throw new AssayError(
    'onnx/unsupported-type',
    `value ${JSON.stringify(name)} is not a tensor of a type that is supported: ${result?.type ?? 'nothing came'}`,
    { detail: { name, type: result?.type ?? null } },
  )
}

/**
 * Half floats go in as their bits. Given `float16`, the constructor would wrap them in a Float16Array where
 * the engine has one (Node 24), and onnxruntime-node 1.30 cannot read that.
 */
function toOrt(ort: OrtApi, { dtype, data, shape }: Tensor): OrtTensor {
  if (dtype !== 'float16') return new ort.Tensor(dtype, data, shape)
  return Object.assign(new ort.Tensor('uint16', data, shape), { type: 'float16' })
}

/** The runtimes make their data fresh for each run, so that they are taken over, not copied. */
function fromOrt(
  result: OrtTensor | undefined,
  { name, dtype }: { readonly name: string; readonly dtype: Dtype },
): Tensor {
  if (result === undefined || result.type !== dtype) {
    throw new AssayError(
      'onnx/runtime',
      `output ${JSON.stringify(name)} is declared as ${dtype}, but the runtime gave ${result?.type ?? 'nothing'}`,
      { detail: { output: name, expected: dtype, got: result?.type ?? null } },
    )
  }
  return {
    dtype,
    shape: [...result.dims],
    data: dtype === 'float16' ? halfBits(result.data) : (result.data as TensorData),
  }
}

/** Engines with Float16Array hand out one of those; its bits are what we hold. */
function halfBits(data: unknown): Uint16Array {
  if (data instanceof Uint16Array) return data
  const { buffer, byteOffset, byteLength } = data as Float32Array
  return new Uint16Array(buffer, byteOffset, byteLength / 2)
}

function openFailure(cause: unknown): AssayError {
  const reason = reasonOf(cause)
  for (const pattern of MISSING_OPERATOR) {
    const groups = pattern.exec(reason)?.groups
    if (groups === undefined) continue
    const operator = groups.domain ? `${groups.domain}::${groups.op}` : groups.op!
    return new AssayError(
      'onnx/unsupported-operator',
      `the runtime has no operator ${operator} at the version that the model asks for: ${reason}`,
      { detail: { operator }, cause },
    )
  }
  const type = UNSUPPORTED_TYPE.exec(reason)?.groups?.type
  if (type !== undefined) {
    return new AssayError(
      'onnx/unsupported-type',
      `an output of the model is a tensor of ${dataTypeName(Number(type))}, which is not supported`,
      { detail: { type: dataTypeName(Number(type)) }, cause },
    )
  }
  return new AssayError('onnx/runtime', `the runtime refused the model: ${reason}`, { cause })
}

function runFailure(cause: unknown): AssayError {
  const reason = reasonOf(cause)
  const { op, node } = FAILED_NODE.exec(reason)?.groups ?? {}
  const where = op === undefined ? '' : ` in node ${JSON.stringify(node)} (${op})`
  return new AssayError('onnx/runtime', `the runtime failed${where}: ${reason}`, {
    detail: op === undefined ? {} : { operator: op, node: node ?? '' },
    cause,
  })
}

/** The runtime's own words: on one line, without paths of its build machine, cut to a bound. */
function reasonOf(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause)
  const clean = text
    .replace(/\/\S*\/onnxruntime\/core\/\S+ /g, '')
    .replace(/\s+/g, ' ')
    .trim()
  return clean.length > MAX_REASON_CHARACTERS ? `${clean.slice(0, MAX_REASON_CHARACTERS)}…` : clean
}
