/**
 * Who computes the rows: this thread, which looks up from its work now and then, or worker threads.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { checkAborted, type Executor, localExecutor } from 'assay/method/sampling/executor'
import type { NamedTensors } from 'assay/state/tensors'
import type { Task } from 'assay/task/task'
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

/** `workers` threads, or this one for 0. Close it after its last run. */
export async function openExecutor(
  { task, inputs, parts }: OnnxJob,
  { workers, session }: { readonly workers: number; readonly session: Session },
): Promise<OpenExecutor> {
  if (workers === 0) {
    return { executor: localExecutor(attentive(task, session.signal), inputs), close: async () => {} }
  }
  const args: readonly [OnnxTaskParts] = [parts]
  const module = { url: new URL('./onnx-worker.js', import.meta.url).href, export: 'openOnnxTask', args }
  const pool = await openPool(task, inputs, { module, workers, signal: session.signal })
  return { executor: pool, close: () => pool.close() }
}

/**
 * The same task, which lets the event loop turn between rows. A runtime in WebAssembly answers without a turn,
 * so that Ctrl+C on a slow model would not be heard before a whole segment is done.
 */
function attentive<Input, State>(
  task: Task<Input, State, unknown>,
  signal: AbortSignal,
): Pick<Task<Input, State, unknown>, 'open' | 'state' | 'name'> {
  return {
    name: task.name,
    state: task.state,
    open(input) {
      const execution = task.open(input)
      let turnedAt = performance.now()
      return {
        states: execution.states,
        async stateAt(index) {
          if (performance.now() - turnedAt > TURN_MS) {
            await nextTurn()
            checkAborted(signal)
            turnedAt = performance.now()
          }
          return execution.stateAt(index)
        },
      }
    },
  }
}
