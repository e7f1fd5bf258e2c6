/**
 * What time does: leases and deadlines that pass, nodes that fall silent, reservations that nobody takes; and whatever
 * a coordinator that died left half done. Any number of replicas sweep at once: each step takes what nobody else is at,
 * in bounded bites, and says whether it may have left some.
 */
import { type Queryable, statement, type Tx } from '../../store/database.ts'
import { markAway } from '../registry/heartbeats.ts'
import { failedOperators } from './blame.ts'
import { CHECK_PAUSE } from './check-attempts.ts'
import { applyEffects, type Effects, lockJobs, noEffects } from './effects.ts'
import { giveBack, RUN_COLUMNS, type RunRow, tellRequeue, ticketOf } from './give-back.ts'
import { type JobFacts, jobFacts } from './job-facts.ts'
import { HELD_UNTIL } from './lease.ts'
import type { LifeParts } from './parts.ts'
import { runtimeOf } from './queue.ts'
import { OPEN_PLACE, placeAudit, placeRetry, type Reserved } from './roster.ts'

/** Rows of one bite: some tens of milliseconds. */
const BITE = 500
/** Segments of one bite of a job that is cleared away. */
const CLEAR_SEGMENTS = 5_000
/** Jobs that are cleared away together: all but the large ones. */
const CLEAR_JOBS = 50
const IDEMPOTENCY_HOURS = 24
const DELETE_BITE = 5_000

const EXPIRED_LEASES = statement(
  'sweep_leases',
  `SELECT job_id FROM dispatch WHERE state = 'leased' AND lease_expires_at <= $1 ORDER BY lease_expires_at LIMIT ${BITE}`,
)
const LOCK_EXPIRED = statement(
  'sweep_leases_lock',
  `SELECT ${RUN_COLUMNS}, lease_expires_at >= ${HELD_UNTIL} AS is_spent FROM dispatch
   WHERE state = 'leased' AND lease_expires_at <= $1 AND job_id = ANY ($2::uuid[])
   ORDER BY lease_expires_at LIMIT ${BITE} FOR UPDATE SKIP LOCKED`,
)

interface ExpiredRun extends RunRow {
  /** It was renewed for as long as it may be. */
  readonly is_spent: boolean
}

/**
 * Leases that were not renewed go back to the queue; their nodes were late, once for all that expired together, and
 * nothing is kept for them until they are heard of. Who renewed a lease as long as it may counts as late when another
 * delivers the run (blame.ts): else it was too much for any node.
 */
export async function expireLeases(parts: LifeParts, now: Date): Promise<boolean> {
  const { rows } = await parts.db.query<{ job_id: string }>(EXPIRED_LEASES, [now])
  if (rows.length === 0) return false
  const jobs = await jobFacts(
    parts.db,
    parts.cache,
    rows.map(({ job_id }) => job_id),
  )
  const expired = await parts.db.tx(async (tx) => {
    const states = await lockJobs(tx, jobs.keys(), { wait: false })
    const running = [...states].flatMap(([id, state]) => (state === 'running' ? [id] : []))
    const { rows: runs } = await tx.query<ExpiredRun>(LOCK_EXPIRED, [now, running])
    const effects = noEffects()
    const reason = 'wire/stale: the lease was not renewed in time'
    const given = runs.map((run) => ({ run, reason, isRecorded: !run.is_spent }))
    await giveBack(tx, parts, { runs: given, jobs, effects, now })
    const silent = runs.filter(({ is_spent }) => !is_spent)
    const late = new Map(silent.map((run) => [hex(run.node_id), run]))
    for (const [nodeId, run] of late) {
      const runtime = runtimeOf((jobs.get(run.job_id) as JobFacts).spec.work)
      effects.observations.push({ nodeId, outcome: 'late', runtime })
    }
    for (const run of runs) tellRequeue(effects, { run, code: 'wire/stale', reason })
    await markAway(tx, [...late.keys()])
    await applyEffects(tx, parts, { effects, now })
    return runs.length
  })
  if (expired > 0) parts.onWork()
  return expired === BITE
}

const DUE_JOBS = statement(
  'sweep_jobs',
  `SELECT id, segments, accepted_segments FROM job WHERE state IN ('submitted', 'running') AND deadline_at <= $1
   ORDER BY deadline_at LIMIT ${BITE} FOR NO KEY UPDATE SKIP LOCKED`,
)
const HELD_BACK = statement(
  'sweep_jobs_held',
  `SELECT given.id FROM unnest($1::uuid[]) AS given (id) WHERE EXISTS (
     SELECT FROM dispatch WHERE job_id = given.id AND state = 'queued' AND reserved_for IS NULL
       AND cardinality(excluded_operators) > 0)`,
)

/** The pace of jobs with more segments is not looked at: that would take as long as the sweep may. */
const MAX_PACED_SEGMENTS = 2_000

// Twice the time that anybody took who delivered.
const HOLDERS = statement(
  'sweep_jobs_holders',
  `WITH pace AS (
     SELECT job_id, max(committed_at - leased_at) AS slowest FROM dispatch
     WHERE job_id = ANY ($1::uuid[]) AND state = 'accepted' GROUP BY job_id
   )
   SELECT DISTINCT ON (node_id) node_id, job_id FROM dispatch JOIN pace USING (job_id)
   WHERE state = 'leased' AND leased_at + greatest(2 * slowest, lease_seconds * interval '1 second') < $2`,
)

/**
 * Who held segments of a job to its end, for much longer than others took, was late. Where nothing was delivered,
 * nothing says that it could be.
 */
async function observeHolders(
  tx: Tx,
  { cache }: Pick<LifeParts, 'cache'>,
  { due, effects, now }: { readonly due: readonly DueJob[]; readonly effects: Effects; readonly now: Date },
): Promise<void> {
  const paced = due.filter((job) => job.accepted_segments > 0 && job.segments <= MAX_PACED_SEGMENTS)
  if (paced.length === 0) return
  const { rows } = await tx.query<{ node_id: Uint8Array; job_id: string }>(HOLDERS, [
    paced.map(({ id }) => id),
    now,
  ])
  const jobs = await jobFacts(
    tx,
    cache,
    rows.map(({ job_id }) => job_id),
  )
  for (const { node_id, job_id } of rows) {
    const runtime = runtimeOf((jobs.get(job_id) as JobFacts).spec.work)
    effects.observations.push({ nodeId: hex(node_id), outcome: 'late', runtime })
  }
}

interface DueJob {
  readonly id: string
  readonly segments: number
  readonly accepted_segments: number
}

/** Jobs whose deadline passed end. */
export async function expireJobs(parts: LifeParts, now: Date): Promise<boolean> {
  return parts.db.tx(async (tx) => {
    const { rows } = await tx.query<DueJob>(DUE_JOBS, [now])
    if (rows.length === 0) return false
    const held = await tx.query<{ id: string }>(HELD_BACK, [rows.map(({ id }) => id)])
    const lacking = new Set(held.rows.map(({ id }) => id))
    const effects = noEffects()
    await observeHolders(tx, parts, { due: rows, effects, now })
    for (const { id, segments, accepted_segments: accepted } of rows) {
      const done = `the deadline passed with ${accepted} of ${segments} segments accepted`
      effects.ends.set(
        id,
        lacking.has(id)
          ? {
              state: 'expired',
              code: 'job/no-operator',
              reason: `${done}; a node of another operator was missing`,
            }
          : { state: 'expired', code: 'job/deadline', reason: done },
      )
    }
    await applyEffects(tx, parts, { effects, now })
    return rows.length === BITE
  })
}

const FREE_CHECKS = statement(
  'sweep_verifications',
  `UPDATE verification SET state = 'queued', verifier_id = NULL, lease_expires_at = NULL,
     due_at = $1::timestamptz + ${CHECK_PAUSE}
   FROM (SELECT dispatch_id FROM verification WHERE state = 'leased' AND (lease_expires_at <= $1
       OR EXISTS (SELECT FROM node WHERE node.id = verifier_id AND node.state = 'offline'))
     ORDER BY lease_expires_at LIMIT ${BITE} FOR UPDATE OF verification SKIP LOCKED) AS expired
   WHERE verification.dispatch_id = expired.dispatch_id`,
)

/** Checks whose verifier did not come back, or is offline, are for any verifier again. */
export async function expireVerifications({ db, onWork }: LifeParts, now: Date): Promise<boolean> {
  const { count } = await db.query(FREE_CHECKS, [now])
  if (count > 0) onWork()
  return count === BITE
}

// From one holder of leases to the next, however many leases each has.
const END_LEASES = statement(
  'sweep_offline',
  `WITH RECURSIVE holder AS (
     (SELECT node_id FROM dispatch WHERE state = 'leased' ORDER BY node_id LIMIT 1)
     UNION ALL
     SELECT (SELECT node_id FROM dispatch WHERE state = 'leased' AND node_id > holder.node_id ORDER BY node_id LIMIT 1)
     FROM holder WHERE holder.node_id IS NOT NULL
   ), held AS (
     SELECT dispatch.id FROM holder JOIN node ON node.id = holder.node_id AND node.state = 'offline'
     JOIN dispatch ON dispatch.node_id = holder.node_id AND dispatch.state = 'leased'
     WHERE dispatch.lease_expires_at > $1 LIMIT ${BITE} FOR UPDATE OF dispatch SKIP LOCKED
   )
   UPDATE dispatch SET lease_expires_at = $1 FROM held WHERE dispatch.id = held.id`,
)

/** Leases of nodes that are offline (registry.ts) end now, however long they are. */
export async function endOfflineLeases({ db }: Pick<LifeParts, 'db'>, now: Date): Promise<boolean> {
  const { count } = await db.query(END_LEASES, [now])
  return count === BITE
}

const UNRESERVE = statement(
  'sweep_unreserve',
  `UPDATE dispatch SET reserved_until = $2 FROM (
     SELECT dispatch.id FROM unnest($1::text[], $3::text[]) AS gone (queue, reserved_for), LATERAL (
       SELECT id FROM dispatch WHERE state = 'queued' AND queue = gone.queue AND reserved_for = gone.reserved_for
         AND reserved_until > $2 LIMIT ${BITE} FOR UPDATE SKIP LOCKED
     ) AS dispatch
   ) AS kept WHERE dispatch.id = kept.id`,
)

/** What is kept for nodes that are gone is to be placed again now; where there is much of it, the rest is in its time. */
export async function endReservations(
  { db }: Pick<LifeParts, 'db'>,
  gone: readonly Reserved[],
  now: Date,
): Promise<void> {
  if (gone.length === 0) return
  const queues = gone.map(({ queue }) => queue)
  await db.query(UNRESERVE, [queues, now, gone.map(({ reservedFor }) => reservedFor)])
}

const RESERVED = statement(
  'sweep_reserved',
  `SELECT ${RUN_COLUMNS} FROM dispatch WHERE state = 'queued' AND reserved_until <= $1
   ORDER BY reserved_until LIMIT ${BITE} FOR UPDATE SKIP LOCKED`,
)
const PLACE = statement(
  'sweep_place',
  `UPDATE dispatch SET reserved_for = given.reserved_for, reserved_until = given.reserved_until
   FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS given (id, reserved_for, reserved_until)
   WHERE dispatch.id = given.id`,
)

/** Runs that were kept for somebody who did not take them, or for nobody, are placed again. */
export async function placeAgain(parts: LifeParts, now: Date): Promise<boolean> {
  const placed = await parts.db.tx(async (tx) => {
    const { rows } = await tx.query<RunRow>(RESERVED, [now])
    if (rows.length === 0) return 0
    const jobs = await jobFacts(
      tx,
      parts.cache,
      rows.map(({ job_id }) => job_id),
    )
    const places = rows.map((run) => {
      const job = jobs.get(run.job_id) as JobFacts
      const { excluded_operators: excluded, avoided_operators: avoided } = run
      const ask = { queue: job.queue, excluded, avoided, ticket: ticketOf(job, run, now) }
      const isSpent = run.attempts >= job.spec.maxAttempts
      const failed = failedOperators(run.failed_by ?? [])
      const others = isSpent ? { ...ask, avoided: failed, isDelayed: true } : ask
      if (run.compared) return placeAudit(parts.roster(), others)
      // A retry that others did not take in time is for anybody, whoever failed at it; but not its last (give-back.ts).
      return isSpent && failed.length > 0 ? placeRetry(parts.roster(), others) : OPEN_PLACE
    })
    await tx.query(PLACE, [
      rows.map(({ id }) => id),
      places.map(({ reservedFor }) => reservedFor),
      places.map(({ forMs }) => (forMs === null ? null : new Date(now.getTime() + forMs))),
    ])
    return rows.length
  })
  if (placed > 0) parts.onWork()
  return placed === BITE
}

const NEXT_TO_CLEAR = statement(
  'sweep_clear_next',
  `SELECT id, segmented FROM job WHERE to_clear ORDER BY id LIMIT ${CLEAR_JOBS} FOR NO KEY UPDATE SKIP LOCKED`,
)
const CLEAR = statement(
  'sweep_clear',
  `UPDATE dispatch SET state = 'cancelled', lease_expires_at = NULL, reserved_until = NULL
   WHERE job_id = ANY ($1::uuid[]) AND segment >= $2 AND segment < $3 AND state IN ('queued', 'leased', 'committed')`,
)
const CLEAR_REST = statement(
  'sweep_clear_rest',
  `WITH checks AS (
     UPDATE verification SET state = 'cancelled', lease_expires_at = NULL
     WHERE job_id = ANY ($1::uuid[]) AND state IN ('queued', 'leased')
   ), notes AS (
     DELETE FROM undecided WHERE job_id = ANY ($1::uuid[])
   )
   UPDATE job SET to_clear = false WHERE id = ANY ($1::uuid[])`,
)

interface ToClear {
  readonly id: string
  readonly segmented: number
}

/**
 * Takes away what is left of jobs that have ended: small ones together, and with them one large one, in bites of its
 * segments behind that transaction.
 */
export async function clearJobs({ db }: Pick<LifeParts, 'db'>): Promise<boolean> {
  const { cleared, large } = await db.tx(async (tx) => {
    const { rows } = await tx.query<ToClear>(NEXT_TO_CLEAR)
    const isSmall = ({ segmented }: ToClear) => segmented <= CLEAR_SEGMENTS / CLEAR_JOBS
    const ids = rows.filter(isSmall).map(({ id }) => id)
    const large = rows.find((job) => !isSmall(job))
    if (ids.length > 0) {
      await tx.query(CLEAR, [ids, 0, CLEAR_SEGMENTS])
      await tx.query(CLEAR_REST, [ids])
    }
    return { cleared: rows.length, large }
  })
  if (large !== undefined) {
    // From the start where somebody stopped before: the rows that are cleared already cost little.
    for (let from = 0; from < large.segmented; from += CLEAR_SEGMENTS) {
      await db.query(CLEAR, [[large.id], from, from + CLEAR_SEGMENTS])
    }
    const { id } = large
    await db.tx(async (tx) => {
      await lockJobs(tx, [id])
      await tx.query(CLEAR_REST, [[id]])
    })
  }
  return cleared > 0
}

const OLD_NOTES = statement(
  'sweep_undecided',
  `SELECT job_id, segment FROM undecided WHERE since <= $1 ORDER BY since LIMIT ${BITE}`,
)

/** Segments whose note was left longer ago than whoever left it needs to decide them. */
export async function oldNotes(db: Queryable, before: Date): Promise<{ jobId: string; segment: number }[]> {
  const { rows } = await db.query<{ job_id: string; segment: number }>(OLD_NOTES, [before])
  return rows.map(({ job_id: jobId, segment }) => ({ jobId, segment }))
}

const DELETE_NONCES = statement(
  'sweep_nonces',
  `DELETE FROM request_nonce USING (
     SELECT node_id, nonce FROM request_nonce WHERE expires_at <= $1 LIMIT ${DELETE_BITE} FOR UPDATE SKIP LOCKED
   ) AS old WHERE request_nonce.node_id = old.node_id AND request_nonce.nonce = old.nonce`,
)
const DELETE_KEYS = statement(
  'sweep_idempotency',
  `DELETE FROM idempotency USING (
     SELECT submitter, key FROM idempotency WHERE created_at <= $1 LIMIT ${DELETE_BITE} FOR UPDATE SKIP LOCKED
   ) AS old WHERE idempotency.submitter = old.submitter AND idempotency.key = old.key`,
)

/** Nonces whose timestamps are no longer good, and idempotency keys that were promised for a day. */
export async function forgetOld({ db }: Pick<LifeParts, 'db'>, now: Date): Promise<boolean> {
  const nonces = await db.query(DELETE_NONCES, [now])
  const keys = await db.query(DELETE_KEYS, [new Date(now.getTime() - IDEMPOTENCY_HOURS * 3_600_000)])
  return nonces.count === DELETE_BITE || keys.count === DELETE_BITE
}

function hex(bytes: Uint8Array | null): string {
  return Buffer.from(bytes ?? []).toString('hex')
}
