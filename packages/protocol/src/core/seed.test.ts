import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex, utf8 } from './bytes.ts'
import { parseWith } from './codec.ts'
import { hashFields } from './digest.ts'
import { reject } from './errors.ts'
import {
  challengeSeed,
  combineSeeds,
  commitSeed,
  MAX_CONTEXT_BYTES,
  openSeed,
  parseSeedSource,
  resolveSeed,
  seedSourceSchema,
} from './seed.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const secret = new Uint8Array(32).fill(1)
const context = utf8('request 17')
const malformed = expect.objectContaining({ code: 'seed/malformed' })

describe('commit and reveal', () => {
  it('opens to the same seed for everybody', () => {
    fc.assert(
      fc.property(bytes32, fc.uint8Array({ maxLength: 100 }), (secret, context) => {
        const commitment = commitSeed(secret, context)
        const opened = openSeed({ commitment, secret, context })
        expect(opened.ok && toHex(opened.value)).toBe(
          toHex(hashFields('assay/revealed-seed/v1', [context, secret])),
        )
        expect(opened.ok && toHex(opened.value)).not.toBe(toHex(commitment))
      }),
    )
  })

  it('refuses another secret, context or commitment', () => {
    const reveal = { commitment: commitSeed(secret, context), secret, context }
    expect(openSeed(reveal).ok).toBe(true)
    for (const part of ['commitment', 'secret', 'context'] as const) {
      for (let bit = 0; bit < 8 * reveal[part].length; bit++) {
        const flipped = reveal[part].slice()
        flipped[bit >> 3]! ^= 1 << (bit & 7)
        expect(openSeed({ ...reveal, [part]: flipped })).toMatchObject({
          ok: false,
          code: 'seed/reveal-mismatch',
        })
      }
    }
    // The border between context and secret is part of the commitment.
    expect(openSeed({ ...reveal, context: utf8('request 1') }).ok).toBe(false)
  })

  it('refuses other lengths', () => {
    expect(() => commitSeed(new Uint8Array(31), context)).toThrow(malformed)
    expect(() => commitSeed(secret, new Uint8Array(MAX_CONTEXT_BYTES + 1))).toThrow(malformed)
    const commitment = commitSeed(secret, context)
    expect(openSeed({ commitment: commitment.subarray(1), secret, context })).toEqual(malformed)
    expect(openSeed({ commitment, secret: new Uint8Array(33), context })).toEqual(malformed)
    expect(openSeed({ commitment, secret: undefined as unknown as Uint8Array, context })).toEqual(malformed)
  })
})

describe('challengeSeed and combineSeeds', () => {
  const seed = new Uint8Array(32).fill(3)
  const other = new Uint8Array(32).fill(4)

  it('depend on every part and on the order', () => {
    const seeds = [
      challengeSeed({ seed, commitmentDigest: other }),
      challengeSeed({ seed: other, commitmentDigest: seed }),
      challengeSeed({ seed, commitmentDigest: seed }),
      combineSeeds([seed]),
      combineSeeds([seed, other]),
      combineSeeds([other, seed]),
      combineSeeds([seed, other, other]),
    ].map(toHex)
    expect(new Set(seeds).size).toBe(seeds.length)
    expect(seeds[0]).toBe(toHex(hashFields('assay/challenge-seed/v1', [seed, other])))
  })

  it('refuse other lengths and counts', () => {
    expect(() => challengeSeed({ seed: new Uint8Array(16), commitmentDigest: seed })).toThrow(malformed)
    expect(() => challengeSeed({ seed, commitmentDigest: new Uint8Array(0) })).toThrow(malformed)
    expect(() => combineSeeds([])).toThrow(malformed)
    expect(() => combineSeeds(new Array(65).fill(seed))).toThrow(malformed)
    expect(() => combineSeeds([new Uint8Array(31)])).toThrow(malformed)
  })
})

describe('sources', () => {
  const committedAtSeconds = 1_700_000_000
  const options = {
    committedAtSeconds,
    beacon: () => ({ ok: true, value: new Uint8Array(32).fill(9) }) as const,
  }
  const local = { kind: 'local', seed: '03'.repeat(32) }
  const commitReveal = {
    kind: 'commit-reveal',
    commitment: toHex(commitSeed(secret, context)),
    secret: toHex(secret),
    context: toHex(context),
  }
  const beacon = { kind: 'beacon', chain: 'ab'.repeat(32), round: 5, signature: 'cd'.repeat(48) }

  it('resolve to their seed, after JSON too', () => {
    const resolve = (source: unknown) => {
      const seed = resolveSeed(JSON.parse(JSON.stringify(source)), options)
      return seed.ok && toHex(seed.value)
    }
    expect(resolve(local)).toBe(local.seed)
    expect(resolve(commitReveal)).toBe(toHex(hashFields('assay/revealed-seed/v1', [context, secret])))
    expect(resolve(beacon)).toBe('09'.repeat(32))
    expect(resolve({ ...commitReveal, context: '' })).toBe(false)
  })

  it('leave beacon rounds to the verifier given, with the time of the commitment', () => {
    const seen: unknown[] = []
    const refusal = reject('seed/too-early', 'too early')
    const verdict = resolveSeed(beacon, {
      committedAtSeconds,
      beacon: (...args) => {
        seen.push(args)
        return refusal
      },
    })
    expect(verdict).toBe(refusal)
    expect(seen).toEqual([[beacon, { committedAtSeconds }]])
  })

  it('are strict', () => {
    const wrong: unknown[] = [
      null,
      undefined,
      'local',
      {},
      { kind: 'dice' },
      { ...local, extra: 1 },
      { ...local, seed: '03'.repeat(31) },
      { ...local, seed: 'AB'.repeat(32) },
      { ...local, seed: fromHex(local.seed) },
      { ...commitReveal, secret: undefined },
      { ...commitReveal, context: 'a' },
      { ...commitReveal, context: 'ab'.repeat(MAX_CONTEXT_BYTES + 1) },
      { ...beacon, round: 0 },
      { ...beacon, round: 1.5 },
      { ...beacon, round: '5' },
      { ...beacon, signature: 'cd'.repeat(96) },
      { ...beacon, chain: '../../etc' },
    ]
    for (const source of wrong) {
      expect(resolveSeed(source, options)).toEqual(malformed)
      expect(() => parseSeedSource(source)).toThrow(malformed)
    }
    for (const source of [local, commitReveal, beacon]) {
      expect(parseSeedSource(source)).toEqual(source)
      expect(parseWith(seedSourceSchema, source, 'source')).toEqual(source)
    }
  })
})
