/**
 * One signature over many Proofs-of-Execution (poe.ts, v2): a node that returns a lease of many segments signs once.
 *
 *     commitment i = commitExecution(fields i)
 *     root         = Merkle root over the commitments in order (RFC 9162, section 2.1; merkle.ts)
 *     signature    = over T("assay/poe-batch/v1", count as u32, root)
 *
 * where T is `hashFields` (digest.ts). A root does not bind the number of its leaves, so the count is signed with it.
 * A third party that is shown one execution gets its path instead of the others, which may be of other jobs.
 *
 * Threat: a batch comes from a node that profits from a signature that fits more than it signed. All executions of
 * a batch must name the node of the key. The commitments, and with them the signed root, are computed here from the
 * fields; nothing is taken from the node but fields, key and signature.
 *
 * Measured: about 3 µs an execution to check the shapes and digests of a batch of 1,024, and one signature for all.
 */
import * as z from 'zod/mini'
import { fromHex, toHex } from './bytes.ts'
import { parseWith } from './codec.ts'
import { DIGEST_BYTES, type Digest, hashFields } from './digest.ts'
import { AssayError, attempt, reject, type Verdict } from './errors.ts'
import { digestAt, hashFieldsMany } from './hash-many.ts'
import { describeValue } from './inspect.ts'
import { hashChunks } from './kernel.ts'
import { type KeyPair, type NodeId, nodeId, type PublicKey, sign, verifySignature } from './keys.ts'
import { LEAF_PREFIX, type MerkleTree, packedTree, proveInclusion, rootOfInclusion } from './merkle.ts'
import {
  assertExecutionFields,
  commitExecution,
  compareExecution,
  EXECUTION_TAG,
  type ExecutionFields,
  executionFieldsJson,
  executionFieldsSchema,
  fieldsFromJson,
  fieldsToJson,
  signerFromJson,
  signerJson,
  signerSchema,
  signerToJson,
  type VerifiedExecution,
} from './poe.ts'

/** Executions under one signature: the segments of the largest lease. */
export const MAX_BATCH_EXECUTIONS = 1024
const TAG = 'assay/poe-batch/v1'
/** Nodes of a path in a tree of 1,024 leaves. */
const MAX_PATH = 10

/** What a node adds to the executions that it returns. */
export interface BatchSignature {
  readonly publicKey: PublicKey
  readonly signature: Uint8Array
  readonly root: Digest
  readonly count: number
}

/** A batch as a coordinator knows it; it derives the fields itself. */
export interface ExecutionBatch {
  readonly fields: readonly ExecutionFields[]
  readonly publicKey: PublicKey
  readonly signature: Uint8Array
}

/** One execution of a batch, as it is shown to a third party. */
export interface BatchedExecution {
  readonly fields: ExecutionFields
  readonly publicKey: PublicKey
  /** Of the whole batch. */
  readonly signature: Uint8Array
  /** Executions in the batch. */
  readonly count: number
  readonly index: number
  /** Siblings from the commitment up to below the root. */
  readonly path: readonly Uint8Array[]
}

export interface VerifyBatchOptions {
  /** Checks signatures; a service passes a native one. It must be as strict as `verifySignature`. */
  readonly verify?: typeof verifySignature
}

/** `commitExecution` of each, in bulk. Throws 'poe/malformed', naming the execution. */
export function commitExecutions(executions: readonly ExecutionFields[]): Digest[] {
  const digests = packedCommitments(executions)
  return executions.map((_, i) => digestAt(digests, i) as Digest)
}

function packedCommitments(executions: readonly ExecutionFields[]): Uint8Array {
  const ids = new Map<NodeId, Uint8Array>()
  const lists = executions.map((fields, i) => {
    const checked = attempt(() => assertExecutionFields(fields))
    if (!checked.ok) throw malformed(`execution ${i}: ${checked.message}`)
    const { requestId, taskDigest, inputDigest, resultDigest, nodeId: name, nonce } = fields
    const id = ids.get(name) ?? fromHex(name)
    ids.set(name, id)
    return [requestId, taskDigest, inputDigest, resultDigest, id, nonce]
  })
  return hashFieldsMany(EXECUTION_TAG, lists)
}

/** Signs all of them at once; 'poe/mismatch' when one names another node than the key's. */
export async function signExecutionBatch(
  fields: readonly ExecutionFields[],
  key: KeyPair,
): Promise<BatchSignature> {
  assertCount(fields.length)
  const { tree } = openBatch({ fields, publicKey: key.publicKey })
  const signature = await sign(key, batchDigest(fields.length, tree.root))
  return { publicKey: key.publicKey, signature, root: tree.root, count: fields.length }
}

export interface VerifiedBatch {
  /** In the order of the fields: what challenge seeds are mixed with. */
  readonly commitments: readonly Digest[]
  readonly nodeId: NodeId
}

/**
 * Checks shapes, that every execution names the node of the key, and the signature over all. Rejects with
 * 'poe/malformed', 'poe/mismatch', 'key/malformed' or 'signature/invalid'; never throws.
 */
export async function verifyExecutionBatch(
  batch: ExecutionBatch,
  { verify = verifySignature }: VerifyBatchOptions = {},
): Promise<Verdict<VerifiedBatch>> {
  const opened = attempt(() => openBatch(checkBatch(batch)))
  if (!opened.ok) return opened
  const { tree, owner } = opened.value
  const verified = await verify(batch.publicKey, batchDigest(tree.size, tree.root), batch.signature)
  if (!verified.ok) return verified
  const commitments = batch.fields.map((_, i) => digestAt(opened.value.commitments, i) as Digest)
  return { ok: true, value: { commitments, nodeId: owner } }
}

/**
 * Checks the signature over commitments alone, 32 bytes each in a row: for a service that compares each with the fields
 * that it expects by itself, and has no fields to compare the others with. Rejects as `verifyExecutionBatch` does.
 */
export async function verifyBatchCommitments(
  batch: { readonly commitments: Uint8Array; readonly publicKey: PublicKey; readonly signature: Uint8Array },
  { verify = verifySignature }: VerifyBatchOptions = {},
): Promise<Verdict<true>> {
  const { commitments, publicKey, signature } = batch
  const digest = attempt(() => {
    const count = commitments.length / DIGEST_BYTES
    assertCount(count)
    return batchDigest(count, batchTree(commitments).root)
  })
  return digest.ok ? verify(publicKey, digest.value, signature) : digest
}

/** The execution at `index`, as a third party checks it. Throws 'merkle/out-of-range'. */
export function executionFromBatch(batch: ExecutionBatch, index: number): BatchedExecution {
  return executionsFromBatch(batch, [index])[0] as BatchedExecution
}

/** The same for many: the tree is built once. */
export function executionsFromBatch(
  { fields, publicKey, signature }: ExecutionBatch,
  indices: readonly number[],
): BatchedExecution[] {
  const { tree } = openBatch({ fields, publicKey })
  return indices.map((index) => {
    const path = proveInclusion(tree, index)
    return { fields: fields[index]!, publicKey, signature, count: fields.length, index, path }
  })
}

/**
 * Checks one execution out of a batch: shape, that it names the node of the key, the path, the signature, and every
 * field that `expected` names. Rejects with 'poe/malformed', 'poe/mismatch', 'key/malformed', 'merkle/…' or
 * 'signature/invalid'; never throws.
 */
export async function verifyBatchedExecution(
  batched: BatchedExecution,
  options: VerifyBatchOptions & { readonly expected?: Partial<ExecutionFields> } = {},
): Promise<Verdict<VerifiedExecution>> {
  const { expected = {}, verify = verifySignature } = options
  const opened = attempt(() => {
    const checked = checkBatched(batched)
    return { ...checked, commitment: commitExecution(checked.fields), owner: nodeId(checked.publicKey) }
  })
  if (!opened.ok) return opened
  const { fields, publicKey, signature, count, index, path, commitment, owner } = opened.value
  if (owner !== fields.nodeId) return foreign(fields.nodeId, owner)
  const different = compareExecution(fields, expected)
  if (different !== undefined) return different
  const root = rootOfInclusion({ size: count, index, leaf: commitment, proof: path })
  if (!root.ok) return root
  const verified = await verify(publicKey, batchDigest(count, root.value), signature)
  return verified.ok ? { ok: true, value: { commitment, nodeId: owner } } : verified
}

/**
 * `verify`, with its last verdicts remembered: executions of one batch share key, message and signature. For the
 * check of one list of executions; it holds on to all that it saw.
 */
export function rememberSignatures(verify: typeof verifySignature = verifySignature): typeof verifySignature {
  const seen = new Map<string, ReturnType<typeof verifySignature>>()
  return (publicKey, message, signature) => {
    const parts = [publicKey.type, toHex(publicKey.bytes), toHex(message), toHex(signature)]
    const name = parts.join()
    const verdict = seen.get(name) ?? verify(publicKey, message, signature)
    seen.set(name, verdict)
    return verdict
  }
}

function batchDigest(count: number, root: Uint8Array): Digest {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, count)
  return hashFields(TAG, [bytes, root])
}

/**
 * The paths of executions in a batch of which only the commitments are kept, 32 bytes each in a row. Throws
 * 'merkle/out-of-range'.
 */
export function batchPaths(commitments: Uint8Array, indices: readonly number[]): Digest[][] {
  const tree = batchTree(commitments)
  return indices.map((index) => proveInclusion(tree, index))
}

function batchTree(commitments: Uint8Array): MerkleTree {
  return packedTree(hashChunks(LEAF_PREFIX, commitments, DIGEST_BYTES))
}

interface OpenedBatch {
  readonly tree: MerkleTree
  readonly owner: NodeId
  /** Digests in a row. */
  readonly commitments: Uint8Array
}

function openBatch({ fields, publicKey }: Omit<ExecutionBatch, 'signature'>): OpenedBatch {
  const commitments = packedCommitments(fields)
  const owner = nodeId(publicKey)
  const stray = fields.find((execution) => execution.nodeId !== owner)
  if (stray !== undefined) {
    const { code, message, detail } = foreign(stray.nodeId, owner)
    throw new AssayError(code, message, { detail })
  }
  return { tree: batchTree(commitments), owner, commitments }
}

function foreign(named: NodeId, owner: NodeId) {
  return reject('poe/mismatch', 'the public key is not that of the node named', {
    expected: named,
    got: owner,
  })
}

function assertCount(count: unknown): void {
  if (Number.isSafeInteger(count) && (count as number) >= 1 && (count as number) <= MAX_BATCH_EXECUTIONS)
    return
  throw malformed(`expected 1 to ${MAX_BATCH_EXECUTIONS} executions in a batch, got ${describeValue(count)}`)
}

/** The number first, so that a long list costs nothing. */
function checkBatch(value: unknown): ExecutionBatch {
  const { fields } = (value ?? {}) as { readonly fields?: unknown }
  assertCount(Array.isArray(fields) ? fields.length : undefined)
  return checkShape(batchSchema, value, 'execution batch')
}

function checkBatched(value: unknown): BatchedExecution {
  const batched = checkShape(batchedSchema, value, 'batched execution')
  assertCount(batched.count)
  assertExecutionFields(batched.fields)
  return batched
}

function checkShape<T>(schema: z.ZodMiniType<T>, value: unknown, what: string): T {
  const parsed = attempt(() => parseWith(schema, value, what))
  if (!parsed.ok) throw new AssayError('poe/malformed', parsed.message, { detail: parsed.detail })
  return parsed.value
}

const node = z.custom<Uint8Array>(
  (value) => value instanceof Uint8Array && value.length === DIGEST_BYTES,
  '32 bytes',
)

const batchSchema = z.strictObject({ fields: z.array(executionFieldsSchema), ...signerSchema.shape })

const batchedSchema = z.strictObject({
  fields: executionFieldsSchema,
  ...signerSchema.shape,
  count: z.int(),
  index: z.int(),
  path: z.array(node).check(z.maxLength(MAX_PATH)),
})

export const batchedExecutionJson = z.strictObject({
  poe: z.literal('batch-v1'),
  fields: executionFieldsJson,
  ...signerJson.shape,
  count: z.int(),
  index: z.int(),
  path: z.array(z.string().check(z.maxLength(2 * DIGEST_BYTES))).check(z.maxLength(MAX_PATH)),
})

export type BatchedExecutionJson = z.infer<typeof batchedExecutionJson>

/** Bytes as lower-case hexadecimal, the signature as padded base64. */
export function batchedExecutionToJson(batched: BatchedExecution): BatchedExecutionJson {
  const { fields, count, index, path } = batched
  return {
    poe: 'batch-v1',
    fields: fieldsToJson(fields),
    ...signerToJson(batched),
    count,
    index,
    path: path.map(toHex),
  }
}

/** Strict inverse of `batchedExecutionToJson`, from any value: throws 'poe/malformed'. */
export function batchedExecutionFromJson(value: unknown): BatchedExecution {
  const read = attempt(() => {
    const json = parseWith(batchedExecutionJson, value, 'batched execution')
    const { count, index, path } = json
    return {
      fields: fieldsFromJson(json.fields),
      ...signerFromJson(json),
      count,
      index,
      path: path.map(fromHex),
    }
  })
  if (!read.ok) throw new AssayError('poe/malformed', read.message, { detail: read.detail })
  return checkBatched(read.value)
}

function malformed(message: string): AssayError {
  return new AssayError('poe/malformed', message)
}
