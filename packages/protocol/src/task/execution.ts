/**
 * Running a task state by state: bounds, and the replay of sequential prefixes.
 */
import { AssayError } from '../core/errors.ts'
import type { Awaitable, Execution } from './task.ts'

/** `compute` behind a check of its index. */
export function atIndex<State>(
  states: number,
  compute: (index: number) => Awaitable<State>,
): (index: number) => Awaitable<State> {
  return (index) => {
    checkIndex(index, states)
    return compute(index)
  }
}

/**
 * A chain that remembers where it stands: asking for indices in ascending order runs each step once;
 * asking for an earlier one starts over. Requests that overlap wait for each other. `previous` reaches a step
 * in the form in which it would come over a wire (`normalise`), so that a step cannot depend on more.
 */
export function sequentialExecution<State>(
  states: number,
  step: (previous: State | undefined, index: number) => Awaitable<State>,
  normalise: (state: State) => State,
): Execution<State> {
  let position = -1
  let current: State | undefined
  let turn: Promise<unknown> = Promise.resolve()
  const advance = async (index: number): Promise<State> => {
    if (index < position) {
      position = -1
      current = undefined
    }
    while (position < index) {
      current = await step(current === undefined ? undefined : normalise(current), position + 1)
      position += 1
    }
    return current as State
  }
  return {
    states,
    stateAt(index) {
      checkIndex(index, states)
      const state = turn.then(() => advance(index))
      turn = state.catch(() => {
        position = -1
        current = undefined
      })
      return state
    },
  }
}

function checkIndex(index: number, states: number): void {
  if (!Number.isSafeInteger(index) || index < 0 || index >= states) {
    throw new AssayError('task/state-index', `expected a state index from 0 to ${states - 1}, got ${index}`)
  }
}
