/**
 * What a response claims of its states: all of them beside the output, or those that the output itself tells.
 *
 * Threat: output and states are hostile, and so is what an output rule of a careless task makes of them. Each
 * claim names one state of the run, once; where the claims are all states, the output is derived from them
 * again, so that no part of it escapes.
 */
import { equalBytes } from '../../core/bytes.ts'
import { AssayError, reject, type Verdict } from '../../core/errors.ts'
import type { StateKind } from '../../state/kind.ts'
import type { Task } from '../../task/task.ts'
import type { VerifierRequest } from './messages.ts'

/**
 * What ties the output to the proved states:
 * - `claimed`: it tells them all, and is what they give;
 * - `derived`: they were handed over beside it, and it is what they give;
 * - `partial`: it tells some of them (the last of a chain);
 * - `unbound`: nothing. Then only a full re-execution catches an altered output.
 */
export type OutputBinding = 'claimed' | 'derived' | 'partial' | 'unbound'

export interface Claims<State> {
  /** States that came with the response, by index, ascending. */
  readonly claimed: ReadonlyMap<number, State>
  readonly outputBinding: OutputBinding
}

/** Throws typed errors, and whatever the code of the task throws: see `attemptOutput`. */
export function readClaims<Input, State, Output>(
  task: Task<Input, State, Output>,
  { solverRequest: { solverInput }, solverOutput }: VerifierRequest<Input, Output>,
  { states, handed }: { readonly states: number; readonly handed: readonly State[] | null },
): Claims<State> {
  const told = collect(task, task.output.claims(solverOutput, solverInput), states)
  const claimed = handed === null ? told : new Map(handed.entries())
  if (claimed.size < states) return { claimed, outputBinding: claimed.size === 0 ? 'unbound' : 'partial' }
  const derived = task.output.derive([...claimed.values()], solverInput)
  if (!equalBytes(task.output.encode(derived), task.output.encode(solverOutput))) {
    throw new AssayError('sampling/output-derivation', 'the output is not the one that its states give')
  }
  return { claimed, outputBinding: handed === null ? 'claimed' : 'derived' }
}

function collect<Input, State, Output>(
  task: Task<Input, State, Output>,
  claims: Iterable<readonly [index: number, state: State]>,
  states: number,
): ReadonlyMap<number, State> {
  const claimed = new Map<number, State>()
  for (const [index, state] of claims) {
    if (!Number.isSafeInteger(index) || index < 0 || index >= states || claimed.has(index)) {
      throw new AssayError(
        'sampling/output-shape',
        `expected each of ${states} states claimed once, got state ${index}`,
      )
    }
    ;(task.state.assert as (value: unknown) => void)(state)
    claimed.set(index, state)
  }
  return new Map([...claimed].sort(([a], [b]) => a - b))
}

/** Refuses handed-over states that are not all states of the run. */
export function assertHanded<State>(kind: StateKind<State>, handed: readonly State[], states: number): void {
  if (!Array.isArray(handed) || handed.length !== states) {
    throw new AssayError(
      'sampling/output-shape',
      `expected ${states} states beside the output, got ${handed?.length}`,
      {
        detail: { expected: states, found: handed?.length ?? null },
      },
    )
  }
  for (const state of handed) (kind.assert as (value: unknown) => void)(state)
}

/** Like `attempt`, for code of the task that reads what the solver sent: whatever it throws is a refusal. */
export function attemptOutput<T>(read: () => T): Verdict<T> {
  try {
    return { ok: true, value: read() }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    if (error instanceof AssayError && error.code.startsWith('sampling/'))
      return { ok: false, ...error.toJSON() }
    const detail = error instanceof AssayError ? { cause: error.code } : {}
    return reject(
      'sampling/output-shape',
      `the output is not one of the task for this input: ${error.message}`,
      detail,
    )
  }
}
