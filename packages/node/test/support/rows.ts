/** Rows of jobs, runs and nodes as tests need them, without the services that make them. */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { ensureSubmitter } from '../../src/coordinator/accounts.ts'
import { type AuditFund, post, type Settlement, settleJobs } from '../../src/coordinator/ledger.ts'
import { admitJobs, freeSegments, type NewJob, takeBudgets } from '../../src/coordinator/quota.ts'
import { NEW_REPUTATION } from '../../src/coordinator/trust/reputation-state.ts'
import type { Tx } from '../../src/store/database.ts'

/** A node id for a name. */
export function nodeIdOf(name: string): string {
  return createHash('sha256').update(name).digest('hex')
}

export interface JobRow {
  readonly id: string
  readonly submitter: string
  readonly budget: number
  readonly price: number
  readonly segments: number
  readonly state: string
}

export async function addJob(tx: Tx, job: JobRow): Promise<void> {
  await ensureSubmitter(tx, { name: job.submitter })
  await tx.query(
    `INSERT INTO job (id, submitter, state, spec, queue, input_cid, segments, priority, first_position, seed_secret,
       seed_commitment, budget, price_per_segment, deadline_at)
     VALUES ($1, $2, $3, '{}', 'wasm', 'bcid', $4, 5, 0, $5, $5, $6, $7, now() + interval '1 hour')`,
    [job.id, job.submitter, job.state, job.segments, randomBytes(32), job.budget, job.price],
  )
}

export interface RunRow {
  readonly jobId: string
  readonly segment: number
  readonly ordinal: number
  readonly node: string
  readonly forced?: boolean
  readonly audited?: boolean
}

export async function acceptRun(tx: Tx, run: RunRow): Promise<void> {
  await tx.query(
    `INSERT INTO dispatch (id, job_id, segment, ordinal, state, queue, priority, turn, deadline_at, lease_seconds, node_id,
       forced, audited)
     VALUES ($1, $2, $3, $4, 'accepted', 'wasm', 5, 0, now(), 30, $5, $6, $7)`,
    [
      randomUUID(),
      run.jobId,
      run.segment,
      run.ordinal,
      Buffer.from(run.node, 'hex'),
      run.forced ?? false,
      run.audited ?? false,
    ],
  )
}

export interface NodeRow {
  readonly name: string
  readonly operator?: string
  readonly standing?: 'probation' | 'trusted' | 'quarantined' | 'banned'
  readonly engine?: string
  readonly tier?: number
}

/** Its id. */
export async function addNode(tx: Tx, node: NodeRow): Promise<string> {
  const { name, operator = `operator-${name}`, standing = 'probation', engine = 'assay/1', tier = 3 } = node
  const id = nodeIdOf(name)
  await ensureSubmitter(tx, { name: operator })
  const manifest = {
    role: 'solver',
    publicKey: { type: 'ed25519', bytes: id },
    name,
    operator,
    region: 'here',
    engine,
    hardware: { tier, cores: 2, memoryBytes: 1e9, score: 1 },
    runtimes: ['wasm'],
    workKinds: ['wasm'],
    chatModels: [],
    slots: 1,
  }
  await tx.query(
    `INSERT INTO node (id, role, public_key, manifest, operator, state, standing, reputation)
     VALUES ($1, 'solver', $2, $3, $4, 'online', $5, $6)`,
    [
      Buffer.from(id, 'hex'),
      JSON.stringify(manifest.publicKey),
      JSON.stringify(manifest),
      operator,
      standing,
      JSON.stringify({ ...NEW_REPUTATION, standing }),
    ],
  )
  return id
}

/** Admission as intake does it, without the jobs: those that are refused. */
export async function takeNow(tx: Tx, jobs: readonly NewJob[], now: number) {
  const admission = await admitJobs(tx, jobs, { now })
  await takeBudgets(tx, admission)
  return admission.refused
}

/** Settles as the end of a job does it: what the jobs came to. */
export async function settleNow(
  tx: Tx,
  jobIds: readonly string[],
  fund?: AuditFund,
): Promise<Omit<Settlement, 'transfers'>[]> {
  const settled = await settleJobs(tx, jobIds, fund)
  await post(
    tx,
    settled.flatMap(({ transfers }) => transfers),
  )
  await freeSegments(tx, jobIds)
  return settled.map(({ transfers: _, ...figures }) => figures)
}
