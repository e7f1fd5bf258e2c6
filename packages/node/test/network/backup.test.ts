/** A network is backed up while jobs are under way, killed, and goes on from the backup at another place. */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from 'assay/wire/client'
import { fetchReceipt, fetchResult, submitJob, verifyJob, waitForJob } from 'assay/wire/submit'
import { afterAll, expect, it } from 'vitest'
import { type Network, type NetworkOptions, startNetwork } from '../../dist/network/up.js'
import { SILENT_LOG } from '../../src/service/log.ts'
import { openDatabase } from '../../src/store/database.ts'
import { assay, failureOf, jsonOf } from '../run-assay.ts'
import { testDatabase } from '../support/postgres.ts'
import { brokenInvariants } from './support/invariants.ts'
import { squares, type TestJob } from './support/work.ts'

const LONG_MS = 120_000
const scratch = mkdtempSync(join(tmpdir(), 'assay-backup-'))
const closers: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const close of closers.reverse()) await close()
  rmSync(scratch, { recursive: true, force: true })
}, LONG_MS)

type Cheat = NonNullable<NetworkOptions['nodes'][number]['cheat']>
/** Rows from here on are not answered by the first network. */
const HALFWAY = 60
const stuck: Cheat = {
  hooks: {
    async rows({ range, compute, signal }) {
      if (range.to <= HALFWAY) return compute(range)
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      throw signal.reason
    },
  },
}

async function open(folder: string, databaseUrl: string, cheat?: Cheat): Promise<Network> {
  const nodes = ['ada', 'ben', 'cleo'].map((name) => ({
    name,
    operator: `operator-${name}`,
    ...(cheat === undefined ? {} : { cheat }),
  }))
  const signal = new AbortController().signal
  const network = await startNetwork({ folder, port: 0, databaseUrl, nodes, log: SILENT_LOG, signal })
  closers.push(() => network.stop(AbortSignal.abort()))
  return network
}

const send = ({ submitter }: Network, { draft, input, content }: TestJob) =>
  submitJob(submitter.client, draft, { input, content })

it('goes on where it was', { timeout: LONG_MS }, async () => {
  const [first, second] = [await testDatabase(), await testDatabase()]
  closers.push(first.drop, second.drop)
  const [home, elsewhere] = [join(scratch, 'home'), join(scratch, 'elsewhere')]
  mkdirSync(home)
  const before = await open(home, first.url, stuck)
  const run = (args: readonly string[], env = {}) => assay([...args, '--json'], { cwd: scratch, env })

  const done = squares(40, { validation: { redundancy: { share: 0.5 } } })
  const ended = await waitForJob(before.submitter.client, (await send(before, done)).id, { until: 'receipt' })
  const receipt = await fetchReceipt(before.submitter.client, ended.id)
  const watch = (url: string, token: string) =>
    run(['log', 'verify', '--state', join(scratch, 'log.json'), '--url', url, '--token', token])
  expect((await watch(before.url, before.admin.token)).code).toBe(0)

  // Inputs above what a message may carry are blobs; half of these rows are held by nodes, or wait.
  const open1 = squares(4_000, {
    segmentRows: 20,
    leaseSeconds: 2,
    validation: { redundancy: { share: 0.2 } },
  })
  const { id } = await send(before, open1)
  await expect
    .poll(async () => (await before.submitter.client.showJob({ params: { id } })).segments.leased, {
      timeout: LONG_MS,
    })
    .toBeGreaterThan(0)

  const file = join(scratch, 'network.backup')
  const place = (folder: string, databaseUrl: string) => ({
    DATABASE_URL: databaseUrl,
    ASSAY_BLOB_FOLDER: join(folder, 'blobs'),
  })
  const written = await run(['backup', file], place(home, first.url))
  expect(written.code, written.stdout).toBe(0)
  expect(jsonOf(written)).toMatchObject({ missing: [] })
  expect(jsonOf(written).blobs).toBeGreaterThan(0)
  expect(failureOf(await run(['backup', file], place(home, first.url))).code).toBe('cli/file-exists')
  expect((await before.submitter.client.showJob({ params: { id } })).state).toBe('running')
  await before.stop(AbortSignal.abort())

  expect(failureOf(await run(['restore', file], place(elsewhere, first.url))).code).toBe('backup/not-empty')
  const restored = await run(['restore', file], place(elsewhere, second.url))
  expect(restored.code, restored.stdout).toBe(0)
  expect(jsonOf(restored).check).toMatchObject({ isSound: true, receipts: 1, faults: [] })
  const doctor = jsonOf(await run(['doctor'], place(elsewhere, second.url)))
  expect(doctor.findings).toContainEqual(expect.objectContaining({ name: 'books', state: 'ok' }))
  expect(doctor.findings).toContainEqual(expect.objectContaining({ name: 'blobs', state: 'ok' }))

  // Keys of nodes are theirs, and in no backup.
  cpSync(join(home, 'keys'), join(elsewhere, 'keys'), { recursive: true })
  cpSync(join(home, 'admin-token'), join(elsewhere, 'admin-token'))
  const after = await open(elsewhere, second.url)
  expect(after.coordinatorId).toBe(before.coordinatorId)
  const client = createClient({ url: after.url, token: before.submitter.token })
  const job = await waitForJob(client, id, { until: 'receipt' })
  expect(job).toMatchObject({ state: 'accepted', reason: null })
  const rows = await fetchResult(client, id)
  expect(rows).toEqual(open1.expected)
  const signer = before.coordinatorId
  const options = { job, inputCid: open1.inputCid, rows, signer, requireLogged: true }
  expect(await verifyJob(await fetchReceipt(client, id), options)).toMatchObject({ ok: true })
  const kept = { job: ended, inputCid: done.inputCid, rows: done.expected, signer, requireLogged: true }
  expect(await verifyJob(receipt, kept)).toMatchObject({ ok: true })
  expect(await verifyJob(await fetchReceipt(client, ended.id), kept)).toMatchObject({ ok: true })
  // Whoever looked before the backup sees a log that grew.
  expect((await watch(after.url, after.admin.token)).code).toBe(0)
  const db = openDatabase(second.url, { maxConnections: 1 })
  closers.push(() => db.close())
  expect(await brokenInvariants(db)).toEqual({})

  // A blob that is lost is told, with what to do.
  rmSync(join(elsewhere, 'blobs', 'blobs'), { recursive: true })
  mkdirSync(join(elsewhere, 'blobs', 'blobs'))
  const ill = await run(['doctor'], place(elsewhere, second.url))
  expect(ill.code).toBe(1)
  expect(jsonOf(ill).findings).toContainEqual(
    expect.objectContaining({ name: 'blobs', state: 'bad', remedy: expect.stringContaining('backup') }),
  )
})
