/**
 * Keys as JSON: what a key file holds, and how receipts and requests carry public keys.
 *
 * Strict: one JSON form for each key, unknown fields refused. The secret is in the clear; whoever writes the
 * file keeps it readable by its owner alone.
 */
import * as z from 'zod/mini'
import { equalBytes, fromBase64, fromHex, toBase64, toHex } from './bytes.ts'
import { parseWith } from './codec.ts'
import { AssayError, attempt } from './errors.ts'
import {
  assertPublicKey,
  ed25519KeyPair,
  KEY_TYPES,
  type KeyPair,
  type PublicKey,
  rsaKeyPair,
} from './keys.ts'

/** Base64 of the largest PKCS #8 that we take (2,048 bytes), padded. */
const MAX_TEXT = 2732

const text = z.string().check(z.maxLength(MAX_TEXT))

export const publicKeySchema = z.strictObject({
  type: z.enum(KEY_TYPES),
  /** Ed25519: 32 bytes; RSA: SPKI in DER. Lower-case hexadecimal. */
  bytes: text,
})

export type PublicKeyJson = z.infer<typeof publicKeySchema>

const keyPairSchema = z.strictObject({
  format: z.literal('assay/key-pair'),
  version: z.literal(1),
  publicKey: publicKeySchema,
  /** Ed25519: the seed; RSA: PKCS #8 in DER. Padded base64. */
  secretKey: text,
})

export type KeyPairJson = z.infer<typeof keyPairSchema>

export function encodePublicKey(publicKey: PublicKey): PublicKeyJson {
  assertPublicKey(publicKey)
  return { type: publicKey.type, bytes: toHex(publicKey.bytes) }
}

/** Strict: throws 'key/malformed'. */
export function decodePublicKey(value: unknown): PublicKey {
  return decode(() => {
    const { type, bytes } = parseWith(publicKeySchema, value, 'public key')
    const publicKey = { type, bytes: fromHex(bytes) }
    assertPublicKey(publicKey)
    return publicKey
  })
}

/** A plain object for `JSON.stringify`. It holds the secret. */
export function encodeKeyPair(key: KeyPair): KeyPairJson {
  return {
    format: 'assay/key-pair',
    version: 1,
    publicKey: encodePublicKey(key.publicKey),
    secretKey: toBase64(key.secretKey),
  }
}

/** Strict: throws 'key/malformed', also when the secret is not that of the public key. */
export async function decodeKeyPair(value: unknown): Promise<KeyPair> {
  const { publicKey, secretKey } = decode(() => {
    const json = parseWith(keyPairSchema, value, 'key pair')
    return { publicKey: decodePublicKey(json.publicKey), secretKey: fromBase64(json.secretKey) }
  })
  const key = publicKey.type === 'ed25519' ? ed25519KeyPair(secretKey) : await rsaKeyPair(secretKey)
  if (!equalBytes(key.publicKey.bytes, publicKey.bytes)) {
    throw new AssayError('key/malformed', 'the secret key is not that of the public key beside it')
  }
  return key
}

/** No value of a secret may end up in an error: the messages below name fields and shapes only. */
function decode<T>(run: () => T): T {
  const result = attempt(run)
  if (result.ok) return result.value
  if (result.code === 'key/malformed') throw new AssayError(result.code, result.message)
  if (result.code === 'bytes/malformed') {
    throw new AssayError(
      'key/malformed',
      'expected public keys in lower-case hexadecimal and secrets in padded base64',
    )
  }
  const path = typeof result.detail.path === 'string' ? result.detail.path : ''
  throw new AssayError(
    'key/malformed',
    `expected a key in JSON; field ${path || '(all)'} is missing, unknown or of another form`,
  )
}
