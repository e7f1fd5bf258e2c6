/**
 * The commitment to all tensors of a run, in topological order: one root from which any tensor can be opened.
 *
 *     leaf i = name length as u64 ‖ name in UTF-8 ‖ tensor root
 *     root   = hashFields('assay/trace/v1', [number of tensors as u64, Merkle root of the leaves])
 *
 * The tree is that of RFC 9162 (core/merkle.ts). Names are bound, so that a tensor cannot be shown in the
 * place of another; which names stand where follows from the model (onnx/graph.ts, `traced`).
 *
 * Threat: as tensor-root.ts.
 */
import { concatBytes, equalBytes, u64be, utf8 } from '../core/bytes.ts'
import { DIGEST_BYTES, type Digest, hashFields } from '../core/digest.ts'
import { AssayError, reject, type Verdict } from '../core/errors.ts'
import { describeValue } from '../core/inspect.ts'
import { leafHashes, type MerkleTree, packedTree } from '../core/merkle.ts'
import { proveInclusions, verifyInclusions } from '../core/merkle-multiproof.ts'
import { isWellFormed } from './binary.ts'

const TRACE_TAG = 'assay/trace/v1'
/** Tensors of one trace: a model of 100,000 nodes, or a long generation, and bounded memory for the tree. */
export const MAX_TRACE_TENSORS = 2 ** 20
/** Length of a name in UTF-8 bytes; generated graphs reach a few hundred. */
const MAX_NAME_BYTES = 4096

/** The root of a tensor, and its name. */
export interface TraceEntry {
  readonly name: string
  readonly root: Uint8Array
}

export interface TraceTree {
  readonly root: Digest
  readonly merkleRoot: Digest
  readonly entries: readonly TraceEntry[]
  readonly tree: MerkleTree
}

/** Tensor roots of a trace, with the proof that they stand where they are said to. */
export interface TraceOpening {
  /** Number of tensors in the trace. */
  readonly size: number
  readonly merkleRoot: Uint8Array
  /** In ascending order of their indices. */
  readonly entries: readonly (TraceEntry & { readonly index: number })[]
  readonly proof: readonly Uint8Array[]
}

/** @throws AssayError `state/malformed` for an entry that is none, `state/too-large` for too many. */
export function traceTree(entries: readonly TraceEntry[]): TraceTree {
  if (entries.length > MAX_TRACE_TENSORS) {
    throw new AssayError(
      'state/too-large',
      `expected at most ${MAX_TRACE_TENSORS} tensors in a trace, got ${entries.length}`,
    )
  }
  const leaves = entries.map((entry, index) => {
    const fault = entryFault(entry)
    if (fault !== undefined) throw new AssayError('state/malformed', `tensor ${index} of the trace: ${fault}`)
    return entryBytes(entry)
  })
  const tree = packedTree(leafHashes(leaves))
  return { root: rootOf(entries.length, tree.root), merkleRoot: tree.root, entries: [...entries], tree }
}

/** The commitment to a trace, 32 bytes. Same errors as `traceTree`. */
export function traceRoot(entries: readonly TraceEntry[]): Digest {
  return traceTree(entries).root
}

/**
 * Opens the tensor roots at these positions (ascending, each once, at least one).
 *
 * @throws AssayError `merkle/malformed`, `merkle/out-of-range`.
 */
export function openTrace(
  { entries, merkleRoot, tree }: TraceTree,
  indices: readonly number[],
): TraceOpening {
  const proof = proveInclusions(tree, indices)
  const opened = indices.map((index) => ({ ...entries[index]!, index }))
  return { size: entries.length, merkleRoot, entries: opened, proof }
}

/** Do these tensor roots stand at these positions of the trace under `root`? The value is the checked opening. */
export function verifyTrace(root: Uint8Array, opening: TraceOpening): Verdict<TraceOpening> {
  if (typeof opening !== 'object' || opening === null) {
    return reject('state/malformed', `opening: expected an object, got ${describeValue(opening)}`)
  }
  const { size, merkleRoot, entries, proof } = opening
  if (!Number.isSafeInteger(size) || size < 0 || size > MAX_TRACE_TENSORS) {
    return reject('state/malformed', `size: expected 0 to ${MAX_TRACE_TENSORS}, got ${describeValue(size)}`)
  }
  if (!isRoot(merkleRoot)) {
    return reject('state/malformed', `merkleRoot: expected 32 bytes, got ${describeValue(merkleRoot)}`)
  }
  if (!(root instanceof Uint8Array) || !equalBytes(rootOf(size, merkleRoot), root)) {
    return reject('merkle/mismatch', 'the opening leads to another trace root than the one committed')
  }
  if (!Array.isArray(entries)) {
    return reject('state/malformed', `entries: expected an array, got ${describeValue(entries)}`)
  }
  for (const entry of entries as readonly unknown[]) {
    const fault = entryFault(entry)
    if (fault !== undefined) return reject('state/malformed', `entries: ${fault}`)
  }
  const leaves = entries.map((entry) => ({ index: entry.index, leaf: entryBytes(entry) }))
  const verdict = verifyInclusions({ root: merkleRoot, size, leaves, proof })
  return verdict.ok ? { ok: true, value: opening } : verdict
}

function rootOf(size: number, merkleRoot: Uint8Array): Digest {
  return hashFields(TRACE_TAG, [u64be(size), merkleRoot])
}

function entryBytes({ name, root }: TraceEntry): Uint8Array {
  const text = utf8(name)
  return concatBytes(u64be(text.length), text, root)
}

function entryFault(entry: unknown): string | undefined {
  if (typeof entry !== 'object' || entry === null)
    return `expected a name and a root, got ${describeValue(entry)}`
  const { name, root } = entry as { [key: string]: unknown }
  if (typeof name !== 'string' || name.length === 0 || name.length > MAX_NAME_BYTES || !isWellFormed(name)) {
    return `expected a name of 1 to ${MAX_NAME_BYTES} bytes of Unicode, got ${describeValue(name)}`
  }
  return isRoot(root) ? undefined : `expected a root of ${DIGEST_BYTES} bytes, got ${describeValue(root)}`
}

function isRoot(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === DIGEST_BYTES
}
