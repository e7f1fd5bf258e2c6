/**
 * Proof-of-Execution v1, as published (ParalleliX, section 5.1), for peers that speak it.
 *
 *     poe = SHA-256(request_id ‖ result ‖ node_id)     node_id = SHA-256(RSA public key)
 *     sig = RSA(result ‖ poe)
 *
 * Known weaknesses, kept because the bytes are the point: the fields are joined without their lengths, so that
 * `ab ‖ c` is `a ‖ bc` unless request ids have one length (the caller states it, and others are refused);
 * neither task nor input is bound; a result of low entropy can be found from the commitment by trying.
 * poe.ts has none of these.
 *
 * The publication names neither padding nor key encoding: we take RSA-PSS of 3,072 bits with SHA-256, and
 * SPKI in DER.
 */
import { concatBytes, equalBytes, toHex } from './bytes.ts'
import { DIGEST_BYTES, type Digest, sha256 } from './digest.ts'
import { AssayError, attempt, reject, type Verdict } from './errors.ts'
import { type KeyPair, nodeIdV1, type PublicKey, sign, verifySignature } from './keys.ts'

export const DEFAULT_REQUEST_ID_BYTES = 32
/** The result travels in the message itself. Larger ones belong in v2, which carries a digest. */
export const MAX_RESULT_BYTES = 2 ** 24

export interface ExecutionV1 {
  /** Of the one length that the parties agreed on. */
  readonly requestId: Uint8Array
  readonly result: Uint8Array
  /** SHA-256 of the node's RSA key. */
  readonly nodeId: Digest
}

export interface SignedExecutionV1 extends ExecutionV1 {
  readonly poe: Digest
  readonly signature: Uint8Array
}

export interface RequestIdLength {
  /** Bytes of every request id between these parties; 32 unless told. */
  readonly requestIdBytes?: number
}

/** SHA-256(request id ‖ result ‖ node id). Throws 'poe/malformed' for an id of another length. */
export function commitExecutionV1(
  { requestId, result, nodeId }: ExecutionV1,
  { requestIdBytes = DEFAULT_REQUEST_ID_BYTES }: RequestIdLength = {},
): Digest {
  assertBytes('the request id', requestId, { min: requestIdBytes, max: requestIdBytes })
  assertBytes('the result', result, { min: 0, max: MAX_RESULT_BYTES })
  assertBytes('the node id', nodeId, { min: DIGEST_BYTES, max: DIGEST_BYTES })
  return sha256(concatBytes(requestId, result, nodeId))
}

/** What a node returns. The key is RSA; its id is derived, not given. */
export async function signExecutionV1(
  answer: { readonly requestId: Uint8Array; readonly result: Uint8Array; readonly key: KeyPair },
  options: RequestIdLength = {},
): Promise<SignedExecutionV1> {
  const { requestId, result, key } = answer
  const execution = { requestId, result, nodeId: nodeIdV1(key.publicKey) }
  const poe = commitExecutionV1(execution, options)
  return { ...execution, poe, signature: await sign(key, concatBytes(result, poe)) }
}

export interface VerifyV1Options extends RequestIdLength {
  /** The key on record for the node. */
  readonly publicKey: PublicKey
  /** The request that was sent to it. */
  readonly requestId: Uint8Array
}

/** What the coordinator does: recompute, compare, check the signature. Never throws for what a node returned. */
export async function verifyExecutionV1(
  returned: SignedExecutionV1,
  options: VerifyV1Options,
): Promise<Verdict<{ readonly commitment: Digest; readonly nodeId: Digest }>> {
  const owner = nodeIdV1(options.publicKey)
  const checked = attempt(() => {
    assertBytes('the commitment', returned?.poe, { min: DIGEST_BYTES, max: DIGEST_BYTES })
    return commitExecutionV1(returned, options)
  })
  if (!checked.ok) return checked
  if (!equalBytes(returned.requestId, options.requestId))
    return mismatch('request', options.requestId, returned.requestId)
  if (!equalBytes(returned.nodeId, owner)) return mismatch('node', owner, returned.nodeId)
  if (!equalBytes(returned.poe, checked.value)) return mismatch('commitment', checked.value, returned.poe)
  const signed = concatBytes(returned.result, returned.poe)
  const verified = await verifySignature(options.publicKey, signed, returned.signature)
  return verified.ok ? { ok: true, value: { commitment: checked.value, nodeId: owner } } : verified
}

function mismatch(what: string, expected: Uint8Array, got: Uint8Array) {
  return reject('poe/mismatch', `the result came with another ${what} than the one expected`, {
    expected: toHex(expected),
    got: toHex(got),
  })
}

function assertBytes(what: string, bytes: Uint8Array, { min, max }: { min: number; max: number }): void {
  if (bytes instanceof Uint8Array && bytes.length >= min && bytes.length <= max) return
  const expected = min === max ? `${min} bytes` : `${min} to ${max} bytes`
  throw new AssayError('poe/malformed', `${what} must be ${expected}, got ${bytes?.length ?? typeof bytes}`)
}
