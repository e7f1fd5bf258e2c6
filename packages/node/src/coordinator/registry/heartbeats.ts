/**
 * Heartbeats: nodes say that they live, that they leave, and that they are gone.
 *
 * A node that leaves is *away*: nothing is kept for it any more (life/roster.ts), and what it has it may finish. One
 * that holds nothing when it leaves is offline at once. So is, in the end, one that is not heard from (registry.ts);
 * and one that let a lease run out is away until its next heartbeat.
 */
import { fromHex, toHex } from 'assay/core/bytes'
import { type Database, statement, type Tx } from '../../store/database.ts'
import { append } from '../events.ts'

export interface Beat {
  readonly nodeId: string
  /** It takes no more work, and is about to stop. */
  readonly isLeaving?: boolean
  /** Segments that it holds. */
  readonly running: number
}

export interface Heartbeats {
  /** A node lives. Written with others, within `FLUSH_MS`; that it leaves is written at once. */
  beat(beat: Beat): void
  /** Writes what is there now. */
  flush(): Promise<void>
  /** Writes the last ones, and stops. */
  close(): Promise<void>
}

/** Ten thousand nodes send a thousand heartbeats a second, and are written as one statement. */
const FLUSH_MS = 1_000

export function openHeartbeats(db: Database, onError: (error: unknown) => void = () => {}): Heartbeats {
  let seen = new Map<string, Beat>()
  let writing: Promise<void> = Promise.resolve()

  async function write(): Promise<void> {
    if (seen.size === 0) return
    const beats = [...seen.values()].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1))
    seen = new Map()
    try {
      await markSeen(db, beats)
    } catch (error) {
      // Told again in ten seconds.
      onError(error)
    }
  }

  const flush = () => {
    writing = writing.then(write)
    return writing
  }
  const timer = setInterval(flush, FLUSH_MS)
  timer.unref()
  return {
    beat(beat) {
      seen.set(beat.nodeId, beat)
      if (beat.isLeaving === true) void flush()
    },
    flush,
    close() {
      clearInterval(timer)
      return flush()
    },
  }
}

const LOCK = statement(
  'heartbeats_lock',
  'SELECT FROM node WHERE id = ANY ($1::bytea[]) ORDER BY id FOR NO KEY UPDATE',
)
const WRITE = statement(
  'heartbeats_write',
  `UPDATE node SET last_seen_at = now(), away = given.is_leaving, state = CASE
       WHEN given.is_gone AND node.state = 'online' THEN 'offline'
       WHEN NOT given.is_gone AND node.state = 'offline' THEN 'online'
       ELSE node.state END
   FROM unnest($1::bytea[], $2::boolean[], $3::boolean[]) AS given (id, is_leaving, is_gone)
     JOIN (SELECT id, state AS before FROM node WHERE id = ANY ($1::bytea[])) AS old ON old.id = given.id
   WHERE node.id = given.id RETURNING node.id, node.state AS after, before`,
)

async function markSeen(db: Database, beats: readonly Beat[]): Promise<void> {
  const ids = beats.map(({ nodeId }) => fromHex(nodeId))
  await db.tx(async (tx) => {
    await tx.query(LOCK, [ids])
    const { rows } = await tx.query<{ id: Uint8Array; before: string; after: string }>(WRITE, [
      ids,
      beats.map(({ isLeaving = false }) => isLeaving),
      beats.map(({ isLeaving = false, running }) => isLeaving && running === 0),
    ])
    await append(
      tx,
      rows
        .filter(({ before, after }) => before !== after)
        .map(({ id, after }) => ({
          type: `node.${after}`,
          nodeId: toHex(id),
          data: {
            reason: after === 'online' ? 'heard from again' : 'it said that it stops, and holds nothing',
          },
        })),
    )
  })
}

const AWAY = statement(
  'heartbeats_away',
  `UPDATE node SET away = true FROM (
     SELECT id FROM node WHERE id = ANY ($1::bytea[]) AND NOT away ORDER BY id FOR NO KEY UPDATE
   ) AS silent WHERE node.id = silent.id`,
)

/** Nodes that let leases run out: whoever lives says so within ten seconds. Behind the locks of jobs and dispatches. */
export async function markAway(tx: Tx, nodeIds: readonly string[]): Promise<void> {
  if (nodeIds.length > 0) await tx.query(AWAY, [nodeIds.map(fromHex)])
}
