/**
 * The executions beside a job's receipt: what each node signed, tied to what the receipt credits it with.
 *
 * An execution belongs to the receipt when its commitment is that of an accepted segment or of a run of an audit. Then
 * its signature, its node and its task are checked, and that its result digest is one of the output named:
 *
 * - `plain`: the result digest is `plainResultDigest` of the SHA-256 of the output (core/poe.ts).
 * - `sampling`: it is that of output, proof and handed-over states under the salt of the proof
 *   (method/sampling/commitment.ts). The output enters under another tag there, so that only the bytes of the output
 *   tie it to the SHA-256 in the receipt: pass `outputs`.
 *
 * Threat: the coordinator, and whoever hands over the bundle. Signatures are as many as batches; whoever checks
 * pays for at most one an execution.
 */
import * as z from 'zod/mini'
import { equalBytes, fromHex, toHex } from '../../core/bytes.ts'
import type { Digest } from '../../core/digest.ts'
import { attempt, type Rejection, reject, type Verdict } from '../../core/errors.ts'
import { verifySignature } from '../../core/keys.ts'
import { verifyInclusion } from '../../core/merkle.ts'
import { type ExecutionFields, plainResultDigest } from '../../core/poe.ts'
import {
  type BatchedExecution,
  batchedExecutionFromJson,
  batchedExecutionJson,
  commitExecutions,
  rememberSignatures,
  verifyBatchedExecution,
} from '../../core/poe-batch.ts'
import { encodedOutputDigest, resultDigest } from '../../method/sampling/commitment.ts'
import { proofSalt } from '../../method/sampling/items.ts'
import type { TaskId } from '../../task/task.ts'
import { type AuditEntry, type JobPredicate, segmentLeaf } from './statement.ts'

/** Accepted and repeated runs of the largest job whose segments are listed. */
export const MAX_BUNDLE_EXECUTIONS = 30_000
const MAX_PATH = 26

const hex32 = z.string().check(z.regex(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits'))

export const bundleExecution = z.strictObject({
  segment: z.int().check(z.minimum(0)),
  execution: batchedExecutionJson,
  /** How the result digest comes about. */
  result: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('plain') }),
    z.strictObject({
      kind: z.literal('sampling'),
      /** `outputDigest`, `proofDigest` and `statesDigest` of the sampling method. */
      output: hex32,
      proof: hex32,
      states: z.nullable(hex32),
    }),
  ]),
  /** Where the receipt does not list its segments: the output, and the path of the segment to their root. */
  record: z.optional(z.strictObject({ output: hex32, path: z.array(hex32).check(z.maxLength(MAX_PATH)) })),
})
export type BundleExecution = z.infer<typeof bundleExecution>

/** What must have come with a receipt: nothing, everything that it names, or what a bundle has room for of that. */
export type Evidence = boolean | 'where it fits'

export interface CheckExecutionsOptions {
  readonly verify?: typeof verifySignature | undefined
  /** SHA-256 by which executions must name their input, where the caller can compute it (wire/segment.ts). */
  readonly inputDigest?: ((segment: number) => Uint8Array) | undefined
  /** Output of each segment, encoded, which the receipt was found to name already. */
  readonly outputs?: readonly Uint8Array[] | undefined
  /** Refuse where an execution of a run that the receipt names is missing. */
  readonly requireEvidence?: Evidence | undefined
}

/** The first execution that does not hold, or is missing: 'job-receipt/execution'. */
export async function checkExecutions(
  predicate: JobPredicate,
  executions: readonly BundleExecution[],
  options: CheckExecutionsOptions,
): Promise<Rejection | undefined> {
  const runs = runsOf(predicate)
  const verify = rememberSignatures(options.verify ?? verifySignature)
  const shown = new Set<string>()
  const refuse = (segment: number, message: string, cause = 'poe/mismatch') =>
    reject('job-receipt/execution', `the execution of segment ${segment}: ${message}`, { segment, cause })
  for (const item of executions) {
    const checked = await checkExecution(item, { predicate, runs, verify, options })
    if (!checked.ok) return refuse(item.segment, checked.message, checked.code)
    shown.add(checked.value)
  }
  const { requireEvidence = false } = options
  // A bundle has room for the runs of all segments that a receipt can list, whatever else it claims.
  if (requireEvidence === false || (requireEvidence !== true && predicate.segments.list === null))
    return undefined
  // Of unlisted segments only their number is known.
  if (predicate.segments.list === null && shown.size < predicate.segments.count) {
    return refuse(shown.size, 'not all executions came with the receipt')
  }
  for (const [name, { segment }] of runs) {
    if (!shown.has(name)) return refuse(segment, 'it did not come with the receipt')
  }
  return undefined
}

interface Run {
  readonly segment: number
  readonly nodeId: string
  readonly output: string
  readonly isAccepted: boolean
}

/** Runs that the receipt lists, by segment and commitment. */
function runsOf({ segments, nodes, validation }: JobPredicate): ReadonlyMap<string, Run> {
  const runs = new Map<string, Run>()
  const add = (segment: number, { node, commitment, output }: AuditEntry['runs'][number]) => {
    const { nodeId } = nodes[node] as JobPredicate['nodes'][number]
    const isAccepted = segments.list?.[segment]?.commitment === commitment
    runs.set(`${segment}/${commitment}`, { segment, nodeId, output, isAccepted })
  }
  for (const { segment, runs: list } of validation.audits.list ?? [])
    for (const run of list) add(segment, run)
  segments.list?.forEach((run, index) => {
    add(index, run)
  })
  return runs
}

/** The name of the run that an execution proves. */
async function checkExecution(
  item: BundleExecution,
  context: {
    readonly predicate: JobPredicate
    readonly runs: ReadonlyMap<string, Run>
    readonly verify: typeof verifySignature
    readonly options: CheckExecutionsOptions
  },
): Promise<Verdict<string>> {
  const { predicate, runs, verify, options } = context
  const read = attempt(() => {
    const batched = batchedExecutionFromJson(item.execution)
    return { batched, commitment: toHex(commitExecutions([batched.fields])[0] as Digest) }
  })
  if (!read.ok) return read
  const { batched, commitment } = read.value
  const name = `${item.segment}/${commitment}`
  const run = runs.get(name) ?? openRecord(item, { predicate, batched, commitment })
  if (run === undefined) return reject('poe/mismatch', 'the receipt does not name its commitment')
  const expected: Partial<ExecutionFields> = {
    taskDigest: fromHex(predicate.work.taskId) as Digest,
    nodeId: run.nodeId as ExecutionFields['nodeId'],
    ...(options.inputDigest === undefined
      ? {}
      : { inputDigest: options.inputDigest(item.segment) as Digest }),
  }
  const verified = await verifyBatchedExecution(batched, { expected, verify })
  if (!verified.ok) return verified
  const output = run.isAccepted ? options.outputs?.[item.segment] : undefined
  const fault =
    item.result.kind === 'plain'
      ? plainFault(batched.fields, run)
      : samplingFault(item.result, { fields: batched.fields, predicate, output })
  return fault ?? { ok: true, value: name }
}

/** The segment under the root, where the receipt has no list. */
function openRecord(
  { segment, record }: BundleExecution,
  {
    predicate,
    batched,
    commitment,
  }: { predicate: JobPredicate; batched: BatchedExecution; commitment: string },
): Run | undefined {
  const { root, count, list } = predicate.segments
  if (list !== null || record === undefined) return undefined
  const { nodeId } = batched.fields
  const leaf = segmentLeaf({ index: segment, nodeId, commitment, output: record.output })
  const proof = record.path.map(fromHex)
  const opened = verifyInclusion({ root: fromHex(root), size: count, index: segment, leaf, proof })
  return opened.ok ? { segment, nodeId, output: record.output, isAccepted: true } : undefined
}

function plainFault({ resultDigest: signed }: ExecutionFields, run: Run): Rejection | undefined {
  if (equalBytes(plainResultDigest(fromHex(run.output) as Digest), signed)) return undefined
  return reject('poe/mismatch', 'the node signed another output than the receipt names')
}

/** Only an accepted run is compared with the output: a run of an audit may have given another. */
function samplingFault(
  result: Extract<BundleExecution['result'], { readonly kind: 'sampling' }>,
  {
    fields,
    predicate,
    output,
  }: {
    readonly fields: ExecutionFields
    readonly predicate: JobPredicate
    readonly output: Uint8Array | undefined
  },
): Rejection | undefined {
  const { sampling } = predicate.validation.asked
  if (sampling === null) return reject('poe/mismatch', 'no proof was asked for')
  const { requestId, nonce, inputDigest, nodeId } = fields
  const salt = proofSalt({
    requestId,
    nonce,
    inputDigest,
    nodeId,
    taskId: predicate.work.taskId as TaskId,
    falsePositiveRate: sampling.falsePositiveRate,
  })
  const digests = {
    output: fromHex(result.output) as Digest,
    proof: fromHex(result.proof) as Digest,
    states: result.states === null ? null : (fromHex(result.states) as Digest),
  }
  if (!equalBytes(resultDigest(digests, salt), fields.resultDigest)) {
    return reject('poe/mismatch', 'the node signed another output or proof than the bundle names')
  }
  if (output !== undefined && !equalBytes(encodedOutputDigest(output), digests.output)) {
    return reject('poe/mismatch', 'the node signed another output than the one at hand')
  }
  return undefined
}
