/** The blobs that a network's records name: what a backup takes along, and what has to be in the folder. */
import type { Queryable } from '../../store/database.ts'

/** Addresses that are handed on at once. */
const PAGE = 1_000

// What accounts and nodes uploaded has an owner; outputs and proofs are named by runs besides. By way of JSON, since a
// database that is backed up before it is brought to this release has no such column.
const USED = `SELECT cid FROM (
    SELECT cid FROM blob_owner WHERE to_jsonb(blob_owner)->>'dropped_at' IS NULL
    UNION SELECT output_cid FROM dispatch WHERE output_cid IS NOT NULL AND state IN ('committed', 'accepted')
    UNION SELECT sampling->'proof'->>'cid' FROM dispatch
      WHERE sampling->'proof' ? 'cid' AND state IN ('committed', 'accepted')
  ) AS used ORDER BY cid`

/** In the order of their addresses, each once. For use in a transaction: it reads behind a cursor. */
export async function* usedBlobs(tx: Queryable): AsyncGenerator<readonly string[], void, undefined> {
  await tx.query(`DECLARE used_blobs CURSOR FOR ${USED}`)
  for (;;) {
    const { rows } = await tx.query<{ cid: string }>(`FETCH ${PAGE} FROM used_blobs`)
    if (rows.length === 0) break
    yield rows.map(({ cid }) => cid)
  }
  await tx.query('CLOSE used_blobs')
}
