import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  sign as nodeSign,
  verify as nodeVerify,
} from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { fromHex, toHex, utf8 } from './bytes.ts'
import { hashFields } from './digest.ts'
import {
  assertPublicKey,
  ed25519KeyPair,
  generateKey,
  isNodeId,
  KEY_TYPES,
  type KeyPair,
  type KeyType,
  nodeId,
  nodeIdV1,
  PUBLIC_KEY_BYTES,
  type PublicKey,
  rsaKeyPair,
  SIGNATURE_BYTES,
  sign,
  verifySignature,
} from './keys.ts'

const keys = {} as Record<KeyType, KeyPair>
const others = {} as Record<KeyType, KeyPair>

beforeAll(async () => {
  for (const type of KEY_TYPES) {
    keys[type] = await generateKey(type)
    others[type] = await generateKey(type)
  }
})

const message = utf8('the result')
const invalid = expect.objectContaining({ ok: false, code: 'signature/invalid' })
const malformed = expect.objectContaining({ ok: false, code: 'key/malformed' })

describe.each(KEY_TYPES)('%s', (type) => {
  it('signs what it verifies, and nothing else', async () => {
    const { publicKey } = keys[type]
    const signature = await sign(keys[type], message)
    expect(signature).toHaveLength(SIGNATURE_BYTES[type])
    expect(publicKey.bytes).toHaveLength(PUBLIC_KEY_BYTES[type])
    expect(await verifySignature(publicKey, message, signature)).toEqual({ ok: true, value: true })
    expect(await verifySignature(publicKey, utf8('another result'), signature)).toEqual(invalid)
    expect(await verifySignature(publicKey, new Uint8Array(), signature)).toEqual(invalid)
    expect(await verifySignature(others[type].publicKey, message, signature)).toEqual(invalid)
  })

  it('signs any message', async () => {
    const messages = [new Uint8Array(), new Uint8Array(1), new Uint8Array(100_000).fill(7)]
    for (const message of messages) {
      const signature = await sign(keys[type], message)
      expect((await verifySignature(keys[type].publicKey, message, signature)).ok).toBe(true)
    }
  })

  it('refuses every flipped bit of a signature that is tried', async () => {
    const signature = await sign(keys[type], message)
    const step = type === 'ed25519' ? 5 : 31
    for (let bit = 0; bit < 8 * signature.length; bit += step) {
      const flipped = flip(signature, bit)
      expect(await verifySignature(keys[type].publicKey, message, flipped), `bit ${bit}`).toEqual(invalid)
    }
  })

  it('refuses signatures of another length', async () => {
    const signature = await sign(keys[type], message)
    const { publicKey } = keys[type]
    for (const wrong of [
      signature.subarray(1),
      signature.subarray(0, -1),
      new Uint8Array(),
      extend(signature),
    ]) {
      expect(await verifySignature(publicKey, message, wrong)).toEqual(invalid)
    }
    const absent = undefined as unknown as Uint8Array
    expect(await verifySignature(publicKey, message, absent)).toEqual(invalid)
  })

  it('refuses flipped, shortened and extended public keys', async () => {
    const signature = await sign(keys[type], message)
    const { bytes } = keys[type].publicKey
    const step = type === 'ed25519' ? 3 : 37
    for (let bit = 0; bit < 8 * bytes.length; bit += step) {
      const verdict = await verifySignature({ type, bytes: flip(bytes, bit) }, message, signature)
      expect(verdict.ok, `bit ${bit}`).toBe(false)
    }
    for (const wrong of [bytes.subarray(1), extend(bytes), new Uint8Array()]) {
      expect(await verifySignature({ type, bytes: wrong }, message, signature)).toEqual(malformed)
    }
  })

  it('names its node by type and key', () => {
    const { publicKey } = keys[type]
    const id = nodeId(publicKey)
    expect(isNodeId(id)).toBe(true)
    expect(id).toBe(toHex(hashFields('assay/node-id/v2', [utf8(type), publicKey.bytes])))
    expect(id).not.toBe(nodeId(others[type].publicKey))
  })
})

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice()
  flipped[bit >> 3]! ^= 1 << (bit & 7)
  return flipped
}

function extend(bytes: Uint8Array): Uint8Array {
  const longer = new Uint8Array(bytes.length + 1)
  longer.set(bytes)
  return longer
}

describe('Ed25519, RFC 8032 section 7.1', () => {
  const vectors: [secret: string, publicKey: string, message: string, signature: string][] = [
    [
      '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
      '',
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    ],
    [
      '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
      '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
      '72',
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    ],
    [
      'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
      'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
      'af82',
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
    ],
  ]
  it.each(vectors)('secret %s', async (secret, publicKey, message, signature) => {
    const key = ed25519KeyPair(fromHex(secret))
    expect(toHex(key.publicKey.bytes)).toBe(publicKey)
    expect(toHex(await sign(key, fromHex(message)))).toBe(signature)
    expect((await verifySignature(key.publicKey, fromHex(message), fromHex(signature))).ok).toBe(true)
  })
})

describe('Ed25519, strict', () => {
  it('refuses a second signature made from the first (s + L)', async () => {
    const signature = await sign(keys.ed25519, message)
    const L = 2n ** 252n + 27742317777372353535851937790883648493n
    const scalar = BigInt(`0x${toHex(signature.slice(32).reverse())}`) + L
    const altered = signature.slice()
    altered.set(fromHex(scalar.toString(16).padStart(64, '0')).reverse(), 32)
    expect(await verifySignature(keys.ed25519.publicKey, message, altered)).toEqual(invalid)
  })

  it('refuses keys of small order, which lax rules accept for every message', async () => {
    const identity = new Uint8Array(32)
    identity[0] = 1
    const signature = new Uint8Array(64)
    signature[0] = 1
    expect(ed25519.verify(signature, message, identity, { zip215: true })).toBe(true)
    expect(await verifySignature({ type: 'ed25519', bytes: identity }, message, signature)).toEqual(invalid)
  })

  it('refuses keys that are not points, and points encoded twice', async () => {
    const signature = await sign(keys.ed25519, message)
    const notAPoint = new Uint8Array(32).fill(2)
    // y = p + 1, another writing of y = 1.
    const nonCanonical = fromHex(`ee${'ff'.repeat(30)}7f`)
    for (const bytes of [notAPoint, nonCanonical]) {
      expect(await verifySignature({ type: 'ed25519', bytes }, message, signature)).toEqual(invalid)
    }
  })

  it('copies its seed', () => {
    const seed = new Uint8Array(32).fill(1)
    const key = ed25519KeyPair(seed)
    seed.fill(0)
    expect(key.secretKey[0]).toBe(1)
  })
})

describe('RSA-PSS against node:crypto', () => {
  const options = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }

  it('verifies there, and verifies what is signed there', async () => {
    const key = keys['rsa-pss-3072']
    const theirPublic = createPublicKey({
      key: Buffer.from(key.publicKey.bytes),
      format: 'der',
      type: 'spki',
    })
    const theirSecret = createPrivateKey({ key: Buffer.from(key.secretKey), format: 'der', type: 'pkcs8' })
    expect(theirPublic.asymmetricKeyDetails).toEqual({ modulusLength: 3072, publicExponent: 65537n })
    const ours = await sign(key, message)
    expect(nodeVerify('sha256', message, { key: theirPublic, ...options }, ours)).toBe(true)
    const theirs = nodeSign('sha256', message, { key: theirSecret, ...options })
    expect((await verifySignature(key.publicKey, message, theirs)).ok).toBe(true)
  })

  it('refuses other salts, hashes and paddings', async () => {
    const key = keys['rsa-pss-3072']
    const secret = createPrivateKey({ key: Buffer.from(key.secretKey), format: 'der', type: 'pkcs8' })
    const wrong = [
      nodeSign('sha256', message, { key: secret, ...options, saltLength: 20 }),
      nodeSign('sha512', message, { key: secret, ...options }),
      nodeSign('sha256', message, { key: secret, padding: constants.RSA_PKCS1_PADDING }),
    ]
    for (const signature of wrong) {
      expect(await verifySignature(key.publicKey, message, signature)).toEqual(invalid)
    }
  })

  it('refuses other sizes and exponents', async () => {
    for (const [modulusLength, exponent] of [
      [2048, [1, 0, 1]],
      [4096, [1, 0, 1]],
      [3072, [3]],
    ] as const) {
      const pair = await crypto.subtle.generateKey(
        { name: 'RSA-PSS', hash: 'SHA-256', modulusLength, publicExponent: new Uint8Array(exponent) },
        true,
        ['sign', 'verify'],
      )
      const bytes = new Uint8Array(await crypto.subtle.exportKey('spki', pair.publicKey))
      const pkcs8 = new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey))
      expect(() => assertPublicKey({ type: 'rsa-pss-3072', bytes })).toThrow(
        expect.objectContaining({ code: 'key/malformed' }),
      )
      await expect(rsaKeyPair(pkcs8)).rejects.toMatchObject({ code: 'key/malformed' })
    }
  })

  it('derives the public key from PKCS #8, and refuses what is not one', async () => {
    const { publicKey, secretKey } = keys['rsa-pss-3072']
    expect((await rsaKeyPair(secretKey)).publicKey).toEqual(publicKey)
    for (const wrong of [new Uint8Array(), secretKey.subarray(0, -1), new Uint8Array(5000)]) {
      await expect(rsaKeyPair(wrong)).rejects.toMatchObject({ code: 'key/malformed' })
    }
  })
})

describe('node ids', () => {
  it('are pinned', () => {
    const { publicKey } = ed25519KeyPair(new Uint8Array(32))
    expect(nodeId(publicKey)).toBe('30fc619d679ab6f730e3ba2f188fc8c31f7aea9dce5f3c190be62d68ce04ae77')
  })

  it('v1: SHA-256 of the RSA key, and no other key', () => {
    const { publicKey } = keys['rsa-pss-3072']
    expect(toHex(nodeIdV1(publicKey))).toBe(createHash('sha256').update(publicKey.bytes).digest('hex'))
    expect(() => nodeIdV1(keys.ed25519.publicKey)).toThrow(expect.objectContaining({ code: 'key/malformed' }))
  })

  it('refuses what is not a key', () => {
    const wrong: unknown[] = [
      undefined,
      null,
      {},
      { type: 'dsa', bytes: new Uint8Array(32) },
      { type: 'ed25519', bytes: new Uint8Array(31) },
      { type: 'ed25519', bytes: 'ab' },
      { type: 'rsa-pss-3072', bytes: new Uint8Array(422) },
      { type: 'rsa-pss-3072', bytes: new Uint8Array(32) },
    ]
    for (const key of wrong) {
      expect(() => nodeId(key as PublicKey)).toThrow(expect.objectContaining({ code: 'key/malformed' }))
    }
  })

  it('never throws on garbage', async () => {
    const key = fc.record({ type: fc.constantFrom(...KEY_TYPES), bytes: fc.uint8Array({ maxLength: 450 }) })
    await fc.assert(
      fc.asyncProperty(
        key,
        fc.uint8Array(),
        fc.uint8Array({ maxLength: 400 }),
        async (key, message, signature) => {
          expect((await verifySignature(key, message, signature)).ok).toBe(false)
        },
      ),
    )
  })
})
