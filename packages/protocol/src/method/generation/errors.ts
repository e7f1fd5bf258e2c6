/** Stable codes of verifiable text generation and of activation fingerprints. */
import type { ErrorCode, ErrorEntry } from '../../core/errors.ts'

export const GENERATION_ERRORS = {
  'toploc/activations': {
    meaning: 'Activations cannot be fingerprinted: too few, not finite, or without an injective modulus.',
    remedy: 'The message names what was expected. A model that gives such values cannot be fingerprinted.',
  },
  'toploc/proof': {
    meaning: 'The bytes are not an activation fingerprint of the stated size.',
    remedy: 'Reject the result.',
  },
  'generation/model': {
    meaning: 'The model is not a decoder with a key and value cache in the form that is read here.',
    remedy: 'Export it with input_ids, past_0 …, logits and present_0 …; the message names what is missing.',
  },
  'generation/request': {
    meaning: 'A request for text has a field out of range, or fields that exclude each other.',
    remedy: 'The message names the field and what it must be.',
  },
  'generation/tokens': {
    meaning: 'The claimed tokens are not an output of this request: their number, range or end is wrong.',
    remedy: 'Reject the result.',
  },
  'generation/disagreement': {
    meaning: 'More tokens than honest differences explain are not the ones that model, rule and seed give.',
    remedy: 'Reject the result; penalise where the thresholds were calibrated for both machines.',
  },
  'generation/fingerprint': {
    meaning: 'The activations recomputed for the claimed text do not match their fingerprints.',
    remedy: 'Reject the result; penalise where the thresholds were calibrated for both machines.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
