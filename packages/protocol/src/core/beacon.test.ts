import { bls12_381 } from '@noble/curves/bls12-381.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  assertLaterThan,
  type BeaconChain,
  beaconSource,
  firstRoundAfter,
  QUICKNET,
  resolveBeacon,
  roundAt,
  timeOfRound,
  verifyBeaconRound,
} from './beacon.ts'
import { fromHex, toHex, u64be } from './bytes.ts'
import { sha256 } from './digest.ts'
import { resolveSeed } from './seed.ts'

// Public rounds of the quicknet chain, as its relays serve them under /public/1000 and /public/1001.
const ROUND_1000 = {
  round: 1000,
  signature: fromHex(
    'b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39',
  ),
}
const RANDOMNESS_1000 = 'fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd'
const ROUND_1001 = {
  round: 1001,
  signature: fromHex(
    'b33bf3667cbd5a82de3a24b4e0e9fe5513cc1a0e840368c6e31f5fcfa79bea03f73896b25883abf2853d10337fb8fa41',
  ),
}
const RANDOMNESS_1001 = 'b0a591ad1b9002cfc372ac6e30abd3da8d3088d4caae026961743474fb94235f'

const wrongSignature = expect.objectContaining({ ok: false, code: 'seed/beacon-signature' })
const malformed = expect.objectContaining({ ok: false, code: 'seed/malformed' })

describe('verifyBeaconRound', () => {
  it('accepts real rounds and gives their randomness', () => {
    for (const [round, randomness] of [
      [ROUND_1000, RANDOMNESS_1000],
      [ROUND_1001, RANDOMNESS_1001],
    ] as const) {
      const verdict = verifyBeaconRound(QUICKNET, round)
      expect(verdict.ok && toHex(verdict.value)).toBe(randomness)
    }
  })

  it('refuses the signature of another round or chain', () => {
    expect(verifyBeaconRound(QUICKNET, { ...ROUND_1000, round: 1001 })).toEqual(wrongSignature)
    expect(verifyBeaconRound(QUICKNET, { ...ROUND_1000, signature: ROUND_1001.signature })).toEqual(
      wrongSignature,
    )
    expect(verifyBeaconRound(ownChain(new Uint8Array(32).fill(3)).chain, ROUND_1000)).toEqual(wrongSignature)
  })

  it('refuses flipped signatures', () => {
    for (let bit = 0; bit < 8 * 48; bit += bit < 8 ? 1 : 17) {
      const flipped = ROUND_1000.signature.slice()
      flipped[bit >> 3]! ^= 0x80 >> (bit & 7)
      expect(verifyBeaconRound(QUICKNET, { round: 1000, signature: flipped }), `bit ${bit}`).toEqual(
        wrongSignature,
      )
    }
  })

  it('refuses the negated point, infinity, and points outside the group', () => {
    const negated = bls12_381.G1.Point.fromBytes(ROUND_1000.signature).negate().toBytes()
    const infinity = new Uint8Array(48)
    infinity[0] = 0xc0
    for (const signature of [negated, infinity, outsideTheGroup()]) {
      expect(verifyBeaconRound(QUICKNET, { round: 1000, signature })).toEqual(wrongSignature)
    }
  })

  it('refuses another writing of the same point', () => {
    const p = bls12_381.fields.Fp.ORDER
    const { chain, signRound } = ownChain(new Uint8Array(32).fill(5))
    // Only an x below 2^381 - p leaves room for x + p: one signature in nine.
    for (let round = 1; ; round++) {
      const signature = signRound(round)
      const digits = BigInt(`0x${toHex(signature)}`)
      const flags = digits >> 381n
      const second = (digits % 2n ** 381n) + p
      if (second >= 2n ** 381n) continue
      const rewritten = fromHex(((flags << 381n) | second).toString(16))
      expect(verifyBeaconRound(chain, { round, signature }).ok).toBe(true)
      expect(verifyBeaconRound(chain, { round, signature: rewritten })).toEqual(wrongSignature)
      break
    }
    const uncompressed = bls12_381.G1.Point.fromBytes(ROUND_1000.signature).toBytes(false)
    expect(verifyBeaconRound(QUICKNET, { round: 1000, signature: uncompressed })).toEqual(malformed)
  })

  it('refuses other shapes', () => {
    for (const round of [0, -1, 1.5, Number.NaN, 2 ** 53, '1000' as unknown as number]) {
      expect(verifyBeaconRound(QUICKNET, { ...ROUND_1000, round })).toEqual(malformed)
    }
    for (const signature of [
      new Uint8Array(),
      ROUND_1000.signature.subarray(1),
      undefined as unknown as Uint8Array,
    ]) {
      expect(verifyBeaconRound(QUICKNET, { round: 1000, signature })).toEqual(malformed)
    }
  })

  it('accepts any round of any chain, and no garbage', () => {
    const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
    fc.assert(
      fc.property(bytes32, fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (secret, round) => {
        const { chain, signRound } = ownChain(secret)
        const signature = signRound(round)
        const verdict = verifyBeaconRound(chain, { round, signature })
        expect(verdict.ok && toHex(verdict.value)).toBe(toHex(sha256(signature)))
      }),
      { numRuns: 10 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 48, maxLength: 48 }), (signature) => {
        expect(verifyBeaconRound(QUICKNET, { round: 1000, signature })).toEqual(wrongSignature)
      }),
      { numRuns: 50 },
    )
  })
})

/** A chain of one operator, whose secret is derived from `seed`. */
function ownChain(seed: Uint8Array): { chain: BeaconChain; signRound: (round: number) => Uint8Array } {
  const scheme = bls12_381.shortSignatures
  const secretKey = scheme.keygen(new Uint8Array([...seed, ...seed].slice(0, 48))).secretKey
  const publicKey = scheme.getPublicKey(secretKey).toHex()
  const message = (round: number) =>
    scheme.hash(sha256(u64be(round)), 'BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_')
  return {
    chain: { ...QUICKNET, hash: toHex(sha256(seed)), publicKey },
    signRound: (round) => scheme.sign(message(round), secretKey).toBytes(),
  }
}

/** A point of the curve that is not in the subgroup: nearly every x with a root gives one. */
function outsideTheGroup(): Uint8Array {
  const { Fp } = bls12_381.fields
  for (let x = 1n; ; x++) {
    const square = Fp.add(Fp.mul(Fp.sqr(x), x), 4n)
    if (!Fp.eql(Fp.pow(square, (Fp.ORDER - 1n) / 2n), Fp.ONE)) continue
    const bytes = fromHex(x.toString(16).padStart(96, '0'))
    bytes[0] = bytes[0]! | 0x80
    return bytes
  }
}

describe('time', () => {
  it('places rounds: round 1 at genesis, then one in every period', () => {
    expect(timeOfRound(QUICKNET, 1)).toBe(1692803367)
    expect(timeOfRound(QUICKNET, 1000)).toBe(1692803367 + 999 * 3)
    expect(roundAt(QUICKNET, 1692803366)).toBe(0)
    expect(roundAt(QUICKNET, 1692803367)).toBe(1)
    expect(roundAt(QUICKNET, 1692803369.9)).toBe(1)
    expect(roundAt(QUICKNET, 1692803370)).toBe(2)
    expect(firstRoundAfter(QUICKNET, 1692803370)).toBe(3)
    expect(firstRoundAfter(QUICKNET, 0)).toBe(1)
    expect(() => roundAt(QUICKNET, Number.NaN)).toThrow(expect.objectContaining({ code: 'seed/malformed' }))
  })

  it('the first round after a moment is later than it, and the one before is not', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 4e9, noNaN: true }), (seconds) => {
        const round = firstRoundAfter(QUICKNET, seconds)
        expect(timeOfRound(QUICKNET, round)).toBeGreaterThan(seconds)
        expect(() => assertLaterThan(QUICKNET, round, seconds)).not.toThrow()
        const refusal = expect.objectContaining({ code: 'seed/too-early' })
        expect(() => assertLaterThan(QUICKNET, round - 1, seconds)).toThrow(refusal)
        if (round > 1) expect(timeOfRound(QUICKNET, round - 1)).toBeLessThanOrEqual(seconds)
      }),
    )
  })
})

describe('as the source of a seed', () => {
  const source = beaconSource(QUICKNET, ROUND_1000)
  const before = timeOfRound(QUICKNET, 1000) - 1
  const resolve = (source: unknown, committedAtSeconds = before) =>
    resolveSeed(source, { beacon: resolveBeacon, committedAtSeconds })

  it('gives the randomness of a later round', () => {
    const seed = resolve(JSON.parse(JSON.stringify(source)))
    expect(seed.ok && toHex(seed.value)).toBe(RANDOMNESS_1000)
  })

  it('refuses a round that was known when the solver committed', () => {
    expect(resolve(source, before + 1)).toMatchObject({ ok: false, code: 'seed/too-early' })
    expect(resolve(source, Number.NaN)).toEqual(malformed)
  })

  it('refuses unknown chains and wrong signatures', () => {
    expect(resolve({ ...source, chain: 'ab'.repeat(32) })).toEqual(malformed)
    expect(resolve({ ...source, round: 1001 })).toEqual(wrongSignature)
  })
})
