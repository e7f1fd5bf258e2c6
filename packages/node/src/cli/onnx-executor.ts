/**
 * Who computes the rows: this thread, which looks up from its work now and then, or worker threads.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { checkAborted, countIndices, type Executor, localExecutor } from 'assay/method/sampling/executor'
import type { NamedTensors } from 'assay/state/tensors'
import { openPool } from '../executor/pool.ts'
import type { Session } from './command.ts'
import type { OnnxJob } from './onnx-job.ts'
import type { OnnxTaskParts } from './onnx-worker.ts'

/** Rows run back to back for so long before signals and the progress line get their turn. */
const TURN_MS = 50

export interface OpenExecutor {
  readonly executor: Executor<NamedTensors>
  close(): Promise<void>
}

export interface ExecutorOptions {
  /** Threads; 0 is this one. */
  readonly workers: number
  readonly session: Session
  /** What the progress line calls the work. */
  readonly label: string
}

/** Close it after its last run. */
export async function openExecutor(onnx: OnnxJob, options: ExecutorOptions): Promise<OpenExecutor> {
  const { workers, session } = options
  if (workers === 0) return { executor: inThisThread(onnx, options), close: async () => {} }
  const args: readonly [OnnxTaskParts] = [onnx.parts]
  const module = { url: new URL('./onnx-worker.js', import.meta.url).href, export: 'openOnnxTask', args }
  const pool = await openPool(onnx.task, onnx.inputs, { module, workers, signal: session.signal })
  return { executor: withProgress(pool, options), close: () => pool.close() }
}

function withProgress(
  executor: Executor<NamedTensors>,
  { session, label }: ExecutorOptions,
): Executor<NamedTensors> {
  return {
    async *run(indices, options) {
      const total = countIndices(indices)
      let done = 0
      for await (const segment of executor.run(indices, options)) {
        done += segment.states.length
        session.progress(label, done, total)
        yield segment
      }
    },
  }
}

/**
 * Lets the event loop turn between rows, and counts them. A runtime in WebAssembly answers without a turn, so
 * that Ctrl+C on a slow model would not be heard before a whole segment is done.
 */
function inThisThread(
  { task, inputs }: OnnxJob,
  { session: { signal, progress }, label }: ExecutorOptions,
): Executor<NamedTensors> {
  return {
    run(indices, options) {
      const total = countIndices(indices)
      let done = 0
      let turnedAt = performance.now()
      const pause = async () => {
        await nextTurn()
        checkAborted(signal)
        progress(label, done, total)
        turnedAt = performance.now()
      }
      const open = (input: NamedTensors) => {
        const execution = task.open(input)
        return {
          states: execution.states,
          async stateAt(index: number) {
            if (performance.now() - turnedAt > TURN_MS) await pause()
            done += 1
            return execution.stateAt(index)
          },
        }
      }
      return localExecutor({ name: task.name, state: task.state, open }, inputs).run(indices, options)
    },
  }
}
