/**
 * What the records of accepted jobs say, as their receipts want it: read in bulk, for many small jobs at once or for one
 * that is large.
 */
import { fromHex, toHex } from 'assay/core/bytes'
import { AssayError, type Json } from 'assay/core/errors'
import type { KeyType } from 'assay/core/keys'
import { MAX_PAYLOAD_BYTES, parseEnvelope } from 'assay/receipt/envelope'
import type {
  JobReceiptParts,
  ReceiptAudit,
  ReceiptCheck,
  ReceiptFault,
  ReceiptParty,
} from 'assay/receipt/job/sign'
import { receiptDigest } from 'assay/receipt/log/entry'
import { parseShallowJson } from 'assay/receipt/shallow-json'
import { parseStatement } from 'assay/receipt/statement'
import type { JobSpec } from 'assay/wire/job'
import { isTolerant } from 'assay/wire/segment'
import { type Queryable, statement } from '../../store/database.ts'
import { type FactsCache, type JobFacts, jobFacts, seedSource } from '../life/job-facts.ts'
import { auditsOf, type ComparedRun } from './audits.ts'
import { type Results, readResults, runsOf } from './results.ts'

/** Faults that a receipt tells are fewer; their number is told in any case. */
const MAX_FAULTS = 10_000

export interface PendingJob {
  readonly id: string
  readonly segments: number
  readonly submitted_at: Date
  readonly ended_at: Date
  readonly spent: number
}

const PENDING = statement(
  'sealing_pending',
  `SELECT id, segments, submitted_at, ended_at, spent FROM (
     SELECT *, sum(segments) OVER (ORDER BY id) AS through FROM (
       SELECT id, segments, submitted_at, ended_at, spent FROM job
       WHERE receipt_state = 'pending' AND segments > $1 AND segments <= $2 ORDER BY id LIMIT $3
     ) AS oldest
   ) AS counted WHERE through <= $4 OR through = segments`,
)

export interface PendingAsk {
  /** Jobs of more segments than this, and at most that. */
  readonly above: number
  readonly atMost: number
  /** Of one look: so many jobs, and of more than one so many segments. */
  readonly jobs: number
  readonly segments: number
}

/** The oldest jobs that wait for a receipt. */
export async function pendingJobs(db: Queryable, ask: PendingAsk): Promise<readonly PendingJob[]> {
  const { above, atMost, jobs, segments } = ask
  return (await db.query<PendingJob>(PENDING, [above, atMost, jobs, segments])).rows
}

export interface ReceiptRead {
  readonly jobs: readonly PendingJob[]
  readonly cache: FactsCache
  readonly issuedAt: Date
}

/** What a receipt is made of, its results apart: a million of them go to another thread. */
export interface ReceiptRecords {
  readonly parts: Omit<JobReceiptParts, 'segments'>
  readonly results: Results
}

/** Of each job, in their order. 'job-receipt/parts' where a record is missing. */
export async function receiptRecords(
  db: Queryable,
  { jobs, cache, issuedAt }: ReceiptRead,
): Promise<ReceiptRecords[]> {
  const ids = jobs.map(({ id }) => id)
  const facts = await jobFacts(db, cache, ids)
  const specOf = (id: string) => (facts.get(id) as JobFacts).spec
  const results = await readResults(db, jobs)
  const compared = await readCompared(db, ids)
  const checks = await readChecks(
    db,
    ids.filter((id) => specOf(id).validation.sampling !== undefined),
  )
  const faults = await readFaults(db, ids)
  const credits = await readCredits(db, ids)
  const parties = await readParties(
    db,
    ids.flatMap((id) => [
      ...(results.get(id)?.nodes ?? []),
      ...(compared.get(id) ?? []).map(({ nodeId }) => nodeId),
      ...(checks.get(id) ?? []).map(({ verifierId }) => verifierId),
      ...(faults.get(id) ?? []).map(({ nodeId }) => nodeId),
    ]),
  )
  return jobs.map((job) => {
    const { id } = job
    const own = results.get(id) as Results
    const parts = partsOf(job, {
      facts: facts.get(id) as JobFacts,
      parties,
      issuedAt,
      results: own,
      compared: compared.get(id) ?? [],
      checks: checks.get(id) ?? [],
      faults: faults.get(id) ?? [],
      credits: credits.get(id) ?? {},
    })
    return { parts, results: own }
  })
}

interface Read {
  readonly facts: JobFacts
  readonly parties: ReadonlyMap<string, ReceiptParty>
  readonly issuedAt: Date
  readonly results: Results
  readonly compared: readonly StoredRun[]
  readonly checks: readonly ReceiptCheck[]
  readonly faults: readonly ReceiptFault[]
  readonly credits: { readonly [nodeId: string]: number }
}

function partsOf(job: PendingJob, read: Read): ReceiptRecords['parts'] {
  const { facts, parties, issuedAt, results, compared, checks, faults, credits } = read
  const { spec, task, inputCid } = facts
  const nodes = new Set([
    ...results.nodes,
    ...compared.map(({ nodeId }) => nodeId),
    ...faults.map(({ nodeId }) => nodeId),
  ])
  const partyOf = (nodeId: string): ReceiptParty => {
    const party = parties.get(nodeId)
    if (party === undefined) throw new AssayError('job-receipt/parts', `node ${nodeId} is not registered`)
    return party
  }
  return {
    job: { id: job.id, name: spec.name, submittedAt: job.submitted_at, acceptedAt: job.ended_at },
    work: { descriptor: { ...spec.work } as { readonly [key: string]: Json }, taskId: task.id },
    input: { cids: [inputCid], rows: spec.rows, segmentRows: spec.segmentRows },
    // The rows of the one segment are those of the job.
    outputSha256: job.segments === 1 ? ([...runsOf(results)][0]?.output ?? null) : null,
    nodes: [...nodes].map(partyOf),
    verifiers: [...new Set(checks.map(({ verifierId }) => verifierId))].map(partyOf),
    asked: askedOf(spec),
    comparison: isTolerant(spec.work) ? 'tolerant' : 'exact',
    seed: seedSource(facts),
    audits: auditsOfJob(compared, facts.seed),
    checks,
    faults,
    credits: { paid: job.spent, byNode: credits },
    issuedAt,
  }
}

function askedOf({ validation: { sampling, redundancy } }: JobSpec): JobReceiptParts['asked'] {
  return {
    sampling: sampling === undefined ? null : { ...sampling },
    redundancy: redundancy === undefined ? null : { ...redundancy },
  }
}

interface StoredRun extends ComparedRun {
  readonly segment: number
}

function auditsOfJob(runs: readonly StoredRun[], seed: Uint8Array): ReceiptAudit[] {
  const bySegment = new Map<number, StoredRun[]>()
  for (const run of runs) {
    const own = bySegment.get(run.segment)
    if (own === undefined) bySegment.set(run.segment, [run])
    else own.push(run)
  }
  return [...bySegment].flatMap(([segment, own]) => auditsOf(segment, own, { seed }))
}

/** Rows by the job that they name, in their order. */
function byJob<Row extends { readonly job_id: string }, Item>(
  rows: readonly Row[],
  item: (row: Row) => Item,
): Map<string, Item[]> {
  const jobs = new Map<string, Item[]>()
  for (const row of rows) {
    const own = jobs.get(row.job_id)
    if (own === undefined) jobs.set(row.job_id, [item(row)])
    else own.push(item(row))
  }
  return jobs
}

const COMPARED = statement(
  'sealing_compared',
  `SELECT job_id, segment, state, node_id, commitment, output_digest, audit_rate, reason FROM dispatch
   WHERE job_id = ANY ($1::uuid[]) AND compared AND commitment IS NOT NULL AND state IN ('accepted', 'rejected')
   ORDER BY job_id, segment, ordinal`,
)

interface ComparedRow {
  readonly job_id: string
  readonly segment: number
  readonly state: string
  readonly node_id: Uint8Array
  readonly commitment: Uint8Array
  readonly output_digest: Uint8Array
  readonly audit_rate: number | null
  /** Begins with a code, where it was rejected. */
  readonly reason: string | null
}

async function readCompared(db: Queryable, ids: readonly string[]): Promise<Map<string, StoredRun[]>> {
  const { rows } = await db.query<ComparedRow>(COMPARED, [ids])
  return byJob(
    rows,
    ({ segment, state, node_id: node, commitment, output_digest: output, audit_rate, reason }) => ({
      segment,
      state,
      nodeId: toHex(node),
      commitment,
      output,
      auditRate: audit_rate,
      code: state === 'rejected' ? (reason?.split(':', 1)[0] ?? null) : null,
    }),
  )
}

const CHECKS = statement(
  'sealing_checks',
  `SELECT verification.job_id, segment, commitment, verifier_id, receipt
   FROM verification JOIN dispatch ON dispatch.id = verification.dispatch_id
   WHERE verification.job_id = ANY ($1::uuid[]) AND verification.state = 'verified' AND dispatch.state = 'accepted'
   ORDER BY verification.job_id, segment, ordinal`,
)

interface CheckRow {
  readonly job_id: string
  readonly segment: number
  readonly commitment: Uint8Array
  readonly verifier_id: Uint8Array
  /** Envelope that the verifier signed. */
  readonly receipt: unknown
}

async function readChecks(db: Queryable, ids: readonly string[]): Promise<Map<string, ReceiptCheck[]>> {
  if (ids.length === 0) return new Map()
  const { rows } = await db.query<CheckRow>(CHECKS, [ids])
  return byJob(rows, ({ segment, commitment, verifier_id: verifier, receipt }) => {
    const { payload } = parseEnvelope(receipt)
    const what = { what: 'receipt of a verifier', maxBytes: MAX_PAYLOAD_BYTES }
    const { check } = parseStatement(parseShallowJson(payload, what)).predicate
    const { samples, confidence } = check
    return {
      segment,
      commitment,
      verifierId: toHex(verifier),
      samples,
      confidence,
      receipt: receiptDigest(receipt),
    }
  })
}

const FAULTS = statement(
  'sealing_faults',
  `SELECT job_id, node_id, segment, data->>'code' AS code, data->>'reason' AS reason FROM event
   WHERE job_id = ANY ($1::uuid[]) AND type = 'node.fault' ORDER BY id LIMIT $2`,
)

interface FaultRow {
  readonly job_id: string
  readonly node_id: Uint8Array
  readonly segment: number | null
  readonly code: string
  readonly reason: string
}

async function readFaults(db: Queryable, ids: readonly string[]): Promise<Map<string, ReceiptFault[]>> {
  const { rows } = await db.query<FaultRow>(FAULTS, [ids, MAX_FAULTS])
  return byJob(rows, ({ segment, node_id: node, code, reason }) => ({
    segment,
    nodeId: toHex(node),
    code: code.slice(0, 128),
    message: reason.slice(0, 2048),
  }))
}

const CREDITS = statement(
  'sealing_credits',
  `SELECT job_id, node_id, sum(amount)::int8 AS amount FROM transfer
   WHERE job_id = ANY ($1::uuid[]) AND from_account = 'escrow' AND node_id IS NOT NULL GROUP BY job_id, node_id`,
)

async function readCredits(
  db: Queryable,
  ids: readonly string[],
): Promise<Map<string, { readonly [nodeId: string]: number }>> {
  const { rows } = await db.query<{ job_id: string; node_id: Uint8Array; amount: number }>(CREDITS, [ids])
  const paid = byJob(rows, ({ node_id: node, amount }) => [toHex(node), amount] as const)
  return new Map([...paid].map(([id, amounts]) => [id, Object.fromEntries(amounts)]))
}

const PARTIES = statement(
  'sealing_parties',
  `SELECT id, public_key, operator, manifest->>'engine' AS engine FROM node WHERE id = ANY ($1::bytea[])`,
)

interface PartyRow {
  readonly id: Uint8Array
  readonly public_key: { readonly type: KeyType; readonly bytes: string }
  readonly operator: string
  readonly engine: string
}

async function readParties(db: Queryable, nodeIds: readonly string[]): Promise<Map<string, ReceiptParty>> {
  const { rows } = await db.query<PartyRow>(PARTIES, [[...new Set(nodeIds)].map(fromHex)])
  return new Map(
    rows.map(({ id, public_key: { type, bytes }, operator, engine }) => [
      toHex(id),
      { publicKey: { type, bytes: fromHex(bytes) }, operator, engine },
    ]),
  )
}
