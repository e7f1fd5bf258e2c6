import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { AssayError } from 'assay/core/errors'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { isRunning } from '../dist/store/claim.js'
import { openDatabase } from '../dist/store/database.js'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../dist/store/embedded.js'

const CHILD = fileURLToPath(new URL('./fixtures/embedded-child.mjs', import.meta.url))

const root = mkdtempSync(join(tmpdir(), 'assay-embedded-'))
// Root starts the server as another user, who must get past this folder.
const { mode } = statSync(root)
if (process.getuid?.() === 0) chmodSync(root, mode | 0o011)
/** One for all tests, which run one after another: to fill it takes longest. */
const dataDir = join(root, 'data')
const cluster = join(dataDir, 'cluster')

const started: EmbeddedPostgres[] = []
const children: ChildProcess[] = []
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await Promise.all(started.splice(0).map((server) => server.stop()))
})
afterAll(() => rmSync(root, { recursive: true, force: true, maxRetries: 10 }))

async function start(options: { readonly dataDir?: string; readonly signal?: AbortSignal } = {}) {
  const server = await startEmbeddedPostgres({ dataDir, ...options })
  started.push(server)
  return server
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'fine',
    (error: AssayError) => error.code,
  )

async function query<Row>(url: string, sql: string): Promise<readonly Row[]> {
  const database = openDatabase(url)
  try {
    return (await database.query<Row>(sql)).rows
  } finally {
    await database.close()
  }
}

/** A process of its own that started a server over the folder. */
async function childWithServer(then = 'stay') {
  const child = spawn(process.execPath, [CHILD, dataDir, then], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  const [text] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string]
  return { child, ...(JSON.parse(text) as { readonly url: string; readonly pid: number }) }
}

const untilEnded = (pid: number) => vi.waitUntil(() => !isRunning(pid), { timeout: 20_000 })

function guardOf(serverPid: number): number {
  const wanted = `assay-postgres-guard\0${serverPid}\0`
  const pid = readdirSync('/proc').find((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'utf8').endsWith(wanted)
    } catch {
      return false
    }
  })
  return Number(pid)
}

describe('a server', () => {
  it('is filled at the first start, for one role that is no superuser', async () => {
    const server = await start()
    expect(statSync(join(dataDir, 'password')).mode & 0o777).toBe(0o600)
    const rows = await query(
      server.url,
      `SELECT current_user::text AS role, current_database()::text AS database, inet_server_addr()::text AS at,
         (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super,
         current_setting('fsync') AS fsync, current_setting('listen_addresses') AS listens`,
    )
    expect(rows).toEqual([
      {
        role: 'assay',
        database: 'assay',
        at: '127.0.0.1/32',
        super: false,
        fsync: 'on',
        listens: '127.0.0.1',
      },
    ])
    for (const [role, password] of [
      ['assay', 'wrong'],
      ['postgres', readFileSync(join(dataDir, 'password'), 'utf8')],
    ] as const) {
      const url = new URL(server.url)
      url.username = role
      url.password = password
      await expect(query(url.href, 'SELECT 1')).rejects.toMatchObject({ code: 'store/unavailable' })
    }
    await query(server.url, 'CREATE TABLE kept (n int)')
  })

  it('is used by one process at a time, and keeps what it holds', async () => {
    const first = await start()
    await query(first.url, 'INSERT INTO kept VALUES (1)')
    expect(await codeOf(start())).toBe('store/in-use')
    await first.stop()
    expect(isRunning(first.pid)).toBe(false)
    await first.stop()
    const second = await start()
    expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }])
  })

  it('that is killed says so, and recovers at the next start', async () => {
    const server = await start()
    await query(server.url, 'INSERT INTO kept VALUES (2)')
    process.kill(server.pid, 'SIGKILL')
    await expect(server.failed).rejects.toMatchObject({ code: 'store/unavailable' })
    const again = await start()
    expect(await query(again.url, 'SELECT n FROM kept ORDER BY n')).toEqual([{ n: 1 }, { n: 2 }])
  })

  it('starts although the id of a dead one was given out again', async () => {
    writeFileSync(join(cluster, 'postmaster.pid'), `${process.pid}\n${cluster}\n`)
    expect(await query((await start()).url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  })

  it('is not started when the signal says so', async () => {
    expect(await codeOf(start({ signal: AbortSignal.abort(new Error('stop')) }))).not.toBe('fine')
    const stop = new AbortController()
    const starting = start({ signal: stop.signal })
    setImmediate(() => stop.abort())
    await expect(starting).rejects.toThrow(/abort/i)
    const half = start({ dataDir: join(root, 'half'), signal: AbortSignal.timeout(100) })
    await expect(half).rejects.toThrow(/timeout/i)
    expect(existsSync(join(root, 'half/cluster'))).toBe(false)
    await start()
  })
})

describe('the end of the process that started it', () => {
  it.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('by %s ends the server', async (signal) => {
    const { child, pid } = await childWithServer()
    child.kill(signal)
    await untilEnded(pid)
  })

  it.each(['exit', 'throw'])('by itself (%s) ends the server', async (then) => {
    await untilEnded((await childWithServer(then)).pid)
  })

  it.skipIf(process.platform !== 'linux')('together with the guard leaves it to the next start', async () => {
    const { child, pid, url } = await childWithServer()
    await query(url, 'INSERT INTO kept VALUES (3)')
    process.kill(guardOf(pid), 'SIGKILL')
    child.kill('SIGKILL')
    await once(child, 'close')
    expect(isRunning(pid)).toBe(true)
    const server = await start()
    expect(isRunning(pid)).toBe(false)
    expect(await query(server.url, 'SELECT n FROM kept ORDER BY n')).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
  })

  it('lets another process take over at once', async () => {
    const { child, url } = await childWithServer()
    await query(url, 'INSERT INTO kept VALUES (4)')
    expect(await codeOf(start())).toBe('store/in-use')
    child.kill('SIGKILL')
    await once(child, 'close')
    expect(await query((await start()).url, 'SELECT count(*) AS n FROM kept')).toEqual([{ n: 4 }])
  })
})

describe('a folder', () => {
  it('that holds something else is refused', async () => {
    const other = join(root, 'other')
    mkdirSync(other)
    writeFileSync(join(other, 'letter.txt'), 'dear')
    expect(await codeOf(start({ dataDir: other }))).toBe('store/folder')
    expect(readdirSync(other)).toEqual(['letter.txt'])
    expect(await codeOf(start({ dataDir: join(other, 'letter.txt') }))).toBe('store/folder')
  })

  it('that was spoiled is refused', async () => {
    const version = readFileSync(join(cluster, 'PG_VERSION'), 'utf8')
    writeFileSync(join(cluster, 'PG_VERSION'), '12\n')
    expect(await codeOf(start())).toBe('store/cluster-version')
    writeFileSync(join(cluster, 'PG_VERSION'), version)
    renameSync(join(dataDir, 'password'), join(root, 'password'))
    expect(await codeOf(start())).toBe('store/folder')
    renameSync(join(root, 'password'), join(dataDir, 'password'))
    await start()
  })

  it.skipIf(process.getuid?.() !== 0)('that the user of the server cannot reach is refused', async () => {
    const closed = join(root, 'closed')
    mkdirSync(closed, { mode: 0o700 })
    await expect(start({ dataDir: join(closed, 'data') })).rejects.toMatchObject({
      code: 'store/folder',
      message: expect.stringContaining(`cannot pass ${closed}`),
    })
  })
})
