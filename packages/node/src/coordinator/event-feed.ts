/**
 * Streams of events: one reader of the database for all streams of a process.
 *
 * A stream first replays what it missed from the database, up to the bound (events.ts) at which it joined, and is then
 * handed what comes after. One that is read too slowly is not buffered for: its queue is dropped, and it replays.
 */
import type { EventView } from 'assay/wire/account'
import type { Queryable } from '../store/database.ts'
import { readEvents } from './events.ts'

interface StreamOptions {
  /** Events with larger ids (`Last-Event-ID`, or 0 for all); `now` begins with what comes next. */
  readonly after: number | 'now'
  /** Of one job alone. */
  readonly jobId?: string
  /** Ends the stream. */
  readonly signal: AbortSignal
}

export interface EventFeed {
  /** In the order of their ids, each once. Throws when the database is away while it replays: resume then. */
  stream(options: StreamOptions): AsyncGenerator<EventView, void, undefined>
  /** Ends all streams. */
  close(): Promise<void>
}

export interface FeedOptions {
  readonly db: Queryable
  /** Between two looks, while there are streams. */
  readonly pollMs?: number
  /** Told of failed looks; the feed goes on. */
  readonly onError?: (error: unknown) => void
}

const POLL_MS = 100
/** Events that wait for one stream: more than one look brings at 10,000 a second. */
const MAX_QUEUE = 2048
const PAGE = 1000
/** Above it, one query for all events costs less than one by jobs. */
const MAX_JOBS = 500
/** Looks that wait for the writers of their time to end. */
const MAX_LOOKS = 64

interface Subscriber {
  readonly jobId: string | undefined
  /** Events after this one are queued; null until the next look. */
  from: number | null
  queue: EventView[]
  wake: () => void
}

/** How far ids were drawn, by transactions before `next` alone. */
interface Look {
  readonly last: number
  readonly next: bigint
}

export function openFeed({ db, pollMs = POLL_MS, onError = () => {} }: FeedOptions): EventFeed {
  const subscribers = new Set<Subscriber>()
  const closing = new AbortController()
  let bound: number | null = null
  let looks: Look[] = []
  let running: Promise<void> | null = null

  async function look(): Promise<void> {
    for (const subscriber of subscribers) {
      if (subscriber.from !== null || bound === null) continue
      subscriber.from = bound
      subscriber.wake()
    }
    const { rows } = await db.query<{ last: number; oldest: string; next: string }>(
      'SELECT last, oldest, next FROM event_horizon()',
    )
    const [{ last, oldest, next }] = rows as [(typeof rows)[number]]
    looks.push({ last, next: BigInt(next) })
    const ended = looks.filter((earlier) => earlier.next <= BigInt(oldest))
    looks = looks.slice(ended.length).slice(0, MAX_LOOKS)
    const reached = ended.at(-1)?.last
    if (reached === undefined || (bound !== null && reached <= bound)) return
    if (bound !== null) await handOut(bound, reached)
    bound = reached
  }

  async function handOut(from: number, upTo: number): Promise<void> {
    const live = [...subscribers].filter((subscriber) => subscriber.from !== null)
    if (live.length === 0) return
    const jobIds = jobsOf(live)
    for (let after = from; ; ) {
      const events = await readEvents(db, { after, upTo, jobIds, limit: PAGE })
      for (const subscriber of live) offer(subscriber, events)
      const last = events.at(-1)
      if (last === undefined || events.length < PAGE) return
      after = last.id
    }
  }

  async function run(): Promise<void> {
    while (subscribers.size > 0 && !closing.signal.aborted) {
      const began = performance.now()
      try {
        await look()
      } catch (error) {
        onError(error)
      }
      // The first bound is what streams wait for: the looks for it come one after the other.
      await pause(bound === null ? 5 : Math.max(5, pollMs - (performance.now() - began)), closing.signal)
    }
    // What was known is old when the next stream comes.
    bound = null
    looks = []
  }

  function start(): void {
    running ??= run().finally(() => {
      running = null
      if (subscribers.size > 0 && !closing.signal.aborted) start()
    })
  }

  async function* stream({
    after,
    jobId,
    signal,
  }: StreamOptions): AsyncGenerator<EventView, void, undefined> {
    const subscriber: Subscriber = { jobId, from: null, queue: [], wake: () => {} }
    const jobIds = jobId === undefined ? null : [jobId]
    const isEnded = () => signal.aborted || closing.signal.aborted
    const wake = () => subscriber.wake()
    let position = after === 'now' ? null : after
    signal.addEventListener('abort', wake)
    subscribers.add(subscriber)
    start()
    try {
      while (!isEnded()) {
        const { from } = subscriber
        if (from === null) {
          await woken(subscriber)
          continue
        }
        position ??= from
        if (position < from) {
          const events = await readEvents(db, { after: position, upTo: from, jobIds, limit: PAGE })
          for (const event of events) {
            if (isEnded()) return
            position = event.id
            yield event
          }
          if (events.length < PAGE) position = from
          continue
        }
        const event = subscriber.queue.shift()
        if (event === undefined) await woken(subscriber)
        else if (event.id > position) {
          position = event.id
          yield event
        }
      }
    } finally {
      signal.removeEventListener('abort', wake)
      subscribers.delete(subscriber)
    }
  }

  return {
    stream,
    async close() {
      closing.abort()
      for (const { wake } of subscribers) wake()
      await running
    },
  }
}

/** The jobs that streams ask for; null when one asks for all, or they are many. */
function jobsOf(subscribers: readonly Subscriber[]): string[] | null {
  const jobIds = new Set<string>()
  for (const { jobId } of subscribers) {
    if (jobId === undefined) return null
    jobIds.add(jobId)
  }
  return jobIds.size > MAX_JOBS ? null : [...jobIds]
}

function offer(subscriber: Subscriber, events: readonly EventView[]): void {
  if (subscriber.from === null) return
  const { jobId, queue } = subscriber
  for (const event of events) if (jobId === undefined || event.jobId === jobId) queue.push(event)
  if (queue.length > MAX_QUEUE) {
    subscriber.queue = []
    subscriber.from = null
  }
  subscriber.wake()
}

function woken(subscriber: Subscriber): Promise<void> {
  return new Promise((resolve) => {
    subscriber.wake = resolve
  })
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
}
