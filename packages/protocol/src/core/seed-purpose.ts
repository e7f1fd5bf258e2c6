/**
 * One seed for several draws: each purpose but the first gets a seed of its own, so that what one draw shows says
 * nothing about another.
 *
 * A job has one seed. Whether a result runs again is drawn with it (method/redundancy/audit.ts); whether the verifier
 * looks at the result, by the same draw with the seed for `sampling`.
 */
import { utf8 } from './bytes.ts'
import { type Digest, hashFields, isDigest } from './digest.ts'
import { AssayError } from './errors.ts'

/** T("assay/seed-purpose/v1", purpose, seed), where T is `hashFields`. Throws 'seed/malformed'. */
export function seedFor(purpose: 'sampling', seed: Uint8Array): Digest {
  if (isDigest(seed)) return hashFields('assay/seed-purpose/v1', [utf8(purpose), seed])
  throw new AssayError('seed/malformed', `expected a seed of 32 bytes, got ${seed.length}`)
}
