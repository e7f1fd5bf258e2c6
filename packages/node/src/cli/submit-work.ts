/** What a command line submits: work, rows and input from the files given. */
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import { encodeNpy } from 'assay/onnx/npy'
import { decodeTensors, encodeTensors } from 'assay/state/tensors'
import { encodeRows } from 'assay/task/rows'
import { decodeRow } from 'assay/wasm/row'
import type { OnnxWork, WorkSpec } from 'assay/wire/work'
import { readCapped } from './files.ts'
import { type OnnxOptions, openOnnxJob } from './onnx-job.ts'

/** Inputs are held in memory, to be cut and hashed. */
const MAX_RECORDS_BYTES = 2 ** 28
const MAX_MODULE_BYTES = 2 ** 23
const MAX_OUTPUT_TENSOR_BYTES = 2 ** 24

export interface NetworkWork {
  readonly name: string
  readonly work: WorkSpec
  readonly rows: number
  /** All rows, encoded as the kind of work has them. */
  readonly input: Uint8Array
  /** Model or module. */
  readonly content: readonly Uint8Array[]
  /** Files of the result, by name. */
  readonly describe: (rows: readonly Uint8Array[]) => { readonly [file: string]: Uint8Array | string }
}

export async function onnxWorkOf(options: OnnxOptions): Promise<NetworkWork> {
  const { model, inputs, batch, parts } = await openOnnxJob(options)
  const { tolerance, elements } = parts.options
  const work: OnnxWork = {
    kind: 'onnx',
    model: model.cid,
    runtime: options.runtime === 'wasm' ? 'reproducible' : 'native',
    batch: options.batch,
    ...(tolerance === undefined ? {} : { tolerance }),
    ...(elements === undefined ? {} : { elements }),
  }
  return {
    name: basename(options.model),
    work,
    rows: batch.count(inputs),
    input: encodeTensors(inputs),
    content: [model.bytes],
    describe: (rows) => {
      const decoded = rows.map((row) => decodeTensors(row, { maxBytes: MAX_OUTPUT_TENSOR_BYTES }))
      const outputs = Object.entries(batch.stack(decoded))
      return Object.fromEntries(outputs.map(([name, tensor]) => [`${fileName(name)}.npy`, encodeNpy(tensor)]))
    },
  }
}

export interface WasmOptions {
  readonly module: string
  readonly records: string
  readonly split: 'lines' | 'whole'
  readonly memory: number
  readonly timeLimit: number
  readonly maxOutput: number
}

export async function wasmWorkOf(options: WasmOptions): Promise<NetworkWork> {
  const module = await readCapped(options.module, { maxBytes: MAX_MODULE_BYTES, what: 'the module' })
  const records = splitRecords(
    await readCapped(options.records, { maxBytes: MAX_RECORDS_BYTES, what: 'the records' }),
    options.split,
  )
  if (records.length === 0) {
    throw new AssayError('cli/usage', `${options.records}: expected at least one record, got an empty file`)
  }
  return {
    name: basename(options.module),
    work: {
      kind: 'wasm',
      module: contentAddress(module, 'raw'),
      memoryPages: options.memory,
      timeLimitMs: options.timeLimit,
      maxOutputBytes: options.maxOutput,
    },
    rows: records.length,
    input: encodeRows(records),
    content: [module],
    describe: (rows) => ({
      'outputs.ndjson': rows.map((row) => `${JSON.stringify(describeRow(row))}\n`).join(''),
    }),
  }
}

function splitRecords(bytes: Uint8Array, split: WasmOptions['split']): Uint8Array[] {
  if (split === 'whole') return [bytes]
  const lines: Uint8Array[] = []
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0x0a, start)
    const stop = end < 0 ? bytes.length : end
    const cut = stop > start && bytes[stop - 1] === 0x0d ? stop - 1 : stop
    lines.push(bytes.subarray(start, cut))
    start = stop + 1
  }
  return lines
}

/** Text where the output is text, base64 where it is not. */
function describeRow(row: Uint8Array) {
  const { output, emitted } = decodeRow(row)
  return { output: textOrBase64(output), ...(emitted.length === 0 ? {} : { emitted: emitted.length }) }
}

function textOrBase64(bytes: Uint8Array): string | { readonly base64: string } {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') }
  }
}

export interface ChatOptions {
  readonly model: string
  readonly prompts: string
  readonly system?: string
  readonly temperature: number
  readonly seed: number
  readonly maxTokens: number
  readonly compare: 'text' | 'plan'
}

export async function chatWorkOf(options: ChatOptions): Promise<NetworkWork> {
  const { prompts, model, temperature, seed, maxTokens, compare, system } = options
  const records = splitRecords(
    await readCapped(prompts, { maxBytes: MAX_RECORDS_BYTES, what: 'the prompts' }),
    'lines',
  )
  if (records.length === 0) throw new AssayError('cli/usage', `${prompts}: expected at least one prompt`)
  const systemText = system === undefined ? undefined : await readFile(system, 'utf8')
  return {
    name: model,
    work: {
      kind: 'chat',
      model,
      temperature,
      seed,
      maxTokens,
      compare,
      ...(systemText === undefined ? {} : { system: systemText }),
    },
    rows: records.length,
    input: encodeRows(records),
    content: [],
    describe: (rows) => ({
      'outputs.ndjson': rows.map((row) => `${JSON.stringify({ output: textOrBase64(row) })}\n`).join(''),
    }),
  }
}

/** Names of tensors come from a model: only plain ones name files. */
function fileName(name: string): string {
  return /^[A-Za-z0-9_-]{1,64}$/.test(name) ? name : contentAddress(utf8(name), 'raw')
}
