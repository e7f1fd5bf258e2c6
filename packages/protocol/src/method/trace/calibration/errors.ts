/** Stable codes of calibration: why thresholds cannot be chosen, and why a profile does not fit. */
import type { ErrorCode, ErrorEntry } from '../../../core/errors.ts'

export const CALIBRATION_ERRORS = {
  'calibration/config': {
    meaning: 'A calibration was asked for with values out of range.',
    remedy: 'The message names the value and its range.',
  },
  'calibration/too-few': {
    meaning: 'There are fewer honest rows than the false alarm rate asks for.',
    remedy: 'Give at least 1/alpha - 1 rows to calibrate on (99 for 1 %), or ask for a larger alpha.',
  },
  'calibration/not-comparable': {
    meaning:
      'Honest runs differ in shape, in an integer, or in where NaN and infinities stand: no tolerance fits.',
    remedy:
      'The message names the tensor. Use the reproducible runtime for this model, or cut the model before it.',
  },
  'calibration/other-run': {
    meaning: 'A recorded run is of another model, or of other inputs.',
    remedy: 'Record it again with the model and the inputs that are calibrated here.',
  },
  'calibration/other-model': {
    meaning: 'The profile was made for another model than the one that is checked.',
    remedy: 'Calibrate this model.',
  },
  'calibration/other-runtime': {
    meaning: 'The profile was made for another runtime, or another version of it, than the one that checks.',
    remedy: 'Use the runtime and version that the message names, or calibrate again.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
