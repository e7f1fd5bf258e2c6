/**
 * A segment as a task: some rows of a job's input, each row one state.
 *
 * The task is defined over addresses: its input is {content address, first row, end}, so that a coordinator can
 * compute task id, input digest and the whole Proof-of-Execution without a model or the rows in its hands. What
 * computes a row is passed in, and differs between kinds of work; a row is bytes.
 */
import * as z from 'zod/mini'
import { fromHex } from '../core/bytes.ts'
import { defineObject } from '../core/codec.ts'
import { type Digest, hashFields, sha256 } from '../core/digest.ts'
import { AssayError, type Json } from '../core/errors.ts'
import type { NodeId } from '../core/keys.ts'
import { type ExecutionFields, type Job, plainResultDigest } from '../core/poe.ts'
import { inputDigest } from '../method/sampling/commitment.ts'
import { exactKind } from '../state/exact.ts'
import type { StateKind, ValueCodec } from '../state/kind.ts'
import { parsePlan } from '../state/plan-parse.ts'
import { planState } from '../state/plan-state.ts'
import { tolerantTensorsState } from '../state/tolerant-tensors.ts'
import { defineTask } from '../task/define.ts'
import { encodeRows } from '../task/rows.ts'
import type { Awaitable, Task } from '../task/task.ts'
import { cid, count } from './text.ts'
import { contentOf, type WorkSpec } from './work.ts'

/** One row of a result, encoded: a record of wasm, canonical tensors of onnx, UTF-8 text of chat. */
export type Row = Uint8Array

/** Rows `from` to before `to` of the input at `input`. */
export interface SegmentInput {
  readonly input: string
  readonly from: number
  readonly to: number
}

export type SegmentTask = Task<SegmentInput, Row, readonly Row[]>

/** Longest row; what is longer belongs behind an address. */
export const MAX_ROW_BYTES = 2 ** 24
/** Calls of one plan that a chat answer may hold. */
const MAX_PLAN_CALLS = 64

const segmentObject = defineObject<SegmentInput>({
  type: 'assay/segment',
  version: 1,
  schema: z.strictObject({ input: cid, from: count, to: count }),
  maxBytes: 512,
})

const segmentCodec: ValueCodec<SegmentInput> = {
  assert(value): asserts value is SegmentInput {
    segmentObject.encode(value as SegmentInput)
  },
  encode: segmentObject.encode,
  decode: segmentObject.decode,
}

/** Says that whoever holds the task only checks commitments, and computes no row. */
export function withoutRows(): never {
  throw new AssayError('task/definition', 'this side checks commitments; it has nothing to compute rows with')
}

/**
 * The task of one segment of a job. `row(input, index)` computes the row at `index`, counted from the job's first;
 * it is `withoutRows` where only commitments are checked.
 */
export function segmentTask(
  work: WorkSpec,
  row: (input: SegmentInput, index: number) => Awaitable<Row>,
  { guessProbability = 0 }: { readonly guessProbability?: number } = {},
): SegmentTask {
  const definition = {
    name: 'segment',
    version: '1',
    shape: 'parallel',
    parameters: { work: described(work) },
    content: contentOf(work),
    input: segmentCodec,
    state: rowState(work, guessProbability),
    count: ({ from, to }: SegmentInput) => to - from,
    compute: (input: SegmentInput, index: number) => row(input, input.from + index),
  } as const
  return defineTask<SegmentInput, Row>(definition)
}

/** The descriptor without fields that are there and undefined: what was parsed from JSON has none. */
function described(work: WorkSpec): Json {
  return Object.fromEntries(Object.entries(work).filter(([, value]) => value !== undefined)) as Json
}

/** Whether rows of other bytes may be equal. */
export function isTolerant(work: WorkSpec): boolean {
  if (work.kind === 'onnx') return work.tolerance !== undefined
  return work.kind === 'chat' && work.compare === 'plan'
}

/** How rows are compared: by their bytes, within a tolerance, or as plans. */
export function rowState(work: WorkSpec, guessProbability = 0): StateKind<Row> {
  if (work.kind === 'onnx' && work.tolerance !== undefined) {
    if (work.elements === undefined) {
      throw new AssayError('task/definition', 'a tolerance needs the number of float elements of a row')
    }
    const { elements, tolerance: epsilon } = work
    const kind = tolerantTensorsState({ elements, epsilon, guessProbability })
    return overBytes(kind, (row) => kind.decode(row))
  }
  if (work.kind === 'chat' && work.compare === 'plan') {
    return overBytes(planState({ maxCalls: MAX_PLAN_CALLS, guessProbability }), (row) =>
      parsePlan(textOf(row)),
    )
  }
  return exactKind<Row>({
    name: 'row',
    parameters: {},
    guessProbability,
    assert: assertRow,
    encode: (row) => row,
    decode: (row) => row,
  })
}

/** A kind over what rows mean, as one over rows. */
function overBytes<Meaning>(kind: StateKind<Meaning>, read: (row: Row) => Meaning): StateKind<Row> {
  return {
    ...kind,
    name: `row-${kind.name}`,
    assert: assertRow,
    encode: (row) => row,
    decode: (row) => row,
    commit: (row) => kind.commit(read(row)),
    accept: (row) => kind.accept(read(row)),
  }
}

function assertRow(value: unknown): asserts value is Row {
  if (value instanceof Uint8Array && value.length <= MAX_ROW_BYTES) return
  throw new AssayError('state/type', `expected a row of at most ${MAX_ROW_BYTES} bytes`)
}

function textOf(row: Row): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(row)
  } catch {
    throw new AssayError('state/type', 'expected a row of UTF-8 text')
  }
}

/** Whether two rows pass for one another under `kind`; by their bytes where it is exact. Throws what `kind` does. */
export function rowsAgree(kind: StateKind<Row>, a: Row, b: Row): boolean {
  const committed = kind.commit(a)
  const accepted = kind.accept(b)
  const key = (encoding: Uint8Array) => String(encoding)
  const hits = committed.filter((encoding, slot) =>
    (accepted[slot] ?? []).some((candidate) => key(candidate) === key(encoding)),
  )
  return hits.length >= kind.quorum
}

/** What a dispatch of a segment is known by, in commitments. Distinct for every dispatch, the same for its retries. */
export function segmentRequestId(dispatchId: string): Digest {
  return hashFields('assay/request-id/v1', [fromHex(dispatchId.replaceAll('-', ''))])
}

/** SHA-256 of the encoded rows: leaf of the job's output root, and what receipts name. */
export function segmentOutput(rows: readonly Row[]): { readonly bytes: Uint8Array; readonly digest: Digest } {
  const bytes = encodeRows(rows)
  return { bytes, digest: sha256(bytes) }
}

/**
 * The fields that a node commits to for a segment without a proof. With one, `respond` of the sampling method makes
 * them (method/sampling/prover.ts) from the same task, job and key.
 */
export function plainExecutionFields(parts: {
  readonly task: Pick<SegmentTask, 'id' | 'input'>
  readonly segment: SegmentInput
  readonly job: Job
  readonly nodeId: NodeId
  /** SHA-256 of the encoded rows. */
  readonly outputDigest: Digest
}): ExecutionFields {
  const { task, segment, job, nodeId, outputDigest } = parts
  return {
    ...job,
    taskDigest: fromHex(task.id) as Digest,
    inputDigest: inputDigest(task, segment),
    resultDigest: plainResultDigest(outputDigest),
    nodeId,
  }
}
