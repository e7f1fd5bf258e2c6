/**
 * The thread in which modules of strangers run (wasm-thread.ts starts it): loads, runs record after record, and says
 * through shared memory what it is at. It can be ended at any time: nothing in it is native code.
 *
 * It holds what the runner sends, and no more: no key, no file, no connection.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assertContent } from 'assay/core/cid'
import { AssayError, type SerializedError } from 'assay/core/errors'
import { loadWasmModule, type WasmModule } from 'assay/wasm/module'
import { encodeRow } from 'assay/wasm/row'
import { runRecord } from 'assay/wasm/run'
import { CELL, type ChunkReply, type ChunkRequest, PHASE, pack, unpack } from './wasm-messages.ts'

/** Rows in one reply; what is over goes into another, so that neither side has to hold much at once. */
const REPLY_BYTES = 2 ** 24

const cells = workerData as Int32Array
const modules = new Map<string, WasmModule>()

parentPort?.on('message', (request: ChunkRequest) => {
  const reply = computeChunk(request)
  parentPort?.postMessage(reply, [reply.rows.bytes.buffer, reply.rows.ends.buffer])
})

function computeChunk(request: ChunkRequest): ChunkReply {
  const started = performance.now()
  const rows: Uint8Array[] = []
  let module: WasmModule | undefined
  let error: SerializedError | undefined
  try {
    module = moduleOf(request)
    runRecords(module, unpack(request.records), rows)
  } catch (thrown) {
    error = serialized(thrown, module && { record: rows.length })
  }
  // What comes now is not the time of the last record.
  enter(PHASE.waiting)
  return { rows: pack(rows), elapsedMs: performance.now() - started, ...(error ? { error } : {}) }
}

function runRecords(module: WasmModule, records: readonly Uint8Array[], rows: Uint8Array[]): void {
  let carried = 0
  for (const [index, record] of records.entries()) {
    if (Atomics.load(cells, CELL.stop) !== 0 || carried > REPLY_BYTES) return
    Atomics.store(cells, CELL.record, index)
    enter(PHASE.running)
    const row = encodeRow(runRecord(module, record))
    rows.push(row)
    carried += row.length
  }
}

function moduleOf({ key, cid, module, limits, forget }: ChunkRequest): WasmModule {
  for (const old of forget) modules.delete(old)
  let loaded = modules.get(key)
  if (loaded === undefined) {
    enter(PHASE.loading)
    const bytes = module ?? new Uint8Array(0)
    assertContent(cid, bytes)
    loaded = loadWasmModule(bytes, limits)
    modules.set(key, loaded)
  }
  return loaded
}

function enter(phase: number): void {
  Atomics.store(cells, CELL.phase, phase)
  Atomics.add(cells, CELL.progress, 1)
}

/** `place` is the record, counted from the first of the chunk, where it is one that failed. */
function serialized(error: unknown, place: { readonly record: number } | undefined): SerializedError {
  const reason = error instanceof Error ? error.message : String(error)
  const typed =
    error instanceof AssayError
      ? error
      : new AssayError('wasm/crashed', `the thread of the module failed: ${reason}`)
  return { ...typed.toJSON(), detail: { ...typed.detail, ...place } }
}
