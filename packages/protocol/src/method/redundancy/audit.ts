/**
 * The draw that decides which results run again on a second node: derived, so that anybody can draw it again.
 *
 * For other languages ("audit v1"; `‖` joins bytes, u64 is eight bytes, most significant first):
 *
 * 1. T = SHA-256("assay/audit/v1"), the tag as ASCII.
 * 2. h = SHA-256(T ‖ T ‖ u64(32) ‖ seed ‖ u64(32) ‖ commitment). `seed` has 32 bytes; `commitment` is the
 *    Proof-of-Execution that the node signed, 32 bytes (core/poe.ts).
 * 3. v = the first eight bytes of h as an integer, most significant first, divided by 2^11 and rounded down: 53 bits.
 * 4. The fraction is v / 2^53, exact as a double. The result is audited if fraction < rate, as doubles.
 *
 * So rate 0 audits nothing, rate 1 everything, and whatever a rate audits a higher rate audits too. Who rechecks
 * needs seed, commitment and rate: a receipt carries all three, with the source of the seed (core/seed.ts).
 * Test vectors: vectors/audit.json.
 *
 * Threat: the node and whoever draws. A node that knows the seed before it signs varies a wrong result until the
 * draw spares it, so the seed must come later than the commitment; somebody who may choose the seed spares
 * friends, so it must be a beacon round or a secret that was committed to earlier.
 */
import { type Digest, hashFields, isDigest } from '../../core/digest.ts'
import { AssayError } from '../../core/errors.ts'

export interface AuditDraw {
  /** 32 bytes, unknown to the node when it signed. */
  readonly seed: Uint8Array
  /** The signed commitment of the node: `commitExecution`. */
  readonly commitment: Digest
}

/**
 * The fraction that a draw gives, 0 <= fraction < 1.
 *
 * @throws AssayError 'seed/malformed' when seed or commitment do not have 32 bytes.
 */
export function auditFraction({ seed, commitment }: AuditDraw): number {
  for (const bytes of [seed, commitment]) {
    if (isDigest(bytes)) continue
    throw new AssayError('seed/malformed', `seed and commitment have 32 bytes each, got ${bytes.length}`)
  }
  return fractionOf(hashFields('assay/audit/v1', [seed, commitment]))
}

/**
 * Whether the result behind `commitment` is run again, at `rate` (0 … 1).
 *
 * @throws AssayError 'redundancy/draw' for another rate, 'seed/malformed' as above.
 * @example
 * const seed = sha256(utf8('a beacon round'))
 * isAudited({ seed, commitment: sha256(utf8('a commitment')), rate: 1 }) // true
 */
export function isAudited({ rate, ...draw }: AuditDraw & { readonly rate: number }): boolean {
  if (!(rate >= 0 && rate <= 1)) {
    throw new AssayError('redundancy/draw', `the rate of audits must be a number from 0 to 1, got ${rate}`)
  }
  return auditFraction(draw) < rate
}

/** The first 53 bits of a digest as a fraction of 2^53: uniform on 0 … 1 - 2^-53 where the digest is. */
export function fractionOf(digest: Digest): number {
  let fraction = 0
  // Six bytes and the upper five bits of the seventh; every sum is exact.
  for (let i = 0; i < 6; i++) fraction = fraction * 256 + (digest[i] as number)
  return (fraction * 32 + ((digest[6] as number) >>> 3)) / 2 ** 53
}
