/**
 * Proof-of-Execution v2: a node's signed commitment that it answered this request with this result.
 *
 * It binds, it does not validate: a made-up result can be committed to as well. What it gives is attribution
 * and order (the challenge is drawn after the signature). The published form (poe-v1.ts) joins its fields
 * without lengths, leaves out task and input, and lets a low-entropy result be searched for from the
 * commitment. Here every field has its length before it, under a domain tag; task and input are bound; and
 * a nonce is part of the commitment: one drawn by the coordinator prevents replay, and one that the node
 * draws and keeps until the reveal hides the result.
 *
 *     poe = T("assay/poe/v2", requestId, task digest, input digest, result digest, node id, nonce)
 *     signature = Ed25519 or RSA-PSS-3072 over the 32 bytes of poe
 *
 * where T is `hashFields` (digest.ts) and the node id enters as its 32 bytes; it is itself a digest of key
 * type and public key.
 */
import * as z from 'zod/mini'
import { equalBytes, fromBase64, fromHex, toBase64, toHex } from './bytes.ts'
import { defineObject, type ObjectCodec, parseWith } from './codec.ts'
import { DIGEST_BYTES, type Digest, hashFields, tagged } from './digest.ts'
import { AssayError, attempt, type Rejection, reject, type Verdict } from './errors.ts'
import {
  isNodeId,
  KEY_TYPES,
  type KeyPair,
  type NodeId,
  nodeId,
  type PublicKey,
  sign,
  verifySignature,
} from './keys.ts'

/** A request id is a name: 32 random bytes, a UUID, or a short text. */
export const MAX_REQUEST_ID_BYTES = 128
export const NONCE_BYTES = 32
/** Domain tag of a commitment. */
export const EXECUTION_TAG = 'assay/poe/v2'
/** An RSA key (422 bytes) and signature (384), the fields, and room for their names. */
const MAX_ENCODED_BYTES = 2048

/** What a coordinator, or a requester without one, allots to one request at intake. */
export interface Job {
  /** Unique; 32 bytes where we draw it. */
  readonly requestId: Uint8Array
  /** 32 bytes, drawn for this request alone, so that no proof can be made ahead or used again. */
  readonly nonce: Uint8Array
}

export interface ExecutionFields {
  /** Allotted at intake, unique; 1 … 128 bytes. */
  readonly requestId: Uint8Array
  readonly taskDigest: Digest
  readonly inputDigest: Digest
  readonly resultDigest: Digest
  /** The node that commits. */
  readonly nodeId: NodeId
  /** 32 bytes. */
  readonly nonce: Uint8Array
}

/** Plain data: `executionObject` is its DAG-CBOR codec, `executionToJson` its JSON form. */
export interface SignedExecution {
  readonly fields: ExecutionFields
  readonly publicKey: PublicKey
  readonly signature: Uint8Array
}

/** The commitment itself. Throws 'poe/malformed' for a field of another length. */
export function commitExecution(fields: ExecutionFields): Digest {
  assertExecutionFields(fields)
  const { requestId, taskDigest, inputDigest, resultDigest, nodeId, nonce } = fields
  return hashFields(EXECUTION_TAG, [requestId, taskDigest, inputDigest, resultDigest, fromHex(nodeId), nonce])
}

/** The result digest of an execution without a proof, from the SHA-256 of its encoded output (its address). */
export function plainResultDigest(outputDigest: Digest): Digest {
  return tagged('assay/segment-result/v1', outputDigest)
}

/** Signs `fields` with the key of the node that they name; 'poe/mismatch' when it is another's. */
export async function signExecution(fields: ExecutionFields, key: KeyPair): Promise<SignedExecution> {
  const commitment = commitExecution(fields)
  const owner = nodeId(key.publicKey)
  if (owner !== fields.nodeId) {
    throw new AssayError(
      'poe/mismatch',
      `the fields name node ${fields.nodeId}, the key is that of node ${owner}`,
    )
  }
  return { fields, publicKey: key.publicKey, signature: await sign(key, commitment) }
}

export interface VerifiedExecution {
  /** What the challenge seed is mixed with. */
  readonly commitment: Digest
  readonly nodeId: NodeId
}

/**
 * Checks shape, that the key is that of the node named, the signature, and every field that `expected` names.
 * Rejects with 'poe/malformed', 'poe/mismatch', 'key/malformed' or 'signature/invalid'; never throws.
 */
export async function verifyExecution(
  signed: SignedExecution,
  expected: Partial<ExecutionFields> = {},
): Promise<Verdict<VerifiedExecution>> {
  const parsed = attempt(() => checkSigned(signed))
  if (!parsed.ok) return parsed
  const { fields, publicKey, signature } = parsed.value
  const opened = attempt(() => ({ commitment: commitExecution(fields), owner: nodeId(publicKey) }))
  if (!opened.ok) return opened
  const { commitment, owner } = opened.value
  if (owner !== fields.nodeId) {
    return reject('poe/mismatch', 'the public key is not that of the node named', {
      expected: fields.nodeId,
      got: owner,
    })
  }
  const different = compareExecution(fields, expected)
  if (different !== undefined) return different
  const verified = await verifySignature(publicKey, commitment, signature)
  return verified.ok ? { ok: true, value: { commitment, nodeId: owner } } : verified
}

/** The first of the fields named in `expected` that is another: 'poe/mismatch'. */
export function compareExecution(
  fields: ExecutionFields,
  expected: Partial<ExecutionFields>,
): Rejection | undefined {
  const different = FIELD_NAMES.find(
    (name) => expected[name] !== undefined && !isSame(expected[name], fields[name]),
  )
  if (different === undefined) return undefined
  return reject('poe/mismatch', `the commitment is to another ${different} than the one expected`, {
    field: different,
    expected: textOf(expected[different]),
    got: textOf(fields[different]),
  })
}

const FIELD_NAMES = [
  'requestId',
  'taskDigest',
  'inputDigest',
  'resultDigest',
  'nodeId',
  'nonce',
] as const satisfies readonly (keyof ExecutionFields)[]

type Field = Uint8Array | string | undefined

function isSame(expected: Field, got: Field): boolean {
  if (expected instanceof Uint8Array && got instanceof Uint8Array) return equalBytes(expected, got)
  return expected === got
}

function textOf(field: Field): string {
  return field instanceof Uint8Array ? toHex(field.subarray(0, MAX_REQUEST_ID_BYTES)) : String(field)
}

/** Throws 'poe/malformed' for a field of another length. */
export function assertExecutionFields(fields: ExecutionFields): void {
  for (const name of ['taskDigest', 'inputDigest', 'resultDigest'] as const) {
    assertLength(name, fields[name], { min: DIGEST_BYTES, max: DIGEST_BYTES })
  }
  assertLength('requestId', fields.requestId, { min: 1, max: MAX_REQUEST_ID_BYTES })
  assertLength('nonce', fields.nonce, { min: NONCE_BYTES, max: NONCE_BYTES })
  if (typeof fields.nodeId !== 'string' || !isNodeId(fields.nodeId)) {
    throw malformed('nodeId must be 64 lower-case hexadecimal digits')
  }
}

function assertLength(name: string, bytes: Uint8Array, { min, max }: { min: number; max: number }): void {
  if (bytes instanceof Uint8Array && bytes.length >= min && bytes.length <= max) return
  const expected = min === max ? `${min} bytes` : `${min} to ${max} bytes`
  throw malformed(`${name} must be ${expected}, got ${bytes?.length ?? typeof bytes}`)
}

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'bytes')
const digest = z.custom<Digest>(
  (value) => value instanceof Uint8Array && value.length === DIGEST_BYTES,
  '32 bytes',
)
const id = z.custom<NodeId>(
  (value) => typeof value === 'string' && isNodeId(value),
  'a node id (64 hexadecimal digits)',
)

/** Shapes alone; the lengths are those of `assertExecutionFields`. */
export const executionFieldsSchema = z.strictObject({
  requestId: bytes,
  taskDigest: digest,
  inputDigest: digest,
  resultDigest: digest,
  nodeId: id,
  nonce: bytes,
})

/** A signature and the key that made it. */
export const signerSchema = z.strictObject({
  publicKey: z.strictObject({ type: z.enum(KEY_TYPES), bytes }),
  signature: bytes,
})

const signedSchema = z.strictObject({ fields: executionFieldsSchema, ...signerSchema.shape })

function checkSigned(value: unknown): SignedExecution {
  const parsed = attempt(() => parseWith(signedSchema, value, 'signed execution'))
  if (!parsed.ok) throw new AssayError('poe/malformed', parsed.message, { detail: parsed.detail })
  assertExecutionFields(parsed.value.fields)
  return parsed.value
}

/** DAG-CBOR, strict. Decoding checks the shape only: `verifyExecution` decides whether it holds. */
export const executionObject: ObjectCodec<SignedExecution> = defineObject({
  type: 'assay/execution',
  version: 2,
  schema: signedSchema,
  maxBytes: MAX_ENCODED_BYTES,
})

const MAX_TEXT = 1024
const text = z.string().check(z.maxLength(MAX_TEXT))

/** The JSON form of fields: lower-case hexadecimal. */
export const executionFieldsJson = z.strictObject({
  requestId: text,
  taskDigest: text,
  inputDigest: text,
  resultDigest: text,
  nodeId: text,
  nonce: text,
})

/** The JSON form of a signature and its key: the signature as padded base64. */
export const signerJson = z.strictObject({
  publicKey: z.strictObject({ type: z.enum(KEY_TYPES), bytes: text }),
  signature: text,
})

const jsonSchema = z.strictObject({
  poe: z.literal('v2'),
  fields: executionFieldsJson,
  ...signerJson.shape,
})

export type SignedExecutionJson = z.infer<typeof jsonSchema>

/** Bytes as lower-case hexadecimal, the signature as padded base64. */
export function executionToJson(signed: SignedExecution): SignedExecutionJson {
  return { poe: 'v2', fields: fieldsToJson(signed.fields), ...signerToJson(signed) }
}

/** Strict inverse of `executionToJson`, from any value: throws 'poe/malformed'. */
export function executionFromJson(value: unknown): SignedExecution {
  const read = attempt(() => {
    const json = parseWith(jsonSchema, value, 'signed execution')
    return { fields: fieldsFromJson(json.fields), ...signerFromJson(json) }
  })
  if (!read.ok) throw new AssayError('poe/malformed', read.message, { detail: read.detail })
  return checkSigned(read.value)
}

export function fieldsToJson(fields: ExecutionFields): z.infer<typeof executionFieldsJson> {
  assertExecutionFields(fields)
  return {
    requestId: toHex(fields.requestId),
    taskDigest: toHex(fields.taskDigest),
    inputDigest: toHex(fields.inputDigest),
    resultDigest: toHex(fields.resultDigest),
    nodeId: fields.nodeId,
    nonce: toHex(fields.nonce),
  }
}

/** The bytes alone: their lengths and the node id are still to be checked. */
export function fieldsFromJson(fields: z.infer<typeof executionFieldsJson>) {
  return {
    requestId: fromHex(fields.requestId),
    taskDigest: fromHex(fields.taskDigest),
    inputDigest: fromHex(fields.inputDigest),
    resultDigest: fromHex(fields.resultDigest),
    nodeId: fields.nodeId,
    nonce: fromHex(fields.nonce),
  }
}

export function signerToJson(signed: {
  readonly publicKey: PublicKey
  readonly signature: Uint8Array
}): z.infer<typeof signerJson> {
  const { publicKey, signature } = signed
  return {
    publicKey: { type: publicKey.type, bytes: toHex(publicKey.bytes) },
    signature: toBase64(signature),
  }
}

export function signerFromJson({ publicKey, signature }: z.infer<typeof signerJson>) {
  return {
    publicKey: { type: publicKey.type, bytes: fromHex(publicKey.bytes) },
    signature: fromBase64(signature),
  }
}

function malformed(message: string): AssayError {
  return new AssayError('poe/malformed', message)
}
