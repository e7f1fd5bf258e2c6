/**
 * Signed requests: how a node shows, with each request, that it holds its key.
 *
 *     signed = T("assay/request/v1", method, path with query, SHA-256 of the body, timestamp, nonce)
 *     Assay-Signature: v1 key=<node id>,at=<Unix ms>,nonce=<32 hex digits>,sig=<base64>
 *
 * where T is `hashFields`, the texts are UTF-8 and the timestamp is decimal text. The service refuses timestamps
 * that are more than a minute off, and nonces that it has seen; it keeps them for as long as a timestamp is good.
 * The host is not signed: services of one network share their nonces, and different networks know different nodes.
 */
import { fromBase64, fromHex, toBase64, utf8 } from '../core/bytes.ts'
import { type Digest, hashFields, sha256 } from '../core/digest.ts'
import { attempt, reject, type Verdict } from '../core/errors.ts'
import { type KeyPair, type NodeId, nodeId, type PublicKey, sign, verifySignature } from '../core/keys.ts'

export const SIGNATURE_HEADER = 'assay-signature'
/** Clocks of honest machines are closer than this. */
export const MAX_CLOCK_SKEW_MS = 60_000
/** An RSA signature in base64, and the rest. */
const MAX_HEADER_LENGTH = 1024
const SHAPE =
  /^v1 key=([0-9a-f]{64}),at=([1-9][0-9]{0,15}),nonce=([0-9a-f]{32}),sig=([A-Za-z0-9+/]{1,600}={0,2})$/

export interface RequestParts {
  /** Upper case. */
  readonly method: string
  /** Path and query as they are sent, from the first slash on. */
  readonly path: string
  readonly body: Uint8Array
  /** SHA-256 of the body, where the caller has it: services hash faster than this library can anywhere. */
  readonly bodyDigest?: Digest
}

export interface RequestClaim {
  readonly nodeId: NodeId
  /** Unix milliseconds. */
  readonly at: number
  /** 32 hexadecimal digits; random, used once. */
  readonly nonce: string
  readonly signature: Uint8Array
}

/** The value of the `Assay-Signature` header. `nonce`: 16 random bytes in hexadecimal. */
export async function signRequest(
  parts: RequestParts,
  {
    key,
    at,
    nonce,
    signer = sign,
  }: {
    readonly key: KeyPair
    readonly at: number
    readonly nonce: string
    readonly signer?: typeof sign
  },
): Promise<string> {
  const signature = await signer(key, requestDigest(parts, { at, nonce }))
  return `v1 key=${nodeId(key.publicKey)},at=${at},nonce=${nonce},sig=${toBase64(signature)}`
}

/** What a header claims; nothing of it is checked but its form. */
export function parseRequestSignature(header: string): Verdict<RequestClaim> {
  const match = header.length <= MAX_HEADER_LENGTH ? SHAPE.exec(header) : null
  if (match === null) {
    return reject('wire/signature', 'expected the header Assay-Signature: v1 key=…,at=…,nonce=…,sig=…')
  }
  const [, key, at, nonce, sig] = match as unknown as [string, string, string, string, string]
  const signature = attempt(() => fromBase64(sig))
  if (!signature.ok) return reject('wire/signature', signature.message, { cause: signature.code })
  return { ok: true, value: { nodeId: key as NodeId, at: Number(at), nonce, signature: signature.value } }
}

/** Timestamp and signature; whether the nonce is fresh is for the caller's memory to say. */
export async function verifyRequest(
  parts: RequestParts,
  {
    claim,
    publicKey,
    now,
    verify = verifySignature,
  }: {
    readonly claim: RequestClaim
    /** Of the node that the claim names. */
    readonly publicKey: PublicKey
    readonly now: number
    readonly verify?: typeof verifySignature
  },
): Promise<Verdict<true>> {
  if (Math.abs(now - claim.at) > MAX_CLOCK_SKEW_MS) {
    return reject('wire/signature', `the request was signed at ${claim.at}, and it is ${now} here`, {
      signedAt: claim.at,
      now,
    })
  }
  const verdict = await verify(publicKey, requestDigest(parts, claim), claim.signature)
  return verdict.ok ? verdict : reject('wire/signature', verdict.message, { cause: verdict.code })
}

function requestDigest(
  { method, path, body, bodyDigest = sha256(body) }: RequestParts,
  { at, nonce }: { at: number; nonce: string },
): Digest {
  return hashFields('assay/request/v1', [
    utf8(method),
    utf8(path),
    bodyDigest,
    utf8(String(at)),
    fromHex(nonce),
  ])
}
