/**
 * A process in which models of strangers run (inference.ts starts it): opens models, runs rows, one after another.
 *
 * A process and no thread: a runtime in native code that is ended in mid-inference, or that fails on a hostile
 * model, takes its whole process with it, and this one may go. It holds no key and no secret.
 *
 * It ends with its parent: when the channel closes.
 */
import { readFile } from 'node:fs/promises'
import { AssayError, type SerializedError } from 'assay/core/errors'
import { type Batch, openBatch } from 'assay/onnx/batch'
import { loadModel } from 'assay/onnx/model'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { encodeTensors } from 'assay/state/tensors'
import { encodeRows } from 'assay/task/rows'
import {
  type InferenceReply,
  type InferenceRequest,
  type InferenceResult,
  type ModelSource,
  modelName,
} from './inference-messages.ts'
import { rowBudget } from './row-runner.ts'

/** Models held open: a session of a large one takes as much memory as its weights. */
const MAX_OPEN_MODELS = 4
const MAX_OPEN_BYTES = 2 ** 30

/** By `modelName`, the one used last at the end. */
const models = new Map<string, Batch>()
let last: Promise<void> = Promise.resolve()

process.on('message', (request: InferenceRequest) => {
  last = last.then(async () => {
    const result = await answer(request).catch((error: unknown) => ({ error: serialized(error) }))
    const reply: InferenceReply = { id: request.id, open: [...models.keys()], result }
    process.send?.(reply)
  })
})
process.on('disconnect', () => process.exit(0))
// The terminal sends these to all processes at once; when to stop is for the parent to say.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => undefined)

async function answer({ source, inputs, count }: InferenceRequest): Promise<InferenceResult> {
  const batch = await open(source)
  const started = performance.now()
  const rows: Uint8Array[] = []
  const add = rowBudget()
  for (let index = 0; inputs !== null && index < count; index++) {
    const row = encodeTensors(await batch.row(inputs, index))
    add(row)
    rows.push(row)
  }
  const elapsedMs = performance.now() - started
  return { inputs: batch.model.inputs, rows: encodeRows(rows), elapsedMs }
}

async function open(source: ModelSource): Promise<Batch> {
  const name = modelName(source)
  const known = models.get(name)
  const batch = known ?? (await openModel(source))
  models.delete(name)
  models.set(name, batch)
  if (known === undefined) await closeOldest()
  return batch
}

async function openModel({ cid, path, runtime, batch }: ModelSource): Promise<Batch> {
  const model = loadModel(await readFile(path))
  if (model.cid !== cid) {
    throw new AssayError('work/download', `expected the model at ${cid} in the cache, got ${model.cid}`)
  }
  const opened = runtime === 'native' ? await nativeRuntime() : await wasmRuntime()
  return openBatch(model, opened, { batch })
}

async function closeOldest(): Promise<void> {
  const bytes = () => [...models.values()].reduce((sum, { model }) => sum + model.bytes.length, 0)
  while (models.size > 1 && (models.size > MAX_OPEN_MODELS || bytes() > MAX_OPEN_BYTES)) {
    const [name, batch] = models.entries().next().value as [string, Batch]
    models.delete(name)
    await batch.close()
  }
}

function serialized(error: unknown): SerializedError {
  if (error instanceof AssayError) return error.toJSON()
  const reason = error instanceof Error ? error.message : String(error)
  return new AssayError('work/crashed', `the rows failed outside of the runtime: ${reason}`).toJSON()
}
