/**
 * What a proof costs its solver: plain inference and the honest solver side by side.
 *
 * The two take turns row by row, so that whatever else the machine does slows both alike; measured one after
 * the other, their ratio on a busy machine says more about the neighbours than about the proof.
 */
import type { Solution } from 'assay/method/sampling/prover'
import type { Batch } from 'assay/onnx/batch'
import type { OnnxTask } from 'assay/onnx/onnx-task'
import { sliceFirstAxis, stackFirstAxis, type Tensor } from 'assay/state/tensor'
import type { NamedTensors } from 'assay/state/tensors'
import { runSolver, type SolverParts, type SolveTerms } from './demo-solvers.ts'

/** Rows solved, so many times, before anything is measured: the engine compiles, the curve makes its tables. */
const WARM_UP_ROWS = 256
const WARM_UPS = 3
/** Runs are repeated until this much time is spent, or this often; the quietest one counts, for both figures. */
const MEASURE_MS = 4_000
const MOST_RUNS = 4

export interface Timed<T> {
  readonly value: T
  readonly ms: number
}

export interface MeasuredSolution extends Timed<Solution<NamedTensors, NamedTensors>> {
  readonly plainMs: number
}

export async function time<T>(work: () => Promise<T>): Promise<Timed<T>> {
  const started = performance.now()
  const value = await work()
  return { value, ms: performance.now() - started }
}

export async function measureHonest(
  terms: SolveTerms,
  { batch, parts }: { readonly batch: Batch; readonly parts: SolverParts },
): Promise<MeasuredSolution> {
  const request = { ...terms.request, solverInput: firstRows(terms.request.solverInput, WARM_UP_ROWS) }
  for (let i = 0; i < WARM_UPS; i++) await sideBySide({ ...terms, request }, { batch, parts })
  const started = performance.now()
  let quietest: MeasuredSolution | undefined
  for (let run = 0; run < MOST_RUNS && (run === 0 || performance.now() - started < MEASURE_MS); run++) {
    const measured = await sideBySide(terms, { batch, parts })
    if (quietest === undefined || measured.ms + measured.plainMs < quietest.ms + quietest.plainMs) {
      quietest = measured
    }
  }
  return quietest as MeasuredSolution
}

function firstRows(inputs: NamedTensors, count: number): NamedTensors {
  const rows: { [name: string]: Tensor } = {}
  for (const [name, whole] of Object.entries(inputs)) {
    rows[name] = stackFirstAxis(Array.from({ length: count }, (_, row) => sliceFirstAxis(whole, row)))
  }
  return rows
}

/** `plainMs` is what a solver without proofs would take: row after row, and the output put together. */
async function sideBySide(
  terms: SolveTerms,
  { batch, parts }: { readonly batch: Batch; readonly parts: SolverParts },
): Promise<MeasuredSolution> {
  const inputs = terms.request.solverInput
  const rows: NamedTensors[] = []
  let plainMs = 0
  const task = besides(terms.task, async (row) => {
    const { value, ms } = await time(() => batch.row(inputs, row))
    rows.push(value)
    plainMs += ms
  })
  const solved = await time(() => runSolver('honest', parts, { ...terms, task }))
  const stacked = await time(async () => batch.stack(rows))
  return { value: solved.value, ms: solved.ms - plainMs, plainMs: plainMs + stacked.ms }
}

/** The same task, with `run` called for each row: before it or after it, by turns, since the second is warmer. */
function besides(task: OnnxTask, run: (row: number) => Promise<void>): OnnxTask {
  return {
    ...task,
    open(input) {
      const execution = task.open(input)
      return {
        states: execution.states,
        async stateAt(row) {
          if (row % 2 === 0) await run(row)
          const state = await execution.stateAt(row)
          if (row % 2 === 1) await run(row)
          return state
        },
      }
    },
  }
}
