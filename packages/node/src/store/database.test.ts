import { AssayError } from 'assay/core/errors'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts'
import { type TcpProxy, tcpProxy } from '../../test/support/tcp-proxy.ts'
import { type Database, type DatabaseOptions, openDatabase, statement } from './database.ts'

let fresh: TestDatabase
let proxy: TcpProxy
/** Through the proxy. */
let proxied: string
beforeAll(async () => {
  fresh = await testDatabase()
  const url = new URL(fresh.url)
  proxy = await tcpProxy({ host: url.hostname, port: Number(url.port) })
  url.host = `127.0.0.1:${proxy.port}`
  proxied = url.href
  const database = openDatabase(fresh.url)
  await database.query('CREATE TABLE item (id int PRIMARY KEY, amount int8 NOT NULL CHECK (amount >= 0))')
  await database.close()
})
afterAll(async () => {
  await proxy.close()
  await fresh.drop()
})

const opened: Database[] = []
function open(options: DatabaseOptions & { readonly url?: string } = {}): Database {
  const { url = fresh.url, ...rest } = options
  const database = openDatabase(url, rest)
  opened.push(database)
  return database
}
afterEach(async () => {
  proxy.release()
  await Promise.all(opened.splice(0).map((database) => database.close()))
})

let db: Database
beforeEach(async () => {
  db = open()
  await db.query('TRUNCATE item')
})

async function refusal(work: Promise<unknown>): Promise<AssayError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(AssayError)
  return error as AssayError
}

describe('values', () => {
  it('come back as they went in', async () => {
    const bytes = fc.uint8Array({ maxLength: 300 })
    const text = fc.string({ unit: 'grapheme' }).map((given) => given.replaceAll('\0', ''))
    await fc.assert(
      fc.asyncProperty(
        fc.maxSafeInteger(),
        bytes,
        text,
        fc.array(fc.option(fc.maxSafeInteger())),
        fc.array(fc.option(bytes)),
        async (int8, bytea, string, int8s, byteas) => {
          const { rows } = await db.query<{ [name: string]: unknown }>(
            'SELECT $1::int8 a, $2::bytea b, $3::text c, $4::int8[] d, $5::bytea[] e',
            [int8, bytea, string, int8s, byteas],
          )
          expect(rows).toEqual([{ a: int8, b: bytea, c: string, d: int8s, e: byteas }])
        },
      ),
      { numRuns: 50 },
    )
  })

  it('of bytes have their own memory', async () => {
    const { rows } = await db.query<{ b: Uint8Array }>("SELECT '\\x0102'::bytea b")
    expect(rows[0]?.b.constructor).toBe(Uint8Array)
    expect(rows[0]?.b.buffer.byteLength).toBe(2)
  })

  it('beyond exact numbers are an error, never rounded', async () => {
    expect((await refusal(db.query('SELECT 9007199254740992::int8'))).code).toBe('store/value')
    const { rows } = await db.query<{ n: string }>('SELECT sum(x) n FROM (VALUES (1::int8), (2)) v(x)')
    expect(rows).toEqual([{ n: '3' }])
  })

  it('of hostile texts are only values', async () => {
    const hostile = "'; DROP TABLE item; --\\ $1 \u202e 𝒳"
    expect((await db.query<{ t: string }>('SELECT $1::text t', [hostile])).rows).toEqual([{ t: hostile }])
    expect((await refusal(db.query('SELECT $1::text', ['a\0b']))).code).toBe('store/value')
    expect((await db.query('SELECT 1 FROM item')).count).toBe(0)
  })

  it('say when they were', async () => {
    const at = new Date('2026-01-02T03:04:05.678Z')
    expect((await db.query<{ at: Date }>('SELECT $1::timestamptz at', [at])).rows).toEqual([{ at }])
  })
})

describe('statements', () => {
  it('with a name are planned once, and told by their name', async () => {
    const names: string[] = []
    const named = open({ maxConnections: 1, onQuery: (name) => names.push(name) })
    const select = statement('select-one', 'SELECT $1::int AS n')
    for (const n of [1, 2, 3]) expect((await named.query(select, [n])).rows).toEqual([{ n }])
    const { rows } = await named.query<{ statement: string; uses: number }>(
      'SELECT statement, generic_plans + custom_plans AS uses FROM pg_prepared_statements',
    )
    expect(rows).toEqual([{ statement: select.text, uses: 3 }])
    expect(names).toEqual(['select-one', 'select-one', 'select-one', 'query'])
    expect(statement('select-one', 'SELECT 2').name).not.toBe(select.name)
  })

  it('survive a migration that changes what they return', async () => {
    const one = open({ maxConnections: 1 })
    await db.query('CREATE TABLE widening (a int)')
    const all = statement('all-widening', 'SELECT * FROM widening')
    const inTx = () => one.tx(async (tx) => (await tx.query(all)).rows)
    expect((await one.query(all)).rows).toEqual([])
    await db.query('ALTER TABLE widening ADD b int')
    await db.query('INSERT INTO widening VALUES (1, 2)')
    expect((await one.query(all)).rows).toEqual([{ a: 1, b: 2 }])
    await db.query('ALTER TABLE widening ADD c int DEFAULT 3')
    expect(await inTx()).toEqual([{ a: 1, b: 2, c: 3 }])
  })
})

describe('errors', () => {
  it('are typed, and leave the connection in use', async () => {
    const one = open({ maxConnections: 1 })
    const pid = async () => (await one.query<{ pid: number }>('SELECT pg_backend_pid() pid')).rows[0]?.pid
    const before = await pid()
    expect(await refusal(one.query('INSERT INTO item VALUES (1, -1)'))).toMatchObject({
      code: 'store/constraint',
      detail: { constraint: 'item_amount_check', table: 'item', sqlState: '23514' },
    })
    await one.query('INSERT INTO item VALUES (1, 5)')
    const twice = await refusal(one.query('INSERT INTO item VALUES (1, 5)'))
    expect(twice).toMatchObject({ code: 'store/constraint', detail: { constraint: 'item_pkey' } })
    // The server's detail would be "Key (id)=(1) already exists."
    expect(`${twice.message}${JSON.stringify(twice.detail)}`).not.toMatch(/\(1\)/)
    expect(await refusal(one.query('SELEC 1'))).toMatchObject({
      code: 'store/query',
      detail: { sqlState: '42601' },
    })
    expect(await pid()).toBe(before)
  })

  it('of times that ran out', async () => {
    const slow = open({ statementTimeoutMs: 20 })
    expect((await refusal(slow.query('SELECT pg_sleep(10)'))).code).toBe('store/timeout')
    const busy = open({ maxConnections: 1, connectTimeoutMs: 20 })
    await busy.tx(async () => {
      expect((await refusal(busy.query('SELECT 1'))).code).toBe('store/timeout')
    })
  })

  it('of too many who wait', async () => {
    const small = open({ maxConnections: 1, maxWaiting: 2 })
    await small
      .tx(async () => {
        const waiting = [small.query('SELECT 1'), small.query('SELECT 1')]
        expect((await refusal(small.query('SELECT 1'))).code).toBe('store/overloaded')
        expect(small.stats().waiting).toBe(2)
        return waiting
      })
      .then((waiting) => Promise.all(waiting))
  })

  it('of a database that is not there, with no secrets', async () => {
    const away = open({ url: 'postgres://me:very-secret@127.0.0.1:1/none' })
    const error = await refusal(away.query('SELECT 1'))
    expect(error.code).toBe('store/unavailable')
    expect(`${error.message}${JSON.stringify(error)}`).not.toMatch(/very-secret/)
    const wrong = new URL(fresh.url)
    wrong.pathname = '/not-there'
    expect((await refusal(open({ url: wrong.href }).query('SELECT 1'))).code).toBe('store/unavailable')
    expect(() => openDatabase('mysql://x:very-secret@y')).toThrow(/postgres:\/\/user:password/)
  })
})

describe('transactions', () => {
  const amountOf = async (id: number) =>
    (await db.query<{ amount: number }>('SELECT amount FROM item WHERE id = $1', [id])).rows[0]?.amount

  it('commit what they did, or nothing', async () => {
    expect(await db.tx(async (tx) => (await tx.query('INSERT INTO item VALUES (1, 1)')).count)).toBe(1)
    const mine = new Error('mine')
    const failing = db.tx(async (tx) => {
      await tx.query('INSERT INTO item VALUES (2, 2)')
      throw mine
    })
    await expect(failing).rejects.toBe(mine)
    expect([await amountOf(1), await amountOf(2)]).toEqual([1, undefined])
  })

  it('do not pass for committed when an error was swallowed', async () => {
    const swallowed = db.tx(async (tx) => {
      await tx.query('INSERT INTO item VALUES (1, 1)')
      await tx.query('SELECT 1 / 0').catch(() => undefined)
    })
    expect((await refusal(swallowed)).code).toBe('store/query')
    expect(await amountOf(1)).toBeUndefined()
  })

  it('run queries one after another, and none after their end', async () => {
    const late = await db.tx(async (tx) => {
      await Promise.all([1, 2, 3].map((id) => tx.query('INSERT INTO item VALUES ($1, 0)', [id])))
      return tx
    })
    expect((await db.query('SELECT 1 FROM item')).count).toBe(3)
    expect((await refusal(late.query('DELETE FROM item'))).code).toBe('store/closed')
    const broken = db.tx((tx) =>
      Promise.all([
        tx.query('SELECT 1 / 0'),
        tx.query('INSERT INTO item VALUES (4, 4)').catch(() => undefined),
      ]),
    )
    expect((await refusal(broken)).code).toBe('store/value')
    expect(await amountOf(4)).toBeUndefined()
  })

  it('that met others run again until they go through', async () => {
    await db.query('INSERT INTO item VALUES (1, 0)')
    const runs = vi.fn()
    const add = () =>
      db.tx(
        async (tx) => {
          runs()
          const { rows } = await tx.query<{ amount: number }>('SELECT amount FROM item WHERE id = 1')
          await tx.query('UPDATE item SET amount = $1 WHERE id = 1', [rows[0]!.amount + 1])
        },
        { isolation: 'serializable', maxAttempts: 200 },
      )
    await Promise.all(Array.from({ length: 8 }, add))
    expect(await amountOf(1)).toBe(8)
    expect(runs.mock.calls.length).toBeGreaterThan(8)
  })

  it('that deadlock go through both', async () => {
    await db.query('INSERT INTO item VALUES (1, 0), (2, 0)')
    let both: () => void = () => undefined
    const met = new Promise<void>((resolve) => {
      let count = 0
      both = () => {
        count += 1
        if (count === 2) resolve()
      }
    })
    const move = (first: number, second: number) =>
      db.tx(async (tx) => {
        await tx.query('UPDATE item SET amount = amount + 1 WHERE id = $1', [first])
        both()
        await met
        await tx.query('UPDATE item SET amount = amount + 1 WHERE id = $1', [second])
      })
    await Promise.all([move(1, 2), move(2, 1)])
    expect([await amountOf(1), await amountOf(2)]).toEqual([2, 2])
  })

  it('that never go through say so', async () => {
    await db.query('INSERT INTO item VALUES (1, 0)')
    let runs = 0
    const losing = db.tx(
      async (tx) => {
        runs += 1
        await tx.query('SELECT amount FROM item WHERE id = 1')
        await db.query('UPDATE item SET amount = amount + 1 WHERE id = 1')
        await tx.query('UPDATE item SET amount = 100 WHERE id = 1')
      },
      { isolation: 'repeatable read', maxAttempts: 3 },
    )
    expect((await refusal(losing)).code).toBe('store/conflict')
    expect([runs, await amountOf(1)]).toEqual([3, 3])
  })

  it('keep their own limits', async () => {
    await db.query('INSERT INTO item VALUES (1, 0)')
    await db.tx(async (holder) => {
      await holder.query('SELECT 1 FROM item WHERE id = 1 FOR UPDATE')
      const waiting = db.tx((tx) => tx.query('SELECT 1 FROM item WHERE id = 1 FOR UPDATE'), {
        lockTimeoutMs: 20,
      })
      expect(await refusal(waiting)).toMatchObject({
        code: 'store/timeout',
        detail: { sqlState: '55P03' },
      })
    })
    const readOnly = db.tx((tx) => tx.query('DELETE FROM item'), { readOnly: true })
    expect((await refusal(readOnly)).code).toBe('store/unavailable')
    const short = db.tx((tx) => tx.query('SELECT pg_sleep(10)'), { statementTimeoutMs: 20 })
    expect((await refusal(short)).code).toBe('store/timeout')
  })
})

describe('a connection that breaks', () => {
  it('in a query is told, and the next one works', async () => {
    const far = open({ url: proxied })
    await far.query('SELECT 1')
    const running = refusal(far.query('SELECT pg_sleep(10)'))
    const active =
      "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(10)'"
    await vi.waitUntil(async () => (await db.query(active)).count === 1)
    proxy.cut()
    expect((await running).code).toBe('store/unavailable')
    expect((await far.query('SELECT 1')).count).toBe(1)
  })

  it('while idle does no harm', async () => {
    const far = open({ url: proxied })
    await far.query('SELECT 1')
    proxy.cut()
    await vi.waitUntil(() => far.stats().total === 0)
    expect((await far.query('SELECT 1')).count).toBe(1)
  })

  it('while it commits leaves the outcome unknown, and says so', async () => {
    const far = open({ url: proxied })
    const committing = far.tx(async (tx) => {
      await tx.query('INSERT INTO item VALUES (7, 7)')
      proxy.hold()
      setTimeout(() => proxy.release(), 30)
    })
    expect((await refusal(committing)).code).toBe('store/commit-unknown')
  })

  it('in a transaction takes it back', async () => {
    const far = open({ url: proxied })
    const cut = far.tx(async (tx) => {
      await tx.query('INSERT INTO item VALUES (8, 8)')
      proxy.cut()
      await tx.query('SELECT 1')
    })
    expect((await refusal(cut)).code).toBe('store/unavailable')
    expect((await db.query('SELECT 1 FROM item')).count).toBe(0)
  })
})

describe('notifications', () => {
  const notify = (channel: string, payload: string) =>
    db.query('SELECT pg_notify($1, $2)', [channel, payload])

  it('reach every callback of their channel, until it is taken away', async () => {
    const heard: [string, string | null][] = []
    const on = (name: string) => (payload: string | null) => heard.push([name, payload])
    const [stopA, stopB] = await Promise.all([db.listen('jobs', on('a')), db.listen('jobs', on('b'))])
    await db.listen('nodes', on('c'))
    await notify('jobs', 'one')
    await notify('nodes', '')
    await vi.waitUntil(() => heard.length === 3)
    expect(heard.toSorted()).toEqual([
      ['a', 'one'],
      ['b', 'one'],
      ['c', ''],
    ])
    await stopA()
    await notify('jobs', 'two')
    await vi.waitUntil(() => heard.length === 4)
    await stopB()
    await notify('jobs', 'three')
    await notify('nodes', 'last')
    await vi.waitUntil(() => heard.at(-1)?.[1] === 'last')
    expect(heard.slice(3)).toEqual([
      ['b', 'two'],
      ['c', 'last'],
    ])
  })

  it('come again after the connection was cut, and say that some may be missed', async () => {
    const far = open({ url: proxied })
    const heard: (string | null)[] = []
    await far.listen('jobs', (payload) => {
      heard.push(payload)
      throw new Error('a callback that throws does no harm')
    })
    await notify('jobs', 'before')
    await vi.waitUntil(() => heard.length === 1)
    proxy.refuse()
    await notify('jobs', 'missed')
    proxy.release()
    await vi.waitUntil(() => heard.length === 2)
    await notify('jobs', 'after')
    await vi.waitUntil(() => heard.length === 3)
    expect(heard).toEqual(['before', null, 'after'])
  })

  it('come again after a network that went dead without a word', async () => {
    const far = open({ url: proxied, pingIntervalMs: 50, connectTimeoutMs: 200 })
    const heard: (string | null)[] = []
    await far.listen('jobs', (payload) => heard.push(payload))
    proxy.hold()
    await notify('jobs', 'swallowed')
    // Only new connections get through: the old one is noticed by itself.
    proxy.open()
    await vi.waitUntil(() => heard.length > 0)
    expect(heard[0]).toBe(null)
  })

  it('wait for a database that is not there yet, and end with the close', async () => {
    proxy.refuse()
    const far = open({ url: proxied })
    const listening = far.listen('jobs', () => undefined)
    await new Promise((resolve) => setImmediate(resolve))
    proxy.release()
    await listening
    proxy.refuse()
    const never = open({ url: proxied })
    const waiting = refusal(never.listen('jobs', () => undefined))
    await never.close()
    expect((await waiting).code).toBe('store/closed')
  })

  it('go by names that are none of a peer', async () => {
    const named = db.listen('jobs; DROP TABLE item', () => undefined)
    expect((await refusal(named)).code).toBe('store/options')
  })
})

describe('closing', () => {
  it('lets what is under way and in line end, and takes nothing new', async () => {
    const small = open({ maxConnections: 1 })
    const first = small.query('SELECT pg_sleep(0.05)')
    const second = small.tx((tx) => tx.query('SELECT 2'))
    const closed = small.close()
    expect((await refusal(small.query('SELECT 3'))).code).toBe('store/closed')
    await closed
    expect([(await first).count, (await second).count]).toEqual([1, 1])
    await small.close()
  })
})
