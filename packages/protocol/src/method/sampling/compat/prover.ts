/**
 * The solver of the published protocol: proofs byte for byte those of warden-spex 0.0.95.
 *
 * For interchange with that package, and to show what the `assay` profile mends. Only integer states have a
 * published wire format. The items are hashes of bare integers: not bound to task, request, solver or
 * position. docs/threats.md lists what follows from that.
 */
import { createBloom, saveBloom } from '../../../core/bloom.ts'
import { toBase64 } from '../../../core/bytes.ts'
import { AssayError } from '../../../core/errors.ts'
import { insertIntegers } from '../../../core/kernel.ts'
import type { Task } from '../../../task/task.ts'
import { type Executor, localExecutor, type Progress } from '../executor.ts'
import type { SolverProof, SolverRequest, SolverResponse } from '../messages.ts'

export interface CompatSolveOptions {
  readonly executor?: Executor<bigint | number>
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

/** SPEX, Algorithm 1, for a task whose states are integers. */
export async function solveCompat<Input, Output>(
  task: Task<Input, bigint | number, Output>,
  request: SolverRequest<Input>,
  options: CompatSolveOptions = {},
): Promise<SolverResponse<Output>> {
  const input = request.solverInput
  const total = task.states(input)
  const states: (bigint | number)[] = []
  const executor = options.executor ?? localExecutor(task, input)
  for await (const segment of executor.run(
    { from: 0, to: total },
    options.signal ? { signal: options.signal } : {},
  )) {
    for (const state of segment.states) states.push(state)
    options.onProgress?.({ phase: 'solve', done: states.length, total })
  }
  return {
    solverOutput: task.output.derive(states, input),
    solverProof: proveIntegers(states, request.falsePositiveRate),
  }
}

/** The published proof over integers, in 64 bits, two's complement. */
export function proveIntegers(states: readonly (bigint | number)[], falsePositiveRate: number): SolverProof {
  if (states.length === 0) throw new AssayError('bloom/parameters', 'expected at least one state, got none')
  const filter = createBloom(states.length, falsePositiveRate)
  insertIntegers(filter, BigInt64Array.from(states, BigInt))
  return { bloomFilter: toBase64(saveBloom(filter)), countItems: states.length }
}
