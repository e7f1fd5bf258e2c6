/**
 * Jobs as their submitters see them: what was asked, how far it is, what came out.
 *
 * Of a segment only what was accepted is shown: who did it, and its output. So nobody learns a result, or that it was
 * audited, while another node may still be computing it.
 */
import { toBase64, toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { commitSeed } from 'assay/core/seed'
import { jobSeedContext } from 'assay/receipt/job/draws'
import type { JobSpec, JobView, SegmentView } from 'assay/wire/job'
import { isFinal, type JobState } from 'assay/wire/life'
import { type Queryable, type SqlValue, statement } from '../../store/database.ts'
import { cursorNumber, type Page, type PageOptions, pageFrom } from '../ledger-read.ts'
import { createLru } from '../life/lru.ts'
import type { JobScope } from './deps.ts'

/** Counting the segments of a larger job takes long enough to be done once for all who ask within `COUNT_AGE_MS`. */
const LARGE_JOB_SEGMENTS = 5_000
const COUNT_AGE_MS = 2_000
const MAX_COUNTED = 1_000

interface JobRow {
  readonly id: string
  readonly state: JobState
  readonly spec: JobSpec
  readonly segments: number
  readonly accepted_segments: number
  readonly audits: number
  readonly faults: number
  readonly seed_secret: Uint8Array
  readonly reason: string | null
  readonly budget: number
  readonly spent: number
  readonly submitted_at: Date
  readonly deadline_at: Date
  readonly ended_at: Date | null
  readonly output_root: Uint8Array | null
  readonly receipt_state: JobView['receipt']
}

type Counts = Pick<JobView['segments'], 'leased' | 'committed' | 'poisoned'>

const NONE: Counts = { leased: 0, committed: 0, poisoned: 0 }
const COLUMNS = `id, state, spec, segments, accepted_segments, audits, faults, seed_secret, reason, budget, spent,
  submitted_at, deadline_at, ended_at, output_root, receipt_state`

const SHOW = statement(
  'job_show',
  `SELECT ${COLUMNS} FROM job WHERE id = $1 AND ($2::text IS NULL OR submitter = $2)`,
)
const COUNT = statement(
  'job_counts',
  `SELECT job_id, count(DISTINCT segment) FILTER (WHERE state = 'leased') AS leased,
     count(DISTINCT segment) FILTER (WHERE state = 'committed') AS committed,
     count(DISTINCT segment) FILTER (WHERE state = 'poisoned') AS poisoned
   FROM dispatch WHERE job_id = ANY ($1::uuid[]) AND state IN ('leased', 'committed', 'poisoned') GROUP BY job_id`,
)

export interface JobViews {
  /** 'wire/not-found' outside of the scope. */
  show(id: string, scope: JobScope): Promise<JobView>
  /** Newest first. */
  list(
    scope: JobScope,
    options: PageOptions & { readonly state?: JobState | undefined },
  ): Promise<Page<JobView>>
  /** In their order. */
  segments(id: string, options: PageOptions & JobScope): Promise<Page<SegmentView>>
}

export function openJobViews(db: Queryable, now: () => number): JobViews {
  const counted = createLru<string, { readonly at: number; readonly counts: Promise<Counts> }>(MAX_COUNTED)

  const countOf = async (ids: readonly string[]): Promise<Map<string, Counts>> => {
    if (ids.length === 0) return new Map()
    const { rows } = await db.query<Counts & { readonly job_id: string }>(COUNT, [ids])
    return new Map(rows.map(({ job_id, ...counts }) => [job_id, counts]))
  }
  const countLarge = (id: string): Promise<Counts> => {
    const known = counted.get(id)
    if (known !== undefined && Math.abs(now() - known.at) < COUNT_AGE_MS) return known.counts
    const counts = countOf([id]).then((all) => all.get(id) ?? NONE)
    // A failure is told to who asked, and not kept.
    counts.catch(() => counted.set(id, { at: Number.NEGATIVE_INFINITY, counts: Promise.resolve(NONE) }))
    counted.set(id, { at: now(), counts })
    return counts
  }
  const viewsOf = async (rows: readonly JobRow[]): Promise<JobView[]> => {
    const open = rows.filter(({ state }) => state !== 'accepted')
    const small = await countOf(open.filter((row) => !isLarge(row)).map(({ id }) => id))
    return Promise.all(
      rows.map(async (row) => {
        const isCounted = row.state !== 'accepted' && isLarge(row)
        return viewOf(row, isCounted ? await countLarge(row.id) : (small.get(row.id) ?? NONE))
      }),
    )
  }
  const read = async (id: string, { account }: JobScope): Promise<JobRow> => {
    const { rows } = await db.query<JobRow>(SHOW, [id, account === 'all' ? null : account])
    if (rows[0] !== undefined) return rows[0]
    throw new AssayError('wire/not-found', `there is no job ${id}`)
  }

  return {
    async show(id, scope) {
      return (await viewsOf([await read(id, scope)]))[0] as JobView
    },
    async list({ account }, { cursor, limit, state }) {
      const params: SqlValue[] = [limit + 1]
      const wanted: string[] = []
      const want = (text: string, value: string) => {
        params.push(value)
        wanted.push(text.replace('?', `$${params.length}`))
      }
      if (account !== 'all') want('submitter = ?', account)
      if (state !== undefined) want('state = ?', state)
      if (cursor !== undefined) want('id < ?::uuid', idOf(cursor))
      const where = wanted.length === 0 ? '' : `WHERE ${wanted.join(' AND ')}`
      const { rows } = await db.query<JobRow>(
        `SELECT ${COLUMNS} FROM job ${where} ORDER BY id DESC LIMIT $1`,
        params,
      )
      const views = await viewsOf(rows)
      return pageFrom(views, { limit, cursor: ({ id }) => id.replaceAll('-', ''), item: (view) => view })
    },
    async segments(id, { account, ...page }) {
      return segmentsPage(db, await read(id, { account }), page)
    },
  }
}

function isLarge({ segments }: JobRow): boolean {
  return segments > LARGE_JOB_SEGMENTS
}

/** A cursor of ours is the id of the last job without its dashes. */
function idOf(cursor: string): string {
  const match = /^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/.exec(cursor)
  if (match !== null) return match.slice(1).join('-')
  throw new AssayError('wire/malformed', 'expected the cursor that the page before gave')
}

function viewOf(row: JobRow, { leased, committed, poisoned }: Counts): JobView {
  const { segments: total, accepted_segments: accepted } = row
  const isOver = isFinal(row.state)
  const counts = isOver ? { leased: 0, committed: 0, poisoned } : { leased, committed, poisoned }
  // A segment may be committed by one node and leased by another: each is told once where that shows.
  const known = accepted + counts.leased + counts.committed + counts.poisoned
  return {
    id: row.id,
    state: row.state,
    spec: row.spec,
    segments: { total, queued: isOver ? 0 : Math.max(0, total - known), accepted, ...counts },
    audits: row.audits,
    faults: row.faults,
    seedCommitment: toHex(commitSeed(row.seed_secret, jobSeedContext(row.id))),
    reason: row.reason,
    escrow: isOver ? 0 : row.budget,
    spent: row.spent,
    submittedAt: row.submitted_at.toISOString(),
    deadlineAt: row.deadline_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
    outputRoot: row.output_root === null ? null : toHex(row.output_root),
    receipt: row.receipt_state,
  }
}

interface SegmentRow {
  readonly segment: number
  readonly state: string
  readonly attempts: number
  readonly is_result: boolean
  readonly node_id: Uint8Array | null
  readonly output_digest: Uint8Array | null
  readonly output_inline: Uint8Array | null
  readonly output_cid: string | null
  readonly audited: boolean
  readonly reason: string | null
}

/** Of the runs of a segment the one that tells how far it is. */
const SEGMENTS = statement(
  'job_segments',
  `SELECT DISTINCT ON (segment) segment, state, is_result, node_id, output_digest, output_inline, output_cid, audited,
     reason, sum(attempts) OVER (PARTITION BY segment)::integer AS attempts
   FROM dispatch WHERE job_id = $1 AND segment >= $2 AND segment < $3
   ORDER BY segment, is_result DESC,
     array_position(ARRAY['poisoned', 'committed', 'leased', 'queued', 'cancelled', 'accepted', 'rejected'], state),
     ordinal`,
)

async function segmentsPage(db: Queryable, job: JobRow, page: PageOptions): Promise<Page<SegmentView>> {
  const from = Math.min(cursorNumber(page) ?? 0, job.segments)
  const to = Math.min(from + page.limit, job.segments)
  const { rows } = await db.query<SegmentRow>(SEGMENTS, [job.id, from, to])
  const found = new Map(rows.map((row) => [row.segment, row]))
  const items = Array.from({ length: to - from }, (_, i) => segmentOf(job, from + i, found.get(from + i)))
  return { items, nextCursor: to < job.segments ? String(to) : null }
}

/** Of a segment without a row, nothing was begun: a large job is cut step by step. */
function segmentOf({ state, spec }: JobRow, index: number, row: SegmentRow | undefined): SegmentView {
  const from = index * spec.segmentRows
  const isAccepted = row?.is_result === true
  return {
    index,
    from,
    to: Math.min(from + spec.segmentRows, spec.rows),
    state: isAccepted ? 'accepted' : pendingState(row?.state, isFinal(state)),
    attempts: row?.attempts ?? 0,
    nodeId: isAccepted && row.node_id !== null ? toHex(row.node_id) : null,
    outputDigest: isAccepted && row.output_digest !== null ? toHex(row.output_digest) : null,
    output: isAccepted ? outputOf(row) : null,
    audited: isAccepted && row.audited,
    reason: row?.reason ?? null,
  }
}

function pendingState(state: string | undefined, isOver: boolean): SegmentView['state'] {
  if (state === 'poisoned') return 'poisoned'
  if (isOver) return 'cancelled'
  // A result that waits would show that its segment is compared. What was found wrong waits for its next run.
  return state === 'leased' || state === 'committed' ? 'leased' : 'queued'
}

function outputOf({ output_inline: inline, output_cid: cid }: SegmentRow): SegmentView['output'] {
  if (inline !== null) return { inline: toBase64(inline) }
  return cid === null ? null : { cid }
}
