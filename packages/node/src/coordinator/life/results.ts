/**
 * Results of a node: what its leases are, whether what it sent holds, and what becomes of it.
 *
 * The same answer twice gives the same outcomes: a result that was taken is recognised by its commitment.
 */
import { concatBytes, equalBytes, fromBase64, fromHex, toHex } from 'assay/core/bytes'
import { attempt } from 'assay/core/errors'
import type { ResultsRequest, resultsResponse, SegmentResult } from 'assay/wire/dispatch'
import type * as z from 'zod/mini'
import { type Queryable, statement } from '../../store/database.ts'
import type { NodeInfo } from '../registry/nodes.ts'
import { type CheckedResult, checkResults, type HeldResult } from './check-results.ts'
import { RUN_COLUMNS, type RunRow } from './give-back.ts'
import { type JobFacts, jobFacts } from './job-facts.ts'
import type { LifeParts } from './parts.ts'
import type { Answer, Taken } from './record-results.ts'
import type { SegmentRef } from './validated.ts'

type Outcome = z.infer<typeof resultsResponse>['outcomes'][number]

interface ResultRow extends RunRow {
  readonly state: string
  readonly commitment: Uint8Array | null
  readonly reason: string | null
}

const READ = statement(
  'results_read',
  `SELECT ${RUN_COLUMNS}, dispatch.state, dispatch.commitment, dispatch.reason
   FROM dispatch WHERE id = ANY ($1::uuid[])`,
)

/**
 * Takes an answer: the outcome of each result, in order, and the segments that can be decided now. `record` takes it into
 * the database, with others.
 */
export async function takeResults(
  parts: LifeParts,
  { node, request }: { readonly node: NodeInfo; readonly request: ResultsRequest },
  record: (answer: Answer) => Promise<Taken>,
): Promise<{ readonly outcomes: readonly Outcome[]; readonly undecided: readonly SegmentRef[] }> {
  const { results } = request
  const rows = await readRows(parts.db, results)
  const jobs = await jobFacts(
    parts.db,
    parts.cache,
    [...rows.values()].map((row) => row.job_id),
  )
  const held = heldResults({ node, results, rows, jobs })
  const checked = await checkResults(parts, { node, request, held })
  if (checked.length === 0) {
    const outcomes = results.map((result, i) => settledOutcome(result, { node, rows, results, i }))
    return { outcomes, undecided: [] }
  }
  const answer: Answer = {
    nodeId: node.nodeId,
    operator: node.operator,
    signature: attemptBytes(request.signature),
    commitments: concatBytes(...results.map(({ commitment }) => fromHex(commitment))),
    results: checked,
    jobs,
  }
  const taken = await record(answer)
  const byIndex = new Map(checked.map((result) => [result.index, result]))
  const isMine = (result: CheckedResult) => taken.get(result.run.id)?.answer === answer
  // What was not taken was taken before, or its lease went to another meanwhile.
  const isSettled = checked.every(isMine) && checked.length === results.length
  const now = isSettled ? rows : await readRows(parts.db, results)
  const outcomes = results.map((result, i) => {
    const mine = byIndex.get(i)
    return mine !== undefined && isMine(mine)
      ? takenOutcome(mine, taken)
      : settledOutcome(result, { node, rows: now, results, i })
  })
  const compared = checked.filter((result) => result.ok && result.run.compared && isMine(result))
  return { outcomes, undecided: compared.map(({ run }) => ({ jobId: run.job_id, segment: run.segment })) }
}

async function readRows(db: Queryable, results: readonly SegmentResult[]): Promise<Map<string, ResultRow>> {
  const { rows } = await db.query<ResultRow>(READ, [results.map(({ id }) => id)])
  return new Map(rows.map((row) => [row.id, row]))
}

function heldResults(options: {
  readonly node: NodeInfo
  readonly results: readonly SegmentResult[]
  readonly rows: ReadonlyMap<string, ResultRow>
  readonly jobs: ReadonlyMap<string, JobFacts>
}): HeldResult[] {
  const { node, results, rows, jobs } = options
  const seen = new Set<string>()
  return results.flatMap((result, index) => {
    const run = rows.get(result.id)
    const isHeld = run?.state === 'leased' && isLeaseOf(run, node, result) && !seen.has(result.id)
    if (!isHeld) return []
    seen.add(result.id)
    return [{ run, job: jobs.get(run.job_id) as JobFacts, result, index }]
  })
}

function isLeaseOf(run: RunRow, node: NodeInfo, result: SegmentResult): boolean {
  return run.fence === result.fence && run.node_id !== null && toHex(run.node_id) === node.nodeId
}

function takenOutcome(result: CheckedResult, taken: Taken): Outcome {
  const { id } = result.run
  const state = taken.get(id)?.state ?? 'refused'
  if (result.ok) return { id, state, code: null, message: null }
  return { id, state: 'refused', code: result.code, message: result.message.slice(0, 2048) }
}

/** From the row as it is: of a result that was taken before, or was never to be. */
function settledOutcome(
  result: SegmentResult,
  options: {
    readonly node: NodeInfo
    readonly rows: ReadonlyMap<string, ResultRow>
    readonly results: readonly SegmentResult[]
    readonly i: number
  },
): Outcome {
  const { node, rows, results, i } = options
  const { id } = result
  const refused = (code: string, message: string): Outcome => ({ id, state: 'refused', code, message })
  if (results.findIndex((other) => other.id === id) < i) {
    return refused('wire/malformed', 'expected each dispatch once in an answer')
  }
  const run = rows.get(id)
  if (run === undefined || !isLeaseOf(run, node, result)) {
    return refused('wire/stale', 'the lease ended, and its segment went to the queue or to another node')
  }
  const isSame = run.commitment !== null && equalBytes(run.commitment, fromHex(result.commitment))
  if (!isSame) {
    const why =
      run.commitment === null ? 'the job has ended' : 'another result of this lease was taken before'
    return refused('wire/stale', why)
  }
  if (run.state === 'accepted' || run.state === 'committed') {
    return { id, state: run.state, code: null, message: null }
  }
  if (run.state === 'rejected') return refused('result/rejected', run.reason ?? 'the result was found wrong')
  return refused('wire/stale', 'the job has ended')
}

/** A signature that is no base64 was refused before anything of the answer is kept. */
function attemptBytes(text: string): Uint8Array {
  const bytes = attempt(() => fromBase64(text))
  return bytes.ok ? bytes.value : new Uint8Array(0)
}
