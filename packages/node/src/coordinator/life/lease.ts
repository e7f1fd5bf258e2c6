/**
 * Leases: the heads of the queues that a node may have, marked as its own for a while.
 *
 * One statement (`lease_dispatches` in the migration), which waits for nobody: rows that another lease is taking are
 * passed over. It is committed without waiting for the disk: a lease that a crash of the database forgets is an answer
 * that will be refused as stale, and a fence that is given again is given with another node, or with the same nonce.
 *
 * A lease shows nothing but rows, a fresh nonce and an id that carries the time of the job: first runs, re-runs and
 * known answers look alike.
 *
 * Threat: nodes that take leases and sit on them. Each may hold only so many, a lease ends by itself and cannot be
 * renewed for ever, nor for most of the time that its job has, and the next run goes to somebody else (roster.ts).
 */
import { toHex } from 'assay/core/bytes'
import type { LeaseGroup, SegmentLease } from 'assay/wire/dispatch'
import { MAX_LEASES } from 'assay/wire/dispatch'
import { statement } from '../../store/database.ts'
import { mayWorkNow, type NodeInfo } from '../registry/nodes.ts'
import { type JobFacts, jobFacts, type LeaseRef, leaseNonces, segmentInput } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { queuesOf, reservationsOf } from './queue.ts'

/** Leases that a node may hold for each of its slots: the next are there when one is done. */
const LEASES_PER_SLOT = 4
/** Of nodes on probation: small segments take less time than the way to them. */
const PROBATION_LEASES = 64
/** Of trusted ones: two full answers. */
const TRUSTED_LEASES = 2 * MAX_LEASES
/** A lease is renewed at most for so many times its length: a node that hangs does not keep a segment for ever. */
export const MAX_LEASE_LENGTHS = 240
/** Beyond half of the time that is left to the job it is renewed only up to so much: the rest is for another node. */
const LEAST_LEASE_LENGTHS = 8
const LEAST_HELD_SECONDS = 120
/** When a lease is renewed no more. */
export const HELD_UNTIL = `dispatch.leased_at + least(
  ${MAX_LEASE_LENGTHS} * dispatch.lease_seconds * interval '1 second',
  greatest(${LEAST_LEASE_LENGTHS} * dispatch.lease_seconds * interval '1 second',
    interval '${LEAST_HELD_SECONDS} seconds', (dispatch.deadline_at - dispatch.leased_at) / 2))`
/** Dispatches of jobs that have ended are cleared away by whoever meets them; then it looks again. */
const MAX_LOOKS = 8

const LEASE = statement(
  'lease',
  `SELECT leased_id AS id, leased_job AS job_id, leased_segment AS segment, leased_fence AS fence, is_leased
   FROM lease_dispatches($1::text[], $2::text[], $3, $4, $5, $6, $7)`,
)

interface LeaseRow {
  readonly id: string
  readonly job_id: string
  readonly segment: number
  readonly fence: number
  readonly is_leased: boolean
}

/** Up to `max` segments for the node, by job; none where there is none, or none for it. */
export async function leaseSegments(
  { db, cache }: Pick<LifeParts, 'db' | 'cache'>,
  node: NodeInfo,
  { max, now }: { readonly max: number; readonly now: Date },
): Promise<LeaseGroup[]> {
  if (!mayWorkNow(node, now.getTime())) return []
  const reservations = reservationsOf(node)
  const places = queuesOf(node.manifest).flatMap((queue) =>
    reservations.map((whom) => [queue, whom] as const),
  )
  const rows: LeaseRow[] = []
  for (let look = 0; look < MAX_LOOKS && rows.length < max; look++) {
    const found = await db.query<LeaseRow>(LEASE, [
      places.map(([queue]) => queue),
      places.map(([, whom]) => whom),
      max - rows.length,
      mostLeases(node),
      Buffer.from(node.nodeId, 'hex'),
      node.operator,
      now,
    ])
    rows.push(...found.rows.filter((row) => row.is_leased))
    if (found.rows.every((row) => row.is_leased)) break
  }
  return groupLeases(
    await jobFacts(
      db,
      cache,
      rows.map((row) => row.job_id),
    ),
    rows,
  )
}

function mostLeases({ standing, manifest }: NodeInfo): number {
  return Math.max(
    LEASES_PER_SLOT * manifest.slots,
    standing === 'trusted' ? TRUSTED_LEASES : PROBATION_LEASES,
  )
}

function groupLeases(jobs: ReadonlyMap<string, JobFacts>, rows: readonly LeaseRow[]): LeaseGroup[] {
  const refs: LeaseRef[] = []
  const sorted = rows.toSorted((a, b) => a.segment - b.segment)
  for (const { id: dispatchId, job_id, fence } of sorted) {
    refs.push({ job: jobs.get(job_id) as JobFacts, dispatchId, fence })
  }
  const nonces = leaseNonces(refs)
  const groups = new Map<JobFacts, SegmentLease[]>()
  sorted.forEach(({ id, fence, segment }, i) => {
    const { job } = refs[i] as LeaseRef
    const { from, to } = segmentInput(job, segment)
    const leases = groups.get(job) ?? []
    leases.push({ id, fence, from, to, nonce: toHex(nonces[i] as Uint8Array) })
    groups.set(job, leases)
  })
  return [...groups].map(([job, segments]) => ({ ...groupOf(job), segments }))
}

function groupOf({ id, spec, inputCid, deadlineAt }: JobFacts): Omit<LeaseGroup, 'segments'> {
  const { sampling } = spec.validation
  return {
    jobId: id,
    work: spec.work,
    input: spec.input,
    inputCid,
    falsePositiveRate: sampling?.falsePositiveRate ?? null,
    guessProbability: sampling?.guessProbability ?? 0,
    leaseSeconds: spec.leaseSeconds,
    deadlineAt: deadlineAt.toISOString(),
  }
}

const RENEW = statement(
  'lease_renew',
  `WITH held AS MATERIALIZED (
     SELECT dispatch.id FROM unnest($1::uuid[], $2::integer[]) AS given (id, fence)
     JOIN dispatch ON dispatch.id = given.id AND dispatch.fence = given.fence
     JOIN job ON job.id = dispatch.job_id
     WHERE dispatch.state = 'leased' AND dispatch.node_id IS NOT DISTINCT FROM $3 AND job.state = 'running' AND dispatch.deadline_at > $4
       AND ${HELD_UNTIL} > $4
   ), locked AS (
     SELECT id FROM dispatch WHERE id IN (SELECT id FROM held) AND state = 'leased' FOR UPDATE SKIP LOCKED
   ), renewed AS (
     UPDATE dispatch SET lease_expires_at = $4::timestamptz + lease_seconds * interval '1 second'
     FROM locked WHERE dispatch.id = locked.id
   )
   SELECT id FROM held`,
)

/**
 * Keeps leases for another length; those that are no longer the node's come back. A lease that somebody is just
 * finishing is passed over, and is not lost.
 */
export async function renewLeases(
  { db }: Pick<LifeParts, 'db'>,
  nodeId: string,
  { leases, now }: { readonly leases: readonly { id: string; fence: number }[]; readonly now: Date },
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(RENEW, [
    leases.map(({ id }) => id),
    leases.map(({ fence }) => fence),
    Buffer.from(nodeId, 'hex'),
    now,
  ])
  const held = new Set(rows.map(({ id }) => id))
  return leases.map(({ id }) => id).filter((id) => !held.has(id))
}
