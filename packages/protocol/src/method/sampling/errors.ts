/** Stable codes of the sampling method: why a proof was rejected, and how it was misused. */
import type { ErrorCode, ErrorEntry } from '../../core/errors.ts'

export const SAMPLING_ERRORS = {
  'sampling/config': {
    meaning: 'A solver or verifier was configured with values out of range, or that exclude each other.',
    remedy: 'The message names the field and its range.',
  },
  'sampling/proof': {
    meaning: 'The proof does not have the kind, count or size that the task, the input and the rate give.',
    remedy: 'Reject the result.',
  },
  'sampling/false-positive-rate': {
    meaning: 'The filter reports too many random values as present: it is saturated or badly sized.',
    remedy: 'Reject the result.',
  },
  'sampling/output-shape': {
    meaning: 'The output, or a state handed over with it, is not one of the task for this input.',
    remedy: 'Reject the result.',
  },
  'sampling/output-row': {
    meaning: 'A state that the output claims is not in the proof that came with it.',
    remedy: 'Certain for a signed response: the output was altered after its proof. Penalise.',
  },
  'sampling/output-derivation': {
    meaning: 'The output is not the one that the handed-over states give.',
    remedy: 'Certain for a signed response: the output was altered. Penalise.',
  },
  'sampling/output-unbound': {
    meaning: 'Nothing ties the output to the proved states: it names none, and none were handed over.',
    remedy: 'Ask for the states, or allow it (`allowUnbound`) and rely on full re-execution for the output.',
  },
  'sampling/step-failed': {
    meaning:
      'A step of a sequential task cannot be computed from the state that the solver gave for the one before.',
    remedy: 'Reject the result: an honest run would have failed too.',
  },
  'sampling/output-mismatch': {
    meaning: 'A full re-execution gives another output.',
    remedy: 'Certain where the task is deterministic. Penalise.',
  },
  'sampling/state-missing': {
    meaning: 'A sampled state, recomputed, is not in the proof.',
    remedy: 'Certain (a proof has no false negatives) where the task is deterministic. Penalise.',
  },
  'sampling/state-mismatch': {
    meaning: 'A sampled state, recomputed, differs from the one that was handed over.',
    remedy: 'Certain where the task is deterministic. Penalise.',
  },
  'sampling/opening': {
    meaning: 'A checkpoint opening is missing or does not lead to the committed root.',
    remedy: 'Ask the solver again; a solver that cannot open what it committed is rejected.',
  },
  'sampling/evidence': {
    meaning: 'The evidence does not hold: the response that it accuses stands up to it.',
    remedy: 'Do not penalise on it.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
