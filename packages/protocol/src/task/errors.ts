/** Stable codes of `task/`. */
import type { ErrorCode, ErrorEntry } from '../core/errors.ts'

export const TASK_ERRORS = {
  'task/definition': {
    meaning: 'A task was defined with a field missing or out of range, or with a graph that has a cycle.',
    remedy: 'The message names the field; definitions are checked once, when the task is made.',
  },
  'task/input': {
    meaning: 'The input is not one of this task, or gives a number of states out of range.',
    remedy: 'The message says what the task expects.',
  },
  'task/output': {
    meaning: 'The output is not one of this task for this input.',
    remedy: 'The message says what the task expects.',
  },
  'task/state-index': {
    meaning: 'A state was asked for that the task does not have for this input.',
    remedy: 'Use indices from 0 to states - 1.',
  },
  'task/cancelled': {
    meaning: 'The run was cancelled by its caller.',
    remedy: 'Start it again.',
  },
  'task/failed': {
    meaning: 'The computation of a state threw an error of its own.',
    remedy: 'The message names the state; mend the task or its input.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
