/**
 * Migrations: forward only, each in a transaction of its own, by any number of replicas at once.
 *
 * What was applied is in the table `assay_migrations`, with a checksum: a migration that was edited afterwards is
 * refused, and so is a database that knows migrations that this release does not. Replicas that start together
 * take turns by an advisory lock, and each looks again once it has its turn.
 *
 * Under load a migration waits for its locks only so long, gives them up and tries again: a change of a table that
 * waits behind a long transaction would else hold up everybody behind it. So each migration takes few locks, and
 * none that it holds while it rewrites much. `CREATE INDEX CONCURRENTLY` cannot run in a transaction, and is not
 * for here.
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AssayError } from 'assay/core/errors'
import { type Log, SILENT_LOG } from '../service/log.ts'
import type { Database, Tx } from './database.ts'

/** What it changes: statements in their order. */
export interface Migration {
  /** `001-network`: its number, which is its place, and what it is about. */
  readonly name: string
  readonly statements: readonly string[]
}

export interface MigrateOptions {
  readonly log?: Log
  readonly signal?: AbortSignal
  /** How long one attempt waits for the locks of a table. */
  readonly lockTimeoutMs?: number
  /** Attempts of one migration, with growing pauses. */
  readonly maxAttempts?: number
}

export interface MigrationState {
  readonly applied: readonly string[]
  readonly pending: readonly string[]
}

const NAME = /^(\d{3})-[a-z0-9]+(-[a-z0-9]+)*$/
/** Of the advisory lock: any number that nobody else here uses. */
const LOCK_KEY = 0x617373_6179
const LOCK_TIMEOUT_MS = 2000
const MAX_ATTEMPTS = 30
const FIRST_PAUSE_MS = 50
const MAX_PAUSE_MS = 5000

const MAKE_TABLE = `CREATE TABLE IF NOT EXISTS assay_migrations (
  name text PRIMARY KEY,
  checksum bytea NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)`

/**
 * Brings the database to this release. Returns the names of those that it applied itself.
 *
 * @throws AssayError `store/newer-schema`, `store/changed-migration`, `store/options` for a list out of order, and
 * whatever the statements fail with.
 */
export async function migrate(
  database: Database,
  migrations: readonly Migration[],
  options: MigrateOptions = {},
): Promise<readonly string[]> {
  const { log = SILENT_LOG, signal } = options
  checkList(migrations)
  // One who only looks needs no lock: most starts find nothing to do.
  const { pending } = await migrationState(database, migrations)
  const applied: string[] = []
  for (const migration of migrations.filter(({ name }) => pending.includes(name))) {
    signal?.throwIfAborted()
    const started = performance.now()
    if (await applyOne(database, { migrations, migration, options })) {
      applied.push(migration.name)
      log.info('migration applied', { name: migration.name, ms: Math.round(performance.now() - started) })
    }
  }
  return applied
}

/** What is applied and what is not, without changing anything. @throws AssayError as `migrate`. */
export async function migrationState(
  database: Database,
  migrations: readonly Migration[],
): Promise<MigrationState> {
  checkList(migrations)
  const found = await database.tx(readApplied, { isolation: 'repeatable read', readOnly: true })
  check(migrations, found)
  return {
    applied: [...found.keys()],
    pending: migrations.map(({ name }) => name).filter((name) => !found.has(name)),
  }
}

interface One {
  readonly migrations: readonly Migration[]
  readonly migration: Migration
  readonly options: MigrateOptions
}

/** Whether it was applied here, and not meanwhile by another replica. */
async function applyOne(database: Database, { migrations, migration, options }: One): Promise<boolean> {
  const { log = SILENT_LOG, signal, lockTimeoutMs = LOCK_TIMEOUT_MS, maxAttempts = MAX_ATTEMPTS } = options
  let pauseMs = FIRST_PAUSE_MS
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.tx((tx) => applyIn(tx, { migrations, migration, lockTimeoutMs }), {
        statementTimeoutMs: 0,
      })
    } catch (error) {
      if (!isLockTimeout(error) || attempt >= maxAttempts) throw error
      log.info('migration waits for a lock', { name: migration.name, attempt, pauseMs })
    }
    await sleep(pauseMs, undefined, signal === undefined ? {} : { signal })
    pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)
  }
}

async function applyIn(
  tx: Tx,
  {
    migrations,
    migration,
    lockTimeoutMs,
  }: Pick<One, 'migrations' | 'migration'> & { readonly lockTimeoutMs: number },
): Promise<boolean> {
  // The turn may take as long as the migrations of whoever has it; only the locks of tables must not wait.
  await tx.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY])
  await tx.query("SELECT set_config('lock_timeout', $1, true)", [`${lockTimeoutMs}ms`])
  await tx.query(MAKE_TABLE)
  const found = await readApplied(tx)
  check(migrations, found)
  if (found.has(migration.name)) return false
  for (const text of migration.statements) await tx.query(text)
  await tx.query('INSERT INTO assay_migrations (name, checksum) VALUES ($1, $2)', [
    migration.name,
    checksum(migration),
  ])
  return true
}

async function readApplied(tx: Tx): Promise<ReadonlyMap<string, Uint8Array>> {
  const { rows: tables } = await tx.query<{ found: boolean }>(
    "SELECT to_regclass('assay_migrations') IS NOT NULL AS found",
  )
  if (tables[0]?.found !== true) return new Map()
  const { rows } = await tx.query<{ name: string; checksum: Uint8Array }>(
    'SELECT name, checksum FROM assay_migrations ORDER BY name',
  )
  return new Map(rows.map((row) => [row.name, row.checksum]))
}

function check(migrations: readonly Migration[], found: ReadonlyMap<string, Uint8Array>): void {
  const known = new Map(migrations.map((migration) => [migration.name, migration]))
  const newer = [...found.keys()].filter((name) => !known.has(name))
  if (newer.length > 0) {
    const message = `the database has migrations that this release does not know: ${newer.join(', ')}`
    throw new AssayError('store/newer-schema', message, { detail: { unknown: newer } })
  }
  for (const [name, applied] of found) {
    const migration = known.get(name) as Migration
    if (!checksum(migration).equals(applied)) {
      const message = `migration ${name} was applied with other statements than those of this release`
      throw new AssayError('store/changed-migration', message, { detail: { name } })
    }
  }
}

/** In order, each number once: a list of another form is a mistake of ours. */
function checkList(migrations: readonly Migration[]): void {
  migrations.forEach(({ name }, index) => {
    const number = NAME.exec(name)?.[1]
    if (number === undefined || Number(number) !== index + 1) {
      const expected = `${String(index + 1).padStart(3, '0')}-…`
      throw new AssayError(
        'store/options',
        `expected migration ${index + 1} to be named ${expected}, got ${name}`,
      )
    }
  })
}

function checksum({ statements }: Migration): Buffer {
  const hash = createHash('sha256')
  for (const text of statements) hash.update(`${Buffer.byteLength(text)}:`).update(text)
  return hash.digest()
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof AssayError && error.detail.sqlState === '55P03'
}
