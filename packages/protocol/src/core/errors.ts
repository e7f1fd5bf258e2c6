/**
 * The one error of the library, and the stable codes of the core.
 *
 * Every refusal carries a code that scripts can match, a message that says what was expected, what came
 * and what to do, and a payload that survives JSON. Each folder declares its own codes in its `errors.ts`;
 * docs/errors.md is made from them.
 */

/** What a code means and what its reader should do. */
export interface ErrorEntry {
  readonly meaning: string
  readonly remedy: string
}

/** Codes look like `area/reason`, and never change once published. */
export type ErrorCode = `${string}/${string}`

/** Values that survive a JSON round trip. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

export interface AssayErrorOptions {
  readonly detail?: { readonly [key: string]: Json }
  readonly cause?: unknown
}

/** The shape of an error on the wire and in `--json` output. */
export interface SerializedError {
  readonly code: ErrorCode
  readonly message: string
  readonly detail: { readonly [key: string]: Json }
}

/** Thrown for every refusal of an input. `code` is stable; `message` is for people. */
export class AssayError extends Error {
  override readonly name = 'AssayError'
  readonly code: ErrorCode
  readonly detail: { readonly [key: string]: Json }

  constructor(code: ErrorCode, message: string, options: AssayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.detail = options.detail ?? {}
  }

  toJSON(): SerializedError {
    return { code: this.code, message: this.message, detail: this.detail }
  }

  static fromJSON(error: SerializedError): AssayError {
    return new AssayError(error.code, error.message, { detail: error.detail })
  }
}

/** What every `verify*` returns instead of throwing: hostile input is a rejection, misuse is an exception. */
export type Verdict<T = unknown> = { readonly ok: true; readonly value: T } | Rejection

export interface Rejection extends SerializedError {
  readonly ok: false
}

export function reject(
  code: ErrorCode,
  message: string,
  detail: { readonly [key: string]: Json } = {},
): Rejection {
  return { ok: false, code, message, detail }
}

/** Runs `decode`, turning its typed refusals into a rejection. Untyped errors are ours, and pass through. */
export function attempt<T>(decode: () => T): Verdict<T> {
  try {
    return { ok: true, value: decode() }
  } catch (error) {
    if (error instanceof AssayError) return { ok: false, ...error.toJSON() }
    throw error
  }
}

/** Codes of `core/`. */
export const CORE_ERRORS = {
  'bytes/malformed': {
    meaning: 'A hexadecimal or base64 text is not the one canonical encoding of its bytes.',
    remedy: 'Encode again with lower-case hexadecimal, or with standard padded base64.',
  },
  'codec/malformed': {
    meaning: 'The bytes are not DAG-CBOR, or are truncated, or go on after the value.',
    remedy: 'Fetch the object again; if it comes the same, its sender is faulty or hostile.',
  },
  'codec/not-canonical': {
    meaning: 'The bytes decode, but are not the one canonical encoding of their value.',
    remedy: 'Encode with a strict DAG-CBOR encoder.',
  },
  'codec/too-large': {
    meaning: 'The object is larger or deeper than its stated cap.',
    remedy: 'Split the job, or raise the cap where the caller may.',
  },
  'codec/unknown-type': {
    meaning: 'The object carries another domain tag than the one expected.',
    remedy: 'Pass the object that this function names.',
  },
  'codec/unknown-version': {
    meaning: 'The object has a version that this release does not know.',
    remedy: 'Upgrade, or ask the sender for a version that the message lists.',
  },
  'codec/schema': {
    meaning: 'The object decodes, but a field is missing, unknown, or of another type or range.',
    remedy: 'The message names the field and what it must be.',
  },
  'cid/malformed': {
    meaning: 'The text or bytes are not a CIDv1 with SHA-256 and a codec that we use.',
    remedy: 'Pass a content address that this library made.',
  },
  'cid/mismatch': {
    meaning: 'The content does not hash to its address.',
    remedy: 'Fetch the content again, from another source.',
  },
  'merkle/malformed': {
    meaning: 'A Merkle proof has the wrong shape: number or length of its nodes, or order of its leaves.',
    remedy: 'Ask for the proof again; do not repair it.',
  },
  'merkle/out-of-range': {
    meaning: 'A leaf index lies outside the tree.',
    remedy: 'Use indices from 0 to size - 1.',
  },
  'merkle/mismatch': {
    meaning: 'The proof is well formed but leads to another root.',
    remedy: 'The leaf is not what was committed: treat it as a false opening.',
  },
  'bloom/parameters': {
    meaning: 'A Bloom filter was asked for, or came, with sizes that do not follow from (n, p).',
    remedy:
      'Use 0 < p < 0.5 and the item count of the task; the filter must have the k and length they give.',
  },
  'bloom/malformed': {
    meaning: 'The bytes are not a saved Bloom filter.',
    remedy: 'Fetch the proof again.',
  },
  'bloom/too-large': {
    meaning: 'The filter is larger than the cap.',
    remedy: 'Split the job into segments, or raise the cap where the caller may.',
  },
  'bloom/saturated': {
    meaning: 'The filter has more ones than its items can explain: it was flooded.',
    remedy: 'Reject the proof.',
  },
  'fingerprint/parameters': {
    meaning: 'A fingerprint vector was asked for with a count or a width out of range.',
    remedy: 'Use 1 to 32 bits a state and a count within the cap.',
  },
  'fingerprint/malformed': {
    meaning: 'The bytes are not a fingerprint vector of the stated count and width.',
    remedy: 'Fetch the proof again.',
  },
  'sampling/parameters': {
    meaning: 'A sample was asked for with a size or a population out of range.',
    remedy: 'Use 0 <= k <= n <= 2^53 - 1 and k within the cap.',
  },
  'statistics/parameters': {
    meaning: 'A probability, share or count is out of range.',
    remedy: 'The message names the parameter and its range.',
  },
  'statistics/unreachable': {
    meaning: 'No sample reaches the confidence asked, because false positives or guesses cap it.',
    remedy: 'Lower the false positive rate, ask for less confidence, or for a larger faked share.',
  },
  'seed/malformed': {
    meaning: 'A seed, commitment, reveal or beacon round has the wrong shape.',
    remedy: 'The message names the field and what it must be.',
  },
  'seed/reveal-mismatch': {
    meaning: 'The revealed secret does not match its commitment.',
    remedy: 'Whoever committed has changed its mind: discard its seed.',
  },
  'seed/beacon-signature': {
    meaning: 'The signature of a beacon round does not verify under the chain key.',
    remedy: 'Fetch the round from another relay.',
  },
  'seed/beacon-unavailable': {
    meaning: 'No beacon relay answered in time.',
    remedy: 'Check the network, name another relay, or use a commit-reveal seed.',
  },
  'seed/too-early': {
    meaning: 'The beacon round is not later than the commitment that it should challenge.',
    remedy: 'Use a round whose time lies after the commitment.',
  },
  'key/malformed': {
    meaning: 'A key is not of a supported type, size or encoding.',
    remedy: 'Use Ed25519 (32 bytes), or RSA of 3,072 bits as SPKI or PKCS #8.',
  },
  'key/unavailable': {
    meaning: 'The runtime has no WebCrypto, which RSA and new keys need.',
    remedy: 'Use a current Node, or serve the page over HTTPS.',
  },
  'signature/invalid': {
    meaning: 'A signature does not verify.',
    remedy: 'Reject what it signs.',
  },
  'poe/malformed': {
    meaning: 'A Proof-of-Execution has a field of the wrong shape or length.',
    remedy: 'The message names the field and what it must be.',
  },
  'poe/mismatch': {
    meaning: 'The commitment is not that of the request, result and node it came with.',
    remedy: 'Reject the result outright.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
