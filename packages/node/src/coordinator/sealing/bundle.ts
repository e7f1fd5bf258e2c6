/**
 * The receipt of a job as a submitter gets it: the envelope, what nodes and verifiers signed, and its place in the log.
 * Put together on demand: executions are fields that follow from the job, under the signatures of whole answers.
 */
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { fromHex, toBase64, toHex } from 'assay/core/bytes'
import { DIGEST_BYTES, type Digest } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import type { KeyType, NodeId, PublicKey } from 'assay/core/keys'
import { type ExecutionFields, plainResultDigest } from 'assay/core/poe'
import { batchedExecutionToJson, batchPaths } from 'assay/core/poe-batch'
import { proofObject } from 'assay/method/sampling/proof'
import { MAX_BUNDLE_BYTES, makeReceiptBundle, type ReceiptBundle } from 'assay/receipt/job/bundle'
import { type BundleExecution, MAX_BUNDLE_EXECUTIONS } from 'assay/receipt/job/executions'
import { MAX_LISTED } from 'assay/receipt/job/statement'
import { MAX_BUNDLE_VERDICTS } from 'assay/receipt/job/verdicts'
import type { samplingAnswer } from 'assay/wire/dispatch'
import { segmentInputDigests, segmentRequestIds } from 'assay/wire/segment-digests'
import type * as z from 'zod/mini'
import { type Queryable, statement } from '../../store/database.ts'
import { type FactsCache, type JobFacts, jobFacts, leaseNonces, segmentInput } from '../life/job-facts.ts'
import { maxRowBytes, readOutput, readSmall } from '../life/output.ts'
import type { Content } from '../life/parts.ts'
import { logInclusion } from './log-store.ts'

/** Far above the proof of the largest segment, which was checked when it came. */
const MAX_PROOF_BYTES = 2 ** 26

export interface BundleOptions {
  readonly cache: FactsCache
  /** Outputs and proofs that were uploaded. */
  readonly content: Content
}

/** The bundle of a job's receipt. 'wire/conflict' where it has none, or none yet. */
export async function receiptBundle(
  db: Queryable,
  jobId: string,
  options: BundleOptions,
): Promise<ReceiptBundle> {
  const { rows } = await db.query<ReceiptRow>(
    'SELECT envelope, log_index, evidence FROM receipt WHERE job_id = $1',
    [jobId],
  )
  const [receipt] = rows
  if (receipt === undefined) {
    throw new AssayError(
      'wire/conflict',
      'the job has no receipt: it was not accepted, or is about to be sealed',
    )
  }
  const { path, checkpoint } = await logInclusion(db, receipt.log_index)
  const { executions, verdicts } =
    receipt.evidence === null ? await readEvidence(db, jobId, options) : await unpack(receipt.evidence)
  return makeReceiptBundle({
    envelope: receipt.envelope,
    executions,
    verdicts,
    inclusion: { leafIndex: receipt.log_index, path: path.map(fromHex), checkpoint },
  })
}

interface ReceiptRow {
  readonly envelope: ReceiptBundle['envelope']
  readonly log_index: number
  /** Kept apart once the runs that it was made of are gone. */
  readonly evidence: Uint8Array | null
}

type Evidence = Pick<ReceiptBundle, 'executions' | 'verdicts'>

async function readEvidence(db: Queryable, jobId: string, options: BundleOptions): Promise<Evidence> {
  const facts = (await jobFacts(db, options.cache, [jobId])).get(jobId) as JobFacts
  return {
    executions: await readExecutions(db, facts, options),
    verdicts: await readVerdicts(db, jobId),
  }
}

/** What nodes and verifiers signed of a job, to be kept when its runs are not (retention.ts). */
export async function packedEvidence(
  db: Queryable,
  jobId: string,
  options: BundleOptions,
): Promise<Uint8Array> {
  return promisify(gzip)(JSON.stringify(await readEvidence(db, jobId, options)))
}

/** Of our own making. */
async function unpack(evidence: Uint8Array): Promise<Evidence> {
  const text = await promisify(gunzip)(evidence, { maxOutputLength: MAX_BUNDLE_BYTES })
  return JSON.parse(text.toString('utf8')) as Evidence
}

const VERDICTS = statement(
  'bundle_verdicts',
  `SELECT receipt FROM verification JOIN dispatch ON dispatch.id = verification.dispatch_id
   WHERE verification.job_id = $1 AND verification.state = 'verified' AND dispatch.state = 'accepted'
   ORDER BY segment, ordinal LIMIT $2`,
)

async function readVerdicts(db: Queryable, jobId: string): Promise<ReceiptBundle['verdicts']> {
  const { rows } = await db.query<{ receipt: ReceiptBundle['verdicts'][number] }>(VERDICTS, [
    jobId,
    MAX_BUNDLE_VERDICTS,
  ])
  return rows.map(({ receipt }) => receipt)
}

/** Of the runs that the receipt names (audits.ts): results, and what they were compared with. */
const EXECUTIONS = statement(
  'bundle_executions',
  `SELECT id, segment, fence, node_id, output_digest, result_digest, output_inline, output_cid, sampling, batch_id,
     batch_index
   FROM dispatch
   WHERE job_id = $1 AND batch_id IS NOT NULL AND (is_result OR (compared AND state = 'accepted')
     OR (compared AND state = 'rejected' AND reason LIKE 'redundancy/%'))
   ORDER BY segment, ordinal LIMIT $2`,
)

interface RunRow {
  readonly id: string
  readonly segment: number
  readonly fence: number
  readonly node_id: Uint8Array
  readonly output_digest: Uint8Array
  readonly result_digest: Uint8Array | null
  readonly output_inline: Uint8Array | null
  readonly output_cid: string | null
  readonly sampling: z.infer<typeof samplingAnswer> | null
  readonly batch_id: string
  readonly batch_index: number
}

/** Of a job whose segments the receipt lists. Of a larger one each would need its path, and they would be too many. */
async function readExecutions(
  db: Queryable,
  job: JobFacts,
  options: BundleOptions,
): Promise<BundleExecution[]> {
  if (job.segments > MAX_LISTED) return []
  const { rows } = await db.query<RunRow>(EXECUTIONS, [job.id, MAX_BUNDLE_EXECUTIONS])
  const fields = fieldsOf(job, rows)
  const batches = await readBatches(db, rows)
  const executions: BundleExecution[] = []
  for (const [i, row] of rows.entries()) {
    const { publicKey, signature, count, pathOf } = batches.get(row.batch_id) as Batch
    const execution = batchedExecutionToJson({
      fields: fields[i] as ExecutionFields,
      publicKey,
      signature,
      count,
      index: row.batch_index,
      path: pathOf(row.batch_index),
    })
    executions.push({ segment: row.segment, execution, result: await resultOf(row, job, options) })
  }
  return executions
}

/** What the nodes signed, as the coordinator knows it by itself. */
function fieldsOf(job: JobFacts, rows: readonly RunRow[]): ExecutionFields[] {
  const requests = segmentRequestIds(rows.map(({ id }) => id))
  const inputs = segmentInputDigests(rows.map(({ segment }) => segmentInput(job, segment)))
  const nonces = leaseNonces(rows.map(({ id, fence }) => ({ job, dispatchId: id, fence })))
  return rows.map((row, i) => ({
    requestId: requests[i] as Digest,
    taskDigest: job.taskDigest,
    inputDigest: inputs[i] as Digest,
    resultDigest: (row.result_digest as Digest | null) ?? plainResultDigest(row.output_digest as Digest),
    nodeId: toHex(row.node_id) as NodeId,
    nonce: nonces[i] as Digest,
  }))
}

const BATCHES = statement(
  'bundle_batches',
  `SELECT result_batch.id, signature, commitments, public_key
   FROM result_batch JOIN node ON node.id = result_batch.node_id WHERE result_batch.id = ANY ($1::uuid[])`,
)

interface Batch {
  readonly publicKey: PublicKey
  readonly signature: Uint8Array
  readonly count: number
  pathOf(index: number): readonly Digest[]
}

interface BatchRow {
  readonly id: string
  readonly signature: Uint8Array
  readonly commitments: Uint8Array
  readonly public_key: { readonly type: KeyType; readonly bytes: string }
}

async function readBatches(db: Queryable, runs: readonly RunRow[]): Promise<Map<string, Batch>> {
  const used = new Map<string, number[]>()
  for (const { batch_id: id, batch_index: index } of runs) {
    const own = used.get(id)
    if (own === undefined) used.set(id, [index])
    else own.push(index)
  }
  const { rows } = await db.query<BatchRow>(BATCHES, [[...used.keys()]])
  return new Map(
    rows.map(({ id, signature, commitments, public_key: { type, bytes } }) => {
      const indices = used.get(id) as number[]
      const paths = new Map(batchPaths(commitments, indices).map((path, i) => [indices[i] as number, path]))
      return [
        id,
        {
          publicKey: { type, bytes: fromHex(bytes) },
          signature,
          count: commitments.length / DIGEST_BYTES,
          pathOf: (index) => paths.get(index) as Digest[],
        },
      ]
    }),
  )
}

/** How the result digest comes about. */
async function resultOf(
  row: RunRow,
  job: JobFacts,
  { content }: BundleOptions,
): Promise<BundleExecution['result']> {
  if (row.sampling === null) return { kind: 'plain' }
  const { from, to } = segmentInput(job, row.segment)
  const ref =
    row.output_cid === null
      ? { inline: toBase64(row.output_inline ?? new Uint8Array(0)) }
      : { cid: row.output_cid }
  const output = await readOutput(content, ref, { rows: to - from, maxRowBytes: maxRowBytes(job.spec.work) })
  if (!output.ok) throw AssayError.fromJSON(output)
  const proof = await readSmall(content, row.sampling.proof, MAX_PROOF_BYTES)
  if (!proof.ok) throw AssayError.fromJSON(proof)
  return {
    kind: 'sampling',
    output: toHex(output.value.taskDigest),
    proof: toHex(proofObject.digest(proofObject.decode(proof.value))),
    states: null,
  }
}
