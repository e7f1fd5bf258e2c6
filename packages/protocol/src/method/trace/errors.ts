/** Stable codes of the trace method: why a trace or an opening was rejected, and how the method was misused. */
import type { ErrorCode, ErrorEntry } from '../../core/errors.ts'

export const TRACE_ERRORS = {
  'trace/config': {
    meaning: 'A challenge was asked for with values out of range.',
    remedy: 'The message names the field and its range.',
  },
  'trace/manifest': {
    meaning:
      'The list of committed tensors is not that of the model: names, order, or the root that they give.',
    remedy: 'Reject the trace: it is not one of this model.',
  },
  'trace/input': {
    meaning: 'The trace starts from other inputs than the ones asked for.',
    remedy: 'Reject the trace.',
  },
  'trace/output': {
    meaning: 'The output that was handed over is not the one at the end of the trace.',
    remedy: 'Certain for a signed trace: the output was altered. Penalise.',
  },
  'trace/opening': {
    meaning: 'An opening is missing, superfluous, or not the tensor that was committed to.',
    remedy: 'Ask again; a prover that cannot open what it committed to is rejected.',
  },
  'trace/node-mismatch': {
    meaning: 'A node, run again on its committed inputs, gives another output than the committed one.',
    remedy: 'Certain in the reproducible tier; in the native one, beyond the tolerance. Penalise.',
  },
  'trace/node-failed': {
    meaning: 'A node cannot be run on the inputs that were committed for it.',
    remedy: 'Reject the trace: an honest run would have failed too.',
  },
  'trace/unknown-tensor': {
    meaning: 'A tensor was asked for that the trace does not hold.',
    remedy: 'Use a position or name from the manifest.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
