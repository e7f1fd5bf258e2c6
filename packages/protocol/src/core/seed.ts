/**
 * Seeds for challenges: where the numbers come from that decide which states are checked.
 *
 * A solver that knows the indices fakes all the others. A seed must therefore be unknown to the solver when
 * it signs its commitment, and must not be the verifier's to choose at will, or the verifier favours a
 * solver unseen. Three sources: `local` (32 bytes that the verifier drew; only the verifier itself has
 * reason to trust it), `commit-reveal` (a secret that its owner committed to before the solver did) and
 * `beacon` (a round of a public beacon, later than the solver's commitment).
 *
 * Every challenge mixes the seed with the digest of the solver's commitment (`challengeSeed`), so that one
 * seed serves many jobs and a second commitment means other indices.
 *
 * Left open by commit-reveal: whoever holds the secret may refuse to reveal it, and may collude with the
 * solver. A source is plain data, with bytes as lower-case hexadecimal, so that a receipt can carry it.
 */
import * as z from 'zod/mini'
import { fromHex, toHex } from './bytes.ts'
import { parseWith } from './codec.ts'
import { type Digest, hashFields, isDigest } from './digest.ts'
import { AssayError, attempt, reject, type Verdict } from './errors.ts'
import { SEED_BYTES } from './sampling.ts'

/** A context names what the secret is for: a request id, or a few of them joined. */
export const MAX_CONTEXT_BYTES = 1024
/** Parties to one combined seed; each of them can stall it. */
export const MAX_COMBINED_SEEDS = 64

/** Challenges `commitmentDigest`, the signed commitment of a solver, with 32 bytes that came after it. */
export function challengeSeed(parts: {
  readonly seed: Uint8Array
  readonly commitmentDigest: Uint8Array
}): Digest {
  assertSeed('the seed', parts.seed)
  assertSeed('the commitment digest', parts.commitmentDigest)
  return hashFields('assay/challenge-seed/v1', [parts.seed, parts.commitmentDigest])
}

/** One seed from several; each party that drew its own at random makes the result random. Order matters. */
export function combineSeeds(seeds: readonly Uint8Array[]): Digest {
  if (seeds.length < 1 || seeds.length > MAX_COMBINED_SEEDS) {
    throw malformed(`expected 1 to ${MAX_COMBINED_SEEDS} seeds to combine, got ${seeds.length}`)
  }
  for (const seed of seeds) assertSeed('a seed to combine', seed)
  return hashFields('assay/combined-seed/v1', seeds)
}

/** The commitment to `secret` (32 random bytes, used once) for the purpose that `context` names. */
export function commitSeed(secret: Uint8Array, context: Uint8Array): Digest {
  assertSeed('the secret', secret)
  assertContext(context)
  return hashFields('assay/seed-commitment/v1', [context, secret])
}

export interface Reveal {
  readonly commitment: Uint8Array
  readonly secret: Uint8Array
  readonly context: Uint8Array
}

/** The seed that a revealed secret gives, if it is the one committed to: 'seed/reveal-mismatch' if not. */
export function openSeed(reveal: Reveal): Verdict<Uint8Array> {
  const { commitment, secret, context } = reveal
  const expected = attempt(() => {
    assertSeed('the seed commitment', commitment)
    return commitSeed(secret, context)
  })
  if (!expected.ok) return expected
  if (toHex(expected.value) !== toHex(commitment)) {
    return reject(
      'seed/reveal-mismatch',
      'the revealed secret is not the one committed to; discard this seed',
      {
        expected: toHex(commitment),
        got: toHex(expected.value),
      },
    )
  }
  return { ok: true, value: hashFields('assay/revealed-seed/v1', [context, secret]) }
}

const hexOf = (bytes: number, what: string) =>
  z.string().check(z.regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`), what))

const hex32 = hexOf(32, '64 lower-case hexadecimal digits')

/** A signature of a beacon has 48 bytes (on G1) in every scheme that we verify. */
const hex48 = hexOf(48, '96 lower-case hexadecimal digits')

const contextHex = z
  .string()
  .check(
    z.maxLength(2 * MAX_CONTEXT_BYTES),
    z.regex(/^(?:[0-9a-f]{2})*$/, 'lower-case hexadecimal of even length'),
  )

export const localSeedSchema = z.strictObject({ kind: z.literal('local'), seed: hex32 })

export const commitRevealSeedSchema = z.strictObject({
  kind: z.literal('commit-reveal'),
  commitment: hex32,
  secret: hex32,
  context: contextHex,
})

export const beaconSeedSchema = z.strictObject({
  kind: z.literal('beacon'),
  /** Hash of the chain, which names its key, period and scheme. */
  chain: hex32,
  round: z.int().check(z.minimum(1)),
  signature: hex48,
})

export const seedSourceSchema = z.discriminatedUnion('kind', [
  localSeedSchema,
  commitRevealSeedSchema,
  beaconSeedSchema,
])

export type BeaconSeed = z.infer<typeof beaconSeedSchema>
export type SeedSource = z.infer<typeof seedSourceSchema>

export interface ResolveOptions {
  /** Verifies beacon rounds: `resolveBeacon` of beacon.ts. An argument, so that its pairings load only where used. */
  readonly beacon: (
    source: BeaconSeed,
    options: { readonly committedAtSeconds: number },
  ) => Verdict<Uint8Array>
  /** When the solver's commitment was received, in Unix seconds; a beacon round must be later. */
  readonly committedAtSeconds: number
}

/**
 * The seed that a source gives, or why it gives none. Takes any value: an unknown or malformed source is
 * 'seed/malformed'. The indices of a check are those of `challengeSeed` over this seed.
 */
export function resolveSeed(source: unknown, options: ResolveOptions): Verdict<Uint8Array> {
  const parsed = attempt(() => parseSeedSource(source))
  if (!parsed.ok) return parsed
  const { value } = parsed
  switch (value.kind) {
    case 'local':
      return { ok: true, value: fromHex(value.seed) }
    case 'commit-reveal':
      return openSeed({
        commitment: fromHex(value.commitment),
        secret: fromHex(value.secret),
        context: fromHex(value.context),
      })
    case 'beacon':
      return options.beacon(value, { committedAtSeconds: options.committedAtSeconds })
  }
}

/** Strict: throws 'seed/malformed', naming the field. */
export function parseSeedSource(source: unknown): SeedSource {
  const parsed = attempt(() => parseWith(seedSourceSchema, source, 'seed source'))
  if (!parsed.ok) throw new AssayError('seed/malformed', parsed.message, { detail: parsed.detail })
  return parsed.value
}

function assertSeed(what: string, bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array) || !isDigest(bytes)) {
    throw malformed(`${what} must be ${SEED_BYTES} bytes, got ${bytes?.length ?? typeof bytes}`)
  }
}

function assertContext(context: Uint8Array): void {
  if (!(context instanceof Uint8Array) || context.length > MAX_CONTEXT_BYTES) {
    throw malformed(
      `the context must be at most ${MAX_CONTEXT_BYTES} bytes, got ${context?.length ?? typeof context}`,
    )
  }
}

function malformed(message: string): AssayError {
  return new AssayError('seed/malformed', message)
}
