/** Nodes and a real coordinator over a real database: what happens to their work when either of them goes away. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ed25519KeyPair } from 'assay/core/keys'
import { type Client, createClient } from 'assay/wire/client'
import type { JobView } from 'assay/wire/job'
import { fetchResult, submitJob, waitForJob } from 'assay/wire/submit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readCoordinatorConfig } from '../../dist/coordinator/config.js'
import { type RunningCoordinator, startCoordinator } from '../../dist/coordinator/service.js'
import { NODE_OPTIONS } from '../../dist/executor/config.js'
import { type NodeParts, type RunningNode, startNode } from '../../dist/executor/service.js'
import { readConfig } from '../../dist/service/config.js'
import { type Machine, openMachine } from '../../dist/work/machine.js'
import { SILENT_LOG } from '../../src/service/log.ts'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { testDatabase } from '../support/postgres.ts'
import { brokenInvariants } from './support/invariants.ts'
import { squares, type TestJob } from './support/work.ts'

const SLOW = 60_000
const PATIENT = { timeout: 30_000 }
const HARDWARE = { tier: 3, cores: 2, memoryBytes: 2 ** 30, score: 1 }
const CREDITS = 100_000

let folder: string
let database: Awaited<ReturnType<typeof testDatabase>>
let db: Database
let coordinator: RunningCoordinator
let adminToken: string
let submitter: Client
let machine: Machine
const nodes: RunningNode[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'assay-node-test-'))
  database = await testDatabase()
  db = openDatabase(database.url, { maxConnections: 2 })
  coordinator = await openCoordinator(0)
  adminToken = coordinator.adminToken as string
  machine = await openMachine({ cacheFolder: join(folder, 'cache'), cacheBytes: 2 ** 24, processes: 1 })
  const token = await account('tester', ['jobs:read', 'jobs:write'])
  submitter = createClient({ url: coordinator.url, token })
}, SLOW)

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()))
  await machine.close()
  await coordinator.stop(AbortSignal.abort())
  await db.close()
  await database.drop()
  rmSync(folder, { recursive: true, force: true })
}, SLOW)

function openCoordinator(port: number) {
  const flags = { databaseUrl: database.url, blobFolder: join(folder, 'blobs'), port, host: '127.0.0.1' }
  const signal = new AbortController().signal
  return startCoordinator(readCoordinatorConfig({ flags }), { log: SILENT_LOG, signal })
}

async function account(name: string, scopes: Parameters<Client['makeKey']>[0]['body']['scopes']) {
  const admin = createClient({ url: coordinator.url, token: adminToken })
  const { token } = await admin.makeKey({ body: { account: name, scopes } })
  await admin.deposit({ body: { account: `submitter:${name}`, amount: CREDITS } })
  return token
}

async function addNode(number: number, parts: Pick<NodeParts, 'hooks' | 'fetch'> = {}): Promise<RunningNode> {
  const operator = `operator-${number}`
  const { values } = readConfig(NODE_OPTIONS, {
    flags: {
      coordinator: [coordinator.url],
      enrolment: await account(operator, ['nodes:enrol']),
      operator,
      slots: 2,
      cacheFolder: join(folder, 'cache'),
      drainTimeoutMs: 100,
    },
  })
  const key = ed25519KeyPair(new Uint8Array(32).fill(number))
  const node = await startNode(values, { key, log: SILENT_LOG, machine, hardware: HARDWARE, ...parts })
  nodes.push(node)
  return node
}

/** Rows wait until it is opened. */
function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  let waiting = 0
  const rows: NonNullable<NonNullable<NodeParts['hooks']>['rows']> = async ({ compute, range, signal }) => {
    waiting++
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
    )
    await Promise.race([opened, aborted])
    return compute(range)
  }
  return { hooks: { rows }, open: () => open(), waiting: () => waiting }
}

function submit({ draft, input, content }: TestJob): Promise<JobView> {
  return submitJob(submitter, draft, { input, content })
}

async function accepted(id: string, job: TestJob): Promise<JobView> {
  const ended = await waitForJob(submitter, id, { until: 'receipt' })
  expect(ended).toMatchObject({ state: 'accepted', reason: null })
  expect(await fetchResult(submitter, id)).toEqual(job.expected)
  await expect.poll(() => brokenInvariants(db), PATIENT).toEqual({})
  return ended
}

async function attempts(id: string): Promise<number> {
  const { rows } = await db.query<{ most: number }>(
    'SELECT max(attempts)::integer AS most FROM dispatch WHERE job_id = $1',
    [id],
  )
  return rows[0]?.most ?? 0
}

describe('a node that goes away', () => {
  it(
    'by draining hands back what it has, at once and without using up an attempt',
    async () => {
      const closed = gate()
      const leaving = await addNode(1, closed)
      const job = squares(4, { leaseSeconds: 600, maxAttempts: 1 })
      const { id } = await submit(job)
      await expect.poll(() => closed.waiting(), PATIENT).toBeGreaterThan(0)
      await leaving.drain()
      // Two: a node on probation is audited by one of another operator.
      await addNode(2)
      await addNode(3)
      await accepted(id, job)
      expect(await attempts(id)).toBe(1)
    },
    SLOW,
  )

  it(
    'without a word loses its leases, and its late results harm nobody',
    async () => {
      const closed = gate()
      let isCut = false
      const cut: typeof fetch = (address, init) =>
        isCut ? Promise.reject(new TypeError('the cable is out')) : fetch(address, init)
      await addNode(1, { ...closed, fetch: cut })
      const job = squares(4, { leaseSeconds: 1 })
      const { id } = await submit(job)
      await expect.poll(() => closed.waiting(), PATIENT).toBeGreaterThan(0)
      isCut = true
      closed.open()
      await addNode(2)
      await addNode(3)
      const ended = await accepted(id, job)
      expect(ended.faults).toBe(0)
      isCut = false
      // What it still has to say is stale; then it works as before.
      const again = squares(4, { first: 500 })
      const { id: next } = await submit(again)
      await accepted(next, again)
    },
    SLOW,
  )
})

describe('a coordinator that goes away', () => {
  it(
    'finds the results that were computed meanwhile, and settles them once',
    async () => {
      const closed = gate()
      await addNode(1, closed)
      await addNode(2, closed)
      const job = squares(40, { segmentRows: 2, leaseSeconds: 60 })
      const { id } = await submit(job)
      await expect.poll(() => closed.waiting(), PATIENT).toBeGreaterThan(1)
      const { port } = new URL(coordinator.url)
      await coordinator.stop(AbortSignal.abort())
      closed.open()
      coordinator = await openCoordinator(Number(port))
      await accepted(id, job)
      expect(await attempts(id)).toBe(1)
    },
    SLOW,
  )
})
