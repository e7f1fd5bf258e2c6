/**
 * What the seed of a job decides: which of its results run again, and which are sampled by a verifier.
 *
 * The seed is a secret that the coordinator committed to at intake (core/seed.ts, commit-reveal) and reveals in the
 * receipt, so that anybody can draw again. Both draws go over the signed commitment of the result:
 *
 *     audited  if fraction(T("assay/audit/v1", seed, commitment)) < redundancy share      (method/redundancy/audit.ts)
 *     sampled  if fraction(T("assay/check/v1", seed, commitment)) < sampling share
 *
 * where T is `hashFields` and a fraction is the first 53 bits of a digest over 2^53. Under different tags, so that the
 * draws are independent: what one method passes over the other may catch.
 *
 * Threat: as audit.ts. A coordinator that colludes with a node can tell it the secret; its promise is that of its
 * reputation, and of the log that its receipts are in.
 */
import { fromHex, utf8 } from '../../core/bytes.ts'
import { type Digest, hashFields } from '../../core/digest.ts'
import { AssayError } from '../../core/errors.ts'
import { openSeed, parseSeedSource, type SeedSource } from '../../core/seed.ts'
import { type AuditDraw, fractionOf } from '../../method/redundancy/audit.ts'

/** What the secret of a job is committed to for: the context of `commitSeed` (core/seed.ts). */
export function jobSeedContext(jobId: string): Uint8Array {
  return utf8(`assay/job/${jobId}`)
}

/** The seed that a job's source gives. Throws 'seed/…' for another kind of source, another job's, or another secret. */
export function openJobSeed(source: SeedSource, jobId: string): Uint8Array {
  const parsed = parseSeedSource(source)
  if (parsed.kind !== 'commit-reveal') {
    throw new AssayError(
      'seed/malformed',
      `expected a commit-reveal seed of the job, got one of kind ${parsed.kind}`,
    )
  }
  const [commitment, secret] = [fromHex(parsed.commitment), fromHex(parsed.secret)]
  const opened = openSeed({ commitment, secret, context: jobSeedContext(jobId) })
  if (!opened.ok) throw new AssayError(opened.code, opened.message, { detail: opened.detail })
  return opened.value
}

/** Whether the result behind `commitment` is sampled by a verifier, at `rate` (0 … 1). */
export function isSampled({ seed, commitment, rate }: AuditDraw & { readonly rate: number }): boolean {
  return fractionOf(hashFields('assay/check/v1', [seed, commitment]) as Digest) < rate
}
