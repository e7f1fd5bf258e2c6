import { AssayError } from 'assay/core/errors'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { acceptJob, realNode, type TestNode } from '../../../test/support/accepted-jobs.ts'
import type { TestNetwork } from '../../../test/support/network.ts'
import { testDatabase } from '../../../test/support/postgres.ts'
import { type Database, openDatabase } from '../../store/database.ts'
import { MIGRATIONS } from '../../store/migrations/all.ts'
import { makeKey } from '../accounts.ts'
import { append } from '../events.ts'
import { deposit } from '../ledger.ts'
import { createFactsCache } from '../life/job-facts.ts'
import { coordinatorKey } from '../sealing/coordinator-key.ts'
import { beginLog, type LogKeeper } from '../sealing/log-store.ts'
import { sealBatch } from '../sealing/sealer.ts'
import { checkNetwork, checkRecords } from './check.ts'
import { dumpNetwork, restoreNetwork } from './dump.ts'

let network: TestNetwork
let keeper: LogKeeper
let nodes: TestNode[]
const opened: (() => Promise<void>)[] = []
const NOW = Date.parse('2030-01-01T00:00:00Z')

beforeAll(async () => {
  const fresh = await freshDatabase()
  network = { db: fresh, tx: (work) => fresh.tx(work) } as TestNetwork
  const { db } = network
  keeper = { origin: 'backup.example/assay', key: await coordinatorKey(db) }
  await beginLog(db, keeper, NOW)
  nodes = [await db.tx((tx) => realNode(tx, 'ann')), await db.tx((tx) => realNode(tx, 'ben'))]
  await db.tx(async (tx) => {
    await makeKey(tx, { account: `'); DROP TABLE job; --\\`, scopes: ['admin'] })
    await deposit(tx, { account: 'submitter:sam', amount: 1000, note: '"{}\\u0000' })
    await append(tx, [{ type: 'test.text', data: { text: 'ü€😀\n\t"\\', number: 0.1, list: [null, true] } }])
    for (let i = 0; i < 60; i++) await acceptJob(tx, { submitter: 'sam', segments: 1 + (i % 2), nodes })
    // A null of JSON is not that of a column.
    await tx.query(
      `INSERT INTO idempotency (submitter, key, operation, request_digest, response, status)
       VALUES ('sam', 'k', 'submitJob', '\\x00', 'null', 0)`,
    )
  })
  await sealBatch(db, { cache: createFactsCache(), keeper, now: NOW })
}, 60_000)
afterAll(async () => {
  for (const close of opened) await close()
})

async function freshDatabase(): Promise<Database> {
  const { url, drop } = await testDatabase({ migrations: MIGRATIONS })
  const db = openDatabase(url, { maxConnections: 4 })
  opened.push(async () => {
    await db.close()
    await drop()
  })
  return db
}

async function linesOf(db: Database): Promise<string[]> {
  const lines: string[] = []
  for await (const line of dumpNetwork(db)) lines.push(line)
  return lines
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'resolved',
    (error: unknown) => (error instanceof AssayError ? error.code : String(error)),
  )
}

describe('a backup', () => {
  test('restored, is the same network, whole, and goes on', async () => {
    const lines = await linesOf(network.db)
    const copy = await freshDatabase()
    const { rows } = await restoreNetwork(copy, each(lines))
    expect(rows).toBeGreaterThan(200)
    expect(await linesOf(copy)).toEqual(lines)
    const check = await checkNetwork(copy)
    expect(check).toEqual(await checkNetwork(network.db))
    expect(check).toMatchObject({ isSound: true, receipts: 60, logSize: 60, faults: [] })
    // Identities and the log go on where they were.
    await copy.tx(async (tx) => {
      await deposit(tx, { account: 'submitter:new', amount: 1 })
      await append(tx, [{ type: 'test.more' }])
      await acceptJob(tx, { submitter: 'sam', segments: 1, nodes })
    })
    expect(await coordinatorKey(copy)).toEqual(keeper.key)
    expect(await sealBatch(copy, { cache: createFactsCache(), keeper, now: NOW })).toMatchObject({
      sealed: 1,
    })
    expect(await checkNetwork(copy)).toMatchObject({ isSound: true, receipts: 61 })
  })

  test('is one snapshot, however long it takes and whatever goes on', async () => {
    const lines: string[] = []
    for await (const line of dumpNetwork(network.db)) {
      lines.push(line)
      await network.db.tx((tx) => deposit(tx, { account: 'submitter:busy', amount: 1 }))
    }
    const copy = await freshDatabase()
    await restoreNetwork(copy, each(lines))
    expect((await checkNetwork(copy)).faults).toEqual([])
  })

  test('that is left halfway gives its connection back', async () => {
    for (let i = 0; i < 8; i++) {
      for await (const line of dumpNetwork(network.db)) {
        expect(line).toContain('assay/backup')
        break
      }
    }
    expect(await codeOf(network.db.query('SELECT 1'))).toBe('resolved')
  })

  test('that is cut, altered or of another release is refused, and writes nothing', async () => {
    const lines = await linesOf(network.db)
    const [head = '', ...rest] = lines
    const last = rest.at(-1) ?? ''
    const copy = await freshDatabase()
    const bad = [
      [],
      lines.slice(0, -1),
      rest,
      [head, ...rest.slice(0, -2), last],
      [...lines, last],
      [head.replace('001-network', '002-other'), ...rest],
      [head.replace('"version":1', '"version":2'), ...rest],
      [head, '{"table":"pg_class","rows":[{}]}', last],
      [head, `{"table":"job\\"; DROP TABLE job; --","rows":[{}]}`, last],
      [head, 'no json', last],
      [head, '[]', last],
      [head, '{"table":"job","rows":{}}', last],
    ]
    for (const altered of bad) {
      expect(await codeOf(restoreNetwork(copy, each(altered)))).toBe('backup/malformed')
    }
    expect(await linesOf(copy)).toEqual(await linesOf(await freshDatabase()))
    expect(await codeOf(restoreNetwork(copy, each(lines)))).toBe('resolved')
  })

  test('goes into no database that was used', async () => {
    expect(await codeOf(restoreNetwork(network.db, each(await linesOf(network.db))))).toBe('backup/not-empty')
  })
})

describe('the check', () => {
  /** What it finds after a change that is taken back. */
  async function faultsAfter(sql: string): Promise<string> {
    let found = 'nothing'
    await network.db
      .tx(async (tx) => {
        await tx.query(sql)
        found = (await checkRecords(tx)).faults.join('; ')
        throw new Error('taken back')
      })
      .catch(() => undefined)
    return found
  }

  test('finds books that were cooked, a log that was rewritten and receipts that were swapped', async () => {
    expect(await faultsAfter("UPDATE account SET balance = balance + 1 WHERE id = 'issued'")).toContain(
      'the sum',
    )
    expect(await faultsAfter('DELETE FROM log_leaf WHERE index = 7')).toContain('leaf 7 of 60 is missing')
    expect(await faultsAfter('UPDATE log_checkpoint SET root = sha256(root)')).toContain('another root')
    expect(await faultsAfter('UPDATE coordinator_key SET public_key = sha256(public_key)')).toContain(
      'the newest checkpoint',
    )
    expect(await faultsAfter('DELETE FROM coordinator_key')).toContain(
      'the key that signs the log is missing',
    )
    expect(await faultsAfter('DELETE FROM receipt WHERE log_index = 3')).toContain('have none')
    const swap = `UPDATE receipt SET envelope = other.envelope FROM receipt AS other
      WHERE receipt.log_index = 1 AND other.log_index = 2`
    expect(await faultsAfter(swap)).toContain('of another receipt')
  })

  test('looks for the blobs that jobs need', async () => {
    await network.db.query(
      "INSERT INTO blob_owner (cid, submitter, size_bytes) VALUES ('bhere', 'sam', 1), ('bgone', 'sam', 1) ON CONFLICT DO NOTHING",
    )
    const check = await checkNetwork(network.db, {
      missingBlobs: async (cids) => cids.filter((cid) => cid === 'bgone'),
    })
    expect(check).toMatchObject({ blobs: 2, faults: ['the blob bgone is missing'] })
  })
})
