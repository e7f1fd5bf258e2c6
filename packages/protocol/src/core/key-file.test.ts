import { beforeAll, describe, expect, it } from 'vitest'
import { utf8 } from './bytes.ts'
import {
  decodeKeyPair,
  decodePublicKey,
  encodeKeyPair,
  encodePublicKey,
  type KeyPairJson,
} from './key-file.ts'
import { generateKey, KEY_TYPES, type KeyPair, type KeyType, sign, verifySignature } from './keys.ts'

const keys = {} as Record<KeyType, KeyPair>
const json = {} as Record<KeyType, KeyPairJson>

beforeAll(async () => {
  for (const type of KEY_TYPES) {
    keys[type] = await generateKey(type)
    json[type] = encodeKeyPair(keys[type])
  }
})

const malformed = { code: 'key/malformed' }

describe.each(KEY_TYPES)('%s', (type) => {
  it('comes back from JSON text and still signs', async () => {
    const key = await decodeKeyPair(JSON.parse(JSON.stringify(json[type])))
    expect(key).toEqual(keys[type])
    const signature = await sign(key, utf8('message'))
    expect((await verifySignature(keys[type].publicKey, utf8('message'), signature)).ok).toBe(true)
    expect(decodePublicKey(JSON.parse(JSON.stringify(encodePublicKey(key.publicKey))))).toEqual(key.publicKey)
  })

  it('refuses a secret beside the public key of another', async () => {
    const { publicKey } = await generateKey(type)
    const mixed = { ...json[type], publicKey: encodePublicKey(publicKey) }
    await expect(decodeKeyPair(mixed)).rejects.toMatchObject(malformed)
  })

  it('refuses other forms, without telling the secret', async () => {
    const good = json[type]
    const { secretKey } = good
    const wrong: unknown[] = [
      null,
      [],
      'text',
      {},
      { ...good, extra: 1 },
      { ...good, format: 'other' },
      { ...good, version: 2 },
      { ...good, secretKey: secretKey.slice(0, -4) },
      { ...good, secretKey: `${secretKey}AAAA` },
      { ...good, secretKey: ` ${secretKey}` },
      { ...good, secretKey: secretKey.repeat(100) },
      { ...good, secretKey: undefined },
      { ...good, publicKey: { ...good.publicKey, bytes: good.publicKey.bytes.toUpperCase() } },
      { ...good, publicKey: { ...good.publicKey, type: 'dsa' } },
      { ...good, publicKey: { ...good.publicKey, type: type === 'ed25519' ? 'rsa-pss-3072' : 'ed25519' } },
      { ...good, publicKey: { type } },
    ]
    for (const value of wrong) {
      const error = await decodeKeyPair(value).catch((error: unknown) => error)
      expect(error).toMatchObject(malformed)
      expect(JSON.stringify(error)).not.toContain(secretKey.slice(0, 12))
    }
    for (const value of [
      null,
      'text',
      {},
      { ...good.publicKey, extra: 1 },
      { type, bytes: 'zz' },
      { type, bytes: '' },
    ]) {
      expect(() => decodePublicKey(value)).toThrow(expect.objectContaining(malformed))
    }
  })
})
