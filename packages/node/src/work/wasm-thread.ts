/**
 * One thread for modules of strangers, seen from outside: sends it chunks, watches how long it takes for each
 * record, and ends it where that is too long. A thread that was ended is started anew for the next chunk.
 *
 * Time is measured from when a record is first seen under way, so that neither a busy caller nor the start of the
 * thread counts as the module's; a record is ended at most a quarter of its limit late.
 */
import { Worker } from 'node:worker_threads'
import { AssayError } from 'assay/core/errors'
import { CELL, CELLS, type ChunkReply, type ChunkRequest, PHASE } from './wasm-messages.ts'

/** To start a thread takes 0.1 s; ten at once on a busy machine, seconds. */
const START_LIMIT_MS = 60_000
/** To check and compile 8 MiB takes 0.3 s. */
const LOAD_LIMIT_MS = 30_000
/** How often a watch looks: often enough for the limit, and never more often than every few milliseconds. */
const LOOKS_PER_LIMIT = 8
const LEAST_LOOK_MS = 2
const MOST_LOOK_MS = 250
/** How long a record may go on that nobody waits for: less than a thread takes to start. */
const ABANDONED_LIMIT_MS = 50
/**
 * V8 counts a module's memory (1 GiB at most) against the heap, though it lies outside: with less than twice the
 * memory as a cap it collects garbage at each growth, and a record took 9 s instead of 1. The heap itself stays
 * small, since limits bound what a module can have there: rows, emitted states, tables.
 */
const HEAP_MIB = 3072

export interface WasmThread {
  readonly busy: boolean
  /** Whether there is a thread: false before the first chunk, and after it was ended. */
  readonly started: boolean
  /**
   * The reply to a chunk. One at a time. Throws `wasm/time` and `wasm/crashed`; the thread is gone then.
   */
  compute(request: ChunkRequest, options: { readonly timeLimitMs: number }): Promise<ChunkReply>
  /** Nobody waits for the chunk under way: it comes back after its record, and one that goes on ends the thread. */
  abandon(): void
  close(): Promise<void>
}

interface Chunk {
  timeLimitMs: number
  resolve(reply: ChunkReply): void
  reject(error: AssayError): void
}

export function wasmThread(): WasmThread {
  const endings = new Set<Promise<unknown>>()
  let cells = new Int32Array(new SharedArrayBuffer(4 * CELLS))
  let worker: Worker | undefined
  let chunk: Chunk | undefined
  let watch: NodeJS.Timeout | undefined

  const settle = (): Chunk | undefined => {
    clearTimeout(watch)
    const settled = chunk
    chunk = undefined
    worker?.unref()
    return settled
  }
  /** Ends the thread. It may be in a compiler for a moment longer: nobody waits for that but `close`. */
  const end = (error: AssayError): void => {
    const ending = worker?.terminate()
    worker = undefined
    if (ending !== undefined) {
      endings.add(ending)
      void ending.finally(() => endings.delete(ending))
    }
    settle()?.reject(error)
  }

  const start = (): Worker => {
    cells = new Int32Array(new SharedArrayBuffer(4 * CELLS))
    const started = new Worker(new URL('./wasm-worker.js', import.meta.url), {
      workerData: cells,
      // Nothing of the node's.
      env: {},
      execArgv: [],
      stdin: true,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
    })
    // A thread that was replaced may still say something.
    const ifCurrent =
      <T>(then: (value: T) => void) =>
      (value: T) => {
        if (worker === started) then(value)
      }
    started.on(
      'message',
      ifCurrent((reply: ChunkReply) => settle()?.resolve(reply)),
    )
    started.on(
      'error',
      ifCurrent((cause: Error) => end(crashed(cause.message, cause))),
    )
    started.on(
      'exit',
      ifCurrent((code: number) => end(crashed(`it exited with ${code}`))),
    )
    return started
  }

  const look = (seen: { progress: number; sinceMs: number }): void => {
    if (chunk === undefined) return
    const progress = Atomics.load(cells, CELL.progress)
    const now = performance.now()
    const sinceMs = progress === seen.progress ? seen.sinceMs : now
    const phase = Atomics.load(cells, CELL.phase)
    const limitMs = limitOf(phase, chunk.timeLimitMs)
    if (now - sinceMs > limitMs) end(tooLong(phase, limitMs, Atomics.load(cells, CELL.record)))
    else watchOn({ progress, sinceMs })
  }
  const watchOn = (seen: { progress: number; sinceMs: number }): void => {
    const { timeLimitMs = MOST_LOOK_MS } = chunk ?? {}
    const everyMs = Math.min(Math.max(timeLimitMs / LOOKS_PER_LIMIT, LEAST_LOOK_MS), MOST_LOOK_MS)
    clearTimeout(watch)
    watch = setTimeout(() => look(seen), everyMs)
  }

  return {
    get busy() {
      return chunk !== undefined
    },
    get started() {
      return worker !== undefined
    },
    compute(request, { timeLimitMs }) {
      worker ??= start()
      const current = worker
      Atomics.store(cells, CELL.stop, 0)
      return new Promise((resolve, reject) => {
        chunk = { timeLimitMs, resolve, reject }
        current.ref()
        const { bytes, ends } = request.records
        current.postMessage(request, [bytes.buffer, ends.buffer])
        watchOn({ progress: Atomics.load(cells, CELL.progress), sinceMs: performance.now() })
      })
    },
    abandon() {
      if (chunk === undefined) return
      Atomics.store(cells, CELL.stop, 1)
      chunk.timeLimitMs = Math.min(chunk.timeLimitMs, ABANDONED_LIMIT_MS)
      watchOn({ progress: Atomics.load(cells, CELL.progress), sinceMs: performance.now() })
    },
    async close() {
      end(new AssayError('wasm/closed', 'the runner was closed'))
      await Promise.all(endings)
    },
  }
}

function limitOf(phase: number, timeLimitMs: number): number {
  if (phase === PHASE.running) return timeLimitMs
  return phase === PHASE.loading ? LOAD_LIMIT_MS : START_LIMIT_MS
}

function tooLong(phase: number, limitMs: number, record: number): AssayError {
  if (phase === PHASE.running) {
    return new AssayError('wasm/time', `a record took longer than its ${limitMs} ms, and was ended`, {
      detail: { timeLimitMs: limitMs, record },
    })
  }
  if (phase === PHASE.loading) {
    return new AssayError('wasm/time', `the module took longer than ${limitMs} ms to load`, {
      detail: { timeLimitMs: limitMs },
    })
  }
  return crashed(`it did not answer for ${limitMs} ms`)
}

function crashed(how: string, cause?: Error): AssayError {
  return new AssayError('wasm/crashed', `the thread of the module ended: ${how}`, { cause })
}
