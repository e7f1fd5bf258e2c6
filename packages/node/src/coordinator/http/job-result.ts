/**
 * All rows of an accepted job as one list (task/rows.ts), put together from the outputs of its segments while it is
 * sent: their number, then what stands behind the number in each segment.
 */
import { AssayError } from 'assay/core/errors'
import type { JobView } from 'assay/wire/job'
import { type Queryable, statement } from '../../store/database.ts'
import type { BytesAnswer } from './deps.ts'

/** Segments that are read at once, with at most 16 KiB inline each. */
const PAGE = 128
const COUNT_BYTES = 4

interface OutputRow {
  readonly segment: number
  readonly output_inline: Uint8Array | null
  readonly output_cid: string | null
}

const OUTPUTS = statement(
  'job_outputs',
  `SELECT segment, output_inline, output_cid FROM dispatch
   WHERE job_id = $1 AND segment >= $2 AND segment < $3 AND is_result ORDER BY segment`,
)

export interface ResultParts {
  readonly db: Queryable
  readonly readBlob: (cid: string) => AsyncIterable<Uint8Array>
}

const PRUNED = statement('job_pruned', 'SELECT pruned_at FROM job WHERE id = $1 AND pruned_at IS NOT NULL')

/** 'wire/conflict' for a job that is not accepted, 'wire/not-found' for one whose rows were kept long enough. */
export async function jobResult(
  parts: ResultParts,
  { id, state, spec, segments }: JobView,
): Promise<BytesAnswer> {
  if (state !== 'accepted') {
    throw new AssayError('wire/conflict', `the job is ${state}: only an accepted job has all of its rows`, {
      detail: { state },
    })
  }
  const { rows: pruned } = await parts.db.query<{ pruned_at: Date }>(PRUNED, [id])
  if (pruned[0] !== undefined) {
    const at = pruned[0].pruned_at.toISOString()
    throw new AssayError('wire/not-found', `the rows of this job were deleted at ${at}; its receipt is kept`)
  }
  return { bytes: pieces(parts, { id, rows: spec.rows, segments: segments.total }) }
}

async function* pieces(
  { db, readBlob }: ResultParts,
  { id, rows: total, segments }: { readonly id: string; readonly rows: number; readonly segments: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const head = new Uint8Array(COUNT_BYTES)
  new DataView(head.buffer).setUint32(0, total)
  yield head
  for (let from = 0; from < segments; from += PAGE) {
    const to = Math.min(from + PAGE, segments)
    const { rows } = await db.query<OutputRow>(OUTPUTS, [id, from, to])
    if (rows.length !== to - from) throw new Error(`job ${id} lacks an output of segments ${from} to ${to}`)
    for (const { output_inline: inline, output_cid: cid } of rows) {
      yield* inline === null ? withoutCount(readBlob(cid as string)) : [inline.subarray(COUNT_BYTES)]
    }
  }
}

async function* withoutCount(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let skip = COUNT_BYTES
  for await (const piece of bytes) {
    const rest = piece.subarray(Math.min(skip, piece.length))
    skip -= piece.length - rest.length
    if (rest.length > 0) yield rest
  }
}
