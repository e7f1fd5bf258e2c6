/**
 * Nodes that wait for work, and who of them is told when there may be some.
 *
 * A node that finds nothing leaves its places here (queue and reservation, life/queue.ts). When work was made, here or
 * by another replica, one look at the database says which places have some; for each of these the node that waits
 * longest tries again, and the next one only after it got something. So a thousand waiting nodes cost one look and as
 * many tries as there is work, and a busy network looks once for many makings.
 *
 * Waiting is bounded (`MAX_WAIT_MS`), ends with the connection and when the service stops.
 */
import type { Log } from '../../service/log.ts'
import { type Queryable, statement } from '../../store/database.ts'

/** Between two looks: they cost little, and tell of all that was made meanwhile. */
const LOOK_PAUSE_MS = 10
/** Reservations end by time, and a notification may get lost: a look now and then finds what nobody told of. */
const IDLE_LOOK_MS = 1_000
/** Tries under way at once: each is one statement on one connection. */
const MAX_TRIES = 4
/** Nodes of a place that may get nothing, one after the other, before it counts as empty: some are at their limit. */
const MAX_MISSES = 3
/** Places that one look tells of. With more, the others are told by the next looks. */
const MAX_PLACES = 2_000

/** What a node may have: `place(queue, reservation)`. */
export type Place = string

export function place(queue: string, reservation: string): Place {
  return `${reservation}\n${queue}`
}

export interface WaitOptions<T> {
  readonly places: readonly Place[]
  readonly waitMs: number
  /** Ends the wait: the connection is gone, or the service stops. */
  readonly signal: AbortSignal
  /** Undefined where there is nothing for this node. */
  readonly attempt: () => Promise<T | undefined>
  /** Whether the node may have what is there now: that can change while it waits. Yes where it is left out. */
  readonly mayHave?: (at: Place) => Promise<boolean>
}

export interface WorkBoard {
  /** What an attempt gave, now or later; undefined when the wait ended without. */
  wait<T>(options: WaitOptions<T>): Promise<T | undefined>
  /** There may be work. */
  signal(): void
  readonly waiting: number
  close(): Promise<void>
}

interface Waiter {
  readonly places: readonly Place[]
  readonly mayHave: (at: Place) => Promise<boolean>
  /** Whether it got something; resolves what it waits for. */
  readonly tryNow: () => Promise<boolean>
  /** Lets go of it. */
  readonly end: () => void
}

export interface BoardOptions {
  /** Places that have work now. */
  readonly look: () => Promise<readonly Place[]>
  readonly log: Log
}

export function openWorkBoard({ look, log }: BoardOptions): WorkBoard {
  const waiters = new Map<Place, Set<Waiter>>()
  const all = new Set<Waiter>()
  let isSignalled = false
  let signals = 0
  let isClosed = false
  let running: Promise<void> | undefined
  let wake: () => void = () => undefined

  /** The first of a place who waits; it goes behind the others. */
  const nextAt = (at: Place): Waiter | undefined => {
    const line = waiters.get(at)
    const waiter = line?.values().next().value
    if (waiter !== undefined && line !== undefined) {
      line.delete(waiter)
      line.add(waiter)
    }
    return waiter
  }

  /** Until the place gives nothing more, or nobody waits there who has not tried. */
  const serve = async (at: Place): Promise<void> => {
    const tried = new Set<Waiter>()
    for (let misses = 0; misses < MAX_MISSES; ) {
      const waiter = nextAt(at)
      if (waiter === undefined || tried.has(waiter)) return
      tried.add(waiter)
      if (!(await waiter.mayHave(at))) continue
      misses = (await waiter.tryNow()) ? 0 : misses + 1
    }
  }

  const round = async (): Promise<void> => {
    const places = (await look()).filter((at) => waiters.has(at))
    const lanes = Array.from({ length: Math.min(MAX_TRIES, places.length) }, async () => {
      for (let at = places.pop(); at !== undefined; at = places.pop()) await serve(at)
    })
    await Promise.all(lanes)
  }

  const run = async (): Promise<void> => {
    while (all.size > 0 && !isClosed) {
      if (!isSignalled) await pause(IDLE_LOOK_MS)
      isSignalled = false
      try {
        await round()
      } catch (error) {
        log.warn('looking for work failed', { error })
        await pause(IDLE_LOOK_MS)
      }
      await pause(LOOK_PAUSE_MS, { isFirm: true })
    }
  }

  const pause = (ms: number, { isFirm = false } = {}) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      if (isFirm) return
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  const start = () => {
    running ??= run().finally(() => {
      running = undefined
      if (all.size > 0 && !isClosed) start()
    })
  }

  const enter = (waiter: Waiter) => {
    all.add(waiter)
    for (const at of waiter.places) {
      const line = waiters.get(at) ?? new Set()
      line.add(waiter)
      waiters.set(at, line)
    }
    start()
  }

  const leave = (waiter: Waiter) => {
    all.delete(waiter)
    for (const at of waiter.places) {
      const line = waiters.get(at)
      line?.delete(waiter)
      if (line?.size === 0) waiters.delete(at)
    }
  }

  const signal = () => {
    signals += 1
    isSignalled = true
    wake()
  }

  const wait = async <T>({
    places,
    waitMs,
    signal: ending,
    attempt,
    mayHave = async () => true,
  }: WaitOptions<T>): Promise<T | undefined> => {
    const before = signals
    const first = await attempt()
    if (first !== undefined || waitMs <= 0 || ending.aborted || isClosed || places.length === 0) return first
    return new Promise<T | undefined>((resolve, reject) => {
      let trying: Promise<boolean> | undefined
      const end = () => {
        clearTimeout(timer)
        ending.removeEventListener('abort', end)
        leave(waiter)
        // What a try under way gets is this node's: it is answered with that.
        if (trying === undefined) resolve(undefined)
      }
      const tryOnce = async (): Promise<boolean> => {
        try {
          const found = await attempt()
          if (found !== undefined || !all.has(waiter)) resolve(found)
          return found !== undefined
        } catch (error) {
          reject(error)
          return true
        }
      }
      const tryNow = (): Promise<boolean> => {
        trying ??= tryOnce().then((isOver) => {
          trying = undefined
          if (isOver) end()
          return isOver
        })
        return trying
      }
      const waiter: Waiter = { places, mayHave, tryNow, end }
      const timer = setTimeout(end, waitMs)
      ending.addEventListener('abort', end, { once: true })
      enter(waiter)
      // Work may have come between the attempt and the entry.
      if (signals !== before) signal()
    })
  }

  return {
    wait,
    signal,
    get waiting() {
      return all.size
    },
    async close() {
      isClosed = true
      for (const waiter of [...all]) waiter.end()
      wake()
      await running
    },
  }
}

const LOOK = statement(
  'places_look',
  `WITH RECURSIVE place AS (
     (SELECT queue, reserved_for FROM dispatch WHERE state = 'queued' AND reserved_for IS NOT NULL
      ORDER BY queue, reserved_for LIMIT 1)
     UNION ALL
     SELECT next.queue, next.reserved_for FROM place, LATERAL (
       SELECT queue, reserved_for FROM dispatch
       WHERE state = 'queued' AND (dispatch.queue, dispatch.reserved_for) > (place.queue, place.reserved_for)
       ORDER BY queue, reserved_for LIMIT 1
     ) AS next
   )
   SELECT queue, reserved_for FROM place LIMIT ${MAX_PLACES}`,
)

/** Places that have queued dispatches; steps from one to the next, however many each has. */
export async function placesWithWork(db: Queryable): Promise<Place[]> {
  const { rows } = await db.query<{ queue: string; reserved_for: string }>(LOOK)
  return rows.map(({ queue, reserved_for }) => place(queue, reserved_for))
}

const WAITING = statement(
  'verifications_waiting',
  "SELECT EXISTS (SELECT FROM verification WHERE state = 'queued') AS is_waiting",
)

/** Whether there are results to check. */
export async function verificationsWaiting(db: Queryable): Promise<boolean> {
  return (await db.query<{ is_waiting: boolean }>(WAITING)).rows[0]?.is_waiting === true
}
