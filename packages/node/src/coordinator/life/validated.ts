/**
 * Validation, acted out: segments that something came in for are looked at, and what follows is written.
 *
 * What came in left a note in the transaction that took it (`undecided`), and the note goes in the transaction that
 * decides. So a coordinator that dies in between loses nothing: another finds the note.
 *
 * Outputs are compared within a tolerance before the transaction begins, since that reads blobs. What a comparison says
 * of two results stays true; one that is missing in the transaction leaves the note for the next look.
 */
import { toHex } from 'assay/core/bytes'
import type { Digest } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import type { NodeId } from 'assay/core/keys'
import type { StateKind } from 'assay/state/kind'
import type { Row } from 'assay/wire/segment'
import { isTolerant } from 'assay/wire/segment'
import type { ValueRef } from 'assay/wire/text'
import { type Queryable, statement, type Tx } from '../../store/database.ts'
import { outputsAgree } from './agreement.ts'
import { blameFailed, type FailedBy, speaksFor } from './blame.ts'
import { applyEffects, count, type Effects, lockJobs, noEffects } from './effects.ts'
import { setAside } from './give-back.ts'
import { type JobFacts, jobFacts } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { runtimeOf } from './queue.ts'
import { insertRuns, type NewRun, newRun } from './runs.ts'
import { type CheckState, type Decision, decideSegment, type Run } from './validate.ts'

export interface SegmentRef {
  readonly jobId: string
  readonly segment: number
}

interface StoredRun extends Run {
  readonly fence: number
  readonly failedBy: readonly FailedBy[] | null
}

interface StoredRow {
  readonly id: string
  readonly job_id: string
  readonly segment: number
  readonly ordinal: number
  readonly state: Run['state']
  readonly node_id: Uint8Array | null
  readonly operator: string | null
  readonly output_digest: Uint8Array | null
  readonly compared: boolean
  readonly forced: boolean
  readonly attempts: number
  readonly fence: number
  readonly failed_by: readonly FailedBy[] | null
  readonly verification: string | null
  readonly code: string | null
  readonly message: string | null
}

const READ = statement(
  'segment_runs',
  `SELECT dispatch.id, dispatch.job_id, dispatch.segment, ordinal, dispatch.state, node_id, operator, output_digest,
     compared, forced, dispatch.attempts, dispatch.fence, failed_by, verification.state AS verification, code, message
   FROM unnest($1::uuid[], $2::integer[]) AS given (job_id, segment)
   JOIN dispatch ON dispatch.job_id = given.job_id AND dispatch.segment = given.segment
   LEFT JOIN verification ON verification.dispatch_id = dispatch.id
   ORDER BY dispatch.job_id, dispatch.segment, ordinal`,
)
const OUTPUTS = statement(
  'segment_outputs',
  `SELECT dispatch.id, output_inline, output_cid FROM dispatch WHERE id = ANY ($1::uuid[])`,
)
const FORGET = statement(
  'undecided_forget',
  `DELETE FROM undecided USING unnest($1::uuid[], $2::integer[]) AS given (job_id, segment)
   WHERE undecided.job_id = given.job_id AND undecided.segment = given.segment`,
)
const ACCEPT = statement(
  'runs_accept',
  `UPDATE dispatch SET state = 'accepted', audited = given.audited, is_result = given.is_result
   FROM unnest($1::uuid[], $2::boolean[], $3::boolean[]) AS given (id, audited, is_result)
   WHERE dispatch.id = given.id`,
)
const REJECT = statement(
  'runs_reject',
  `WITH given AS (SELECT * FROM unnest($1::uuid[], $2::text[]) AS given (id, reason)),
   unchecked AS (
     UPDATE verification SET state = 'cancelled' FROM given
     WHERE dispatch_id = given.id AND state IN ('queued', 'leased')
   )
   UPDATE dispatch SET state = 'rejected', reason = given.reason FROM given WHERE dispatch.id = given.id`,
)

/** Where results of so many operators could not be checked, it is the work that cannot: more runs would change nothing. */
const MAX_UNCHECKED = 2

/** Decides segments in one transaction. Those that cannot be decided yet keep their notes. */
export async function decideSegments(
  parts: LifeParts,
  segments: readonly SegmentRef[],
  now: Date,
): Promise<void> {
  const refs = [...new Map(segments.map((ref) => [keyOf(ref), ref])).values()]
  if (refs.length === 0) return
  const jobs = await jobFacts(
    parts.db,
    parts.cache,
    refs.map(({ jobId }) => jobId),
  )
  const agreed = await compareTolerant(parts, refs, jobs)
  const isWork = await parts.db.tx(async (tx) => {
    const states = await lockJobs(
      tx,
      refs.map(({ jobId }) => jobId),
    )
    const runs = await readRuns(tx, refs)
    const effects = noEffects()
    const decided: SegmentRef[] = []
    const decisions: Decided[] = []
    for (const ref of refs) {
      const job = jobs.get(ref.jobId) as JobFacts
      const decision =
        states.get(ref.jobId) === 'running' ? decide(runs.get(keyOf(ref)) ?? [], job, agreed) : null
      if (decision === 'unknown') continue
      decided.push(ref)
      if (decision !== null) decisions.push({ ...ref, job, runs: runs.get(keyOf(ref)) ?? [], decision })
    }
    const further = await act(tx, parts, { decisions, effects, now })
    await tx.query(FORGET, [decided.map(({ jobId }) => jobId), decided.map(({ segment }) => segment)])
    await applyEffects(tx, parts, { effects, now })
    return further > 0
  })
  if (isWork) parts.onWork()
}

interface Decided extends SegmentRef {
  readonly job: JobFacts
  readonly runs: readonly StoredRun[]
  readonly decision: Decision
}

/** Pairs of runs whose outputs were compared. */
type Agreed = ReadonlyMap<string, boolean>

class UnknownPair extends Error {}

function decide(runs: readonly StoredRun[], { spec }: JobFacts, agreed: Agreed): Decision | 'unknown' {
  const tolerant = (a: Run, b: Run): boolean => {
    if (!isTolerant(spec.work)) return false
    const known = agreed.get(pairOf(a, b))
    if (known === undefined) throw new UnknownPair()
    return known
  }
  try {
    return decideSegment(runs, { tolerant })
  } catch (error) {
    if (error instanceof UnknownPair) return 'unknown'
    throw error
  }
}

/** Writes what was decided; how many further runs it made. */
async function act(
  tx: Tx,
  parts: LifeParts,
  { decisions, effects, now }: { decisions: readonly Decided[]; effects: Effects; now: Date },
): Promise<number> {
  const accepted: [string, boolean, boolean][] = []
  const rejected: [string, string][] = []
  const further: NewRun[] = []
  for (const decided of decisions) {
    const { decision, job, segment } = decided
    const { isAudited, reason } = decision
    for (const [i, id] of decision.accepted.entries()) accepted.push([id, isAudited, i === 0])
    for (const { id, code, reason } of decision.rejected)
      rejected.push([id, `${code}: ${reason}`.slice(0, 2048)])
    tell(decided, effects)
    if (decision.further === null) continue
    const { attempts } = decision.further
    const isUncheckable = uncheckedBy(decided.runs) >= MAX_UNCHECKED
    if (isUncheckable || attempts >= job.spec.maxAttempts) {
      const last = decision.rejected.at(-1)?.reason ?? reason ?? 'no result held'
      const code = isUncheckable ? 'job/unchecked' : 'job/poisoned'
      setAside(effects, { job_id: job.id, segment, attempts }, { code, reason: last })
      continue
    }
    further.push(newRun(parts, { ...decision.further, job, like: { segment }, now }))
    count(effects.audits, job.id)
  }
  const at = <Row extends readonly unknown[], I extends number>(rows: readonly Row[], i: I) =>
    rows.map((row) => row[i] as Row[I])
  if (accepted.length > 0) await tx.query(ACCEPT, [at(accepted, 0), at(accepted, 1), at(accepted, 2)])
  if (rejected.length > 0) await tx.query(REJECT, [at(rejected, 0), at(rejected, 1)])
  await insertRuns(tx, further)
  return further.length
}

/** Operators whose results could not be checked. */
function uncheckedBy(runs: readonly StoredRun[]): number {
  return new Set(runs.filter(({ check }) => check === 'abandoned').map(({ operator }) => operator)).size
}

/**
 * What a decision says of nodes, and to people. Of a segment that is compared they hear with its outcome, and not before:
 * the node of another run may be listening.
 */
function tell({ decision, runs, job, segment }: Decided, effects: Effects): void {
  const runtime = runtimeOf(job.spec.work)
  const byId = new Map(runs.map((run) => [run.id, run]))
  const jobId = job.id
  if (decision.accepted.length > 0) {
    count(effects.accepted, jobId)
    const isSpoken = decision.accepted.some((id) => speaksFor(byId.get(id)?.operator ?? null, job))
    if (isSpoken) for (const { failedBy } of runs) blameFailed(effects, failedBy, runtime)
    const reason = decision.reason ?? 'a verifier found it right'
    const data = { runs: decision.accepted.length, forced: runs.some(({ isForced }) => isForced), reason }
    if (decision.isAudited) effects.events.push({ type: 'segment.audited', jobId, segment, data })
  }
  for (const id of decision.accepted) {
    const { nodeId, operator } = byId.get(id) as StoredRun & { readonly nodeId: NodeId }
    count(effects.runs, nodeId)
    if (decision.isAudited && speaksFor(operator, job))
      effects.observations.push({ nodeId, outcome: 'clean', runtime })
  }
  for (const { id, isFault, code, reason } of decision.rejected) {
    const { nodeId, fence } = byId.get(id) as StoredRun
    if (nodeId === null) continue
    if (isFault) count(effects.faults, jobId)
    const outcome = isFault ? 'fault' : 'flagged'
    const once = `${id}/${fence}`
    // What could not be checked says nothing of its node.
    if (code !== 'sampling/unchecked') {
      effects.observations.push({ nodeId, outcome, runtime, once, jobId, segment, code, reason })
    }
    effects.events.push({ type: 'segment.rejected', jobId, nodeId, segment, data: { code, reason } })
  }
}

async function readRuns(db: Queryable, refs: readonly SegmentRef[]): Promise<Map<string, StoredRun[]>> {
  const { rows } = await db.query<StoredRow>(READ, [
    refs.map(({ jobId }) => jobId),
    refs.map(({ segment }) => segment),
  ])
  const runs = new Map<string, StoredRun[]>()
  for (const row of rows) {
    const key = keyOf({ jobId: row.job_id, segment: row.segment })
    runs.set(key, [...(runs.get(key) ?? []), runOf(row)])
  }
  return runs
}

const CHECKS: { readonly [state: string]: CheckState } = {
  queued: 'waiting',
  leased: 'waiting',
  verified: 'verified',
  rejected: 'rejected',
  abandoned: 'abandoned',
}

function runOf(row: StoredRow): StoredRun {
  const { id, ordinal, state, operator, attempts, fence, code, message } = row
  return {
    id,
    ordinal,
    state,
    nodeId: row.node_id === null ? null : (toHex(row.node_id) as NodeId),
    operator,
    outputDigest: row.output_digest as Digest | null,
    isCompared: row.compared,
    isForced: row.forced,
    attempts,
    fence,
    failedBy: row.failed_by,
    check: CHECKS[row.verification ?? ''] ?? 'none',
    checkReason: code === null ? message : `${code}: ${message ?? ''}`,
  }
}

/** Compares the outputs of committed runs of tolerant work that differ by their bytes. */
async function compareTolerant(
  parts: LifeParts,
  refs: readonly SegmentRef[],
  jobs: ReadonlyMap<string, JobFacts>,
): Promise<Agreed> {
  const agreed = new Map<string, boolean>()
  const tolerant = refs.filter(({ jobId }) => isTolerant((jobs.get(jobId) as JobFacts).spec.work))
  if (tolerant.length === 0) return agreed
  for (const [key, runs] of await readRuns(parts.db, tolerant)) {
    const { jobId } = refOf(key)
    const committed = runs.filter(({ state }) => state === 'committed')
    const outputs = await readOutputs(parts.db, committed)
    for (const [i, a] of committed.entries()) {
      for (const b of committed.slice(i + 1)) {
        const [first, second] = [a, b].toSorted(byNode).map(({ id }) => outputs.get(id))
        if (first === undefined || second === undefined) continue
        const kind = (jobs.get(jobId) as JobFacts).task.state
        const agree = await compareOutputs(parts, kind, [first, second])
        if (agree !== undefined) agreed.set(pairOf(a, b), agree)
      }
    }
  }
  return agreed
}

/** Undefined where an output cannot be read now: its segment waits, and no other. */
async function compareOutputs(
  { content }: LifeParts,
  ...[kind, outputs]: readonly [StateKind<Row>, readonly [ValueRef, ValueRef]]
): Promise<boolean | undefined> {
  try {
    return await outputsAgree(content, kind, outputs)
  } catch (error) {
    if (error instanceof AssayError && error.code.startsWith('blob/')) return undefined
    throw error
  }
}

async function readOutputs(db: Queryable, runs: readonly StoredRun[]) {
  const { rows } = await db.query<{
    id: string
    output_inline: Uint8Array | null
    output_cid: string | null
  }>(OUTPUTS, [runs.map(({ id }) => id)])
  return new Map(
    rows.map(({ id, output_inline: inline, output_cid: cid }) => [
      id,
      cid === null ? { inline: Buffer.from(inline ?? []).toString('base64') } : { cid },
    ]),
  )
}

function byNode(a: Run, b: Run): number {
  return (a.nodeId ?? '') < (b.nodeId ?? '') ? -1 : 1
}

/** Results never change: run and node name them. */
function pairOf(a: Run, b: Run): string {
  return [a, b]
    .toSorted(byNode)
    .map(({ id, nodeId }) => `${id}/${nodeId}`)
    .join(' ')
}

function keyOf({ jobId, segment }: SegmentRef): string {
  return `${jobId} ${segment}`
}

function refOf(key: string): SegmentRef {
  const [jobId, segment] = key.split(' ') as [string, string]
  return { jobId, segment: Number(segment) }
}
