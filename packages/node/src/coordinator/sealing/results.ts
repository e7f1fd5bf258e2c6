/** Accepted results of jobs, packed: a large job has a million of them. */
import { toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import type { ReceiptRun } from 'assay/receipt/job/sign'
import { type Queryable, statement } from '../../store/database.ts'

/** Segments of each job that are read at once. */
const PAGE = 20_000
const DIGEST_BYTES = 32

/** Plain data, which goes to another thread without a copy. */
export interface Results {
  /** Who gave them, each once. */
  readonly nodes: readonly string[]
  /** Of each segment, the place in `nodes`. */
  readonly nodeOf: Uint32Array<ArrayBuffer>
  /** Of each segment, the commitment and the SHA-256 of the output. */
  readonly digests: Uint8Array<ArrayBuffer>
  /** Segments that have a result. */
  readonly count: number
}

/** In the order of the segments. 'job-receipt/parts' where one has no result. */
export function* runsOf({ nodes, nodeOf, digests, count }: Results): Generator<ReceiptRun, void, undefined> {
  if (count !== nodeOf.length) {
    throw new AssayError(
      'job-receipt/parts',
      `expected the results of ${nodeOf.length} segments, got ${count}`,
    )
  }
  for (const [segment, node] of nodeOf.entries()) {
    const at = 2 * DIGEST_BYTES * segment
    yield {
      nodeId: nodes[node] as string,
      commitment: digests.subarray(at, at + DIGEST_BYTES),
      output: digests.subarray(at + DIGEST_BYTES, at + 2 * DIGEST_BYTES),
    }
  }
}

interface ResultRow {
  readonly job_id: string
  readonly segment: number
  readonly node_id: Uint8Array
  readonly commitment: Uint8Array
  readonly output_digest: Uint8Array
}

const READ = statement(
  'sealing_results',
  `SELECT job_id, segment, node_id, commitment, output_digest FROM dispatch
   WHERE job_id = ANY ($1::uuid[]) AND segment >= $2 AND segment < $3 AND is_result AND state = 'accepted'
   ORDER BY job_id, segment`,
)

/** By job. */
export async function readResults(
  db: Queryable,
  jobs: readonly { readonly id: string; readonly segments: number }[],
): Promise<Map<string, Results>> {
  const packers = new Map(jobs.map(({ id, segments }) => [id, packer(segments)]))
  const most = Math.max(0, ...jobs.map(({ segments }) => segments))
  for (let from = 0; from < most; from += PAGE) {
    const ids = jobs.filter(({ segments }) => segments > from).map(({ id }) => id)
    const { rows } = await db.query<ResultRow>(READ, [ids, from, from + PAGE])
    for (const row of rows) packers.get(row.job_id)?.put(row)
  }
  return new Map([...packers].map(([id, { results }]) => [id, results()]))
}

function packer(segments: number): { put(row: ResultRow): void; results(): Results } {
  const nodes: string[] = []
  const positions = new Map<string, number>()
  const nodeOf = new Uint32Array(segments)
  const digests = new Uint8Array(2 * DIGEST_BYTES * segments)
  let count = 0
  return {
    put({ segment, node_id: node, commitment, output_digest: output }) {
      const nodeId = toHex(node)
      let position = positions.get(nodeId)
      if (position === undefined) {
        position = nodes.push(nodeId) - 1
        positions.set(nodeId, position)
      }
      nodeOf[segment] = position
      digests.set(commitment, 2 * DIGEST_BYTES * segment)
      digests.set(output, 2 * DIGEST_BYTES * segment + DIGEST_BYTES)
      count++
    },
    results: () => ({ nodes, nodeOf, digests, count }),
  }
}
