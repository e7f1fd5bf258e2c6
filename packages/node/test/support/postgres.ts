/**
 * A fresh database for a test, on the one server of the run (global-setup.ts) or the one that
 * ASSAY_TEST_DATABASE_URL names. With migrations, it is a copy of a template that is migrated once a run.
 *
 *     let database: TestDatabase
 *     beforeAll(async () => {
 *       database = await testDatabase({ migrations: MIGRATIONS })
 *       return database.drop
 *     })
 */
import { createHash, randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { type Migration, migrate } from '../../src/store/migrate.ts'
import { dropDatabase } from './drop-database.ts'
import type {} from './global-setup.ts'

export interface TestDatabase {
  readonly url: string
  /** Ends whatever is still connected, and drops it. */
  readonly drop: () => Promise<void>
}

const LOCK_KEY = 0x7465_7374

export async function testDatabase(
  options: { readonly migrations?: readonly Migration[] } = {},
): Promise<TestDatabase> {
  const { url, prefix } = await serverOfRun()
  const name = `${prefix}_${randomBytes(6).toString('hex')}`
  await withAdmin(url, async (admin) => {
    const template = options.migrations && (await templateOf(admin, { url, prefix, ...options }))
    await admin.query(`CREATE DATABASE "${name}" TEMPLATE "${template ?? 'template1'}"`)
  })
  const drop = () => withAdmin(url, (admin) => dropDatabase(admin, name))
  return { url: databaseUrl(url, name), drop }
}

async function serverOfRun(): Promise<{ readonly url: string; readonly prefix: string }> {
  const broker = inject('assayTestPostgres')
  if (broker === undefined) throw new Error('run vitest with the configuration of this repository')
  const response = await fetch(broker)
  if (!response.ok) throw new Error(`no PostgreSQL for this test run: ${await response.text()}`)
  return (await response.json()) as { readonly url: string; readonly prefix: string }
}

async function withAdmin<T>(url: string, work: (admin: Database) => Promise<T>): Promise<T> {
  const admin = openDatabase(url, { maxConnections: 2, statementTimeoutMs: 60_000 })
  try {
    return await work(admin)
  } finally {
    await admin.close()
  }
}

/** One for each list of migrations: the first who asks makes it, the others wait for the lock. */
async function templateOf(
  admin: Database,
  {
    url,
    prefix,
    migrations = [],
  }: { readonly url: string; readonly prefix: string; readonly migrations?: readonly Migration[] },
): Promise<string> {
  const digest = createHash('sha256').update(JSON.stringify(migrations)).digest('hex').slice(0, 12)
  const name = `${prefix}_template_${digest}`
  const find = 'SELECT 1 FROM pg_database WHERE datname = $1'
  await admin.tx(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY])
    if ((await tx.query(find, [name])).count > 0) return
    const draft = `${name}_draft`
    await dropDatabase(admin, draft)
    await admin.query(`CREATE DATABASE "${draft}"`)
    const database = openDatabase(databaseUrl(url, draft), { maxConnections: 1 })
    try {
      await migrate(database, migrations)
    } finally {
      await database.close()
    }
    await admin.query(`ALTER DATABASE "${draft}" RENAME TO "${name}"`)
  })
  return name
}

function databaseUrl(url: string, name: string): string {
  const at = new URL(url)
  at.pathname = `/${name}`
  return at.href
}
