/**
 * What the four steps of a trace share: model, inputs, runtime, and the response opened by the verifier.
 */

import { resolveBeacon } from 'assay/core/beacon'
import { AssayError, type Rejection } from 'assay/core/errors'
import { resolveSeed } from 'assay/core/seed'
import { transcriptSeed } from 'assay/method/trace/challenge'
import type { OpenedTrace } from 'assay/method/trace/verifier'
import { openTraceResponse } from 'assay/method/trace/verifier'
import { type Graph, openGraph } from 'assay/onnx/graph'
import type { Runtime } from 'assay/onnx/runtime'
import type { NamedTensors } from 'assay/state/tensors'
import { type Command, Option } from 'commander'
import { hashChunksNatively } from '../hash-chunks.ts'
import { readInputs, readModel } from './onnx-job.ts'
import { openRuntime, RUNTIMES, type RuntimeName } from './onnx-runtime.ts'
import { readTraceRequest, readTraceResponse, type TraceChallenge } from './trace-folder.ts'

export interface TraceOptions {
  readonly model: string
  readonly input: readonly string[]
  readonly runtime: RuntimeName
}

export interface TraceJob {
  readonly graph: Graph
  readonly inputs: NamedTensors
  readonly runtime: Runtime
}

export function addTraceOptions(command: Command): Command {
  return command
    .requiredOption('--model <file>', 'the ONNX model')
    .requiredOption(
      '--input <[name=]file>',
      'input data as .npy, .npz, .pb (TensorProto) or .json; repeat it for several inputs',
      (text: string, before: readonly string[] = []) => [...before, text],
    )
    .addOption(
      new Option('--runtime <name>', 'wasm: the same bits on any machine; native: faster')
        .choices(RUNTIMES)
        .default('wasm'),
    )
}

export async function openTraceJob(options: TraceOptions): Promise<TraceJob> {
  const model = await readModel(options.model)
  const inputs = await readInputs(options.input, model)
  return { graph: openGraph(model), inputs, runtime: await openRuntime(options.runtime) }
}

export type OpenedFolder = { readonly ok: true; readonly value: OpenedTrace } | Rejection

/** The verifier's view of a folder. What is the verifier's own fault is thrown, what is the prover's returned. */
export async function openTraceFolder(
  folder: string,
  { graph, inputs, runtime }: TraceJob,
): Promise<OpenedFolder> {
  const request = await readTraceRequest(folder)
  const own = [
    ['model', request.model, graph.model.cid],
    ['runtime', request.runtime, runtime.name],
    ['version of the runtime', request.runtimeVersion, runtime.version],
  ] as const
  for (const [what, asked, given] of own) {
    if (asked === given) continue
    throw new AssayError('run/other-request', `the ${what} of the trace is ${asked}, yours is ${given}`, {
      detail: { what, asked, given },
    })
  }
  try {
    const response = await readTraceResponse(folder)
    return await openTraceResponse(graph, response, {
      job: request.job,
      inputs,
      runtime,
      hasher: hashChunksNatively,
    })
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    const { code, message, detail } = error.toJSON()
    return { ok: false, code, message, detail }
  }
}

/** The seed that a challenge names, checked: a beacon round must be later than the response. */
export function seedOfChallenge(
  { seed, receivedAtSeconds }: Pick<TraceChallenge, 'seed' | 'receivedAtSeconds'>,
  opened: OpenedTrace,
): Uint8Array {
  if (seed.kind === 'transcript') return transcriptSeed(opened.commitmentDigest)
  const resolved = resolveSeed(seed, { beacon: resolveBeacon, committedAtSeconds: receivedAtSeconds })
  if (!resolved.ok) throw new AssayError(resolved.code, resolved.message, { detail: resolved.detail })
  return resolved.value
}
