/** Stable codes of reputation, audits and canaries. */
import type { ErrorCode, ErrorEntry } from 'assay/core/errors'

export const TRUST_ERRORS = {
  'trust/config': {
    meaning:
      'A rate, threshold or count of the trust policy is out of range, or two of them exclude each other.',
    remedy: 'The message names the field and its range.',
  },
  'trust/reputation': {
    meaning: 'A stored reputation is not one that this release wrote.',
    remedy: 'Restore it from a backup, or begin the node again on probation.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
