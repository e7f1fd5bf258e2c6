/**
 * Executors: who computes the states. In this process, or spread over workers; the proof bytes are the same.
 *
 * Work travels in segments: a run of indices in, their states (and, for the solver, the items of their
 * slots) out, in order. A worker thread runs `computeSegment` and sends the result home.
 */
import { AssayError } from '../../core/errors.ts'
import type { StateKind } from '../../state/kind.ts'
import type { Execution, Task } from '../../task/task.ts'
import { itemBatch } from './items.ts'

/** Most states computed between two looks at the abort signal and two progress events. */
export const SEGMENT_STATES = 256
/** Segments grow while they take less than this: heavy states are computed one by one, light ones in bulk. */
const SEGMENT_MS = 20

export interface IndexRange {
  readonly from: number
  /** Exclusive. */
  readonly to: number
}

export interface Segment<State> {
  /** The states of the segment's indices, in order. */
  readonly states: readonly State[]
  /** 16 bytes for each slot of each state, in order; empty unless a block was given. */
  readonly items: Uint8Array
}

export interface Progress {
  readonly phase: 'solve' | 'verify'
  /** States done, of `total`. */
  readonly done: number
  readonly total: number
}

export interface RunOptions {
  /** Item block of the proof (items.ts): asks for items. */
  readonly block?: Uint8Array
  readonly signal?: AbortSignal
}

export interface Executor<State> {
  /** Segments in ascending order that cover `indices`, which are ascending. */
  run(indices: IndexRange | readonly number[], options?: RunOptions): AsyncIterable<Segment<State>>
}

/** Computes in this process, one state after the other. */
export function localExecutor<Input, State>(
  task: Pick<Task<Input, State, unknown>, 'open' | 'state' | 'name'>,
  input: Input,
): Executor<State> {
  return {
    async *run(indices, { block, signal } = {}) {
      const execution = task.open(input)
      const total = countIndices(indices)
      let size = 1
      for (let start = 0; start < total; ) {
        checkAborted(signal)
        const part = sliceIndices(indices, start, start + size)
        const begun = performance.now()
        yield await computeSegment(task, execution, { indices: part, ...(block ? { block } : {}) })
        start += countIndices(part)
        // What a segment holds never changes a state or the proof, only how soon a signal is heard.
        if (performance.now() - begun < SEGMENT_MS) size = Math.min(2 * size, SEGMENT_STATES)
        await nextTurn()
      }
    },
  }
}

/** The states of `indices` and, with a block, their items. Errors of the task's own code become typed. */
export async function computeSegment<State>(
  task: { readonly state: StateKind<State>; readonly name: string },
  execution: Execution<State>,
  { indices, block }: { readonly indices: IndexRange | readonly number[]; readonly block?: Uint8Array },
): Promise<Segment<State>> {
  const states: State[] = []
  const batch = itemBatch()
  for (const index of eachIndex(indices)) {
    const state = await stateAt(task, execution, index)
    states.push(state)
    if (block) addCommitted(batch, task.state, { index, state })
  }
  return { states, items: block ? batch.hash(block) : new Uint8Array(0) }
}

/** Adds what the solver commits for one state. */
export function addCommitted<State>(
  batch: ReturnType<typeof itemBatch>,
  kind: StateKind<State>,
  { index, state }: { readonly index: number; readonly state: State },
): void {
  const encodings = kind.commit(state)
  for (let slot = 0; slot < encodings.length; slot++) batch.add(index, slot, encodings[slot] as Uint8Array)
}

async function stateAt<State>(
  task: { readonly state: StateKind<State>; readonly name: string },
  execution: Execution<State>,
  index: number,
): Promise<State> {
  try {
    const pending = execution.stateAt(index)
    const state = pending instanceof Promise ? await pending : pending
    checkState(task.state, state)
    return state
  } catch (error) {
    if (error instanceof AssayError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new AssayError('task/failed', `task ${task.name} failed at state ${index}: ${reason}`, {
      detail: { stateIndex: index },
      cause: error,
    })
  }
}

function checkState<State>(kind: StateKind<State>, state: State): void {
  ;(kind.assert as (value: unknown) => void)(state)
}

export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new AssayError('task/cancelled', 'the run was cancelled by its caller', { cause: signal.reason })
  }
}

/** An executor that gives fewer or more states than asked for would leave samples unchecked. */
export function checkComputed(got: number, expected: number): void {
  if (got !== expected) {
    throw new AssayError('task/failed', `expected ${expected} states from the executor, got ${got}`)
  }
}

export function countIndices(indices: IndexRange | readonly number[]): number {
  return 'from' in indices ? indices.to - indices.from : indices.length
}

export function* eachIndex(indices: IndexRange | readonly number[]): Generator<number> {
  if (!('from' in indices)) yield* indices
  else for (let index = indices.from; index < indices.to; index++) yield index
}

export function* splitIndices(
  indices: IndexRange | readonly number[],
  size: number,
): Generator<IndexRange | readonly number[]> {
  const total = countIndices(indices)
  for (let start = 0; start < total; start += size) yield sliceIndices(indices, start, start + size)
}

/** The part of `indices` from position `start` to before `end`, or to their end. */
function sliceIndices(
  indices: IndexRange | readonly number[],
  start: number,
  end: number,
): IndexRange | readonly number[] {
  if (!('from' in indices)) return indices.slice(start, end)
  return { from: indices.from + start, to: Math.min(indices.from + end, indices.to) }
}

/** Lets timers, signals and progress through between segments; a message costs less than a timer's 1 ms. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(null)
  })
}
