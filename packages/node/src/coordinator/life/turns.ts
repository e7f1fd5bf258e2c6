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

const HEADS = statement(
  'turns_heads',
  `SELECT lane.queue, lane.priority, (
     SELECT turn FROM dispatch
     WHERE state = 'queued' AND queue = lane.queue AND reserved_for = '' AND priority = lane.priority
     ORDER BY turn LIMIT 1
   ) AS head
   FROM unnest($1::text[], $2::smallint[]) AS lane (queue, priority)`,
)
const LAST = statement(
  'turns_last',
  `SELECT queue, priority, submitter, position
   FROM unnest($1::text[], $2::smallint[], $3::text[]) AS given (queue, priority, submitter)
   JOIN queue_position USING (queue, priority, submitter)`,
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

/** The position of the first segment of each; call it where no other intake can (with the ledger held still). */
export async function takePositions(tx: Tx, asks: readonly TurnAsk[]): Promise<number[]> {
  const lanes = [
    ...new Map(
      asks.map(({ queue, priority }) => [laneKey({ queue, priority }), { queue, priority }]),
    ).values(),
  ]
  const heads = await tx.query<Lane & { readonly head: number | null }>(HEADS, [
    lanes.map(({ queue }) => queue),
    lanes.map(({ priority }) => priority),
  ])
  const wanted = distinctPositions(asks)
  const last = await tx.query<Position>(LAST, columnsOf(wanted))
  for (const { queue, priority, submitter, position } of last.rows) {
    const known = wanted.find((other) => positionKey(other) === positionKey({ queue, priority, submitter }))
    if (known !== undefined) known.position = position
  }
  const served = new Map(
    heads.rows.flatMap(({ queue, priority, head }) =>
      head === null ? [] : [[laneKey({ queue, priority }), head * TURN_SEGMENTS] as const],
    ),
  )
  const firsts = assignPositions(asks, { positions: wanted, served })
  await tx.query(WRITE, [...columnsOf(wanted), wanted.map(({ position }) => position)])
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

function positionKey(of: Lane & { readonly submitter: string }): string {
  return JSON.stringify([of.queue, of.priority, of.submitter])
}

function distinctPositions(asks: readonly TurnAsk[]): Position[] {
  const positions = new Map<string, Position>()
  for (const { queue, priority, submitter } of asks) {
    for (const name of [submitter, '']) {
      const position = { queue, priority, submitter: name, position: 0 }
      if (!positions.has(positionKey(position))) positions.set(positionKey(position), position)
    }
  }
  return [...positions.values()]
}

function columnsOf(positions: readonly Position[]): [string[], number[], string[]] {
  return [
    positions.map(({ queue }) => queue),
    positions.map(({ priority }) => priority),
    positions.map(({ submitter }) => submitter),
  ]
}
