/**
 * Checks by the verifier service: results that were drawn for it are leased like work, and come back with a verdict.
 *
 * The verifier is trusted by the network for its verdicts, and for the seeds that it is told before a job ends; it is
 * held to what it signs. A verdict names the fence of its lease, so that one which comes late, or twice, changes
 * nothing.
 */
import { equalBytes, fromHex, toBase64, toHex } from 'assay/core/bytes'
import type { Digest } from 'assay/core/digest'
import { attempt, reject, type Verdict } from 'assay/core/errors'
import type { NodeId, PublicKey } from 'assay/core/keys'
import { commitExecution, executionFromJson, executionToJson } from 'assay/core/poe'
import { MAX_PAYLOAD_BYTES, PAYLOAD_TYPE, parseEnvelope, preAuthEncoding } from 'assay/receipt/envelope'
import { parseShallowJson } from 'assay/receipt/shallow-json'
import { parseStatement } from 'assay/receipt/statement'
import type { samplingAnswer } from 'assay/wire/dispatch'
import { segmentInputDigests, segmentRequestIds } from 'assay/wire/segment-digests'
import type { VerdictsRequest, VerificationLease } from 'assay/wire/verification'
import type * as z from 'zod/mini'
import { statement, type Tx } from '../../store/database.ts'
import { storable } from '../events.ts'
import type { NodeInfo } from '../registry/nodes.ts'
import { CHECK_PAUSE, checkLeaseSeconds, LEAST_LEASE_SECONDS, MAX_CHECK_ATTEMPTS } from './check-attempts.ts'
import { lockJobs } from './effects.ts'
import { type JobFacts, jobFacts, leaseNonces, seedSource, segmentInput } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { noteUndecided } from './record-results.ts'
import type { SegmentRef } from './validated.ts'

const LEASE = statement(
  'verification_lease',
  `WITH picked AS (
     SELECT dispatch_id FROM verification
     WHERE state = 'queued' AND due_at <= $3 AND attempts < ${MAX_CHECK_ATTEMPTS}
     ORDER BY due_at, dispatch_id LIMIT $1 FOR UPDATE SKIP LOCKED
   )
   UPDATE verification SET
     state = CASE WHEN dispatch.state = 'committed' AND job.state = 'running' THEN 'leased' ELSE 'cancelled' END,
     fence = verification.fence + 1, attempts = verification.attempts + 1, verifier_id = $2,
     lease_expires_at = $3::timestamptz + ${LEAST_LEASE_SECONDS} * interval '1 second'
   FROM picked JOIN dispatch ON dispatch.id = picked.dispatch_id JOIN job ON job.id = dispatch.job_id
   WHERE verification.dispatch_id = picked.dispatch_id
   RETURNING dispatch.id, dispatch.job_id, segment, dispatch.fence, verification.fence AS check_fence,
     verification.state = 'leased' AS is_leased, dispatch.node_id, result_digest, output_inline, output_cid, sampling,
     committed_at, (SELECT public_key FROM node WHERE node.id = dispatch.node_id) AS public_key`,
)

const EXTEND = statement(
  'verification_extend',
  `UPDATE verification SET lease_expires_at = $3::timestamptz + given.seconds * interval '1 second'
   FROM unnest($1::uuid[], $2::integer[], $4::integer[]) AS given (id, fence, seconds)
   WHERE dispatch_id = given.id AND verification.fence = given.fence AND state = 'leased'`,
)

interface LeaseRow {
  readonly id: string
  readonly job_id: string
  readonly segment: number
  readonly fence: number
  readonly check_fence: number
  readonly is_leased: boolean
  readonly node_id: Uint8Array
  readonly result_digest: Uint8Array
  readonly output_inline: Uint8Array | null
  readonly output_cid: string | null
  readonly sampling: z.infer<typeof samplingAnswer>
  readonly committed_at: Date
  readonly public_key: { readonly type: PublicKey['type']; readonly bytes: string }
}

/** Up to `max` results for the verifier to check. */
export async function leaseVerifications(
  { db, cache }: Pick<LifeParts, 'db' | 'cache'>,
  verifier: Pick<NodeInfo, 'nodeId'>,
  { max, now }: { readonly max: number; readonly now: Date },
): Promise<VerificationLease[]> {
  const { rows } = await db.query<LeaseRow>(LEASE, [max, Buffer.from(verifier.nodeId, 'hex'), now])
  const leased = rows.filter((row) => row.is_leased)
  const jobs = await jobFacts(
    db,
    cache,
    leased.map((row) => row.job_id),
  )
  const refs = leased.map((row) => ({
    job: jobs.get(row.job_id) as JobFacts,
    dispatchId: row.id,
    fence: row.fence,
  }))
  const seconds = leased.map((row, i) => checkLeaseSeconds(refs[i]?.job as JobFacts, row.segment))
  if (seconds.some((length) => length > LEAST_LEASE_SECONDS)) {
    const fences = leased.map(({ check_fence }) => check_fence)
    await db.query(EXTEND, [leased.map(({ id }) => id), fences, now, seconds])
  }
  const nonces = leaseNonces(refs)
  const requests = segmentRequestIds(leased.map(({ id }) => id))
  const inputs = segmentInputDigests(
    leased.map((row, i) => segmentInput(refs[i]?.job as JobFacts, row.segment)),
  )
  return leased.map((row, i) => {
    const parts = {
      requestId: requests[i] as Digest,
      nonce: nonces[i] as Digest,
      inputDigest: inputs[i] as Digest,
      leaseSeconds: seconds[i] as number,
    }
    return leaseOf(row, refs[i]?.job as JobFacts, parts)
  })
}

const FREE = statement(
  'verification_free',
  `UPDATE verification SET state = 'queued', verifier_id = NULL, lease_expires_at = NULL,
     due_at = now() + ${CHECK_PAUSE}
   FROM (SELECT dispatch_id FROM verification WHERE state = 'leased' AND verifier_id = $1
     ORDER BY dispatch_id FOR UPDATE SKIP LOCKED) AS held
   WHERE verification.dispatch_id = held.dispatch_id`,
)

/**
 * A verifier that registers knows of no checks: it was started again. What it held before is for any verifier now,
 * instead of when its time is over; what it held each time that it was started has to wait.
 */
export async function freeVerifications({ db }: Pick<LifeParts, 'db'>, verifierId: string): Promise<boolean> {
  return (await db.query(FREE, [Buffer.from(verifierId, 'hex')])).count > 0
}

function leaseOf(
  row: LeaseRow,
  job: JobFacts,
  {
    leaseSeconds,
    ...parts
  }: {
    readonly requestId: Digest
    readonly nonce: Digest
    readonly inputDigest: Digest
    readonly leaseSeconds: number
  },
): VerificationLease {
  const { spec, inputCid, taskDigest } = job
  const policy = spec.validation.sampling
  if (policy === undefined)
    throw new Error(`dispatch ${row.id} has a verification, and its job asks for none`)
  const { proof, signature } = row.sampling
  const fields = {
    ...parts,
    taskDigest,
    resultDigest: row.result_digest as Digest,
    nodeId: toHex(row.node_id) as NodeId,
  }
  const publicKey = { type: row.public_key.type, bytes: fromHex(row.public_key.bytes) }
  const { from, to } = segmentInput(job, row.segment)
  const output =
    row.output_cid === null
      ? { inline: toBase64(row.output_inline ?? new Uint8Array(0)) }
      : { cid: row.output_cid }
  return {
    id: row.id,
    fence: row.check_fence,
    jobId: job.id,
    work: spec.work,
    input: spec.input,
    inputCid,
    from,
    to,
    nonce: toHex(parts.nonce),
    policy,
    execution: executionToJson({ fields, publicKey, signature: Buffer.from(signature, 'base64') }),
    output,
    sampling: { proof, signature },
    receivedAtSeconds: Math.floor(row.committed_at.getTime() / 1000),
    seed: { ...seedSource(job) },
    leaseSeconds,
  }
}

type OneVerdict = VerdictsRequest['verdicts'][number]

const LOCK = statement(
  'verification_lock',
  `SELECT verification.dispatch_id AS id, verification.job_id, dispatch.segment, dispatch.commitment
   FROM unnest($1::uuid[], $2::integer[]) AS given (id, fence)
   JOIN verification ON verification.dispatch_id = given.id AND verification.fence = given.fence
   JOIN dispatch ON dispatch.id = verification.dispatch_id
   WHERE verification.state = 'leased' AND verification.verifier_id = $3
   ORDER BY verification.dispatch_id FOR UPDATE OF verification`,
)
const FIND = statement(
  'verification_find',
  `SELECT verification.dispatch_id AS id, verification.job_id, dispatch.segment, dispatch.commitment
   FROM verification JOIN dispatch ON dispatch.id = verification.dispatch_id
   WHERE verification.dispatch_id = ANY ($1::uuid[]) AND verification.verifier_id = $2
     AND verification.state = 'leased'`,
)
const DECIDE = statement(
  'verification_decide',
  `UPDATE verification SET state = CASE WHEN given.is_verified THEN 'verified' ELSE 'rejected' END,
     lease_expires_at = NULL, samples = given.samples, receipt = given.receipt, code = given.code,
     message = given.message, decided_at = $7
   FROM unnest($1::uuid[], $2::boolean[], $3::integer[], $4::jsonb[], $5::text[], $6::text[])
     AS given (id, is_verified, samples, receipt, code, message)
   WHERE dispatch_id = given.id`,
)
const RETRY = statement(
  'verification_retry',
  `UPDATE verification SET state = 'queued', verifier_id = NULL, lease_expires_at = NULL, message = given.message,
     due_at = $5::timestamptz + ${CHECK_PAUSE}
   FROM unnest($1::uuid[], $2::integer[], $3::text[]) AS given (id, fence, message)
   WHERE dispatch_id = given.id AND verification.fence = given.fence AND state = 'leased' AND verifier_id = $4`,
)

interface VerificationRow {
  readonly id: string
  readonly job_id: string
  readonly segment: number
  readonly commitment: Uint8Array
}

export interface TakenVerdicts {
  /** Ids of verdicts that were not taken: late, or not signed as they should be. */
  readonly stale: readonly string[]
  /** Segments to decide. */
  readonly segments: readonly SegmentRef[]
}

/** Takes verdicts; `decideSegments` draws the consequences. */
export async function takeVerdicts(
  parts: Pick<LifeParts, 'db' | 'verify' | 'onWork'>,
  { verifier, request, now }: { verifier: NodeInfo; request: VerdictsRequest; now: Date },
): Promise<TakenVerdicts> {
  const verifierId = Buffer.from(verifier.nodeId, 'hex')
  const ids = request.verdicts.map(({ id }) => id)
  const { rows } = await parts.db.query<VerificationRow>(FIND, [ids, verifierId])
  const good = await checkedVerdicts(parts, { verifier, verdicts: request.verdicts, rows })
  const segments = await parts.db.tx(async (tx) => {
    await lockJobs(
      tx,
      rows.map(({ job_id }) => job_id),
    )
    const taken = await writeVerdicts(tx, { good, verifierId, now })
    await noteUndecided(tx, taken, now)
    const { retry } = request
    if (retry.length > 0) {
      const messages = retry.map(({ message }) => storable(message))
      await tx.query(RETRY, [
        retry.map(({ id }) => id),
        retry.map(({ fence }) => fence),
        messages,
        verifierId,
        now,
      ])
    }
    return taken
  })
  if (request.retry.length > 0) parts.onWork()
  const taken = new Set(segments.map(({ id }) => id))
  return {
    stale: ids.filter((id) => !taken.has(id)),
    segments: segments.map(({ job_id: jobId, segment }) => ({ jobId, segment })),
  }
}

async function writeVerdicts(
  tx: Tx,
  { good, verifierId, now }: { good: readonly OneVerdict[]; verifierId: Uint8Array; now: Date },
): Promise<readonly VerificationRow[]> {
  if (good.length === 0) return []
  const { rows } = await tx.query<VerificationRow>(LOCK, [
    good.map(({ id }) => id),
    good.map(({ fence }) => fence),
    verifierId,
  ])
  const standing = new Set(rows.map(({ id }) => id))
  const verdicts = good.filter(({ id }) => standing.has(id))
  if (verdicts.length === 0) return []
  await tx.query(DECIDE, [
    verdicts.map(({ id }) => id),
    verdicts.map(({ isVerified }) => isVerified),
    verdicts.map(({ samples }) => samples),
    verdicts.map(({ receipt }) => (receipt === null ? null : JSON.stringify(receipt))),
    verdicts.map(({ code }) => (code === null ? null : storable(code))),
    verdicts.map(({ message }) => (message === null ? null : storable(message))),
    now,
  ])
  return rows
}

/** Those that come with what they need: a receipt by this verifier, of this execution, that says the same. */
async function checkedVerdicts(
  { verify }: Pick<LifeParts, 'verify'>,
  options: { verifier: NodeInfo; verdicts: readonly OneVerdict[]; rows: readonly VerificationRow[] },
): Promise<OneVerdict[]> {
  const { verifier, verdicts, rows } = options
  const byId = new Map(rows.map((row) => [row.id, row]))
  const good: OneVerdict[] = []
  for (const verdict of new Map(verdicts.map((each) => [each.id, each])).values()) {
    const row = byId.get(verdict.id)
    if (row === undefined) continue
    // A response that never opened has no execution to give a receipt for, and is a rejection.
    if (verdict.receipt === null ? !verdict.isVerified : (await checkReceipt(verdict, row)).ok)
      good.push(verdict)
  }
  return good

  async function checkReceipt(
    { receipt, isVerified, samples }: OneVerdict,
    { commitment }: VerificationRow,
  ): Promise<Verdict<true>> {
    const read = attempt(() => {
      const opened = parseEnvelope(receipt)
      const { predicate } = parseStatement(
        parseShallowJson(opened.payload, { what: 'receipt', maxBytes: MAX_PAYLOAD_BYTES }),
      )
      return {
        opened,
        predicate,
        signed: commitExecution(executionFromJson(predicate.solver.execution).fields),
      }
    })
    if (!read.ok) return read
    const { opened, predicate, signed } = read.value
    const isOwn = opened.keyid === verifier.nodeId && predicate.verifier.nodeId === verifier.nodeId
    const { verdict, check } = predicate
    const isSame =
      verdict.isVerified === isVerified && check.samples === samples && equalBytes(signed, commitment)
    if (!isOwn || !isSame) return reject('receipt/signer', 'the receipt is not that of the verdict')
    return verify(verifier.publicKey, preAuthEncoding(PAYLOAD_TYPE, opened.payload), opened.signature)
  }
}
