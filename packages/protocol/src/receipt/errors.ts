/** Stable codes of `receipt/`. */
import type { ErrorCode, ErrorEntry } from '../core/errors.ts'

export const RECEIPT_ERRORS = {
  'receipt/malformed': {
    meaning: 'The file is not a receipt: not a DSSE envelope around the statement that this release knows.',
    remedy: 'Pass the file that `assay verify` or `assay demo` wrote, unchanged.',
  },
  'receipt/unopened': {
    meaning: 'A receipt was asked for a response that never opened: malformed, or not signed by a solver.',
    remedy: 'Keep the response and its evidence instead; there is nobody to hold to it.',
  },
  'receipt/signature': {
    meaning: 'The signature of the receipt does not verify under the key that it names.',
    remedy: 'The receipt was altered or forged: reject it.',
  },
  'receipt/signer': {
    meaning: 'The receipt is signed by another node than the one demanded.',
    remedy: 'Ask the verifier that you trust for its own receipt.',
  },
  'receipt/commitment': {
    meaning: 'The solver commitment inside the receipt does not verify, or is not about the same execution.',
    remedy: 'Reject the receipt: it accuses or clears a solver that did not sign this.',
  },
  'receipt/derivation': {
    meaning:
      'Indices, samples or confidence are not those that the seed and the figures in the receipt give.',
    remedy: 'Reject the receipt: its verifier did not follow the protocol.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
