/** Opens the rows of any kind of work with what this machine has for it. */
import { readFile } from 'node:fs/promises'
import { AssayError } from 'assay/core/errors'
import type { WorkSpec } from 'assay/wire/work'
import { type ChatClient, openChatRows } from './chat-rows.ts'
import type { Inference } from './inference.ts'
import { openOnnxRows } from './onnx-rows.ts'
import type { RowRunner } from './row-runner.ts'
import { openWasmRows } from './wasm-rows.ts'
import type { WasmRunner } from './wasm-runner.ts'

/** What this machine computes with; what is missing it cannot do. */
export interface WorkEngines {
  readonly inference?: Inference
  readonly wasm?: WasmRunner
  readonly chat?: ChatClient
}

export interface WorkContent {
  /** The whole input of the job. */
  readonly input: Uint8Array
  /** Files by the names of `contentOf` (wire/work.ts): model, module. */
  readonly paths: { readonly [name: string]: string }
}

/** @throws AssayError `work/unsupported`, and what the kind of work refuses. */
export async function openWork(
  work: WorkSpec,
  { input, paths }: WorkContent,
  { inference, wasm, chat, signal }: WorkEngines & { readonly signal?: AbortSignal },
): Promise<RowRunner> {
  if (work.kind === 'onnx' && inference !== undefined) {
    const options = { inference, ...(signal === undefined ? {} : { signal }) }
    return openOnnxRows(work, { model: paths.model as string, input }, options)
  }
  if (work.kind === 'wasm' && wasm !== undefined) {
    const module = new Uint8Array(await readFile(paths.module as string))
    return openWasmRows(work, { module, input }, { runner: wasm })
  }
  if (work.kind === 'chat' && chat !== undefined) return openChatRows(work, input, { client: chat })
  throw new AssayError('work/unsupported', `this machine does not run work of the kind ${work.kind}`)
}
