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
 * asking for an earlier one starts over.
 */
export function sequentialExecution<State>(
  states: number,
  step: (previous: State | undefined, index: number) => Awaitable<State>,
): Execution<State> {
  let position = -1
  let current: State | undefined
  return {
    states,
    async stateAt(index) {
      checkIndex(index, states)
      if (index < position) {
        position = -1
        current = undefined
      }
      while (position < index) {
        current = await step(current, position + 1)
        position += 1
      }
      return current as State
    },
  }
}

function checkIndex(index: number, states: number): void {
  if (!Number.isSafeInteger(index) || index < 0 || index >= states) {
    throw new AssayError('task/state-index', `expected a state index from 0 to ${states - 1}, got ${index}`)
  }
}
