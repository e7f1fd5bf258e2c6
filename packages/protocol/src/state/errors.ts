/**
 * Stable codes of `state/`: what can be wrong with a state, its encoding, or the options of its kind.
 */
import type { ErrorCode, ErrorEntry } from '../core/errors.ts'

export const STATE_ERRORS = {
  'state/parameters': {
    meaning: 'A kind of state was asked for with an option that is missing, unknown or out of range.',
    remedy: 'The message names the option and its range.',
  },
  'state/type': {
    meaning: 'A value is not a state of the kind that the task declares.',
    remedy: 'Return the type that the message names from the computation.',
  },
  'state/shape': {
    meaning: 'A tensor or array has another shape, dtype or length than its data or its kind demands.',
    remedy: 'The message names both shapes; fix the computation or the declaration.',
  },
  'state/non-finite': {
    meaning: 'A number is NaN or infinite where a finite one is needed.',
    remedy: 'The message names the element; clean the data, or use an exact kind.',
  },
  'state/out-of-range': {
    meaning: 'A number is finite but too large for its encoding at the tolerance asked.',
    remedy: 'Scale the values, or raise the tolerance.',
  },
  'state/too-large': {
    meaning: 'A state, or its encoding, exceeds a stated cap.',
    remedy: 'Split the state, or raise the cap where the caller may.',
  },
  'state/malformed': {
    meaning: 'The bytes are not the one canonical encoding of a state of this kind.',
    remedy: 'Fetch the object again; if it comes the same, its sender is faulty or hostile.',
  },
  'state/plan-not-found': {
    meaning: 'The text holds neither numbered calls nor tool-call JSON.',
    remedy: 'Ask the model for a plan in one of the documented forms, or treat its answer as no plan.',
  },
  'state/plan-malformed': {
    meaning: 'A call of the plan was started but cannot be read: a bracket, quote or argument is broken.',
    remedy: 'The message gives the position; treat the answer as no plan rather than repairing it.',
  },
  'state/plan-too-large': {
    meaning: 'The plan has more text, calls, arguments or nesting than its cap.',
    remedy: 'Raise the cap where the caller may, or ask the model for a shorter plan.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
