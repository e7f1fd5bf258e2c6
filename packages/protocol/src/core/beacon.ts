/**
 * Public randomness: rounds of a drand chain (quicknet), verified, placed in time, and fetched.
 *
 * A round is the BLS signature of its number under the key that the beacon's operators share: nobody knows it
 * before its time unless a threshold of them collude, nobody can choose it, and anybody can check it. Scheme
 * `bls-unchained-g1-rfc9380`: message = SHA-256(round as u64, most significant byte first), hashed to G1;
 * signature on G1, key on G2; randomness = SHA-256(signature).
 *
 * Threat: relays are untrusted: whatever comes is size-capped and verified. A signature has one encoding here
 * (others of the same point would give other randomness). A relay may answer 'latest' with an old round, which
 * verifies: what matters is that the round is later than the commitment (`assertLaterThan`).
 *
 * The only file of the core that loads BLS12-381.
 */
import { bls12_381 } from '@noble/curves/bls12-381.js'
import { equalBytes, fromHex, toHex, u64be } from './bytes.ts'
import { sha256 } from './digest.ts'
import { AssayError, attempt, reject, type Verdict } from './errors.ts'
import type { BeaconSeed } from './seed.ts'

export interface BeaconChain {
  /** SHA-256 of the chain's parameters, as its operators publish it; lower-case hexadecimal. */
  readonly hash: string
  /** On G2, compressed, 96 bytes; lower-case hexadecimal. */
  readonly publicKey: string
  /** When round 1 is due, in Unix seconds. */
  readonly genesisSeconds: number
  readonly periodSeconds: number
}

/** The quicknet chain of the League of Entropy: public data, the same from every relay under /info. */
export const QUICKNET: BeaconChain = {
  hash: '52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971',
  publicKey:
    '83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451' +
    '0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a',
  genesisSeconds: 1692803367,
  periodSeconds: 3,
}

/** Chains that `resolveBeacon` knows, by hash. */
const CHAINS: ReadonlyMap<string, BeaconChain> = new Map([[QUICKNET.hash, QUICKNET]])

export const SIGNATURE_BYTES = 48
/** RFC 9380, with the suite that the scheme names. */
const DST = 'BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_'
const scheme = bls12_381.shortSignatures

export interface BeaconRound {
  /** Counts from 1. */
  readonly round: number
  /** On G1, compressed, 48 bytes. */
  readonly signature: Uint8Array
}

/** The 32 random bytes of a round, if it is one of `chain`: 'seed/malformed' or 'seed/beacon-signature' if not. */
export function verifyBeaconRound(
  chain: BeaconChain,
  { round, signature }: BeaconRound,
): Verdict<Uint8Array> {
  if (!Number.isSafeInteger(round) || round < 1) {
    return reject('seed/malformed', `a round is an integer from 1, got ${round}`)
  }
  if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_BYTES) {
    const got = signature?.length ?? typeof signature
    return reject('seed/malformed', `a beacon signature has ${SIGNATURE_BYTES} bytes, got ${got}`)
  }
  if (!isSignatureOf(chain, { round, signature })) {
    return reject(
      'seed/beacon-signature',
      `the signature is not that of round ${round} of chain ${chain.hash}`,
      {
        chain: chain.hash,
        round,
      },
    )
  }
  return { ok: true, value: sha256(signature) }
}

function isSignatureOf(chain: BeaconChain, { round, signature }: BeaconRound): boolean {
  const publicKey = bls12_381.G2.Point.fromHex(chain.publicKey)
  const message = scheme.hash(sha256(u64be(round)), DST)
  try {
    const point = bls12_381.G1.Point.fromBytes(signature)
    return equalBytes(point.toBytes(), signature) && scheme.verify(point, message, publicKey)
  } catch {
    // Not a point of the group: the library throws errors of its own for that, and for nothing else here.
    return false
  }
}

/** When `round` is due, in Unix seconds. */
export function timeOfRound(chain: BeaconChain, round: number): number {
  return chain.genesisSeconds + (round - 1) * chain.periodSeconds
}

/** The latest round that is due at `unixSeconds`; 0 before the first. */
export function roundAt(chain: BeaconChain, unixSeconds: number): number {
  if (!Number.isFinite(unixSeconds)) throw malformed(`expected a time in Unix seconds, got ${unixSeconds}`)
  return Math.max(0, Math.floor((unixSeconds - chain.genesisSeconds) / chain.periodSeconds) + 1)
}

/** The first round that is due after `unixSeconds`, and not at that very moment. */
export function firstRoundAfter(chain: BeaconChain, unixSeconds: number): number {
  return roundAt(chain, unixSeconds) + 1
}

/**
 * Throws 'seed/too-early' unless `round` is due after `committedAtSeconds`, when the commitment was received.
 * Clocks differ: where the solver's own machine took the time, ask for a round some periods later. Whoever
 * may pick among later rounds may pick the one that it likes: let the parties fix the round when they commit
 * (`firstRoundAfter`), and let an auditor expect that one.
 */
export function assertLaterThan(chain: BeaconChain, round: number, committedAtSeconds: number): void {
  const earliest = firstRoundAfter(chain, committedAtSeconds)
  if (round >= earliest) return
  throw new AssayError(
    'seed/too-early',
    `round ${round} was due at ${timeOfRound(chain, round)}, not after the commitment at ${committedAtSeconds}; ` +
      `use round ${earliest} or later`,
    { detail: { round, earliest, committedAtSeconds } },
  )
}

/** The seed that a beacon source gives: what `resolveSeed` takes as `beacon`. */
export function resolveBeacon(
  source: BeaconSeed,
  { committedAtSeconds }: { readonly committedAtSeconds: number },
): Verdict<Uint8Array> {
  const chain = CHAINS.get(source.chain)
  if (chain === undefined) {
    return reject(
      'seed/malformed',
      `expected a chain known here (${[...CHAINS.keys()].join()}), got another`,
      {
        chain: source.chain,
      },
    )
  }
  const later = attempt(() => assertLaterThan(chain, source.round, committedAtSeconds))
  if (!later.ok) return later
  return verifyBeaconRound(chain, { round: source.round, signature: fromHex(source.signature) })
}

/** The source that a receipt carries for a round. */
export function beaconSource(chain: BeaconChain, { round, signature }: BeaconRound): BeaconSeed {
  return { kind: 'beacon', chain: chain.hash, round, signature: toHex(signature) }
}

function malformed(message: string): AssayError {
  return new AssayError('seed/malformed', message)
}
