/**
 * Pieces: what travels between a pool and its workers (pool.ts, worker.ts).
 *
 * A worker gets its task and its input once, when it starts. Then each message asks for the states of some
 * indices, and each reply brings them home: all encodings in one buffer, which is moved instead of copied.
 */
import type { SerializedError } from 'assay/core/errors'
import type { IndexRange, Segment } from 'assay/method/sampling/executor'
import type { StateKind } from 'assay/state/kind'
import type { TaskId } from 'assay/task/task'

/** Where workers find the task. */
export interface TaskModule {
  /** URL of an ES module; `import.meta.url` of the file that defines the task, mostly. */
  readonly url: string
  /** A task, or a function that returns one, now or later. */
  readonly export: string
  /** For the function; copied to each worker by structured clone. */
  readonly args?: readonly unknown[]
}

/** What a worker is started with. */
export interface WorkerSetup {
  readonly module: TaskModule
  readonly taskId: TaskId
  /** In the encoding of the task's input. */
  readonly input: Uint8Array
}

export interface PieceRequest {
  /** Numbers the runs of a pool; the pieces of one run share an execution. */
  readonly run: number
  /** One element over shared memory; not 0 once the run is cancelled. */
  readonly cancelled: Int32Array
  /** Null only opens the task. */
  readonly indices: IndexRange | readonly number[] | null
  readonly block?: Uint8Array
}

export interface PieceReply {
  /** The encodings of the states, one after the other, and where each ends. */
  readonly states: Uint8Array<ArrayBuffer>
  readonly ends: Uint32Array<ArrayBuffer>
  readonly items: Uint8Array<ArrayBuffer>
  /** Time that the worker computed. */
  readonly elapsedMs: number
}

/** A refusal travels as data: structured clone would drop the code of an error. */
export type PieceResult = PieceReply | { readonly error: SerializedError }

export function packSegment<State>(
  kind: StateKind<State>,
  { states, items }: Segment<State>,
): Pick<PieceReply, 'states' | 'ends' | 'items'> {
  const encodings = states.map((state) => kind.encode(state))
  const packed = new Uint8Array(encodings.reduce((sum, encoding) => sum + encoding.length, 0))
  const ends = new Uint32Array(encodings.length)
  let offset = 0
  for (const [i, encoding] of encodings.entries()) {
    packed.set(encoding, offset)
    offset += encoding.length
    ends[i] = offset
  }
  return { states: packed, ends, items: ownBuffer(items) }
}

/** A copy of a view, so that moving it moves no more than itself. */
function ownBuffer(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength === bytes.length
  return isWhole ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice()
}

export function unpackSegment<State>(kind: StateKind<State>, reply: PieceReply): Segment<State> {
  const states = new Array<State>(reply.ends.length)
  let start = 0
  for (const [i, end] of reply.ends.entries()) {
    states[i] = kind.decode(reply.states.subarray(start, end))
    start = end
  }
  return { states, items: reply.items }
}
