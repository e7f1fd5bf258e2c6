/**
 * Runs modules of strangers over records, on threads that can be ended (wasm-thread.ts).
 *
 * The records of a run are cut into chunks of some milliseconds, and the chunks of all runs take turns on the idle
 * threads. A module stays loaded in a thread for the runs to come. Where a record goes wrong, the run ends with the
 * fault of the lowest index, as if one thread had run them all in order; `detail.record` says which it was.
 *
 * Threat: a module loops, fills the memory, or floods with output. A record is ended with its thread when its time
 * is up; memory is bounded by the limits of the module, rows by RUN_BYTES. What is left to the machine: it needs
 * memory for as many modules at once as there are threads.
 */
import { AssayError, type Json } from 'assay/core/errors'
import { checkAborted } from 'assay/method/sampling/executor'
import { assertWasmLimits, type WasmLimits } from 'assay/wasm/limits'
import { type PieceSize, pieceSize } from './piece-size.ts'
import { type HeldModules, heldModules } from './wasm-held.ts'
import { type ChunkReply, type ModuleSource, pack, unpack } from './wasm-messages.ts'
import { type WasmThread, wasmThread } from './wasm-thread.ts'

/** More threads than any machine here has cores: a larger number is a slip. */
const MAX_WORKERS = 256
/** Records that are copied for one chunk, beside the first. */
const CHUNK_BYTES = 2 ** 22
/** Rows of one run, which its caller holds all at once. */
const RUN_BYTES = 2 ** 28
/** An hour; a record that takes longer is a job. */
const MAX_TIME_LIMIT_MS = 3_600_000

export interface WasmRunnerOptions {
  /** Threads; each is started when it is first needed. */
  readonly workers: number
}

interface WasmRunOptions {
  readonly limits: WasmLimits
  /** For each record, from its instance to its output. */
  readonly timeLimitMs: number
  readonly signal?: AbortSignal
}

export interface WasmRunner {
  /**
   * The row of each record, in order: what `encodeRow(runRecord(…))` gives in this process. Several runs may be
   * under way.
   *
   * @throws AssayError what loading and running a module throw, with `detail.record`; `wasm/time`, `wasm/crashed`,
   * `wasm/closed`; `task/cancelled` as soon as the signal says so; `cid/mismatch` where the bytes are not those of
   * the address.
   */
  run(
    module: ModuleSource,
    records: readonly Uint8Array[],
    options: WasmRunOptions,
  ): Promise<Uint8Array<ArrayBuffer>[]>
  /** Ends the runs under way with `wasm/closed`, and the threads. */
  close(): Promise<void>
}

interface Range {
  readonly from: number
  /** Exclusive. */
  readonly to: number
}

/** A run that is not over. */
interface Run {
  readonly module: ModuleSource
  readonly records: readonly Uint8Array[]
  readonly options: WasmRunOptions
  /** Names the module within its limits. */
  readonly key: string
  readonly rows: Uint8Array<ArrayBuffer>[]
  readonly size: PieceSize
  /** The first record that no chunk had yet. */
  next: number
  /** What came back undone. */
  readonly undone: Range[]
  readonly underWay: Map<Slot, Range>
  rowBytes: number
  fault: { readonly index: number; readonly error: AssayError } | undefined
  settle(error?: AssayError): void
}

interface Slot {
  readonly thread: WasmThread
  readonly held: HeldModules
}

/** @throws AssayError `wasm/options` for a number of workers out of range. */
export function createWasmRunner({ workers }: WasmRunnerOptions): WasmRunner {
  if (!Number.isInteger(workers) || workers < 1 || workers > MAX_WORKERS) {
    throw new AssayError('wasm/options', `expected 1 to ${MAX_WORKERS} workers, got ${workers}`)
  }
  const slots: Slot[] = Array.from({ length: workers }, () => ({ thread: wasmThread(), held: heldModules() }))
  const runs = new Set<Run>()
  const sizes = learnedSizes()
  let closed = false

  /** Gives idle threads the next chunks. Runs take turns: the one that was served goes to the end. */
  const schedule = (): void => {
    for (const slot of slots) {
      if (slot.thread.busy) continue
      for (const run of runs) {
        const range = takeRange(run)
        if (range === undefined) continue
        runs.delete(run)
        runs.add(run)
        void serve(run, slot, range)
        break
      }
    }
  }

  const serve = async (run: Run, slot: Slot, range: Range): Promise<void> => {
    run.underWay.set(slot, range)
    try {
      const reply = await compute(run, slot, range)
      if (reply.error && reply.error.detail.record === undefined) slot.held.drop(run.key)
      takeReply(run, range, reply)
    } catch (error) {
      takeFault(run, typed(error), range)
    }
    run.underWay.delete(slot)
    if (run.underWay.size === 0 && peekRange(run) === undefined) run.settle(run.fault?.error)
    schedule()
  }

  const open = (module: ModuleSource, records: readonly Uint8Array[], options: WasmRunOptions) =>
    new Promise<Uint8Array<ArrayBuffer>[]>((resolve, reject) => {
      const onAbort = () => {
        for (const slot of run.underWay.keys()) slot.thread.abandon()
        run.settle(cancelled(options.signal))
      }
      const key = `${module.cid} ${Object.values(options.limits).join()}`
      const run: Run = {
        module,
        records,
        options,
        key,
        rows: new Array(records.length),
        size: sizes(key),
        next: 0,
        undone: [],
        underWay: new Map(),
        rowBytes: 0,
        fault: undefined,
        settle(error) {
          runs.delete(run)
          options.signal?.removeEventListener('abort', onAbort)
          if (error) reject(error)
          else resolve(run.rows)
        },
      }
      options.signal?.addEventListener('abort', onAbort, { once: true })
      runs.add(run)
      schedule()
    })

  return {
    async run(module, records, options) {
      if (closed) throw closedError()
      checkAborted(options.signal)
      checkOptions(options)
      return records.length === 0 ? [] : open(module, records, options)
    },
    async close() {
      closed = true
      for (const run of [...runs]) run.settle(closedError())
      await Promise.all(slots.map(({ thread }) => thread.close()))
    },
  }
}

/** Modules whose size of chunks is remembered, so that the next run does not begin with single records again. */
const LEARNED_SIZES = 64

function learnedSizes(): (key: string) => PieceSize {
  const sizes = new Map<string, PieceSize>()
  return (key) => {
    const size = sizes.get(key) ?? pieceSize()
    sizes.delete(key)
    sizes.set(key, size)
    const [oldest] = sizes.keys()
    if (sizes.size > LEARNED_SIZES && oldest !== undefined) sizes.delete(oldest)
    return size
  }
}

function compute(run: Run, { thread, held }: Slot, { from, to }: Range): Promise<ChunkReply> {
  const { module, key, options } = run
  if (!thread.started) held.clear()
  const { isHeld, forget } = held.use(key, module.bytes.length)
  const request = {
    key,
    cid: module.cid,
    limits: options.limits,
    forget,
    records: pack(run.records.slice(from, to)),
    ...(isHeld ? {} : { module: module.bytes }),
  }
  return thread.compute(request, { timeLimitMs: options.timeLimitMs })
}

/** Of the records that are still to do before any fault, the first, as many as make a chunk. */
function takeRange(run: Run): Range | undefined {
  const range = peekRange(run)
  if (range === undefined) return undefined
  if (run.undone.length > 0) run.undone.shift()
  else run.next = range.to
  return range
}

function peekRange(run: Run): Range | undefined {
  const [undone] = run.undone
  if (undone !== undefined) return undone
  const end = run.fault?.index ?? run.records.length
  if (run.next >= end) return undefined
  const most = Math.min(run.next + run.size.next(), end)
  let bytes = run.records[run.next]?.length ?? 0
  let to = run.next + 1
  for (; to < most; to++) {
    bytes += run.records[to]?.length ?? 0
    if (bytes > CHUNK_BYTES) break
  }
  return { from: run.next, to }
}

/** Keeps the rows of a reply, and throws what it says of the record after them. */
function takeReply(run: Run, { from, to }: Range, reply: ChunkReply): void {
  const rows = unpack(reply.rows)
  for (const [i, row] of rows.entries()) {
    run.rows[from + i] = row
    run.rowBytes += row.length
  }
  if (reply.error) throw AssayError.fromJSON(reply.error)
  if (run.rowBytes > RUN_BYTES) throw tooManyBytes(run.rowBytes)
  if (rows.length > 0) run.size.learn(rows.length, reply.elapsedMs)
  const rest = { from: from + rows.length, to }
  if (rest.from >= to || rest.from >= (run.fault?.index ?? to)) return
  run.undone.push(rest)
  run.undone.sort((a, b) => a.from - b.from)
}

/** The fault with the lowest index stands, and nothing above it is worth computing. */
function takeFault(run: Run, error: AssayError, { from }: Range): void {
  const { record } = error.detail
  const isRecord = typeof record === 'number'
  const index = isRecord ? from + record : from
  if (run.fault !== undefined && run.fault.index <= index) return
  run.fault = { index, error: isRecord ? placed(error, index) : error }
  const kept = run.undone.filter((range) => range.from < index)
  run.undone.splice(0, run.undone.length, ...kept)
  for (const [{ thread }, range] of run.underWay) if (range.from > index) thread.abandon()
}

/** Threads count records from the first of their chunk; callers from the first of the run. */
function placed(error: AssayError, record: number): AssayError {
  const detail: { readonly [key: string]: Json } = { ...error.detail, record }
  return new AssayError(error.code, `record ${record}: ${error.message}`, { detail, cause: error.cause })
}

/** As a refusal of this runner: what is not typed is a fault of ours, and ends the run all the same. */
function typed(error: unknown): AssayError {
  if (error instanceof AssayError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new AssayError('wasm/crashed', `the runner failed: ${reason}`, { cause: error })
}

function checkOptions({ limits, timeLimitMs }: WasmRunOptions): void {
  assertWasmLimits(limits)
  if (timeLimitMs > 0 && timeLimitMs <= MAX_TIME_LIMIT_MS) return
  throw new AssayError(
    'wasm/options',
    `expected a time limit of at most ${MAX_TIME_LIMIT_MS} ms, got ${timeLimitMs}`,
  )
}

function tooManyBytes(got: number): AssayError {
  return new AssayError(
    'wasm/output-too-large',
    `expected rows of at most ${RUN_BYTES} bytes in one run, got ${got}; run fewer records at once`,
    { detail: { cap: RUN_BYTES, got } },
  )
}

function cancelled(signal: AbortSignal | undefined): AssayError {
  return new AssayError('task/cancelled', 'the run was cancelled by its caller', { cause: signal?.reason })
}

function closedError(): AssayError {
  return new AssayError('wasm/closed', 'the runner was closed')
}
