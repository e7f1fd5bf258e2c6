/**
 * Commitments to tensors, large or small, of which parts can be opened.
 *
 *     root = hashFields('assay/tensor/v1', [dtype, shape, byte length, Merkle root of the chunks])
 *
 * The data, as `prepareTensor` lays them out (row-major, little-endian; strings with their lengths), are cut
 * into chunks of 4,096 bytes, the leaves of a tree of RFC 9162 (core/merkle.ts), which separates leaves from
 * nodes. dtype is its name in UTF-8; shape is one u64 a dimension and byte length one u64, most significant
 * byte first. The byte length fixes the number of chunks and the size of the last one, so that no padding is
 * ambiguous. Two tensors have one root exactly when they agree in dtype, shape and every bit.
 *
 * Threat: openings come from whoever profits from a false one. A verdict costs at most the hashing of the
 * chunks that were handed over, and of their siblings.
 */
import { concatBytes, equalBytes, u64be, utf8 } from '../core/bytes.ts'
import { type ChunkHasher, chunkTree } from '../core/chunk-tree.ts'
import { type Digest, hashFields } from '../core/digest.ts'
import { reject, type Verdict } from '../core/errors.ts'
import { describeValue } from '../core/inspect.ts'
import type { MerkleTree } from '../core/merkle.ts'
import { type Opening, proveInclusions, verifyInclusions } from '../core/merkle-multiproof.ts'
import { assertTensor, type Dtype, dtypeBytes, MAX_RANK, prepareTensor, type Tensor } from './tensor.ts'

/** Bytes of one chunk: what a contract can still hash in one transaction, and small beside a tensor. */
export const CHUNK_BYTES = 4096

const TENSOR_TAG = 'assay/tensor/v1'

export interface RootOptions {
  /** Hashes chunks in bulk; the WebAssembly kernel by default. */
  readonly hasher?: ChunkHasher
}

/** What a root binds beside the data. */
export interface TensorHeader {
  readonly dtype: Dtype
  readonly shape: readonly number[]
  /** Bytes of the data, chunks together. */
  readonly byteLength: number
  /** Root over the chunks. */
  readonly merkleRoot: Uint8Array
}

/** A tensor with its tree, ready to be opened; a 64th of the data in memory beside them. */
export interface TensorTree extends TensorHeader {
  readonly root: Digest
  readonly data: Uint8Array
  readonly tree: MerkleTree
}

/** Chunks of a tensor with the proof that they are its own. */
export interface ChunkOpening extends TensorHeader {
  /** In ascending order of their indices; leaf is the bytes of the chunk. */
  readonly chunks: readonly Opening[]
  readonly proof: readonly Uint8Array[]
}

/** @throws AssayError `state/type`, `state/shape`, `state/too-large` for what is no tensor. */
export function tensorTree(tensor: Tensor, options: RootOptions = {}): TensorTree {
  assertTensor(tensor)
  const { data } = prepareTensor(tensor)
  const tree = chunkTree(data, CHUNK_BYTES, options)
  const header = {
    dtype: tensor.dtype,
    shape: [...tensor.shape],
    byteLength: data.length,
    merkleRoot: tree.root,
  }
  return { ...header, root: headerRoot(header), data, tree }
}

/** The commitment to a tensor, 32 bytes. Same errors as `tensorTree`. */
export function tensorRoot(tensor: Tensor, options: RootOptions = {}): Digest {
  return tensorTree(tensor, options).root
}

/**
 * Opens chunks (ascending, each once, at least one): bytes `CHUNK_BYTES * index` onwards of the data.
 *
 * @throws AssayError `merkle/malformed`, `merkle/out-of-range`.
 */
export function openChunks(tensor: TensorTree, indices: readonly number[]): ChunkOpening {
  const { dtype, shape, byteLength, merkleRoot, data, tree } = tensor
  const proof = proveInclusions(tree, indices)
  const chunks = indices.map((index) => ({
    index,
    leaf: data.slice(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
  }))
  return { dtype, shape, byteLength, merkleRoot, chunks, proof }
}

/** Are these chunks those of the tensor under `root`, and what are they? The value is the checked opening. */
export function verifyChunks(root: Uint8Array, opening: ChunkOpening): Verdict<ChunkOpening> {
  const fault = headerFault(opening)
  if (fault !== undefined) return reject('state/malformed', fault)
  if (!(root instanceof Uint8Array) || !equalBytes(headerRoot(opening), root)) {
    return reject(
      'merkle/mismatch',
      'dtype, shape, length and chunks lead to another root than the one committed',
    )
  }
  const { byteLength, merkleRoot, chunks, proof } = opening
  const size = Math.ceil(byteLength / CHUNK_BYTES)
  if (!Array.isArray(chunks))
    return reject('state/malformed', `chunks: expected an array, got ${describeValue(chunks)}`)
  for (const chunk of chunks as readonly unknown[]) {
    const wrong = chunkFault(chunk, byteLength)
    if (wrong !== undefined) return reject('state/malformed', wrong)
  }
  const verdict = verifyInclusions({ root: merkleRoot, size, leaves: chunks, proof })
  return verdict.ok ? { ok: true, value: opening } : verdict
}

/** The root that a header leads to; for whoever holds a whole tree of chunks. */
export function headerRoot({ dtype, shape, byteLength, merkleRoot }: TensorHeader): Digest {
  return hashFields(TENSOR_TAG, [
    utf8(dtype),
    concatBytes(...shape.map(u64be)),
    u64be(byteLength),
    merkleRoot,
  ])
}

/** What is wrong with a header; a shape that the byte length does not bear out is a lie. */
function headerFault(header: unknown): string | undefined {
  if (typeof header !== 'object' || header === null) {
    return `opening: expected an object, got ${describeValue(header)}`
  }
  const { dtype, shape, byteLength, merkleRoot } = header as { [key: string]: unknown }
  const width = dtypeBytes(dtype)
  if (width === undefined) return `dtype: expected the name of a dtype, got ${describeValue(dtype)}`
  if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isSize)) {
    return `shape: expected at most ${MAX_RANK} integers >= 0, got ${describeValue(shape)}`
  }
  if (!isSize(byteLength)) return `byteLength: expected an integer >= 0, got ${describeValue(byteLength)}`
  if (!(merkleRoot instanceof Uint8Array) || merkleRoot.length !== 32) {
    return `merkleRoot: expected 32 bytes, got ${describeValue(merkleRoot)}`
  }
  const count = shape.reduce((product: number, size: number) => product * size, 1)
  const lies = width > 0 ? byteLength !== count * width : byteLength < 4 * count
  return lies ? `shape [${shape.join()}] of ${dtype} does not have ${byteLength} bytes` : undefined
}

function chunkFault(chunk: unknown, byteLength: number): string | undefined {
  if (typeof chunk !== 'object' || chunk === null) {
    return `chunks: expected an index and a leaf, got ${describeValue(chunk)}`
  }
  const { index, leaf } = chunk as { [key: string]: unknown }
  if (!isSize(index)) return `chunks: expected an index >= 0, got ${describeValue(index)}`
  const expected = Math.min(CHUNK_BYTES, byteLength - index * CHUNK_BYTES)
  if (!(leaf instanceof Uint8Array) || leaf.length !== expected) {
    return `chunk ${index}: expected ${expected} bytes, got ${describeValue(leaf)}`
  }
  return undefined
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
