/**
 * Nonces of signed requests: each is good once, on whichever replica it comes, for as long as its timestamp is.
 *
 * Requests that come together are written as one statement, which does not wait for the disk. A crash of the database
 * may forget the nonces of its last moment, so a request of that moment could be replayed within a minute: what
 * requests do is fenced or idempotent besides. The sweep of jobs forgets those that have expired (life/sweep.ts).
 */
import { fromHex, toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { MAX_CLOCK_SKEW_MS, type RequestClaim } from 'assay/wire/request-signature'
import { createBatcher } from '../../store/batcher.ts'
import { type Database, statement } from '../../store/database.ts'

/** Of a batch, and waiting for one: some seconds of the most requests that were measured. */
const MAX_BATCH = 500
const MAX_QUEUED = 20_000
/** Every request of a node waits for its nonce. */
const SPACING_MS = 15

/** What a nonce is known by. */
export type NonceUse = Pick<RequestClaim, 'nodeId' | 'nonce' | 'at'>

export interface Nonces {
  /** Remembers it. Throws 'wire/signature' for one that was used. */
  use(claim: NonceUse): Promise<void>
  close(): Promise<void>
}

const INSERT = statement(
  'nonces_insert',
  `WITH committed_later AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
   INSERT INTO request_nonce (node_id, nonce, expires_at)
   SELECT node_id, nonce, expires_at
   FROM committed_later, unnest($1::bytea[], $2::bytea[], $3::timestamptz[]) AS given (node_id, nonce, expires_at)
   ORDER BY node_id, nonce
   ON CONFLICT DO NOTHING RETURNING node_id, nonce`,
)
export function openNonces(db: Database): Nonces {
  const batcher = createBatcher<NonceUse, boolean>({
    maxItems: MAX_BATCH,
    maxQueued: MAX_QUEUED,
    spacingMs: SPACING_MS,
    run: (claims) => insert(db, claims),
  })
  return {
    async use(claim) {
      if (await batcher.add(claim)) return
      throw new AssayError('wire/signature', 'the nonce of this request was used before', {
        detail: { nonce: claim.nonce },
      })
    },
    close: () => batcher.close(),
  }
}

/** Whether each is new. */
async function insert(db: Database, claims: readonly NonceUse[]): Promise<boolean[]> {
  const { rows } = await db.query<{ node_id: Uint8Array; nonce: Uint8Array }>(INSERT, [
    claims.map(({ nodeId }) => fromHex(nodeId)),
    claims.map(({ nonce }) => fromHex(nonce)),
    // On the clock of any replica.
    claims.map(({ at }) => new Date(at + 2 * MAX_CLOCK_SKEW_MS)),
  ])
  const fresh = new Set(rows.map(({ node_id, nonce }) => toHex(node_id) + toHex(nonce)))
  // The same twice in one batch: the first has it.
  return claims.map(({ nodeId, nonce }) => fresh.delete(nodeId + nonce))
}
