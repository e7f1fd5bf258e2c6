/** Networks for the benchmark: one PostgreSQL, a database for each network, its coordinators and nodes as processes. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { contentAddress } from 'assay/core/cid'
import { uploadBytes } from 'assay/wire/blob-transfer'
import { createClient } from 'assay/wire/client'
import { openDatabase } from '../packages/node/dist/store/database.js'
import { startEmbeddedPostgres } from '../packages/node/dist/store/embedded.js'
import { startProcess } from './network-process.mjs'
import { inputOf, jobDraft, readModule } from './network-work.mjs'

/** Each of an operator of its own, so that audits have somebody to go to. */
const NODES = 4
/** Two for each of two cores, as a node has unless it is told. */
const SLOTS = 4
const CREDITS = 1_000_000_000_000
const QUOTA = { jobsPerMinute: 1_000_000_000, queuedSegments: 1_000_000_000, blobBytes: 2 ** 40 }
const POLL_MS = 50
/** Tidying up after a million rows. */
const STATEMENT_TIMEOUT_MS = 300_000

/** A server as `assay up` starts it, with fsync on, in a folder of its own that `stop` takes away. */
export async function openPostgres(options = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'assay-bench-'))
  // The user that PostgreSQL runs as must get through.
  chmodSync(folder, 0o711)
  const server = await startEmbeddedPostgres({ dataDir: join(folder, 'database'), ...options })
  return {
    folder,
    url: server.url,
    pid: server.pid,
    async stop() {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** An empty database on the server. */
export async function makeDatabase(postgres, name) {
  const server = openDatabase(postgres.url)
  await server.query(`CREATE DATABASE ${name}`)
  await server.close()
  const url = new URL(postgres.url)
  url.pathname = `/${name}`
  return url.href
}

/** Its tables, and what would tidy them up later. */
export async function dropDatabase(postgres, name) {
  const server = openDatabase(postgres.url, { maxConnections: 1 })
  await server.query(`DROP DATABASE ${name} WITH (FORCE)`)
  await server.close()
}

/**
 * A network with `replicas` coordinators and, unless `nodes` is 0, nodes in one process that they share. `sql` asks its
 * database, `settled` waits until no job is open.
 */
export async function openNetwork(postgres, { name, replicas = 1, nodes = NODES, execArgv = [] }) {
  const databaseUrl = await makeDatabase(postgres, name)
  const blobFolder = join(postgres.folder, `${name}-blobs`)
  mkdirSync(blobFolder)
  const db = openDatabase(databaseUrl, { maxConnections: 1, statementTimeoutMs: STATEMENT_TIMEOUT_MS })
  const coordinators = []
  const urls = []
  let adminToken
  const addReplica = async () => {
    const coordinator = startProcess('./network-coordinator.mjs', { execArgv: ['--expose-gc', ...execArgv] })
    coordinators.push(coordinator)
    const started = await coordinator.call('start', { databaseUrl, blobFolder })
    urls.push(started.url)
    adminToken ??= started.adminToken
  }
  for (let i = 0; i < replicas; i++) await addReplica()
  const admin = createClient({ url: urls[0], token: adminToken })
  const account = async (account, scopes) => {
    const { token } = await admin.makeKey({ body: { account, scopes, quota: QUOTA } })
    await admin.deposit({ body: { account: `submitter:${account}`, amount: CREDITS } })
    return token
  }
  const token = await account('submitter', ['jobs:read', 'jobs:write'])
  const submitter = createClient({ url: urls[0], token })
  await uploadBytes(submitter, readModule(), { cid: contentAddress(readModule(), 'raw') })
  let solvers
  if (nodes > 0) {
    solvers = startProcess('./network-nodes.mjs', { execArgv })
    const plans = []
    for (let i = 0; i < nodes; i++) {
      const operator = `operator-${i + 1}`
      const own = [...urls.slice(i % urls.length), ...urls.slice(0, i % urls.length)]
      plans.push({ operator, enrolment: await account(operator, ['nodes:enrol']), urls: own })
    }
    await solvers.call('start', { plans, slots: SLOTS, cacheFolder: join(postgres.folder, `${name}-cache`) })
  }
  const sql = async (text, values) => (await db.query(text, values)).rows
  return {
    name,
    urls,
    token,
    admin,
    submitter,
    account,
    coordinators,
    solvers,
    sql,
    /** Until no job is open; throws when one ended badly. */
    async settled() {
      for (;;) {
        const [row] = await sql(
          `SELECT EXISTS (SELECT FROM job WHERE state IN ('submitted', 'running')) AS open`,
        )
        if (!row.open) break
        await sleep(POLL_MS)
      }
      const bad = await sql(`SELECT state, reason FROM job WHERE state <> 'accepted' LIMIT 1`)
      if (bad.length > 0) throw new Error(`a job ended as ${bad[0].state}: ${bad[0].reason}`)
    },
    /** Until every accepted job has its receipt. */
    async sealed() {
      const pending = `SELECT EXISTS (SELECT FROM job WHERE receipt_state = 'pending') AS pending`
      while ((await sql(pending))[0].pending) await sleep(POLL_MS)
    },
    /** A job of many segments, its input uploaded; submit it as often as you like. */
    async batchSpec(segments) {
      const input = inputOf(segments)
      const cid = contentAddress(input, 'raw')
      await uploadBytes(submitter, input, { cid })
      return { ...jobDraft(segments), input: { cid } }
    },
    async stop() {
      await solvers?.call('stop').catch(() => undefined)
      await solvers?.stop()
      for (const coordinator of coordinators) {
        await coordinator.call('stop').catch(() => undefined)
        await coordinator.stop()
      }
      await db.close()
    },
  }
}
