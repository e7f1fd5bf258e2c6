/** Stable codes of the receipts of network jobs; what they share with other receipts is in receipt/errors.ts. */
import type { ErrorCode, ErrorEntry } from '../../core/errors.ts'

export const JOB_RECEIPT_ERRORS = {
  'job-receipt/parts': {
    meaning: 'The parts that a receipt should be made of do not fit each other.',
    remedy: 'The message names the part: repair the record of the job before it is signed.',
  },
  'job-receipt/execution': {
    meaning:
      'An execution beside the receipt is not signed by its node, is not the one that the receipt names, or was left out.',
    remedy:
      'Reject the receipt: it credits or accuses a node that did not sign this. Where it was left out, ask for the whole bundle.',
  },
  'job-receipt/output': {
    meaning: 'The outputs at hand are not those that the receipt names.',
    remedy: 'Fetch the outputs again; if they come the same, reject the receipt or its outputs.',
  },
  'job-receipt/check': {
    meaning:
      "A verifier's receipt is missing, does not hold, or is about another execution than the job's receipt says.",
    remedy: 'Reject the receipt: its samples were not checked as it says.',
  },
  'job-receipt/rerun': {
    meaning: 'A row of the job comes out otherwise when it is computed again.',
    remedy: 'Reject the result: no honest run of this work gives that row.',
  },
  'job-receipt/unlogged': {
    meaning: 'The receipt was demanded to be in a transparency log, and no proof of that came with it.',
    remedy: 'Ask the coordinator for the bundle again, with the proof of inclusion.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
