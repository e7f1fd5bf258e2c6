/**
 * Keys of nodes: Ed25519, and RSA-PSS of 3,072 bits with SHA-256.
 *
 * Ed25519 (RFC 8032) is the default. RSA is there because published Proof-of-Execution names nodes by an RSA
 * key; it runs on WebCrypto, with salts of 32 bytes. A public key has one encoding, and the id of a node is a
 * digest of key type and encoding, so that no two keys share an id and no key has two.
 *
 * Threat: keys, signatures and messages come from anybody. Ed25519 is verified strictly: points and scalars
 * must be canonical and keys of small order are refused, so that nobody can alter a signature or own one that
 * fits many messages. RSA keys must be exactly the SPKI form below: 3,072 bits, exponent 65537.
 *
 * The one place of the core that draws randomness: `generateKey` (and the salts of RSA-PSS) take it from
 * `globalThis.crypto`, because WebCrypto offers no other way for RSA.
 */
import { ed25519 } from '@noble/curves/ed25519.js'
import { concatBytes, equalBytes, fromHex, toHex, utf8 } from './bytes.ts'
import { type Digest, hashFields, sha256 } from './digest.ts'
import { AssayError, attempt, reject, type Verdict } from './errors.ts'

export const KEY_TYPES = ['ed25519', 'rsa-pss-3072'] as const
export type KeyType = (typeof KEY_TYPES)[number]

export interface PublicKey {
  readonly type: KeyType
  /** Ed25519: the 32 bytes of RFC 8032. RSA: SubjectPublicKeyInfo in DER, 422 bytes. */
  readonly bytes: Uint8Array
}

export interface KeyPair {
  readonly publicKey: PublicKey
  /** Ed25519: the 32-byte seed of RFC 8032. RSA: PKCS #8 in DER. */
  readonly secretKey: Uint8Array
}

declare const nodeIdBrand: unique symbol

/** 64 lower-case hexadecimal digits: the tagged digest of key type and public key. */
export type NodeId = string & { readonly [nodeIdBrand]: true }

/** Both schemes hash what they sign; more than this is a mistake, and is signed by its digest instead. */
export const MAX_MESSAGE_BYTES = 2 ** 26
export const SIGNATURE_BYTES = { ed25519: 64, 'rsa-pss-3072': 384 } as const satisfies Record<KeyType, number>
export const PUBLIC_KEY_BYTES = { ed25519: 32, 'rsa-pss-3072': 422 } as const satisfies Record<
  KeyType,
  number
>
/** PKCS #8 of a 3,072-bit key has about 1,792 bytes, give or take leading zeros. */
const MAX_PKCS8_BYTES = 2048
const ED25519_SEED_BYTES = 32
const SALT_BYTES = 32
const MODULUS_BYTES = 384
const RSA = { name: 'RSA-PSS', hash: 'SHA-256' } as const
const PSS = { name: 'RSA-PSS', saltLength: SALT_BYTES } as const

/**
 * SPKI of RSA with a modulus of exactly 3,072 bits and exponent 65537 (RFC 8017, appendix A.1; RFC 3279): what
 * stands before the modulus and after it never changes, so that the one encoding is checked without a parser.
 */
const SPKI_PREFIX = fromHex('308201a2300d06092a864886f70d01010105000382018f003082018a0282018100')
const SPKI_SUFFIX = fromHex('0203010001')

/** A new key, from the randomness of `globalThis.crypto`. RSA takes up to some seconds. */
export async function generateKey(type: KeyType = 'ed25519'): Promise<KeyPair> {
  if (type === 'ed25519') return ed25519KeyPair(crypto().getRandomValues(new Uint8Array(ED25519_SEED_BYTES)))
  assertKeyType(type)
  const { subtle } = crypto()
  const parameters = { ...RSA, modulusLength: 8 * MODULUS_BYTES, publicExponent: new Uint8Array([1, 0, 1]) }
  const pair = await subtle.generateKey(parameters, true, ['sign', 'verify'])
  const [spki, pkcs8] = await Promise.all([
    subtle.exportKey('spki', pair.publicKey),
    subtle.exportKey('pkcs8', pair.privateKey),
  ])
  return { publicKey: { type, bytes: new Uint8Array(spki) }, secretKey: new Uint8Array(pkcs8) }
}

/** The Ed25519 key of a seed of 32 bytes. */
export function ed25519KeyPair(seed: Uint8Array): KeyPair {
  if (seed.length !== ED25519_SEED_BYTES) {
    throw malformed(`an Ed25519 secret key has ${ED25519_SEED_BYTES} bytes, got ${seed.length}`)
  }
  const secretKey = seed.slice()
  return { publicKey: { type: 'ed25519', bytes: ed25519.getPublicKey(secretKey) }, secretKey }
}

/** The RSA key of a PKCS #8 document; its public half is derived, so that it cannot be another's. */
export async function rsaKeyPair(pkcs8: Uint8Array): Promise<KeyPair> {
  const refuse = (cause?: unknown) =>
    new AssayError('key/malformed', 'expected an RSA key of 3,072 bits with exponent 65537 as PKCS #8', {
      cause,
    })
  if (pkcs8.length > MAX_PKCS8_BYTES) throw refuse()
  const secretKey = pkcs8.slice()
  const { subtle } = crypto()
  let jwk: JsonWebKey
  let canonical: ArrayBuffer
  try {
    const key = await subtle.importKey('pkcs8', secretKey, RSA, true, ['sign'])
    ;[jwk, canonical] = await Promise.all([subtle.exportKey('jwk', key), subtle.exportKey('pkcs8', key)])
  } catch (cause) {
    throw refuse(cause)
  }
  // Parsers pass over bytes behind the document; a key has one form here.
  if (!equalBytes(new Uint8Array(canonical), secretKey)) throw refuse()
  const modulus = fromBase64Url(jwk.n ?? '')
  const publicKey = { type: 'rsa-pss-3072', bytes: concatBytes(SPKI_PREFIX, modulus, SPKI_SUFFIX) } as const
  if (jwk.e !== 'AQAB' || !isRsaSpki(publicKey.bytes)) throw refuse()
  return { publicKey, secretKey }
}

/** The signature of `message`: 64 bytes for Ed25519 (deterministic), 384 for RSA-PSS (salted). */
export async function sign(key: KeyPair, message: Uint8Array): Promise<Uint8Array> {
  assertMessage(message)
  if (key.publicKey.type === 'ed25519') return ed25519.sign(message, key.secretKey)
  assertKeyType(key.publicKey.type)
  const signature = await crypto().subtle.sign(PSS, await rsaSigner(key), owned(message))
  return new Uint8Array(signature)
}

/** Whether `signature` is `publicKey`'s over `message`: 'signature/invalid' or 'key/malformed' if not. */
export async function verifySignature(
  publicKey: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<Verdict<true>> {
  const usable = attempt(() => {
    assertMessage(message)
    assertPublicKey(publicKey)
  })
  if (!usable.ok) return usable
  const length = SIGNATURE_BYTES[publicKey.type]
  if (!(signature instanceof Uint8Array) || signature.length !== length) {
    const got = signature?.length ?? typeof signature
    return reject('signature/invalid', `a signature by ${publicKey.type} has ${length} bytes, got ${got}`)
  }
  const isValid =
    publicKey.type === 'ed25519'
      ? ed25519.verify(signature, message, publicKey.bytes, { zip215: false })
      : await verifyRsa(publicKey, message, signature)
  if (isValid) return { ok: true, value: true }
  return reject('signature/invalid', `the signature does not verify under the ${publicKey.type} key`, {
    nodeId: nodeId(publicKey),
  })
}

async function verifyRsa({ bytes }: PublicKey, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  const { subtle } = crypto()
  try {
    const key = await subtle.importKey('spki', owned(bytes), RSA, false, ['verify'])
    return await subtle.verify(PSS, key, owned(signature), owned(message))
  } catch {
    // An engine may refuse a modulus that no honest key has. Nothing verifies under it.
    return false
  }
}

/** Imported private keys, which take longer to import than to use. */
const rsaSigners = new WeakMap<KeyPair, Promise<CryptoKey>>()

function rsaSigner(key: KeyPair): Promise<CryptoKey> {
  let signer = rsaSigners.get(key)
  if (signer === undefined) {
    signer = crypto().subtle.importKey('pkcs8', owned(key.secretKey), RSA, false, ['sign'])
    rsaSigners.set(key, signer)
  }
  return signer
}

/** The id of the node that owns the key. */
export function nodeId(publicKey: PublicKey): NodeId {
  assertPublicKey(publicKey)
  return toHex(hashFields('assay/node-id/v2', [utf8(publicKey.type), publicKey.bytes])) as NodeId
}

/**
 * The id in published Proof-of-Execution: SHA-256 of the RSA public key. The published text leaves the encoding
 * of the key open; we take SPKI in DER.
 */
export function nodeIdV1(publicKey: PublicKey): Digest {
  assertPublicKey(publicKey)
  if (publicKey.type !== 'rsa-pss-3072') {
    throw malformed(`Proof-of-Execution v1 knows RSA keys only, got ${publicKey.type}`)
  }
  return sha256(publicKey.bytes)
}

export function isNodeId(text: string): text is NodeId {
  return /^[0-9a-f]{64}$/.test(text)
}

/** Type, length and form; whether Ed25519 bytes are a point is left to the verification. */
export function assertPublicKey(publicKey: PublicKey): void {
  assertKeyType(publicKey?.type)
  const { type, bytes } = publicKey
  if (!(bytes instanceof Uint8Array) || bytes.length !== PUBLIC_KEY_BYTES[type]) {
    throw malformed(`a public key of type ${type} has ${PUBLIC_KEY_BYTES[type]} bytes, got ${bytes?.length}`)
  }
  if (type === 'rsa-pss-3072' && !isRsaSpki(bytes)) {
    throw malformed('expected SubjectPublicKeyInfo of an RSA key with 3,072 bits and exponent 65537')
  }
}

function isRsaSpki(bytes: Uint8Array): boolean {
  const end = SPKI_PREFIX.length + MODULUS_BYTES
  const isTopBitSet = (bytes[SPKI_PREFIX.length] as number) >= 0x80
  const isOdd = (bytes[end - 1] as number) % 2 === 1
  return (
    bytes.length === PUBLIC_KEY_BYTES['rsa-pss-3072'] &&
    equalBytes(bytes.subarray(0, SPKI_PREFIX.length), SPKI_PREFIX) &&
    equalBytes(bytes.subarray(end), SPKI_SUFFIX) &&
    isTopBitSet &&
    isOdd
  )
}

function assertKeyType(type: unknown): asserts type is KeyType {
  if (!(KEY_TYPES as readonly unknown[]).includes(type)) {
    throw malformed(
      `expected a key of type ${KEY_TYPES.join(' or ')}, got ${JSON.stringify(type)?.slice(0, 40)}`,
    )
  }
}

function assertMessage(message: Uint8Array): void {
  if (!(message instanceof Uint8Array) || message.length > MAX_MESSAGE_BYTES) {
    throw new AssayError('signature/invalid', `a message to sign has at most ${MAX_MESSAGE_BYTES} bytes`)
  }
}

function crypto(): Crypto {
  const { crypto } = globalThis
  if (crypto?.subtle === undefined) {
    throw new AssayError(
      'key/unavailable',
      'expected WebCrypto (crypto.subtle); a browser offers it over HTTPS only',
    )
  }
  return crypto
}

/** WebCrypto wants memory of its own, and reads it later: a copy cannot change under it. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}

function fromBase64Url(text: string): Uint8Array {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(binary, (character) => character.charCodeAt(0))
}

function malformed(message: string): AssayError {
  return new AssayError('key/malformed', message)
}
