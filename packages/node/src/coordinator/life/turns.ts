/**
 * Whose segment is next: start-time fair queueing (Goyal, Vin and Cheng, 1996) over submitters, one queue and priority
 * at a time, with every segment of the same cost.
 *
 * Each segment gets a position in virtual time when its job comes in: behind the submitter's last one, and not before
 * what is served now. So a submitter who sends a million segments holds nobody up who sends one, and who was idle has
 * saved nothing up. Positions are grouped into turns of some segments, within which the nearest deadline goes first;
 * the order by priority, turn and deadline is that of an index, and a lease reads its head.
 */
import { statement, type Tx } from '../../store/database.ts'

/** Segments of one turn: enough that a lease of many is of few jobs, few enough that nobody waits for long. */
export const TURN_SEGMENTS = 16

/** What is fair to whom: one class of work and one priority. */
export interface Lane {
  readonly queue: string
  readonly priority: number
}

export interface TurnAsk extends Lane {
  readonly submitter: string
  readonly segments: number
}

const READ = statement(
  'turns_read',
  `WITH given AS (
     SELECT * FROM unnest($1::text[], $2::smallint[], $3::text[]) AS given (queue, priority, submitter)
   ), lane AS MATERIALIZED (
     SELECT queue, priority, (
       SELECT turn FROM dispatch
       WHERE state = 'queued' AND queue = asked.queue AND reserved_for = '' AND priority = asked.priority
       ORDER BY turn LIMIT 1
     ) AS head
     FROM (SELECT DISTINCT queue, priority FROM given) AS asked
   )
   SELECT queue, priority, submitter, coalesce(position, 0) AS position, head
   FROM given JOIN lane USING (queue, priority) LEFT JOIN queue_position USING (queue, priority, submitter)`,
)
const WRITE = statement(
  'turns_write',
  `INSERT INTO queue_position (queue, priority, submitter, position)
   SELECT * FROM unnest($1::text[], $2::smallint[], $3::text[], $4::bigint[])
   ON CONFLICT (queue, priority, submitter) DO UPDATE SET position = excluded.position`,
)

interface Position extends Lane {
  /** '' is the last of all. */
  readonly submitter: string
  position: number
}

/** The position of the first segment of each; call it where no other intake can (behind the lock of admission). */
export async function takePositions(tx: Tx, asks: readonly TurnAsk[]): Promise<number[]> {
  const { rows } = await tx.query<Position & { readonly head: number | null }>(
    READ,
    columnsOf(placesOf(asks)),
  )
  const positions = rows.map(({ head: _, ...position }) => position)
  const served = new Map(
    rows.flatMap(({ queue, priority, head }) =>
      head === null ? [] : [[laneKey({ queue, priority }), head * TURN_SEGMENTS] as const],
    ),
  )
  const firsts = assignPositions(asks, { positions, served })
  await tx.query(WRITE, [...columnsOf(positions), positions.map(({ position }) => position)])
  return firsts
}

/** Moves `positions` on and gives the first position of each: pure. `served` is where lanes with a queue stand. */
export function assignPositions(
  asks: readonly TurnAsk[],
  {
    positions,
    served,
  }: { readonly positions: readonly Position[]; readonly served: ReadonlyMap<string, number> },
): number[] {
  const byKey = new Map(positions.map((position) => [positionKey(position), position]))
  return asks.map(({ queue, priority, submitter, segments }) => {
    const own = byKey.get(positionKey({ queue, priority, submitter })) as Position
    const all = byKey.get(positionKey({ queue, priority, submitter: '' })) as Position
    // With nothing queued, all that came before was served: what is next is behind it.
    const now = served.get(laneKey({ queue, priority })) ?? all.position
    const first = Math.max(own.position, now)
    own.position = first + segments
    all.position = Math.max(all.position, own.position)
    return first
  })
}

export function laneKey({ queue, priority }: Lane): string {
  return `${priority} ${queue}`
}

function positionKey(of: Place): string {
  return JSON.stringify([of.queue, of.priority, of.submitter])
}

type Place = Omit<Position, 'position'>

/** Where the asking submitters stand, and where the last of all does: each once. */
function placesOf(asks: readonly TurnAsk[]): Place[] {
  const places = asks.flatMap(({ queue, priority, submitter }) =>
    [submitter, ''].map((name) => ({ queue, priority, submitter: name })),
  )
  return [...new Map(places.map((place) => [positionKey(place), place])).values()]
}

function columnsOf(positions: readonly Place[]): [string[], number[], string[]] {
  return [
    positions.map(({ queue }) => queue),
    positions.map(({ priority }) => priority),
    positions.map(({ submitter }) => submitter),
  ]
}
