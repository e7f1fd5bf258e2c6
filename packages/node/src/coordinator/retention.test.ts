import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contentAddress } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import type { JobView } from 'assay/wire/job'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { MODULE_CID, openWorld, type World, type WorldNode } from '../../test/life/world.ts'
import { type BlobStore, openBlobs } from '../store/blobs.ts'
import { openBlobAccess } from './http/blob-access.ts'
import { jobResult } from './http/job-result.ts'
import { needBlobs } from './quota.ts'
import { forget } from './retention.ts'

const DAY_MS = 86_400_000
const KEEP_DAYS = 30
const folder = mkdtempSync(join(tmpdir(), 'assay-retention-'))

let world: World
let replicas: BlobStore[]
let alice: WorldNode
beforeAll(async () => {
  world = await openWorld()
  await world.addSubmitter('sue', 1_000_000)
  alice = await world.addNode('op-a')
  const open = () =>
    openBlobs(folder, { maxBytes: 2 ** 30, maxBlobBytes: 2 ** 20, whenFull: 'refuse', shared: true })
  replicas = [await open(), await open()]
}, 60_000)
beforeEach(() => world.sweep())
afterAll(async () => {
  await world?.close()
  rmSync(folder, { recursive: true, force: true })
})

const parts = () => ({
  db: world.db,
  evidence: async () => expect.fail('no job has a receipt here'),
  onError: (error: unknown) => expect.fail(String(error)),
})
/** A round at both replicas at once. */
const round = async (afterDays = 0, keepDays = KEEP_DAYS) => {
  world.advance(afterDays * DAY_MS)
  const now = world.now().getTime()
  await Promise.all(replicas.map((blobs) => forget({ ...parts(), blobs, keepDays, now })))
}
const sealed = () => world.db.query("UPDATE job SET receipt_state = 'ready' WHERE receipt_state = 'pending'")
const countOf = async (sql: string, ...params: string[]) => (await world.db.query(sql, params)).count

describe('what is kept for some days', () => {
  test('runs of jobs that have ended, and no others', async () => {
    const ended = await world.submit('sue', { rows: 5 })
    expect(await world.work(alice)).toBe(5)
    const unsealed = await world.submit('sue', { rows: 1 })
    expect(await world.work(alice)).toBe(1)
    await world.db.query("UPDATE job SET receipt_state = 'ready' WHERE id = $1", [ended])
    const open = await world.submit('sue', { rows: 3, deadlineSeconds: 2_500_000 })
    const runsOf = async () =>
      Promise.all([ended, unsealed, open].map(async (id) => (await world.runs(id)).length))
    await round(29)
    expect(await runsOf()).toEqual([5, 1, 3])
    await round(40, 0)
    expect(await runsOf()).toEqual([5, 1, 3])
    await round()
    expect(await runsOf()).toEqual([0, 1, 3])
    expect(await world.job(ended)).toMatchObject({ state: 'accepted', accepted: 5, receipt: 'ready' })
    const view = { id: ended, state: 'accepted', spec: { rows: 5 }, segments: { total: 5 } } as JobView
    const parts = { db: world.db, readBlob: () => expect.fail('no blob is read') }
    await expect(jobResult(parts, view)).rejects.toMatchObject({ code: 'wire/not-found' })
    await sealed()
    await round()
    expect(await runsOf()).toEqual([0, 0, 3])
    await world.sweep()
    await world.assertBooks()
  })

  test('a job of more runs than one bite goes in several', async () => {
    const id = await world.submit('sue', { rows: 12_000, budget: 200_000, deadlineSeconds: 60 })
    await world.sweep()
    expect((await world.runs(id)).length).toBe(12_000)
    await world.sweep(61_000)
    await world.sweep()
    await round(31)
    expect((await world.runs(id)).length).toBe(0)
    expect(await countOf('SELECT FROM job WHERE id = $1 AND pruned_at IS NOT NULL', id)).toBe(1)
  })

  test('events', async () => {
    const at = (days: number) => new Date(world.now().getTime() - days * DAY_MS).toISOString()
    for (const [type, days] of [
      ['test.old', 31],
      ['test.young', 29],
    ] as const) {
      await world.db.query('INSERT INTO event (type, at) VALUES ($1, $2)', [type, at(days)])
    }
    await round()
    expect(await countOf("SELECT FROM event WHERE type = 'test.old'")).toBe(0)
    expect(await countOf("SELECT FROM event WHERE type = 'test.young'")).toBe(1)
  })
})

describe('blobs', () => {
  const [first, second] = [() => replicas[0] as BlobStore, () => replicas[1] as BlobStore]
  const owner = (account: string) => ({ kind: 'account', account }) as const

  async function upload(text: string, { account = 'sue', store = first() } = {}): Promise<string> {
    const bytes = Buffer.from(text)
    const cid = contentAddress(bytes, 'raw')
    const access = openBlobAccess(world.db, store)
    for (;;) {
      const { complete, storedBytes: offset } = await access.begin(owner(account), {
        cid,
        sizeBytes: bytes.length,
      })
      if (complete) break
      try {
        await access.append(owner(account), { cid, offset, bytes: bytes.subarray(offset) })
      } catch (error) {
        // As clients do: they begin again.
        if (!(error instanceof AssayError && ['blob/offset', 'blob/missing'].includes(error.code)))
          throw error
      }
    }
    // The database is behind the clock of this test.
    await world.db.query(
      'UPDATE blob_owner SET needed_until = $2 WHERE cid = $1 AND submitter = $3 AND needed_until < $2',
      [cid, world.now(), account],
    )
    return cid
  }
  const isThere = async (cid: string) => [await first().isOnDisk(cid), await second().isOnDisk(cid)]
  const isOwned = async (cid: string, account = 'sue') =>
    (await openBlobAccess(world.db, second()).content.missing(account, [cid])).length === 0

  test('that nothing needs are dropped first, and deleted an hour later', async () => {
    const cid = await upload('needed by nobody')
    await round(29)
    expect(await isOwned(cid)).toBe(true)
    await round(2)
    expect([await isOwned(cid), await isThere(cid)]).toEqual([false, [true, true]])
    await round(1 / 48)
    expect(await isThere(cid)).toEqual([true, true])
    await round(1 / 24)
    expect(await isThere(cid)).toEqual([false, false])
    expect(await countOf('SELECT FROM blob_owner WHERE cid = $1', cid)).toBe(0)
    // And it may come again.
    expect(await upload('needed by nobody', { store: second() })).toBe(cid)
    expect([await isOwned(cid), await isThere(cid)]).toEqual([true, [true, true]])
  })

  test('that another replica deleted are not taken for there', async () => {
    const cid = await upload('known to the second')
    expect(await second().has(cid)).toBe(true)
    world.advance(31 * DAY_MS)
    for (const hours of [0, 2]) {
      world.advance(hours * 3_600_000)
      await forget({ ...parts(), blobs: first(), keepDays: KEEP_DAYS, now: world.now().getTime() })
    }
    // What it knew is wrong now: whoever sends all of it is told to begin again, and then it is there.
    expect(await second().has(cid)).toBe(true)
    await upload('known to the second', { store: second() })
    expect([await isOwned(cid), await isThere(cid)]).toEqual([true, [true, true]])
  })

  test('of somebody else stay his', async () => {
    await world.addSubmitter('tom', 0)
    const cid = await upload('of two')
    await round(20)
    await upload('of two', { account: 'tom' })
    await round(15)
    await round(1)
    expect([await isOwned(cid), await isOwned(cid, 'tom'), await isThere(cid)]).toEqual([
      false,
      true,
      [true, true],
    ])
  })

  test('that are uploaded again meanwhile are kept', async () => {
    const cid = await upload('again')
    await round(31)
    expect(await isOwned(cid)).toBe(false)
    await upload('again', { store: second() })
    await round(1)
    expect([await isOwned(cid), await isThere(cid)]).toEqual([true, [true, true]])
  })

  test('of jobs under way, of runs that are kept and of known answers stay', async () => {
    const [input, output, proof, model, taken] = [
      await upload('an input'),
      await upload('an output'),
      await upload('a proof'),
      await upload('a model'),
      await upload('an input of a job that was just taken'),
    ]
    const open = await world.submit('sue', { rows: 2, deadlineSeconds: 2_592_000 })
    await world.db.query('UPDATE job SET input_cid = $2 WHERE id = $1', [open, input])
    const kept = await world.submit('sue', { rows: 2, deadlineSeconds: 2_592_000 })
    const [a, b] = await world.runs(kept)
    await world.db.query('UPDATE dispatch SET output_cid = $2 WHERE id = $1', [a?.id ?? '', output])
    await world.db.query('UPDATE dispatch SET sampling = $2 WHERE id = $1', [
      b?.id ?? '',
      JSON.stringify({ proof: { cid: proof } }),
    ])
    await world.db.query(
      "INSERT INTO canary_pool (submitter, spec, input, answers) VALUES ('sue', $1, '', '')",
      [JSON.stringify({ work: { module: model } })],
    )
    await round(28)
    // What intake does for a job with it: its deadline counts from then on, rounded up to whole days.
    const until = new Date(world.now().getTime() + DAY_MS)
    await world.db.tx((tx) => needBlobs(tx, [{ cid: taken, submitter: 'sue', until }]))
    await round(1.9)
    await round(1)
    const all = [input, output, proof, model, taken]
    expect(await Promise.all(all.map((cid) => isOwned(cid)))).toEqual(all.map(() => true))
    // When the jobs are over, and forgotten, so are they; known answers are for ever.
    await world.sweep(DAY_MS)
    await world.sweep()
    for (let day = 0; day < 40; day++) await round(1)
    expect(await Promise.all(all.map(async (cid) => (await isThere(cid))[0]))).toEqual([
      false,
      false,
      false,
      true,
      false,
    ])
    await world.db.query('DELETE FROM canary_pool')
  })

  test('a job that is taken keeps what it is made of', async () => {
    const cid = await upload('a module of a job')
    await world.db.query(
      `INSERT INTO blob_owner (cid, submitter, size_bytes, needed_until) VALUES ($1, 'sue', 1, $2)
       ON CONFLICT (cid, submitter) DO UPDATE SET needed_until = $2`,
      [MODULE_CID, world.now()],
    )
    await world.submit('sue', { rows: 1, deadlineSeconds: 10 * 86_400 })
    const { rows } = await world.db.query<{ needed_until: Date }>(
      'SELECT needed_until FROM blob_owner WHERE cid = $1 AND submitter = $2',
      [MODULE_CID, 'sue'],
    )
    const days = ((rows[0]?.needed_until.getTime() ?? 0) - world.now().getTime()) / DAY_MS
    expect(days).toBeGreaterThanOrEqual(10)
    expect(days).toBeLessThanOrEqual(11)
    expect(await isOwned(cid)).toBe(true)
  })

  test('are never owned without a file, whoever deletes and uploads at the same time', async () => {
    for (let i = 0; i < 25; i++) {
      const text = `contested ${i}`
      const cid = await upload(text)
      await world.db.query("UPDATE blob_owner SET dropped_at = '2000-01-01' WHERE cid = $1", [cid])
      // By the clock that uploads go by.
      const rounds = replicas.map((blobs) =>
        forget({ ...parts(), blobs, keepDays: KEEP_DAYS, now: Date.now() }),
      )
      await Promise.all([...rounds, upload(text), upload(text, { store: second() })])
      expect([await isOwned(cid), (await isThere(cid))[0]]).toEqual([true, true])
    }
  })
})
