/**
 * Models run in processes of their own: rows of many jobs over a few processes, which keep models open.
 *
 * Rows travel in pieces of some milliseconds (piece-size.ts), of all runs in turn, so that a long segment does not
 * hold up a short one. A piece goes to a process that has its model open, if one is free.
 *
 * Threat: models and inputs are strangers'. A process that crashes costs the run whose piece it had at hand, and
 * nothing else; one that computes for too long is killed. What a model allocates within its process is not bounded
 * here, only by the operating system.
 */
import { AssayError } from 'assay/core/errors'
import type { ValueInfo } from 'assay/onnx/model'
import type { NamedTensors } from 'assay/state/tensors'
import { decodeRows } from 'assay/task/rows'
import type { Row } from 'assay/wire/segment'
import { MAX_ROW_TIME_MS } from 'assay/wire/work'
import { type InferenceChild, type Piece, startInferenceChild } from './inference-child.ts'
import { type ModelSource, modelName } from './inference-messages.ts'
import { type PieceSize, rememberedSizes } from './piece-size.ts'
import { type RowRange, rowBudget } from './row-runner.ts'

/** More processes than any machine here has cores: a larger number is a slip. */
const MAX_PROCESSES = 256
/** One piece that is computed, and the next, so that a process never waits. */
const PIECES_PER_PROCESS = 2

export interface InferenceOptions {
  readonly processes: number
  /** Longest that one piece may take, which is one row where rows are slow. */
  readonly rowTimeoutMs?: number
}

export interface InferenceRun {
  readonly source: ModelSource
  readonly range: RowRange
  /** Inputs of a part of the range. */
  readonly inputs: (part: RowRange) => NamedTensors
  /** Most rows of one piece: bounds its inputs. */
  readonly maxPieceRows: number
  readonly signal?: AbortSignal
}

/** Starts its processes when they are first needed. */
export interface Inference {
  /** Opens the model, and tells what it takes. Throws what `loadModel` and the runtime refuse. */
  open(source: ModelSource, signal?: AbortSignal): Promise<readonly ValueInfo[]>
  /** Encoded output tensors of each row, in order. `task/cancelled`, `work/crashed`, `work/timeout`, `work/closed`. */
  run(run: InferenceRun): Promise<Row[]>
  /** Ends all runs with `work/closed`, and the processes. */
  close(): Promise<void>
}

/** A run under way; `take` gives the next of its pieces. */
interface Run {
  readonly take: () => Piece | null
  readonly end: (error: AssayError) => void
}

export function openInference({
  processes: most,
  rowTimeoutMs = MAX_ROW_TIME_MS,
}: InferenceOptions): Inference {
  if (!Number.isSafeInteger(most) || most < 1 || most > MAX_PROCESSES) {
    throw new AssayError('pool/options', `expected 1 to ${MAX_PROCESSES} processes, got ${most}`)
  }
  const open = new Set<Run>()
  const waiting: Run[] = []
  const again: Piece[] = []
  const sizes = rememberedSizes()
  const children = new Set<InferenceChild>()
  let closed = false

  const dispatch = () => {
    while (!closed) {
      const free = [...children].filter(({ load }) => load < PIECES_PER_PROCESS)
      const mayStart = children.size < most
      const piece = free.length > 0 || mayStart ? takePiece(again, waiting) : null
      if (piece === null) return
      const child = chooseChild(free, { name: piece.name, mayStart }) ?? start()
      child.send(piece)
    }
  }
  const start = () => {
    const onEnd = (child: InferenceChild, left: readonly Piece[]) => {
      children.delete(child)
      again.push(...left)
      dispatch()
    }
    const child = startInferenceChild({ rowTimeoutMs, onReply: dispatch, onEnd })
    children.add(child)
    return child
  }
  const submit = async <T>(makeRun: MakeRun<T>, signal: AbortSignal | undefined): Promise<T> => {
    if (closed) throw closedError()
    const { run, result } = openRun(makeRun)
    const abort = () => {
      run.end(
        new AssayError('task/cancelled', 'the run was cancelled by its caller', { cause: signal?.reason }),
      )
      for (const child of children) child.reconsider()
    }
    signal?.addEventListener('abort', abort, { once: true })
    open.add(run)
    waiting.push(run)
    if (signal?.aborted) abort()
    dispatch()
    try {
      return await result
    } finally {
      signal?.removeEventListener('abort', abort)
      open.delete(run)
    }
  }
  return {
    open: (source, signal) => submit(openingRun(source), signal),
    run: (run) => submit(rowsRun(run, sizes(modelName(run.source))), run.signal),
    async close() {
      closed = true
      for (const run of open) run.end(closedError())
      await Promise.all([...children].map((child) => child.stop()))
    },
  }
}

/** The next piece of whoever is first in line, who then goes to its end. */
function takePiece(again: Piece[], waiting: Run[]): Piece | null {
  for (let piece = again.shift(); piece !== undefined; piece = again.shift()) {
    if (piece.isOpen()) return piece
  }
  for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
    const piece = run.take()
    if (piece === null) continue
    waiting.push(run)
    return piece
  }
  return null
}

/** An idle one that has the model, any idle one, a new one (undefined), or the least busy. */
function chooseChild(
  free: readonly InferenceChild[],
  { name, mayStart }: { readonly name: string; readonly mayStart: boolean },
): InferenceChild | undefined {
  const idle = free.filter(({ load }) => load === 0)
  const best = idle.find((child) => child.knows(name)) ?? idle[0]
  if (best !== undefined || mayStart) return best
  return free.find((child) => child.knows(name)) ?? free[0]
}

interface RunEnd<T> {
  readonly isOpen: () => boolean
  readonly resolve: (value: T) => void
  readonly fail: (error: AssayError) => void
}

/** Gives the function that makes the next piece, or null where all are made. */
type MakeRun<T> = (end: RunEnd<T>) => () => Piece | null

function openRun<T>(makeRun: MakeRun<T>): { readonly run: Run; readonly result: Promise<T> } {
  let isOpen = true
  let end: RunEnd<T> | undefined
  const result = new Promise<T>((resolve, reject) => {
    const settle = (act: () => void) => {
      if (isOpen) act()
      isOpen = false
    }
    end = {
      isOpen: () => isOpen,
      resolve: (value) => settle(() => resolve(value)),
      fail: (error) => settle(() => reject(error)),
    }
  })
  const { fail } = end as RunEnd<T>
  const take = makeRun(end as RunEnd<T>)
  return { run: { take: () => (isOpen ? take() : null), end: fail }, result }
}

function openingRun(source: ModelSource): MakeRun<readonly ValueInfo[]> {
  return ({ isOpen, resolve, fail }) => {
    let taken = false
    return () => {
      if (taken) return null
      taken = true
      const request = { source, inputs: null, count: 0 }
      return { name: modelName(source), request, isOpen, fail, done: ({ inputs }) => resolve(inputs) }
    }
  }
}

function rowsRun({ source, range, inputs, maxPieceRows }: InferenceRun, size: PieceSize): MakeRun<Row[]> {
  return ({ isOpen, resolve, fail }) => {
    const name = modelName(source)
    const rows = new Array<Row>(range.to - range.from)
    const add = rowBudget()
    let [next, missing] = [range.from, rows.length]
    return () => {
      if (next >= range.to) return null
      const from = next
      next = Math.min(from + size.next(), from + maxPieceRows, range.to)
      const count = next - from
      const request = { source, inputs: inputs({ from, to: next }), count }
      return {
        name,
        request,
        isOpen,
        fail,
        done({ rows: encoded, elapsedMs }) {
          size.learn(count, elapsedMs)
          try {
            for (const [i, row] of decodeRows(encoded).entries()) {
              add(row)
              rows[from - range.from + i] = row
            }
          } catch (error) {
            return fail(error as AssayError)
          }
          missing -= count
          if (missing === 0) resolve(rows)
        },
      }
    }
  }
}

function closedError(): AssayError {
  return new AssayError('work/closed', 'this machine is stopping, and computes no more rows')
}
