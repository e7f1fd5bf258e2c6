/**
 * Recomputing sampled states: from scratch, or one step from the solver's own state before it; and comparing
 * what comes out with what the solver handed over and proved.
 *
 * Threat: states that were handed over or opened are hostile input to the task's own code. Whatever that code
 * makes of them is the solver's doing: a rejection, never an exception of the verifier.
 */
import { AssayError, type Rejection, reject, type Verdict } from '../../core/errors.ts'
import type { StateKind } from '../../state/kind.ts'
import type { Task } from '../../task/task.ts'
import { describeState, type Evidence } from './evidence.ts'
import { acceptsState, lookUp } from './lookup.ts'
import type { OpenedResponse } from './response.ts'

export interface SampledState<State> {
  readonly index: number
  readonly computed: State
  /** The solver's own, where it was handed over or opened. */
  readonly handed: State | undefined
}

/**
 * Whether equal states are the only ones that agree. Where they are not, single steps prove nothing: a chain
 * could move by the tolerance at each of them, and end anywhere.
 */
export function isExact(kind: Pick<StateKind<unknown>, 'alternatives' | 'quorum' | 'slots'>): boolean {
  return kind.alternatives === 1 && kind.quorum === kind.slots
}

/** The state at `index` from the solver's own state before it. */
export async function stepFrom<Input, State, Output>(
  task: Task<Input, State, Output>,
  input: Input,
  { previous, index }: { readonly previous: State | undefined; readonly index: number },
): Promise<Verdict<State>> {
  if (!task.step) throw new AssayError('sampling/config', `task ${task.name} has no steps`)
  try {
    const state = await task.step(previous, input, index)
    ;(task.state.assert as (value: unknown) => void)(state)
    return { ok: true, value: state }
  } catch (error) {
    if (index === 0 || !(error instanceof Error)) throw error
    return stepFailed(index, error.message)
  }
}

function stepFailed(index: number, message: string): Rejection {
  return reject(
    'sampling/step-failed',
    `step ${index}, from the solver's state before it, fails: ${message}`,
    {
      found: { stateIndex: index },
    },
  )
}

/** One sampled state against the solver's own and against the proof. */
export function checkState<Input, State, Output>(
  task: Task<Input, State, Output>,
  { set, block }: Pick<OpenedResponse<State>, 'set' | 'block'>,
  { index, computed, handed }: SampledState<State>,
): Evidence | null {
  if (handed !== undefined && !acceptsState(task.state, computed, handed)) {
    return stateEvidence('sampling/state-mismatch', task, { index, computed, handed })
  }
  const [found] = lookUp(task.state, [{ index, state: computed }], { set, block, as: 'computed' })
  if (found?.passes) return null
  return {
    code: 'sampling/state-missing',
    message: `state ${index}, recomputed, is not in the proof`,
    stateIndex: index,
    expected: { state: describeState(task.state.encode(computed)), slotsHit: task.state.quorum },
    found: { slotsHit: found?.slotsHit ?? 0 },
  }
}

export function stateEvidence<Input, State, Output>(
  code: 'sampling/state-mismatch' | 'sampling/output-mismatch',
  task: Task<Input, State, Output>,
  { index, computed, handed }: { readonly index: number; readonly computed: State; readonly handed: State },
): Evidence {
  return {
    code,
    message: `state ${index}, recomputed, differs from the one handed over`,
    stateIndex: index,
    expected: { state: describeState(task.state.encode(computed)) },
    found: { state: describeState(task.state.encode(handed)) },
  }
}
