/** Stable codes of the redundancy method: why a set of answers cannot be compared, or a draw not be made. */
import type { ErrorCode, ErrorEntry } from '../../core/errors.ts'

export const REDUNDANCY_ERRORS = {
  'redundancy/answers': {
    meaning:
      'Answers cannot be compared: not two or three, two of one node or one operator, or of different work.',
    remedy: 'Compare two or three answers to the same task and input, each from a node of another operator.',
  },
  'redundancy/draw': {
    meaning: 'The draw of an audit was asked for with a rate that is no probability.',
    remedy: 'Pass the rate that the record of the job states, from 0 to 1.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
