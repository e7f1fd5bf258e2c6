/**
 * An executor over worker threads: solver and verifier use all cores, and the proof bytes stay the same.
 *
 * States of a parallel task are spread in pieces; a piece holds as many states as take some milliseconds,
 * which is measured as the run goes on. Pieces come home in order, and only so many are under way that a slow
 * consumer holds the workers back. Every other shape builds its states on one another, so it runs as one
 * stream in one worker, out of the caller's event loop.
 *
 * Workers run the caller's own code and are trusted as it is. What they must never do is hang or lose an
 * error: refusals keep their codes, and a worker that dies is a `pool/crashed`.
 */
import { AssayError } from 'assay/core/errors'
import {
  checkAborted,
  countIndices,
  type Executor,
  type IndexRange,
  localExecutor,
  type RunOptions,
  type Segment,
} from 'assay/method/sampling/executor'
import type { Task } from 'assay/task/task'
import { Piscina } from 'piscina'
import { pieceSize } from '../work/piece-size.ts'
import {
  type PieceReply,
  type PieceRequest,
  type PieceResult,
  type TaskModule,
  unpackSegment,
  type WorkerSetup,
} from './piece.ts'

/** More threads than any machine here has cores: a larger number is a slip. */
const MAX_WORKERS = 256
/**
 * A thread that is ended inside native code takes the whole process with it (onnxruntime-node aborts), so closing
 * waits for the states that are under way; only one that takes longer than this is ended in its middle.
 */
const CLOSE_GRACE_MS = 10_000
/** Pieces under way for each worker: one that it computes, and the next, so that it never waits. */
const PIECES_PER_WORKER = 2

export interface PoolOptions {
  readonly module: TaskModule
  /** Threads; 0 computes in the calling one. Shapes other than parallel use one at most. */
  readonly workers: number
  /** Ends every run, and closes the pool. */
  readonly signal?: AbortSignal
  /** Cap on the JavaScript heap of each worker, in MiB; Node's own where it is not given. */
  readonly maxHeapMiB?: number
  /** How long `close` waits for states that are under way before it ends their threads; 10 s unless told. */
  readonly closeGraceMs?: number
}

export interface WorkerPool<State> extends Executor<State> {
  /** Threads that compute. */
  readonly workers: number
  /** Ends the runs that are under way, which throw `pool/closed` at once, and then the threads. */
  close(): Promise<void>
}

/**
 * Starts workers that compute states of `task` over `input`, and has each load the task.
 *
 * @throws AssayError `pool/options`; `pool/module`, `pool/task-mismatch` and `pool/crashed` where a worker does
 * not get as far as the task, and whatever the task's own code refuses the input with; `task/cancelled`.
 * Runs throw what `localExecutor` would, and `pool/crashed` or `pool/closed`.
 */
export async function openPool<Input, State, Output>(
  task: Task<Input, State, Output>,
  input: Input,
  options: PoolOptions,
): Promise<WorkerPool<State>> {
  checkAborted(options.signal)
  checkWorkers(options.workers)
  if (options.workers === 0) return inThisThread(task, input, options.signal)
  const workers = task.shape === 'parallel' ? options.workers : 1
  const setup: WorkerSetup = { module: options.module, taskId: task.id, input: task.input.encode(input) }
  const threads = startThreads(setup, { ...options, workers })
  const pool: WorkerPool<State> = {
    workers,
    run: (indices, run) => runPieces(task, threads, { indices, ...run }),
    close: () => threads.close(),
  }
  try {
    await threads.openAll()
  } catch (error) {
    await pool.close()
    throw error
  }
  return pool
}

function inThisThread<Input, State, Output>(
  task: Task<Input, State, Output>,
  input: Input,
  signal: AbortSignal | undefined,
): WorkerPool<State> {
  const local = localExecutor(task, input)
  let closed = false
  return {
    workers: 0,
    async *run(indices, options = {}) {
      if (closed) throw closedError()
      const either = eitherSignal(signal, options.signal)
      yield* local.run(indices, either ? { ...options, signal: either } : options)
    },
    close: async () => {
      closed = true
    },
  }
}

/** The threads behind a pool. */
interface Threads {
  readonly workers: number
  readonly signal: AbortSignal | undefined
  send(request: PieceRequest): Promise<PieceReply>
  openAll(): Promise<void>
  close(): Promise<void>
}

/** A piece that was sent and is not back. */
interface Pending {
  readonly request: PieceRequest
  readonly done: Promise<unknown>
  readonly reject: (error: AssayError) => void
}

function startThreads(setup: WorkerSetup, options: PoolOptions): Threads {
  const { workers, signal, closeGraceMs = CLOSE_GRACE_MS } = options
  const piscina = startPiscina(setup, options)
  const pending = new Set<Pending>()
  let ended: AssayError | undefined
  let closing: Promise<void> | undefined

  /** Whoever waits is told at once; the threads stop at their next state. */
  const end = (error: AssayError): Promise<void> => {
    ended ??= error
    signal?.removeEventListener('abort', close)
    for (const { request, reject } of pending) {
      Atomics.store(request.cancelled, 0, 1)
      reject(ended)
    }
    closing ??= settled(pending, closeGraceMs).then(() => piscina.destroy())
    return closing
  }
  const close = () => end(closedError())
  signal?.addEventListener('abort', close, { once: true })
  // A thread that dies between two pieces, or before its first: without this it would be started anew for ever.
  piscina.on('error', (error: unknown) => void end(crashedError(error)))

  const send = (request: PieceRequest): Promise<PieceReply> =>
    new Promise((resolve, reject) => {
      if (ended) return reject(ended)
      const done = piscina.run(request).then(
        (result: PieceResult) =>
          'error' in result ? reject(AssayError.fromJSON(result.error)) : resolve(result),
        (error: unknown) => reject(crashedError(error)),
      )
      const piece = { request, done, reject }
      pending.add(piece)
      void done.then(() => pending.delete(piece))
    })
  const openAll = async (): Promise<void> => {
    const request = { run: 0, cancelled: sharedFlag(), indices: null }
    await untilAborted(Promise.all(Array.from({ length: workers }, () => send(request))), signal)
  }
  return { workers, signal, send, openAll, close }
}

/** Until all are back, or the time is up. */
async function settled(pending: ReadonlySet<Pending>, graceMs: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, graceMs)
  })
  await Promise.race([Promise.all([...pending].map(({ done }) => done)), timeUp])
  clearTimeout(timer)
}

function startPiscina(setup: WorkerSetup, { workers, maxHeapMiB }: PoolOptions): Piscina {
  try {
    return new Piscina({
      filename: new URL('./worker.js', import.meta.url).href,
      workerData: setup,
      minThreads: workers,
      maxThreads: workers,
      concurrentTasksPerWorker: PIECES_PER_WORKER,
      stricterFIFO: true,
      ...(maxHeapMiB === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: maxHeapMiB } }),
    })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new AssayError('pool/options', `cannot start the workers: ${reason}`, { cause })
  }
}

let runs = 0

async function* runPieces<Input, State, Output>(
  task: Task<Input, State, Output>,
  threads: Threads,
  { indices, block, signal }: RunOptions & { readonly indices: IndexRange | readonly number[] },
): AsyncGenerator<Segment<State>> {
  const either = eitherSignal(threads.signal, signal)
  const cancelled = sharedFlag()
  runs += 1
  const common = { run: runs, cancelled, ...(block ? { block } : {}) }
  const total = countIndices(indices)
  const size = pieceSize()
  const underWay: Promise<PieceReply>[] = []
  let next = 0
  try {
    while (next < total || underWay.length > 0) {
      checkAborted(either)
      while (next < total && underWay.length < threads.workers * PIECES_PER_WORKER) {
        const end = Math.min(next + size.next(), total)
        const piece = threads.send({ ...common, indices: sliceIndices(indices, next, end) })
        piece.catch(() => undefined)
        underWay.push(piece)
        next = end
      }
      const reply = await untilAborted(underWay.shift() as Promise<PieceReply>, either)
      size.learn(reply.ends.length, reply.elapsedMs)
      yield unpackSegment(task.state, reply)
    }
  } finally {
    // The caller may leave early: what is still under way stops at its next state.
    Atomics.store(cancelled, 0, 1)
  }
}

function sliceIndices(indices: IndexRange | readonly number[], start: number, end: number) {
  return 'from' in indices
    ? { from: indices.from + start, to: indices.from + end }
    : indices.slice(start, end)
}

/** `work`, or `task/cancelled` as soon as the signal says so. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work
  let stop: (() => void) | undefined
  const aborted = new Promise<void>((resolve) => {
    stop = resolve
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    const done = await Promise.race([work, aborted])
    checkAborted(signal)
    return done as T
  } catch (error) {
    checkAborted(signal)
    throw error
  } finally {
    if (stop) signal.removeEventListener('abort', stop)
  }
}

function eitherSignal(a: AbortSignal | undefined, b: AbortSignal | undefined): AbortSignal | undefined {
  return a && b ? AbortSignal.any([a, b]) : (a ?? b)
}

function sharedFlag(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
}

function checkWorkers(workers: number): void {
  if (!Number.isSafeInteger(workers) || workers < 0 || workers > MAX_WORKERS) {
    throw new AssayError('pool/options', `expected 0 to ${MAX_WORKERS} workers, got ${workers}`)
  }
}

function closedError(): AssayError {
  return new AssayError('pool/closed', 'the pool is closed: open a new one')
}

function crashedError(cause: unknown): AssayError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new AssayError('pool/crashed', `a worker ended in the middle of its work: ${reason}`, {
    detail: { reason },
    cause,
  })
}
