import { fromHex, utf8 } from 'assay/core/bytes'
import {
  ed25519KeyPair,
  generateKey,
  type KeyPair,
  MAX_MESSAGE_BYTES,
  type PublicKey,
  sign,
  verifySignature,
} from 'assay/core/keys'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { signNative, verifyNative } from './native-signature.ts'

/** Order of the group, as RFC 8032 names it. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n
const message = utf8('what a node signs')
const seed = fc.uint8Array({ minLength: 32, maxLength: 32 })

/** The key, known to the fast path. */
async function knownKey(secret: Uint8Array): Promise<KeyPair> {
  const key = ed25519KeyPair(secret)
  expect((await verifyNative(key.publicKey, message, await sign(key, message))).ok).toBe(true)
  return key
}

async function expectSame(publicKey: PublicKey, signed: Uint8Array, signature: Uint8Array) {
  const [native, core] = [
    await verifyNative(publicKey, signed, signature),
    await verifySignature(publicKey, signed, signature),
  ]
  expect(native).toEqual(core)
  return native
}

describe('signatures by OpenSSL', () => {
  it('are those of the core, and verify in both', async () => {
    await fc.assert(
      fc.asyncProperty(seed, fc.uint8Array({ maxLength: 300 }), async (secret, signed) => {
        const key = await knownKey(secret)
        const signature = await signNative(key, signed)
        expect(signature).toEqual(await sign(key, signed))
        expect((await expectSame(key.publicKey, signed, signature)).ok).toBe(true)
      }),
      { numRuns: 30 },
    )
  })

  it('refuse every flipped bit of signature and message as the core does', async () => {
    const key = await knownKey(new Uint8Array(32).fill(7))
    const signature = await sign(key, message)
    await fc.assert(
      fc.asyncProperty(fc.nat(511), fc.nat(8 * message.length - 1), async (inSignature, inMessage) => {
        const bent = flip(signature, inSignature)
        expect((await expectSame(key.publicKey, message, bent)).ok).toBe(false)
        expect((await expectSame(key.publicKey, flip(message, inMessage), signature)).ok).toBe(false)
      }),
      { numRuns: 60 },
    )
  })

  it('refuse a scalar that is not canonical', async () => {
    const key = await knownKey(new Uint8Array(32).fill(8))
    const signature = await sign(key, message)
    const s = littleEndian(signature.subarray(32))
    for (let multiple = 1n; s + multiple * L < 2n ** 256n && multiple < 16n; multiple++) {
      const bent = signature.slice()
      bent.set(littleEndianBytes(s + multiple * L), 32)
      expect((await expectSame(key.publicKey, message, bent)).ok).toBe(false)
    }
  })

  it('refuse a commitment point that is not canonical, or none', async () => {
    const key = await knownKey(new Uint8Array(32).fill(9))
    const s = (await sign(key, message)).slice(32)
    for (const r of [littleEndianBytes(2n ** 255n - 19n), littleEndianBytes(2n ** 255n - 18n), ones(32)]) {
      const bent = new Uint8Array([...r, ...s])
      expect((await expectSame(key.publicKey, message, bent)).ok).toBe(false)
    }
  })

  it('refuse keys of small order, which sign everything without a cofactor check', async () => {
    const smallOrder = [
      '0100000000000000000000000000000000000000000000000000000000000000',
      '0000000000000000000000000000000000000000000000000000000000000000',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
      // Not canonical: p + 1.
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ]
    const identityAndZero = new Uint8Array(64)
    identityAndZero[0] = 1
    for (const text of smallOrder) {
      const publicKey: PublicKey = { type: 'ed25519', bytes: fromHex(text) }
      for (let i = 0; i < 16; i++) {
        expect((await expectSame(publicKey, utf8(`message ${i}`), identityAndZero)).ok).toBe(false)
      }
    }
  })

  it('refuse a signature with a point of small order in it, which the core takes', async () => {
    const key = await knownKey(new Uint8Array(32).fill(10))
    // R = 1234567 B + T with T of order 8, and S as RFC 8032 has it for that R, made with this key.
    const signature = fromHex(
      'bd714bc26817786bc082589a0814771ac15a981628f57dc7304c30a8d7e29dd7' +
        '2bc1b80c93a8bc7876ee9166699963b1be3b81ea60f51b01e2c181e772de6201',
    )
    expect((await verifySignature(key.publicKey, message, signature)).ok).toBe(true)
    expect((await verifyNative(key.publicKey, message, signature)).ok).toBe(false)
  })

  it('ask the core about what is malformed', async () => {
    const key = await knownKey(new Uint8Array(32).fill(11))
    const signature = await sign(key, message)
    await expectSame(key.publicKey, message, signature.subarray(1))
    await expectSame(key.publicKey, message, new Uint8Array([...signature, 0]))
    await expectSame({ type: 'ed25519', bytes: key.publicKey.bytes.subarray(1) }, message, signature)
    await expectSame({ type: 'dsa' as 'ed25519', bytes: key.publicKey.bytes }, message, signature)
    await expectSame(undefined as unknown as PublicKey, message, signature)
    await expectSame(key.publicKey, 'text' as unknown as Uint8Array, signature)
    await expect(signNative(key, new Uint8Array(MAX_MESSAGE_BYTES + 1))).rejects.toThrow(/at most/)
  })

  it('leave RSA to the core', async () => {
    const key = await generateKey('rsa-pss-3072')
    const signature = await signNative(key, message)
    expect((await expectSame(key.publicKey, message, signature)).ok).toBe(true)
    expect((await expectSame(key.publicKey, message, flip(signature, 9))).ok).toBe(false)
  })
})

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice()
  flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
  return flipped
}

function ones(length: number): Uint8Array {
  return new Uint8Array(length).fill(255)
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n)
}

function littleEndianBytes(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n))
}
