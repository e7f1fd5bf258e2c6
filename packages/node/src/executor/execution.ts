/**
 * One segment, executed: its rows, and what the node commits to for them.
 *
 * The commitment binds task, input, output, node, dispatch and nonce (wire/segment.ts). Where a proof is asked for it
 * binds that too, and carries a signature of its own (method/sampling/prover.ts); all other results of one answer
 * are signed together (outbox.ts).
 */
import { createHash } from 'node:crypto'
import { fromBase64, fromHex } from 'assay/core/bytes'
import { type Cid, formatCid } from 'assay/core/cid'
import type { Digest } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import { type KeyPair, type NodeId, nodeId } from 'assay/core/keys'
import { commitExecution, type ExecutionFields, plainResultDigest } from 'assay/core/poe'
import { commitExecutions } from 'assay/core/poe-batch'
import { execute, respond } from 'assay/method/sampling/prover'
import { encodeRows } from 'assay/task/rows'
import type { LeaseGroup, SegmentLease } from 'assay/wire/dispatch'
import {
  type Row,
  type SegmentInput,
  type SegmentTask,
  segmentRequestId,
  segmentTask,
  withoutRows,
} from 'assay/wire/segment'
import { segmentInputDigests, segmentRequestIds } from 'assay/wire/segment-digests'

/** Kinds of work that a node has under way; an entry has some kilobytes. */
const MAX_TASKS = 64

/** What all segments of a group share. */
export interface GroupTask {
  readonly group: Omit<LeaseGroup, 'segments'>
  /** Without rows: for commitments alone. */
  readonly task: SegmentTask
}

/** A result before it is signed and sent. */
export interface Executed {
  readonly id: string
  readonly fence: number
  readonly fields: ExecutionFields
  readonly commitment: Digest
  /** The encoded rows, and their address. */
  readonly output: Uint8Array
  readonly outputCid: Cid
  readonly sampling: ExecutedProof | null
  readonly elapsedMs: number
}

export interface ExecutedProof {
  /** The encoded proof object. */
  readonly proof: Uint8Array
  readonly signature: Uint8Array
}

export function groupTask(group: Omit<LeaseGroup, 'segments'>): GroupTask {
  return { group, task: taskOf(group) }
}

/** In the order of their last use. */
const tasks = new Map<string, SegmentTask>()

/** Making a task takes half a millisecond; jobs of one model or module share theirs. */
function taskOf({ work, guessProbability }: Omit<LeaseGroup, 'segments'>): SegmentTask {
  const name = JSON.stringify([guessProbability, work])
  const task = tasks.get(name) ?? segmentTask(work, withoutRows, { guessProbability })
  tasks.delete(name)
  tasks.set(name, task)
  for (const oldest of tasks.keys()) {
    if (tasks.size <= MAX_TASKS) break
    tasks.delete(oldest)
  }
  return task
}

export interface ComputedRows {
  readonly lease: SegmentLease
  readonly rows: readonly Row[]
  readonly elapsedMs: number
}

/**
 * What the node answers for rows that it computed, segment by segment.
 *
 * @throws AssayError `work/rows` where a segment has another number of rows, `task/cancelled`, what the task refuses.
 */
export async function executeRows(
  groupTask: GroupTask,
  computed: readonly ComputedRows[],
  { key, signal }: { readonly key: KeyPair; readonly signal: AbortSignal },
): Promise<Executed[]> {
  const parts = computed.map((segment) => encodeSegment(groupTask, segment))
  const own = nodeId(key.publicKey)
  if (groupTask.group.falsePositiveRate === null) return commitPlainly(groupTask, parts, own)
  const executed: Executed[] = []
  for (const part of parts) executed.push(await proveSegment(groupTask, part, { key, signal }))
  return executed
}

interface EncodedSegment extends ComputedRows {
  readonly segment: SegmentInput
  readonly output: Uint8Array
  readonly outputDigest: Digest
}

function encodeSegment({ group }: GroupTask, computed: ComputedRows): EncodedSegment {
  const { lease, rows } = computed
  const { from, to } = lease
  if (rows.length !== to - from) {
    throw new AssayError('work/rows', `expected ${to - from} rows of the segment, got ${rows.length}`)
  }
  const output = encodeRows(rows)
  const outputDigest = new Uint8Array(createHash('sha256').update(output).digest()) as Digest
  return { ...computed, segment: { input: group.inputCid, from, to }, output, outputDigest }
}

/** As `plainExecutionFields` of each, in bulk. */
function commitPlainly({ task }: GroupTask, parts: readonly EncodedSegment[], own: NodeId): Executed[] {
  const requestIds = segmentRequestIds(parts.map(({ lease }) => lease.id))
  const inputDigests = segmentInputDigests(parts.map(({ segment }) => segment))
  const taskDigest = fromHex(task.id) as Digest
  const fields = parts.map(
    ({ lease, outputDigest }, i): ExecutionFields => ({
      requestId: requestIds[i] as Digest,
      nonce: fromHex(lease.nonce),
      taskDigest,
      inputDigest: inputDigests[i] as Digest,
      resultDigest: plainResultDigest(outputDigest),
      nodeId: own,
    }),
  )
  const commitments = commitExecutions(fields)
  return parts.map((part, i) => ({
    ...resultOf(part),
    fields: fields[i] as ExecutionFields,
    commitment: commitments[i] as Digest,
    sampling: null,
    elapsedMs: part.elapsedMs,
  }))
}

async function proveSegment(
  { group }: GroupTask,
  part: EncodedSegment,
  { key, signal }: { readonly key: KeyPair; readonly signal: AbortSignal },
): Promise<Executed> {
  const started = performance.now()
  const { lease, rows, segment } = part
  const { work, guessProbability, falsePositiveRate } = group
  const job = { requestId: segmentRequestId(lease.id), nonce: fromHex(lease.nonce) }
  const task = segmentTask(work, ({ from }, index) => rows[index - from] as Row, { guessProbability })
  const request = { solverInput: segment, falsePositiveRate: falsePositiveRate as number }
  const run = await execute(task, request, { job, key, signal })
  const { response, commitment } = await respond(task, { run, output: run.states }, { key })
  const { signature, fields } = commitment
  return {
    ...resultOf(part),
    fields,
    commitment: commitExecution(fields),
    sampling: { proof: fromBase64(response.solverProof.bloomFilter), signature },
    elapsedMs: part.elapsedMs + performance.now() - started,
  }
}

function resultOf({ lease, output, outputDigest }: EncodedSegment) {
  return { id: lease.id, fence: lease.fence, output, outputCid: formatCid(outputDigest, 'raw') }
}
