/**
 * Ed25519 through OpenSSL, on the thread pool: what services use where they check thousands of signatures a second.
 *
 * Stands in for `sign` and `verifySignature` of core/keys.ts, which it asks wherever it cannot be sure by itself:
 * RSA keys, malformed parts, and every key until the core has once accepted a signature under it. So a key of small
 * order, or one that is not canonical, never reaches OpenSSL, which would take it.
 *
 * Threat: keys, signatures and messages come from anybody. OpenSSL checks RFC 8032 without the cofactor and the core
 * with it, so that a signer who adds a point of small order on purpose is refused here and passes there. What passes
 * here passes there, always: nothing is accepted that an offline check would refuse.
 */
import {
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
  type KeyObject,
} from 'node:crypto'
import { concatBytes, fromHex, toHex } from 'assay/core/bytes'
import { reject, type Verdict } from 'assay/core/errors'
import {
  type KeyPair,
  MAX_MESSAGE_BYTES,
  nodeId,
  type PublicKey,
  SIGNATURE_BYTES,
  sign,
  verifySignature,
} from 'assay/core/keys'

/** Twice the nodes of the largest network that is measured; a key object takes about a kilobyte. */
const MAX_KEYS = 20_000
/** What stands before the 32 bytes in SubjectPublicKeyInfo and in PKCS #8 (RFC 8410). */
const SPKI_PREFIX = fromHex('302a300506032b6570032100')
const PKCS8_PREFIX = fromHex('302e020100300506032b657004220420')

/** In the order of their last use, the oldest first: a `Map` keeps the order of insertion. */
const verifiers = new Map<string, KeyObject>()
const signers = new WeakMap<KeyPair, KeyObject>()

/** As `verifySignature` of core/keys.ts; see above for the one difference. */
export async function verifyNative(
  publicKey: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<Verdict<true>> {
  if (publicKey?.type !== 'ed25519' || !isUsual(message, signature)) {
    return verifySignature(publicKey, message, signature)
  }
  const key = knownKey(publicKey.bytes)
  if (key === undefined) {
    const verdict = await verifySignature(publicKey, message, signature)
    if (verdict.ok) remember(publicKey.bytes)
    return verdict
  }
  if (await verifyWith(key, message, signature)) return { ok: true, value: true }
  return reject('signature/invalid', 'the signature does not verify under the ed25519 key', {
    nodeId: nodeId(publicKey),
  })
}

/** As `sign` of core/keys.ts; the same signatures. */
export async function signNative(key: KeyPair, message: Uint8Array): Promise<Uint8Array> {
  if (key.publicKey.type !== 'ed25519' || message.length > MAX_MESSAGE_BYTES) return sign(key, message)
  let signer = signers.get(key)
  if (signer === undefined) {
    const der = Buffer.from(concatBytes(PKCS8_PREFIX, key.secretKey))
    signer = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    signers.set(key, signer)
  }
  const object = signer
  return new Promise((resolve, reject) => {
    cryptoSign(null, message, object, (error, signature) => {
      if (error === null) resolve(new Uint8Array(signature))
      else reject(error)
    })
  })
}

function isUsual(message: unknown, signature: unknown): boolean {
  return (
    message instanceof Uint8Array &&
    message.length <= MAX_MESSAGE_BYTES &&
    signature instanceof Uint8Array &&
    signature.length === SIGNATURE_BYTES.ed25519
  )
}

function verifyWith(key: KeyObject, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  return new Promise((resolve, reject) => {
    cryptoVerify(null, message, key, signature, (error, isValid) => {
      if (error === null) resolve(isValid)
      else reject(error)
    })
  })
}

function knownKey(bytes: Uint8Array): KeyObject | undefined {
  if (!(bytes instanceof Uint8Array)) return undefined
  const name = toHex(bytes)
  const key = verifiers.get(name)
  if (key === undefined) return undefined
  verifiers.delete(name)
  verifiers.set(name, key)
  return key
}

function remember(bytes: Uint8Array): void {
  const der = Buffer.from(concatBytes(SPKI_PREFIX, bytes))
  verifiers.set(toHex(bytes), createPublicKey({ key: der, format: 'der', type: 'spki' }))
  if (verifiers.size <= MAX_KEYS) return
  const oldest = verifiers.keys().next()
  if (oldest.done === false) verifiers.delete(oldest.value)
}
