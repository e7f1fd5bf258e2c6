import { randomUUID } from 'node:crypto'
import type { EventView } from 'assay/wire/account'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openTestNetwork, type TestNetwork } from '../../test/support/network.ts'
import { nodeIdOf } from '../../test/support/rows.ts'
import type { Tx } from '../store/database.ts'
import { type EventFeed, openFeed } from './event-feed.ts'
import { append, type NewEvent, readEvents } from './events.ts'

let network: TestNetwork
const feeds: EventFeed[] = []
beforeAll(async () => {
  network = await openTestNetwork()
}, 60_000)
afterEach(async () => {
  await Promise.all(feeds.splice(0).map((feed) => feed.close()))
})
afterAll(() => network?.close())

const write = (events: readonly NewEvent[]) => network.tx((tx) => append(tx, events))

function openTestFeed(db = network.db): EventFeed {
  const feed = openFeed({ db, pollMs: 10 })
  feeds.push(feed)
  return feed
}

/** The next events of a stream, as many as asked for. */
async function take(stream: AsyncGenerator<EventView>, count: number): Promise<EventView[]> {
  const events: EventView[] = []
  while (events.length < count) {
    const next = await stream.next()
    if (next.done === true) break
    events.push(next.value)
  }
  return events
}

/** A transaction that stays open until it is told to end. */
function held(db = network.db): {
  readonly run: (work: (tx: Tx) => Promise<void>) => Promise<void>
  end(): Promise<void>
  /** Takes back what it did. */
  fail(): Promise<void>
} {
  let finish: () => void = () => {}
  let refuse: (error: Error) => void = () => {}
  const ending = new Promise<void>((resolve, reject) => {
    finish = resolve
    refuse = reject
  })
  let done: Promise<void> = Promise.resolve()
  return {
    run: (work) =>
      new Promise((resolve, reject) => {
        done = db.tx(async (tx) => {
          await work(tx)
          resolve()
          await ending
        })
        done.catch(reject)
      }),
    end() {
      finish()
      return done
    },
    fail() {
      refuse(new Error('taken back'))
      return done
    },
  }
}

describe('append', () => {
  test('keeps what it was given, whatever is in the texts', async () => {
    const jobId = randomUUID()
    const data = {
      text: `'); DROP TABLE event; --\0\uD800`,
      nested: [{ 'a\0': '\0' }, null, 1.5, true],
      quote: '"\\',
    }
    await write([
      { type: 'test.kept', jobId, nodeId: nodeIdOf('kept'), segment: 3, data },
      { type: 'test.bare', jobId },
    ])
    const events = await readEvents(network.db, { after: 0, upTo: 1e9, jobIds: [jobId], limit: 10 })
    expect(events.map(({ id, at, ...rest }) => rest)).toEqual([
      {
        type: 'test.kept',
        jobId,
        nodeId: nodeIdOf('kept'),
        segment: 3,
        data: {
          text: `'); DROP TABLE event; --\uFFFD\uFFFD`,
          nested: [{ 'a\uFFFD': '\uFFFD' }, null, 1.5, true],
          quote: '"\\',
        },
      },
      { type: 'test.bare', jobId, nodeId: null, segment: null, data: {} },
    ])
  })

  test('is part of its transaction', async () => {
    const jobId = randomUUID()
    await network
      .tx(async (tx) => {
        await append(tx, [{ type: 'test.lost', jobId }])
        throw new Error('taken back')
      })
      .catch(() => {})
    expect(await readEvents(network.db, { after: 0, upTo: 1e9, jobIds: [jobId], limit: 10 })).toEqual([])
  })
})

describe('streams', () => {
  test('replay what was, and go on with what comes, each once and in order', async () => {
    const jobId = randomUUID()
    await write([{ type: 'test.a', jobId }, { type: 'test.other' }, { type: 'test.b', jobId }])
    const stream = openTestFeed().stream({ after: 0, jobId, signal: new AbortController().signal })
    const first = await take(stream, 2)
    expect(first.map(({ type }) => type)).toEqual(['test.a', 'test.b'])
    await write([{ type: 'test.c', jobId }, { type: 'test.other' }])
    await write([{ type: 'test.d', jobId }])
    const second = await take(stream, 2)
    expect(second.map(({ type }) => type)).toEqual(['test.c', 'test.d'])
    await stream.return()
  })

  test('resume behind the last id', async () => {
    const jobId = randomUUID()
    await write(Array.from({ length: 5 }, (_, i) => ({ type: `test.${i}`, jobId })))
    const feed = openTestFeed()
    const { signal } = new AbortController()
    const whole = await take(feed.stream({ after: 0, jobId, signal }), 5)
    const rest = await take(feed.stream({ after: whole[2]?.id ?? 0, jobId, signal }), 2)
    expect(rest).toEqual(whole.slice(3))
  })

  test('of the whole network, from now on', async () => {
    await write([{ type: 'test.before' }])
    const stream = openTestFeed().stream({ after: 'now', signal: new AbortController().signal })
    const next = take(stream, 1)
    // It joined when it began to wait, which is before this is written or after: write until it is there.
    let isThere = false
    void next.then(() => {
      isThere = true
    })
    while (!isThere) {
      await write([{ type: 'test.after' }])
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect((await next)[0]?.type).toBe('test.after')
    await stream.return()
  })

  test('an id that commits late is not passed over, by a stream that runs or one that resumes', async () => {
    const jobId = randomUUID()
    const feed = openTestFeed()
    const { signal } = new AbortController()
    await write([{ type: 'test.start', jobId }])
    const stream = feed.stream({ after: 0, jobId, signal })
    const [start] = await take(stream, 1)
    const late = held()
    await late.run((tx) => append(tx, [{ type: 'test.late', jobId }]))
    await write([{ type: 'test.early', jobId }])
    // The later id is there for all to see, the earlier one is not.
    const visible = await readEvents(network.db, {
      after: start?.id ?? 0,
      upTo: 1e9,
      jobIds: [jobId],
      limit: 9,
    })
    expect(visible.map(({ type }) => type)).toEqual(['test.early'])
    const both = take(stream, 2)
    const resumed = take(openTestFeed(network.open()).stream({ after: start?.id ?? 0, jobId, signal }), 2)
    await late.end()
    for (const events of await Promise.all([both, resumed])) {
      expect(events.map(({ type }) => type)).toEqual(['test.late', 'test.early'])
    }
  })

  test('an id that is taken back is no gap to wait for', async () => {
    const jobId = randomUUID()
    const stream = openTestFeed().stream({ after: 0, jobId, signal: new AbortController().signal })
    const never = held()
    await never.run((tx) => append(tx, [{ type: 'test.never', jobId }]))
    await write([{ type: 'test.kept', jobId }])
    const next = take(stream, 1)
    await never.fail().catch(() => {})
    expect((await next)[0]?.type).toBe('test.kept')
  })

  test('many writers at once: nothing is lost, nothing comes twice, the order is that of the ids', async () => {
    const jobId = randomUUID()
    const feed = openTestFeed()
    const writers = 8
    const each = 30
    const streams = [0, 0, 0].map(() =>
      feed.stream({ after: 0, jobId, signal: new AbortController().signal }),
    )
    const reading = Promise.all(streams.map((stream) => take(stream, 2 * writers * each)))
    const other = network.open()
    await Promise.all(
      Array.from({ length: writers }, async (_, writer) => {
        for (let round = 0; round < each; round++) {
          await (writer % 2 === 0 ? network.db : other).tx(async (tx) => {
            await append(tx, [{ type: 'test.one', jobId, data: { writer, round } }])
            if ((writer + round) % 5 === 0) await tx.query('SELECT pg_sleep(0.003)')
            await append(tx, [{ type: 'test.two', jobId, data: { writer, round } }])
          })
        }
      }),
    )
    for (const events of await reading) {
      const ids = events.map(({ id }) => id)
      expect(ids).toEqual(ids.toSorted((a, b) => a - b))
      expect(new Set(ids).size).toBe(2 * writers * each)
    }
  })

  test('one that is read too slowly replays, and misses nothing', async () => {
    const jobId = randomUUID()
    const feed = openTestFeed()
    const { signal } = new AbortController()
    await write([{ type: 'test.first', jobId }])
    const slow = feed.stream({ after: 0, jobId, signal })
    const fast = feed.stream({ after: 0, jobId, signal })
    await take(slow, 1)
    await take(fast, 1)
    const total = 6000
    for (let i = 0; i < total; i += 500) {
      await write(Array.from({ length: 500 }, () => ({ type: 'test.flood', jobId })))
    }
    await take(fast, total)
    const ids = (await take(slow, total)).map(({ id }) => id)
    expect(new Set(ids).size).toBe(total)
    expect(ids).toEqual(ids.toSorted((a, b) => a - b))
  })

  test('end by their signal and with the feed, also while they wait', async () => {
    const feed = openTestFeed()
    const stop = new AbortController()
    const one = feed.stream({ after: 'now', jobId: randomUUID(), signal: stop.signal })
    const two = feed.stream({ after: 'now', jobId: randomUUID(), signal: new AbortController().signal })
    const ends = [one.next(), two.next()]
    stop.abort()
    expect((await ends[0])?.done).toBe(true)
    await feed.close()
    expect((await ends[1])?.done).toBe(true)
  })

  test('a database that goes away is told, and the stream goes on when it is back', async () => {
    const jobId = randomUUID()
    let isAway = false
    const errors: unknown[] = []
    const feed = openFeed({
      db: { query: (...call) => (isAway ? Promise.reject(new Error('away')) : network.db.query(...call)) },
      pollMs: 10,
      onError: (error) => errors.push(error),
    })
    feeds.push(feed)
    await write([{ type: 'test.start', jobId }])
    const stream = feed.stream({ after: 0, jobId, signal: new AbortController().signal })
    await take(stream, 1)
    isAway = true
    const next = take(stream, 1)
    while (errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await write([{ type: 'test.back', jobId }])
    isAway = false
    expect((await next)[0]?.type).toBe('test.back')
  })
})
