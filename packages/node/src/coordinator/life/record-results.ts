/**
 * The transaction that takes results: what holds is committed, and accepted where nothing is waited for; what does not
 * goes back to the queue. Answers that come at the same time are taken together.
 *
 * A result that waits is seen by nobody: the second run is leased without it, whoever lists segments is shown what is
 * accepted, and no event tells of the draw before the segment is decided (validated.ts).
 */
import { toHex } from 'assay/core/bytes'
import { type SqlValue, statement, type Tx } from '../../store/database.ts'
import { blameFailed, speaksFor } from './blame.ts'
import type { BadResult, CheckedResult, GoodResult } from './check-results.ts'
import { applyEffects, count, type Effects, lockJobs, noEffects } from './effects.ts'
import { giveBack, RUN_COLUMNS, type RunRow, tellRequeue } from './give-back.ts'
import type { JobFacts } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import { runtimeOf } from './queue.ts'
import { insertRuns, type NewRun, newRun } from './runs.ts'
import { uuidAt } from './uuid.ts'

/** One answer of one node, checked. */
export interface Answer {
  readonly nodeId: string
  readonly operator: string
  readonly signature: Uint8Array
  /** All that it commits to, 32 bytes each in a row: results of lost leases too, since they are signed with the rest. */
  readonly commitments: Uint8Array
  readonly results: readonly CheckedResult[]
  readonly jobs: ReadonlyMap<string, JobFacts>
}

export interface TakenResult {
  readonly answer: Answer
  readonly state: 'accepted' | 'committed' | 'refused'
}

/** By dispatch: the results that were taken. What is not there is somebody else's by now, or came twice. */
export type Taken = ReadonlyMap<string, TakenResult>

interface Good extends GoodResult {
  readonly answer: Answer
  readonly job: JobFacts
  readonly batchId: string
  readonly isAccepted: boolean
}

interface Bad extends BadResult {
  readonly answer: Answer
}

/** Takes answers in one transaction. */
export async function recordAnswers(parts: LifeParts, answers: readonly Answer[], now: Date): Promise<Taken> {
  const jobs = new Map(answers.flatMap((answer) => [...answer.jobs]))
  const { good, bad } = sortResults(answers, now)
  const { taken, isWork } = await parts.db.tx(async (tx) => {
    const states = await lockJobs(
      tx,
      [...good, ...bad].map(({ run }) => run.job_id),
    )
    const isOpen = ({ run }: { readonly run: RunRow }) => states.get(run.job_id) === 'running'
    const effects = noEffects()
    const committed = await commitResults(tx, good.filter(isOpen), now)
    const returned = await returnBad(tx, parts, { bad: bad.filter(isOpen), jobs, effects, now })
    await followUp(tx, parts, { committed, effects, now })
    observe(effects, { committed, returned, jobs })
    await applyEffects(tx, parts, { effects, now })
    const taken = new Map<string, TakenResult>()
    for (const { run, answer, isAccepted } of committed) {
      taken.set(run.id, { answer, state: isAccepted ? 'accepted' : 'committed' })
    }
    for (const { run, answer } of returned) taken.set(run.id, { answer, state: 'refused' })
    return { taken, isWork: returned.length > 0 || committed.some(({ isAccepted }) => !isAccepted) }
  })
  if (isWork) parts.onWork()
  return taken
}

/** Of results that came twice, the first: the database is asked about the other afterwards. */
function sortResults(answers: readonly Answer[], now: Date) {
  const good = new Map<string, Good>()
  const bad = new Map<string, Bad>()
  for (const answer of answers) {
    const batchId = uuidAt(now.getTime())
    for (const result of answer.results) {
      const { id, job_id: jobId, compared } = result.run
      if (!result.ok) {
        if (!bad.has(id)) bad.set(id, { ...result, answer })
      } else if (!good.has(id)) {
        const isAccepted = !(result.isAudited || result.isSampled || compared)
        good.set(id, { ...result, answer, job: answer.jobs.get(jobId) as JobFacts, batchId, isAccepted })
      }
    }
  }
  return { good: [...good.values()], bad: [...bad.values()] }
}

// IS NOT DISTINCT FROM is =, and no index follows it: all leases of a node would be looked through for each result.
const COMMIT = statement(
  'results_commit',
  `UPDATE dispatch SET state = CASE WHEN given.is_accepted THEN 'accepted' ELSE 'committed' END,
     is_result = given.is_accepted, lease_expires_at = NULL, reserved_until = NULL, reason = NULL,
     commitment = given.commitment, output_digest = given.output_digest, result_digest = given.result_digest,
     output_inline = given.output_inline, output_cid = given.output_cid, sampling = given.sampling,
     batch_id = given.batch_id, batch_index = given.batch_index, committed_at = $16, elapsed_ms = given.elapsed_ms,
     audit_rate = given.audit_rate, sampling_rate = given.sampling_rate, compared = given.compared
   FROM unnest($1::uuid[], $2::bytea[], $3::integer[], $4::boolean[], $5::bytea[], $6::bytea[], $7::bytea[],
       $8::bytea[], $9::text[], $10::jsonb[], $11::uuid[], $12::smallint[], $13::real[], $14::float8[], $15::float8[],
       $17::boolean[])
     AS given (id, node_id, fence, is_accepted, commitment, output_digest, result_digest, output_inline, output_cid,
       sampling, batch_id, batch_index, elapsed_ms, audit_rate, sampling_rate, compared)
   WHERE dispatch.id = given.id AND state = 'leased' AND dispatch.fence = given.fence
     AND dispatch.node_id IS NOT DISTINCT FROM given.node_id
   RETURNING dispatch.id`,
)
const BATCHES = statement(
  'results_batches',
  `INSERT INTO result_batch (id, node_id, signature, commitments, received_at)
   SELECT id, node_id, signature, commitments, $5
   FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[]) AS given (id, node_id, signature, commitments)`,
)

/** Those whose leases still stand. */
async function commitResults(tx: Tx, good: readonly Good[], now: Date): Promise<Good[]> {
  if (good.length === 0) return []
  const column = <T extends SqlValue>(of: (result: Good) => T): T[] => good.map(of)
  const { rows } = await tx.query<{ id: string }>(COMMIT, [
    column(({ run }) => run.id),
    column(({ answer }) => Buffer.from(answer.nodeId, 'hex')),
    column(({ run }) => run.fence),
    column(({ isAccepted }) => isAccepted),
    column(({ commitment }) => commitment),
    column(({ output }) => output.digest),
    column(({ resultDigest }) => resultDigest),
    column(({ output }) => output.inline),
    column(({ output }) => output.cid),
    column(samplingJson),
    column(({ batchId }) => batchId),
    column(({ index }) => index),
    column(({ elapsedMs }) => elapsedMs),
    column(({ auditRate }) => auditRate),
    column(({ samplingRate }) => samplingRate),
    now,
    column(({ run, isAudited }) => run.compared || isAudited),
  ])
  const ids = new Set(rows.map(({ id }) => id))
  const committed = good.filter(({ run }) => ids.has(run.id))
  const batches = [...new Map(committed.map(({ batchId, answer }) => [batchId, answer]))]
  if (batches.length > 0) {
    await tx.query(BATCHES, [
      batches.map(([id]) => id),
      batches.map(([, { nodeId }]) => Buffer.from(nodeId, 'hex')),
      batches.map(([, { signature }]) => signature),
      batches.map(([, { commitments }]) => commitments),
      now,
    ])
  }
  return committed
}

/** What came with a proof, and the digests that a receipt names, so that nobody has to read output and proof again. */
function samplingJson({ sampling, proofDigest, output }: Good): string | null {
  if (sampling === null || proofDigest === null) return null
  return JSON.stringify({
    ...sampling,
    outputDigest: toHex(output.taskDigest),
    proofDigest: toHex(proofDigest),
  })
}

const LOCK_RUNS = statement(
  'runs_lock',
  `SELECT ${RUN_COLUMNS} FROM unnest($1::uuid[], $2::bytea[], $3::integer[]) AS given (id, node_id, fence)
   JOIN dispatch ON dispatch.id = given.id AND dispatch.fence = given.fence
     AND dispatch.node_id IS NOT DISTINCT FROM given.node_id
   WHERE dispatch.state = 'leased' ORDER BY dispatch.id FOR UPDATE OF dispatch`,
)

/** Runs whose leases still stand, locked. */
export async function lockRuns(
  tx: Tx,
  runs: readonly { readonly id: string; readonly nodeId: string; readonly fence: number }[],
): Promise<readonly RunRow[]> {
  if (runs.length === 0) return []
  const { rows } = await tx.query<RunRow>(LOCK_RUNS, [
    runs.map(({ id }) => id),
    runs.map(({ nodeId }) => Buffer.from(nodeId, 'hex')),
    runs.map(({ fence }) => fence),
  ])
  return rows
}

async function returnBad(
  tx: Tx,
  parts: LifeParts,
  options: {
    readonly bad: readonly Bad[]
    readonly jobs: ReadonlyMap<string, JobFacts>
    readonly effects: Effects
    readonly now: Date
  },
): Promise<Bad[]> {
  const { bad, jobs, effects, now } = options
  const rows = await lockRuns(
    tx,
    bad.map(({ run: { id, fence }, answer: { nodeId } }) => ({ id, nodeId, fence })),
  )
  const standing = new Set(rows.map(({ id }) => id))
  const returned = bad.filter(({ run }) => standing.has(run.id))
  const runs = returned.map(({ run, code, message }) => ({
    run,
    reason: `${code}: ${message}`.slice(0, 2048),
    isRecorded: true,
  }))
  await giveBack(tx, parts, { runs, jobs, effects, now })
  for (const { run, code, message } of returned) tellRequeue(effects, { run, code, reason: message })
  return returned
}

const VERIFY = statement(
  'verification_insert',
  `INSERT INTO verification (dispatch_id, job_id, state, due_at)
   SELECT id, job_id, 'queued', $3 FROM unnest($1::uuid[], $2::uuid[]) AS given (id, job_id)`,
)

/** What committed results wait for: a verifier, a second run, or a comparison with the runs that are there. */
async function followUp(
  tx: Tx,
  parts: LifeParts,
  { committed, effects, now }: { committed: readonly Good[]; effects: Effects; now: Date },
): Promise<void> {
  const sampled = committed.filter(({ isSampled }) => isSampled)
  if (sampled.length > 0) {
    await tx.query(VERIFY, [sampled.map(({ run }) => run.id), sampled.map(({ run }) => run.job_id), now])
  }
  const audits: NewRun[] = []
  for (const { run, job, answer, isAudited, isForced } of committed) {
    if (!isAudited) continue
    audits.push(
      newRun(parts, {
        job,
        like: run,
        excluded: [answer.operator],
        isCompared: true,
        isForced,
        attempts: 0,
        now,
      }),
    )
    count(effects.audits, run.job_id)
  }
  await insertRuns(tx, audits)
  await noteUndecided(
    tx,
    committed.filter(({ run }) => run.compared).map(({ run }) => run),
    now,
  )
}

const NOTE = statement(
  'undecided_note',
  `INSERT INTO undecided (job_id, segment, since) SELECT job_id, segment, $3
   FROM unnest($1::uuid[], $2::integer[]) AS given (job_id, segment) ON CONFLICT DO NOTHING`,
)

/** Leaves a note that something came in which a segment waited for (validated.ts). */
export async function noteUndecided(
  tx: Tx,
  segments: readonly Pick<RunRow, 'job_id' | 'segment'>[],
  now: Date,
): Promise<void> {
  if (segments.length === 0) return
  await tx.query(NOTE, [segments.map(({ job_id }) => job_id), segments.map(({ segment }) => segment), now])
}

/** What the results say of their nodes, and of the progress of their jobs. */
function observe(
  effects: Effects,
  options: {
    readonly committed: readonly Good[]
    readonly returned: readonly Bad[]
    readonly jobs: ReadonlyMap<string, JobFacts>
  },
): void {
  const { accepted, runs, faults, observations } = effects
  const { committed, returned, jobs } = options
  const answered = new Map<Answer, string>()
  for (const { run, job, answer, isAccepted } of committed) {
    answered.set(answer, runtimeOf(job.spec.work))
    if (!isAccepted) continue
    count(accepted, run.job_id)
    count(runs, answer.nodeId)
    if (speaksFor(answer.operator, job)) blameFailed(effects, run.failed_by, runtimeOf(job.spec.work))
  }
  for (const [{ nodeId }, runtime] of answered) observations.push({ nodeId, outcome: 'delivered', runtime })
  // One answer is one failure, however many results fail for it: they are signed, or broken, together.
  const failed = new Map<Answer, Bad>()
  for (const result of returned) {
    count(faults, result.run.job_id)
    if (!failed.has(result.answer)) failed.set(result.answer, result)
  }
  for (const { answer, run, code, message } of failed.values()) {
    const { job_id: jobId, segment, id, fence } = run
    const runtime = runtimeOf((jobs.get(jobId) as JobFacts).spec.work)
    // What was not uploaded is not there: nothing was delivered, and nothing shows a wrong result.
    const outcome = code === 'result/output' ? 'late' : 'malformed'
    const once = `${id}/${fence}`
    observations.push({
      nodeId: answer.nodeId,
      outcome,
      runtime,
      once,
      jobId,
      segment,
      code,
      reason: message,
    })
  }
}
