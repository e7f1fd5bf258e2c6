/**
 * Events as server-sent events: frames one by one, as fast as the reader takes them.
 *
 * Nothing is buffered for a slow reader but the feed's bounded queue (event-feed.ts). A comment tells both ends that
 * the connection lives. A stream ends after a while, and whoever follows it comes back with the id of the last event:
 * so keys that were revoked end with their streams, and connections spread over replicas.
 */
import { AssayError } from 'assay/core/errors'
import type { EventView } from 'assay/wire/account'
import { END_EVENT } from 'assay/wire/events-stream'

/** A third of the time after which a client gives a stream up. */
const HEARTBEAT_MS = 15_000
const LONGEST_STREAM_MS = 900_000
/** Of one account: a dashboard or two, and a few programs that wait. */
const MAX_STREAMS_PER_ACCOUNT = 100
const LAST_EVENT_ID = /^[0-9]{1,15}$/

export interface EventStreams {
  /** A response body for these events. Throws 'wire/quota' and 'wire/unavailable' where there are too many. */
  open(events: AsyncGenerator<EventView, void, undefined>, options: StreamOptions): ReadableStream<Uint8Array>
  readonly count: number
}

export interface StreamOptions {
  readonly account: string
  /** Ends `events`, which must end with it. */
  readonly stop: AbortController
}

export interface StreamsOptions {
  readonly maxStreams: number
  readonly heartbeatMs?: number
  readonly longestMs?: number
}

export function createEventStreams(options: StreamsOptions): EventStreams {
  const { maxStreams, heartbeatMs = HEARTBEAT_MS, longestMs = LONGEST_STREAM_MS } = options
  const perAccount = new Map<string, number>()
  let count = 0
  const enter = (account: string) => {
    const own = perAccount.get(account) ?? 0
    if (own >= MAX_STREAMS_PER_ACCOUNT) {
      throw new AssayError('wire/quota', `the account has ${own} streams of events open: end some first`, {
        detail: { quota: 'streams', limit: MAX_STREAMS_PER_ACCOUNT },
      })
    }
    if (count >= maxStreams) {
      throw new AssayError('wire/unavailable', 'too many streams of events are open', {
        detail: { maxStreams },
      })
    }
    count += 1
    perAccount.set(account, own + 1)
  }
  const leave = (account: string) => {
    count -= 1
    const own = (perAccount.get(account) ?? 1) - 1
    if (own === 0) perAccount.delete(account)
    else perAccount.set(account, own)
  }
  return {
    get count() {
      return count
    },
    open(events, { account, stop }) {
      enter(account)
      const timer = setTimeout(() => stop.abort(), longestMs)
      const frames = framesOf(events, { heartbeatMs, isCut: () => stop.signal.aborted })
      const encoder = new TextEncoder()
      let isOpen = true
      const close = () => {
        if (!isOpen) return
        isOpen = false
        clearTimeout(timer)
        stop.abort()
        leave(account)
      }
      return new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            try {
              const { done, value } = await frames.next()
              if (!done) return controller.enqueue(encoder.encode(value))
              close()
              controller.close()
            } catch {
              // The database is away, say: whoever follows comes back, and is told then.
              close()
              controller.close()
            }
          },
          cancel: close,
        },
        { highWaterMark: 1 },
      )
    },
  }
}

/** Ends with the end event, unless the stream was cut. */
async function* framesOf(
  events: AsyncGenerator<EventView, void, undefined>,
  { heartbeatMs, isCut }: { readonly heartbeatMs: number; readonly isCut: () => boolean },
): AsyncGenerator<string, void, undefined> {
  yield ': events\n\n'
  let next = events.next()
  for (;;) {
    const result = await orAfter(next, heartbeatMs)
    if (result === undefined) {
      yield ': alive\n\n'
      continue
    }
    if (result.done === true) break
    yield frameOf(result.value)
    next = events.next()
  }
  if (!isCut()) yield `event: ${END_EVENT}\ndata: {}\n\n`
}

/** JSON has no line breaks, and types of events none either. */
function frameOf(event: EventView): string {
  return `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}

async function orAfter<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** What the header says; `undefined` where there is none. Throws 'wire/malformed'. */
export function lastEventId(header: string | undefined): number | undefined {
  if (header === undefined || header === '') return undefined
  if (LAST_EVENT_ID.test(header)) return Number(header)
  throw new AssayError('wire/malformed', 'expected a Last-Event-ID that an event had')
}
