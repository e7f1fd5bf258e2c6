import { AssayError } from 'assay/core/errors'
import { afterEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts'
import { type Database, openDatabase } from './database.ts'
import { type Migration, migrate, migrationState } from './migrate.ts'

const FIRST: Migration = {
  name: '001-start',
  statements: ['CREATE TABLE thing (id int PRIMARY KEY)', 'INSERT INTO thing VALUES (1)'],
}
const SECOND: Migration = { name: '002-more-things', statements: ['ALTER TABLE thing ADD name text'] }

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function fresh(replicas = 1): Promise<readonly [Database, ...Database[]]> {
  const { url, drop }: TestDatabase = await testDatabase()
  cleanups.push(drop)
  const opened = Array.from({ length: replicas }, () => openDatabase(url, { maxConnections: 4 }))
  for (const database of opened) cleanups.push(database.close)
  return opened as unknown as readonly [Database, ...Database[]]
}

async function refusal(work: Promise<unknown>): Promise<AssayError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(AssayError)
  return error as AssayError
}

describe('migrations', () => {
  it('are applied once and in order', async () => {
    const [database] = await fresh()
    expect(await migrationState(database, [FIRST, SECOND])).toEqual({
      applied: [],
      pending: ['001-start', '002-more-things'],
    })
    expect(await migrate(database, [FIRST])).toEqual(['001-start'])
    expect(await migrate(database, [FIRST, SECOND])).toEqual(['002-more-things'])
    expect(await migrate(database, [FIRST, SECOND])).toEqual([])
    expect((await database.query('SELECT id, name FROM thing')).rows).toEqual([{ id: 1, name: null }])
    expect((await migrationState(database, [FIRST, SECOND])).pending).toEqual([])
  })

  it('may be none', async () => {
    const [database] = await fresh()
    expect(await migrate(database, [])).toEqual([])
    expect(await migrationState(database, [])).toEqual({ applied: [], pending: [] })
  })

  it('are applied by one of many replicas that start at once', async () => {
    const replicas = await fresh(5)
    const slow: Migration = {
      name: '003-slow',
      statements: ['SELECT pg_sleep(0.1)', 'INSERT INTO thing VALUES (2)'],
    }
    const applied = await Promise.all(replicas.map((database) => migrate(database, [FIRST, SECOND, slow])))
    expect(applied.flat().toSorted()).toEqual(['001-start', '002-more-things', '003-slow'])
    expect((await replicas[0].query('SELECT 1 FROM thing')).count).toBe(2)
  })

  it('that fail leave nothing of themselves, and what came before them', async () => {
    const [database] = await fresh()
    const broken: Migration = {
      name: '002-broken',
      statements: ['CREATE TABLE half (id int)', 'CREATE TABLE thing (id int)'],
    }
    expect((await refusal(migrate(database, [FIRST, broken]))).code).toBe('store/query')
    expect((await migrationState(database, [FIRST, SECOND])).pending).toEqual(['002-more-things'])
    const { rows } = await database.query<{ half: string | null }>("SELECT to_regclass('half')::text half")
    expect(rows).toEqual([{ half: null }])
    expect(await migrate(database, [FIRST, SECOND])).toEqual(['002-more-things'])
  })

  it('that the release does not know are refused by name', async () => {
    const [database] = await fresh()
    await migrate(database, [FIRST, SECOND])
    const error = await refusal(migrate(database, [FIRST]))
    expect(error).toMatchObject({ code: 'store/newer-schema', detail: { unknown: ['002-more-things'] } })
    expect((await refusal(migrationState(database, []))).code).toBe('store/newer-schema')
  })

  it('that were edited after they were applied are refused', async () => {
    const [database] = await fresh()
    await migrate(database, [FIRST])
    for (const statements of [
      [...FIRST.statements, 'SELECT 1'],
      [FIRST.statements.join('')],
      FIRST.statements.slice(1),
    ]) {
      const edited = { name: FIRST.name, statements }
      expect((await refusal(migrate(database, [edited, SECOND]))).code).toBe('store/changed-migration')
    }
    expect((await migrationState(database, [FIRST, SECOND])).pending).toEqual(['002-more-things'])
  })

  it('must be numbered without gaps', async () => {
    const [database] = await fresh()
    const named = (...names: string[]) =>
      migrate(
        database,
        names.map((name) => ({ name, statements: [] })),
      )
    for (const names of [['002-a'], ['001-a', '001-b'], ['001-a', '003-b'], ['1-a'], ['001'], ['001-A']]) {
      expect((await refusal(named(...names))).code).toBe('store/options')
    }
  })

  it('let others go first instead of holding them up behind a lock', async () => {
    const [database, other] = (await fresh(2)) as readonly [Database, Database]
    await migrate(database, [FIRST])
    let migrating: Promise<readonly string[]> | undefined
    await other.tx(async (tx) => {
      await tx.query('SELECT 1 FROM thing')
      migrating = migrate(database, [FIRST, SECOND], { lockTimeoutMs: 20, maxAttempts: 1000 })
      // Who reads what the migration waits for gets through, since it gives its place up again and again.
      for (let i = 0; i < 5; i++) await database.query('SELECT 1 FROM thing')
    })
    expect(await migrating).toEqual(['002-more-things'])
  })

  it('give up when they never get their lock, or are told to stop', async () => {
    const [database, other] = (await fresh(2)) as readonly [Database, Database]
    await migrate(database, [FIRST])
    await other.tx(async (tx) => {
      await tx.query('SELECT 1 FROM thing')
      const given = { lockTimeoutMs: 5, maxAttempts: 2 }
      expect((await refusal(migrate(database, [FIRST, SECOND], given))).code).toBe('store/timeout')
      const stop = new AbortController()
      const stopped = migrate(database, [FIRST, SECOND], { lockTimeoutMs: 5, signal: stop.signal })
      stop.abort()
      await expect(stopped).rejects.toThrow(/abort/i)
    })
  })
})
