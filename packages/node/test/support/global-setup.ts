/**
 * One PostgreSQL for a whole test run, started by the first test that asks for a database.
 *
 * It belongs to vitest's main process, so it ends with the run, whatever becomes of the workers. They ask for it
 * over HTTP on an address that only they are told. With ASSAY_TEST_DATABASE_URL they get that server instead.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import type { EmbeddedPostgres } from '../../src/store/embedded.ts'
import { dropDatabase } from './drop-database.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Answers with `{ url, prefix }` of the server of this run. */
    assayTestPostgres: string
  }
}

const FOLDER = 'assay-test-postgres-'
/** No run takes so long: what is older was left by one that was killed. */
const LEFT_OVER_MS = 86_400_000

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const secret = randomBytes(16).toString('hex')
  // Names of this run, so that what tests leave behind on a server of somebody else is found and dropped.
  const prefix = `assay_test_${randomBytes(4).toString('hex')}`
  const given = process.env.ASSAY_TEST_DATABASE_URL
  let folder: string | undefined
  let cluster: Promise<EmbeddedPostgres> | undefined

  const start = async (): Promise<EmbeddedPostgres> => {
    const { startEmbeddedPostgres } = await import('../../src/store/embedded.ts')
    sweep()
    folder = mkdtempSync(join(tmpdir(), FOLDER))
    // Nothing of a test run must survive a crash of the machine.
    const settings = {
      fsync: 'off',
      full_page_writes: 'off',
      synchronous_commit: 'off',
      max_connections: '200',
    }
    return startEmbeddedPostgres({ dataDir: folder, settings })
  }
  const url = async (): Promise<string> => {
    if (given) return given
    cluster ??= start()
    return (await cluster).url
  }

  let isUsed = false
  const server = createServer((request, response) => {
    if (request.url !== `/${secret}`) return void response.writeHead(404).end()
    isUsed = true
    url().then(
      (at) => response.end(JSON.stringify({ url: at, prefix })),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  server.unref()
  project.provide('assayTestPostgres', `http://127.0.0.1:${(server.address() as AddressInfo).port}/${secret}`)

  return async () => {
    server.closeAllConnections()
    server.close()
    if (given && isUsed) await dropAll(given, prefix)
    await (await cluster)?.stop()
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  }
}

function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const path = join(tmpdir(), name)
    if (!name.startsWith(FOLDER) || statSync(path).mtimeMs > Date.now() - LEFT_OVER_MS) continue
    rmSync(path, { recursive: true, force: true })
  }
}

async function dropAll(url: string, prefix: string): Promise<void> {
  const { openDatabase } = await import('../../src/store/database.ts')
  const admin = openDatabase(url, { maxConnections: 1 })
  const { rows } = await admin.query<{ datname: string }>(
    'SELECT datname FROM pg_database WHERE starts_with(datname, $1)',
    [prefix],
  )
  for (const { datname } of rows) await dropDatabase(admin, datname)
  await admin.close()
}
