/**
 * LISTEN over a connection of its own, which comes back by itself.
 *
 * PostgreSQL keeps no message for who is away. So whenever the connection had to be made again, every callback gets
 * `null`: something may have been missed, look yourself. A connection that is cut without a word (a dead network)
 * is noticed by a question that is asked now and then.
 *
 * Notifications of a transaction are sent when it commits, under one lock for the whole database: notify once for a
 * batch, never for each row.
 */
import { AssayError } from 'assay/core/errors'
import type { Client, QueryConfig } from 'pg'
import type { Log } from '../service/log.ts'

/** The payload of a message, or `null` when some may have been missed. */
export type OnNotify = (payload: string | null) => void
export type Unlisten = () => Promise<void>

const CHANNEL = /^[a-z_][a-z0-9_]{0,62}$/
const PING_INTERVAL_MS = 15_000
const ASK_TIMEOUT_MS = 5000
const FIRST_PAUSE_MS = 50
const MAX_PAUSE_MS = 5000

export interface Listener {
  listen(channel: string, onNotify: OnNotify): Promise<Unlisten>
  close(): Promise<void>
}

interface Waiting {
  resolve(): void
  reject(error: AssayError): void
}

interface ListenerOptions {
  readonly log: Log
  /** How often the connection is asked whether it still lives, and how long it may take to answer. */
  readonly pingIntervalMs?: number
}

export function createListener(connect: () => Client, options: ListenerOptions): Listener {
  const { log, pingIntervalMs = PING_INTERVAL_MS } = options
  const channels = new Map<string, Set<OnNotify>>()
  const waiting = new Set<Waiting>()
  let link: Link | undefined
  let loop: Promise<void> | undefined
  let isClosed = false
  let wake: () => void = () => undefined

  const tell = (channel: string, payload: string | null) => {
    for (const onNotify of channels.get(channel) ?? []) {
      try {
        onNotify(payload)
      } catch (error) {
        log.error('a callback of a notification failed', { channel, error })
      }
    }
  }

  /** One connection, from its start to its end. */
  const serve = async (isFirst: boolean): Promise<void> => {
    const own = openLink(connect(), { tell, timeoutMs: Math.min(pingIntervalMs, ASK_TIMEOUT_MS) })
    try {
      await own.connect()
      for (const channel of channels.keys()) await own.ask(`LISTEN ${channel}`)
      if (isClosed) return
      link = own
      if (!isFirst) for (const channel of channels.keys()) tell(channel, null)
      for (const { resolve } of waiting) resolve()
      waiting.clear()
      await pingUntilEnd(own, pingIntervalMs)
      if (!isClosed) log.warn('the connection for notifications broke')
    } finally {
      link = undefined
      own.end()
    }
  }

  const run = async (): Promise<void> => {
    let pauseMs = FIRST_PAUSE_MS
    let isFirst = true
    while (!isClosed) {
      const started = performance.now()
      try {
        await serve(isFirst)
        isFirst = false
      } catch (error) {
        log.warn('no connection for notifications', { error, pauseMs })
      }
      if (isClosed) return
      pauseMs = performance.now() - started > MAX_PAUSE_MS ? FIRST_PAUSE_MS : pauseMs
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pauseMs)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)
    }
  }

  const listen: Listener['listen'] = async (channel, onNotify) => {
    if (isClosed) throw closedError()
    if (!CHANNEL.test(channel)) {
      throw new AssayError('store/options', `expected a channel in snake_case, got ${channel.slice(0, 80)}`)
    }
    const callbacks = channels.get(channel) ?? new Set()
    callbacks.add(onNotify)
    channels.set(channel, callbacks)
    loop ??= run()
    const current = link
    // Asked for again where it is listened to already: that costs nothing, and says that it holds.
    if (current === undefined || !(await succeeds(current.ask(`LISTEN ${channel}`)))) {
      current?.end()
      if (isClosed) throw closedError()
      await new Promise<void>((resolve, reject) => waiting.add({ resolve, reject }))
    }
    return async () => {
      callbacks.delete(onNotify)
      if (callbacks.size > 0 || channels.get(channel) !== callbacks) return
      channels.delete(channel)
      if (link !== undefined) await succeeds(link.ask(`UNLISTEN ${channel}`))
    }
  }

  const close = async (): Promise<void> => {
    isClosed = true
    for (const { reject } of waiting) reject(closedError())
    waiting.clear()
    wake()
    link?.end()
    await loop
  }
  return { listen, close }
}

/** A connection whose questions are asked one after another. */
interface Link {
  readonly ended: Promise<void>
  connect(): Promise<void>
  ask(text: string): Promise<unknown>
  end(): void
}

function openLink(
  client: Client,
  {
    tell,
    timeoutMs,
  }: { readonly tell: (channel: string, payload: string) => void; readonly timeoutMs: number },
): Link {
  let last: Promise<unknown> = Promise.resolve()
  const ended = new Promise<void>((resolve) => {
    client.on('end', () => resolve())
    // The end follows; without this the process would.
    client.on('error', () => undefined)
  })
  client.on('notification', ({ channel, payload }) => tell(channel, payload ?? ''))
  return {
    ended,
    connect: async () => {
      await client.connect()
    },
    ask: (text) => {
      const call: TimedQuery = { text, query_timeout: timeoutMs }
      const answer = last.then(() => client.query(call))
      last = answer.catch(() => undefined)
      return answer
    },
    end: () => void client.end().catch(() => undefined),
  }
}

/** What the types of the driver leave out. */
interface TimedQuery extends QueryConfig {
  query_timeout?: number
}

/** Until the connection ends, or does not answer any more. */
async function pingUntilEnd(link: Link, intervalMs: number): Promise<void> {
  let isAsking = false
  const timer = setInterval(async () => {
    if (isAsking) return
    isAsking = true
    if (!(await succeeds(link.ask('SELECT 1')))) link.end()
    isAsking = false
  }, intervalMs)
  await link.ended
  clearInterval(timer)
}

function succeeds(work: Promise<unknown>): Promise<boolean> {
  return work.then(
    () => true,
    () => false,
  )
}

function closedError(): AssayError {
  return new AssayError('store/closed', 'the database is closed: open it again')
}
