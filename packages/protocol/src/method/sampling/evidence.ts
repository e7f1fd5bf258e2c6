/**
 * Evidence: what a failed verification found, precise enough for a third party to look again.
 *
 * A miss in a signed proof is certain, since neither kind of proof has false negatives; so is a recomputed
 * state that differs from the one handed over. Whether `recheck.ts` confirms it depends only on the task,
 * its input and the solver's signed response, never on the accuser.
 */
import * as z from 'zod/mini'
import { toBase64, toHex } from '../../core/bytes.ts'
import { parseWith } from '../../core/codec.ts'
import { sha256 } from '../../core/digest.ts'
import type { Json, Rejection } from '../../core/errors.ts'

/** States longer than this appear in evidence as their digest alone. */
export const MAX_EVIDENCE_STATE_BYTES = 4096

export interface Evidence {
  /** A `sampling/…` code, or the code with which a part of the response was refused. */
  readonly code: string
  readonly message: string
  /** The state that failed; null where the response failed before any state was looked at. */
  readonly stateIndex: number | null
  readonly expected: Json
  readonly found: Json
}

const evidence = z.strictObject({
  code: z.string().check(z.regex(/^[a-z0-9-]+\/[a-z0-9-]+$/), z.maxLength(64)),
  message: z.string().check(z.maxLength(4096)),
  stateIndex: z.nullable(z.int().check(z.minimum(0))),
  expected: z.json(),
  found: z.json(),
})

/** Strict; throws `codec/schema`. */
export function parseEvidence(value: unknown): Evidence {
  return parseWith(evidence, value, 'Evidence') as Evidence
}

/** A state as evidence shows it: SHA-256 of its canonical encoding, and the encoding where it is short. */
export function describeState(encoding: Uint8Array): Json {
  const sha = toHex(sha256(encoding))
  if (encoding.length > MAX_EVIDENCE_STATE_BYTES) return { sha256: sha, sizeBytes: encoding.length }
  return { sha256: sha, encoding: toBase64(encoding) }
}

/** Evidence of a response that was refused before its states were looked at. */
export function evidenceOf(rejection: Rejection): Evidence {
  const { expected = null, found = null, ...rest } = rejection.detail
  return {
    code: rejection.code,
    message: rejection.message,
    stateIndex: null,
    expected,
    found: found ?? (Object.keys(rest).length > 0 ? rest : null),
  }
}
