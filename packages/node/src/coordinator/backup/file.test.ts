import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contentAddress } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { acceptJob, realNode } from '../../../test/support/accepted-jobs.ts'
import { testDatabase } from '../../../test/support/postgres.ts'
import { type BlobStore, openBlobs } from '../../store/blobs.ts'
import { type Database, openDatabase } from '../../store/database.ts'
import { migrate } from '../../store/migrate.ts'
import { MIGRATIONS } from '../../store/migrations/all.ts'
import { deposit } from '../ledger.ts'
import { createFactsCache } from '../life/job-facts.ts'
import { coordinatorKey } from '../sealing/coordinator-key.ts'
import { beginLog } from '../sealing/log-store.ts'
import { sealBatch } from '../sealing/sealer.ts'
import { checkNetwork } from './check.ts'
import { restoreBackup, writeBackup } from './file.ts'

const NOW = Date.parse('2030-01-01T00:00:00Z')
const folder = mkdtempSync(join(tmpdir(), 'assay-backup-'))
const file = join(folder, 'whole.backup')
const closers: (() => Promise<void>)[] = []
let network: { readonly db: Database; readonly blobs: BlobStore }
let held: string[]
const GONE = contentAddress(Buffer.from('nobody has it'), 'raw')

async function emptyPlace(): Promise<typeof network> {
  const { url, drop } = await testDatabase()
  const db = openDatabase(url, { maxConnections: 3 })
  closers.push(async () => {
    await db.close()
    await drop()
  })
  const place = mkdtempSync(join(folder, 'blobs-'))
  const limits = { maxBytes: 2 ** 30, maxBlobBytes: 2 ** 28 }
  return { db, blobs: await openBlobs(place, { ...limits, whenFull: 'refuse', shared: true }) }
}

beforeAll(async () => {
  network = await emptyPlace()
  const { db, blobs } = network
  await migrate(db, MIGRATIONS)
  const keeper = { origin: 'backup.example/assay', key: await coordinatorKey(db) }
  await beginLog(db, keeper, NOW)
  const nodes = [await db.tx((tx) => realNode(tx, 'ann')), await db.tx((tx) => realNode(tx, 'ben'))]
  await db.tx(async (tx) => {
    await deposit(tx, { account: 'submitter:sam', amount: 1000 })
    for (let i = 0; i < 5; i++) await acceptJob(tx, { submitter: 'sam', segments: 1, nodes })
  })
  await sealBatch(db, { cache: createFactsCache(), keeper, now: NOW })
  held = []
  // Empty, with line feeds, and longer than what is read at once.
  for (const bytes of [Buffer.alloc(0), Buffer.from('\n\n{"end":true}\n'), randomBytes(2 ** 21 + 3)]) {
    const cid = contentAddress(bytes, 'raw')
    await blobs.put(cid, bytes)
    held.push(cid)
  }
  for (const cid of [...held, GONE]) {
    await db.query("INSERT INTO blob_owner (cid, submitter, size_bytes) VALUES ($1, 'sam', 1)", [cid])
  }
  const summary = await writeBackup(file, network)
  expect(summary).toMatchObject({ blobs: 3, missing: [GONE], bytes: readFileSync(file).length })
}, 60_000)

afterAll(async () => {
  for (const close of closers) await close()
  rmSync(folder, { recursive: true, force: true })
})

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'resolved',
    (error: unknown) => (error instanceof AssayError ? error.code : String(error)),
  )
}

describe('a backup file', () => {
  test('brings back records and blobs', async () => {
    const place = await emptyPlace()
    const restored = await restoreBackup(file, place)
    expect(restored).toMatchObject({ blobs: 3, missing: [GONE] })
    const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
    for (const cid of held) {
      expect(digest(await place.blobs.readAll(cid))).toBe(digest(await network.blobs.readAll(cid)))
    }
    const check = await checkNetwork(place.db)
    expect(check).toEqual(await checkNetwork(network.db))
    expect(check).toMatchObject({ isSound: true, receipts: 5 })
    expect(await codeOf(restoreBackup(file, place))).toBe('backup/not-empty')
    // A second one of the copy is the same, but for what it lacks.
    const again = join(folder, 'again.backup')
    await writeBackup(again, place)
    expect(readFileSync(again).equals(readFileSync(file))).toBe(true)
  })

  test('that is damaged anywhere is refused, and nothing is written', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const whole = readFileSync(file)
    const place = await emptyPlace()
    const damaged = join(folder, 'damaged.backup')
    const at = (i: number) => ((seed + i * 7_919_993) >>> 0) % whole.length
    const versions = [
      ...Array.from({ length: 30 }, (_, i) => {
        const other = Buffer.from(whole)
        other[at(i)] = (other[at(i)] as number) ^ (1 << (i % 8))
        return other
      }),
      ...Array.from({ length: 8 }, (_, i) => whole.subarray(0, at(i))),
      whole.subarray(0, whole.length - 1),
      Buffer.concat([whole, Buffer.from('\n')]),
      Buffer.alloc(0),
      Buffer.from('\n'),
    ]
    for (const [i, bytes] of versions.entries()) {
      writeFileSync(damaged, bytes)
      expect(await codeOf(restoreBackup(damaged, place)), `seed ${seed}, version ${i}`).toBe(
        'backup/malformed',
      )
    }
    expect(place.blobs.stats().blobs).toBe(0)
    const { rows } = await place.db.query("SELECT to_regclass('submitter') AS name")
    expect(rows).toEqual([{ name: null }])
    expect(await codeOf(restoreBackup(file, place))).toBe('resolved')
  })

  test('of an older release is brought to this one', async () => {
    const { db, blobs } = await emptyPlace()
    await migrate(db, MIGRATIONS.slice(0, 1))
    const old = join(folder, 'old.backup')
    await writeBackup(old, { db, blobs })
    const place = await emptyPlace()
    expect(await codeOf(restoreBackup(old, place))).toBe('resolved')
    await migrate(place.db, MIGRATIONS)
  })

  test('that cannot be finished leaves no file', async () => {
    const path = join(folder, 'stopped.backup')
    const signal = AbortSignal.abort(new AssayError('task/cancelled', 'enough'))
    expect(await codeOf(writeBackup(path, network, { signal }))).toBe('task/cancelled')
    expect([existsSync(path), existsSync(`${path}.part`)]).toEqual([false, false])
  })
})
