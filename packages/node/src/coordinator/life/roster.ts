/**
 * Who may get a run that not everybody may have: an operator, drawn among those that are online.
 *
 * A second run goes to another operator than the first, and a run that failed is tried elsewhere. Left in the queue of
 * all, such runs would be passed over by those who must not have them, one by one, at every lease; and a colluding
 * node that asks fastest would audit its friend. So an operator is drawn, each in proportion to its nodes, and the run
 * kept for it for a while. Trusted nodes come first for audits: newcomers cost nothing to make.
 *
 * Pure but for `loadRoster`. A roster is some seconds old; a reservation that nobody takes is drawn again.
 */

import type { Manifest } from 'assay/wire/manifest'
import { type Queryable, statement } from '../../store/database.ts'
import { KEPT_FROM, runtimesLeft } from '../registry/incidents.ts'
import { queuesOf, reservation } from './queue.ts'

/** How long a run is kept for one operator: a node that is free asks several times within it. */
const RESERVED_MS = 5_000
/** How long a run waits that nobody may have now. */
const HELD_MS = 1_000
/** A heartbeat and a half. What runs out after that is written is drawn again, so that a wrong guess costs seconds. */
const UNHEARD_SECONDS = 15

/** Nodes that are alike; one unless told. */
export interface RosterNodes {
  readonly operator: string
  readonly isTrusted: boolean
  readonly queues: readonly string[]
  readonly count?: number
}

/** Operators, one entry for each node, those of one operator side by side. */
interface Line {
  readonly entries: readonly string[]
  readonly ranges: ReadonlyMap<string, { readonly start: number; readonly count: number }>
}

interface Lines {
  readonly all: Line
  readonly trusted: Line
}

/** By queue. */
export type Roster = ReadonlyMap<string, Lines>

export interface PlaceAsk {
  readonly queue: string
  /** Operators that must not have it. */
  readonly excluded: readonly string[]
  /** Operators that had it and did not deliver. */
  readonly avoided: readonly string[]
  /** 0 … 1, fresh for each draw. */
  readonly ticket: number
  /** Wait even where anybody may have it: it was just given back. */
  readonly isDelayed?: boolean
}

/** Where a run stands in its queue: `dispatch.reserved_for` and `reserved_until`. */
export interface Place {
  /** Null: nobody may have it now. */
  readonly reservedFor: string | null
  readonly forMs: number | null
}

export const OPEN_PLACE: Place = { reservedFor: '', forMs: null }

export function rosterOf(nodes: readonly RosterNodes[]): Roster {
  const entries = new Map<string, { all: string[]; trusted: string[] }>()
  for (const { operator, isTrusted, queues, count = 1 } of nodes) {
    for (const queue of queues) {
      const of = entries.get(queue) ?? { all: [], trusted: [] }
      entries.set(queue, of)
      for (let i = 0; i < count; i++) {
        of.all.push(operator)
        if (isTrusted) of.trusted.push(operator)
      }
    }
  }
  return new Map(
    [...entries].map(([queue, { all, trusted }]) => [queue, { all: lineOf(all), trusted: lineOf(trusted) }]),
  )
}

const NOBODY: Line = { entries: [], ranges: new Map() }

function lineOf(operators: readonly string[]): Line {
  const entries = operators.toSorted()
  const ranges = new Map<string, { start: number; count: number }>()
  entries.forEach((operator, i) => {
    const range = ranges.get(operator)
    if (range === undefined) ranges.set(operator, { start: i, count: 1 })
    else range.count++
  })
  return { entries, ranges }
}

/** For a run that is compared with those of the excluded operators. */
export function placeAudit(roster: Roster, { queue, excluded, avoided, ticket }: PlaceAsk): Place {
  const { all, trusted } = roster.get(queue) ?? { all: NOBODY, trusted: NOBODY }
  const both = [...excluded, ...avoided]
  const auditor = draw(trusted, both, ticket)
  if (auditor !== undefined) return { reservedFor: reservation(auditor, 'trusted'), forMs: RESERVED_MS }
  const other = draw(all, both, ticket) ?? draw(all, excluded, ticket)
  if (other === undefined) return { reservedFor: null, forMs: HELD_MS }
  return { reservedFor: reservation(other, 'any'), forMs: RESERVED_MS }
}

/** For a run that was given back, or whose lease ended: others first, and anybody where there are none. */
export function placeRetry(roster: Roster, { queue, avoided, ticket, isDelayed = false }: PlaceAsk): Place {
  const other = draw(roster.get(queue)?.all ?? NOBODY, avoided, ticket)
  if (other !== undefined) return { reservedFor: reservation(other, 'any'), forMs: RESERVED_MS }
  return isDelayed ? { reservedFor: null, forMs: HELD_MS } : OPEN_PLACE
}

/** Whether any operator but those can run what is in the queue. */
export function hasOthers(roster: Roster, queue: string, operators: readonly string[]): boolean {
  return draw(roster.get(queue)?.all ?? NOBODY, operators, 0) !== undefined
}

/** Uniform over the entries that are not excluded, in time that their number does not change. */
function draw({ entries, ranges }: Line, excluded: readonly string[], ticket: number): string | undefined {
  const skipped = [...new Set(excluded)]
    .flatMap((operator) => ranges.get(operator) ?? [])
    .toSorted((a, b) => a.start - b.start)
  const left = entries.length - skipped.reduce((sum, { count }) => sum + count, 0)
  if (left === 0) return undefined
  let index = Math.floor(ticket * left)
  for (const { start, count } of skipped) if (index >= start) index += count
  return entries[index]
}

export interface Reserved {
  readonly queue: string
  readonly reservedFor: string
}

/** What is kept for nodes that were there and are not any more. */
export function goneFrom(before: Roster, after: Roster): Reserved[] {
  const gone: Reserved[] = []
  for (const [queue, lines] of before) {
    for (const [who, line] of [
      ['any', 'all'],
      ['trusted', 'trusted'],
    ] as const) {
      const left = after.get(queue)?.[line].ranges
      for (const operator of lines[line].ranges.keys()) {
        if (left?.has(operator) !== true) gone.push({ queue, reservedFor: reservation(operator, who) })
      }
    }
  }
  return gone
}

// By the clock of the database, which wrote when they were seen. Nodes that are alike make one row: ten thousand rows a
// second would hold up leases.
const LOAD = statement(
  'roster_load',
  `SELECT operator, is_trusted, kinds, runtimes, models, kept_from, count(*)::integer AS count FROM (
     SELECT operator, standing = 'trusted' AS is_trusted, manifest->'workKinds' AS kinds,
       manifest->'runtimes' AS runtimes, manifest->'chatModels' AS models, ${KEPT_FROM} AS kept_from
     FROM node WHERE state = 'online' AND NOT away AND last_seen_at > now() - interval '${UNHEARD_SECONDS} seconds'
       AND role = 'solver' AND standing IN ('probation', 'trusted')
       AND (resting_until IS NULL OR resting_until <= $1)
   ) AS there GROUP BY operator, is_trusted, kinds, runtimes, models, kept_from ORDER BY operator`,
)

interface LoadRow {
  readonly operator: string
  readonly is_trusted: boolean
  readonly kinds: Manifest['workKinds']
  readonly runtimes: Manifest['runtimes']
  readonly models: Manifest['chatModels'] | null
  readonly kept_from: readonly string[]
  readonly count: number
}

/** Of the nodes that get work now, and are there to take it. */
export async function loadRoster(db: Queryable, now: Date): Promise<Roster> {
  const { rows } = await db.query<LoadRow>(LOAD, [now])
  return rosterOf(
    rows.map(({ operator, is_trusted: isTrusted, kinds: workKinds, models, count, ...row }) => {
      const runtimes = runtimesLeft(row.runtimes, row.kept_from)
      const queues = queuesOf({ workKinds, runtimes, chatModels: models ?? [] })
      return { operator, isTrusted, queues, count }
    }),
  )
}
