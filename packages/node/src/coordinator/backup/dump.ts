/**
 * A backup of the database as lines of JSON, in one snapshot, while the network runs.
 *
 *     {"format":"assay/backup","version":1,"migrations":[…]}
 *     {"table":"job","rows":["(…)",…]}      up to `ROWS` of them a line, tables in the order of their making
 *     {"end":true,"rows":12345}
 *
 * For networks without the programs of PostgreSQL, as one from npm is; where there is `pg_dump`, that is faster. The
 * blobs go with it (file.ts), copied after the database was, and the key file, where the coordinators have one. A backup
 * holds the coordinator's key and the seeds of open jobs: keep it as you keep the database.
 *
 * Threat: a backup that was cut short, altered, or made by another release is refused before anything is written for
 * good; whether its contents are those of the network is for `checkNetwork` (check.ts) to say.
 */
import { AssayError } from 'assay/core/errors'
import type { Database, Queryable, Tx } from '../../store/database.ts'
import { usedBlobs } from './blobs.ts'

const FORMAT = 'assay/backup'
/** Rows of one line, at most. */
const ROWS = 200
/** A receipt may have tens of megabytes: then a line has one. */
const LINE_BYTES = 2 ** 20
const MIGRATIONS = 'assay_migrations'
/** Of the schema in use, in the order in which they were made: who refers to another comes later. */
const TABLES = `SELECT relname AS name FROM pg_class
  WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname <> '${MIGRATIONS}' ORDER BY oid`

export interface DumpOptions {
  /** Is told the addresses of all blobs that the snapshot names, before the last line. */
  readonly onBlobs?: (cids: readonly string[]) => void
}

/** The lines of a backup, without their ends. Whoever leaves before the last ends the transaction. */
export async function* dumpNetwork(
  db: Database,
  options: DumpOptions = {},
): AsyncGenerator<string, void, undefined> {
  // The transaction hands out a line when it is asked for the next one.
  const lines = channel<string>()
  const done = db.tx((tx) => dumpIn(tx, lines.put, options), {
    isolation: 'repeatable read',
    readOnly: true,
    statementTimeoutMs: 0,
    maxAttempts: 1,
  })
  done.then(lines.end, lines.end)
  let isWhole = false
  try {
    yield* lines.items()
    isWhole = true
  } finally {
    lines.stop()
    // What it failed with is thrown to whoever reads on, and to nobody else.
    await (isWhole ? done : done.catch(() => undefined))
  }
}

async function dumpIn(tx: Tx, put: (line: string) => Promise<void>, { onBlobs }: DumpOptions): Promise<void> {
  await put(JSON.stringify({ format: FORMAT, version: 1, migrations: await migrationsOf(tx) }))
  let count = 0
  for (const table of await tablesOf(tx)) {
    await tx.query(`DECLARE dump CURSOR FOR SELECT t::text AS row FROM ${quoted(table)} AS t`)
    for (let most = 1; ; ) {
      const { rows } = await tx.query<{ row: string }>(`FETCH ${most} FROM dump`)
      if (rows.length === 0) break
      count += rows.length
      const text = JSON.stringify({ table, rows: rows.map(({ row }) => row) })
      await put(text)
      most = Math.max(1, Math.min(ROWS, 2 * most, Math.floor((LINE_BYTES * rows.length) / text.length)))
    }
    await tx.query('CLOSE dump')
  }
  if (onBlobs !== undefined) for await (const cids of usedBlobs(tx)) onBlobs(cids)
  await put(JSON.stringify({ end: true, rows: count }))
}

export interface Restored {
  readonly rows: number
}

/**
 * Writes a backup into a database that was migrated and never used. 'backup/not-empty' where it was used,
 * 'backup/malformed' where the lines are no whole backup of this release; then nothing is written.
 */
export async function restoreNetwork(db: Database, lines: AsyncIterable<string>): Promise<Restored> {
  return db.tx((tx) => restoreIn(tx, lines), { statementTimeoutMs: 0, maxAttempts: 1 })
}

interface Line {
  readonly format?: unknown
  readonly version?: unknown
  readonly migrations?: unknown
  readonly table?: unknown
  readonly rows?: unknown
  readonly end?: unknown
}

async function restoreIn(tx: Tx, lines: AsyncIterable<string>): Promise<Restored> {
  const tables = await tablesOf(tx)
  await assertUnused(tx)
  let isBegun = false
  let isEnded = false
  let count = 0
  for await (const text of lines) {
    const line = parse(text)
    if (isEnded) throw malformed('something follows its end')
    if (!isBegun) {
      await assertSameRelease(tx, line)
      // What migrations put there is in the backup, too.
      await tx.query(`TRUNCATE ${tables.map(quoted).join(', ')}`)
      isBegun = true
    } else if (line.end === true) {
      if (line.rows !== count) throw malformed(`it should have ${String(line.rows)} rows, and has ${count}`)
      isEnded = true
    } else count += await restoreRows(tx, line, tables)
  }
  if (!isEnded) throw malformed('it was cut short')
  await continueSequences(tx, tables)
  return { rows: count }
}

async function restoreRows(tx: Tx, { table, rows }: Line, tables: readonly string[]): Promise<number> {
  if (typeof table !== 'string' || !tables.includes(table) || !isTexts(rows)) {
    throw malformed('a line is neither rows of a table nor the end')
  }
  const name = quoted(table)
  // PostgreSQL's own text of a row: JSON has one null where a column may hold two.
  const { count } = await tx.query(
    `INSERT INTO ${name} OVERRIDING SYSTEM VALUE
     SELECT (given.row).* FROM (SELECT text::${name} AS row FROM unnest($1::text[]) AS text OFFSET 0) AS given`,
    [rows],
  )
  return count
}

/** Identities go on behind the largest that was restored. */
async function continueSequences(tx: Tx, tables: readonly string[]): Promise<void> {
  const { rows } = await tx.query<{ table_name: string; column_name: string }>(
    `SELECT table_name, column_name FROM information_schema.columns
     WHERE table_schema = current_schema() AND is_identity = 'YES' AND table_name = ANY ($1::text[])`,
    [tables],
  )
  for (const { table_name: table, column_name: column } of rows) {
    await tx.query(
      `SELECT setval(pg_get_serial_sequence($1, $2), coalesce(max(${quoted(column)}), 0) + 1, false)
       FROM ${quoted(table)}`,
      [quoted(table), column],
    )
  }
}

/** 'backup/not-empty'. A database that was never migrated is unused, too. */
export async function assertUnused(db: Queryable): Promise<void> {
  const { rows: tables } = await db.query<{ is_there: boolean }>(
    "SELECT to_regclass('submitter') IS NOT NULL AS is_there",
  )
  if (tables[0]?.is_there !== true || (await db.query('SELECT FROM submitter LIMIT 1')).count === 0) return
  throw new AssayError('backup/not-empty', 'expected a database that was migrated and never used')
}

async function assertSameRelease(tx: Tx, { format, version, migrations }: Line): Promise<void> {
  if (format !== FORMAT || version !== 1) throw malformed('it does not begin as a backup of version 1')
  const own = JSON.stringify(await migrationsOf(tx))
  if (JSON.stringify(migrations) === own) return
  throw malformed(`it was made with the migrations ${JSON.stringify(migrations)}, and here are ${own}`)
}

async function migrationsOf(db: Queryable): Promise<readonly string[]> {
  const { rows } = await db.query<{ name: string }>(`SELECT name FROM ${MIGRATIONS} ORDER BY name`)
  return rows.map(({ name }) => name)
}

async function tablesOf(db: Queryable): Promise<readonly string[]> {
  return (await db.query<{ name: string }>(TABLES)).rows.map(({ name }) => name)
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

/** Names of tables and columns of ours, from the catalogue: none has a quote in it. */
function quoted(name: string): string {
  return `"${name}"`
}

function parse(text: string): Line {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Told below.
  }
  throw malformed('a line is no JSON object')
}

function malformed(message: string): AssayError {
  return new AssayError('backup/malformed', `not a backup of this release: ${message}`)
}

/** Hands items from one who puts to one who reads, one at a time; who puts waits until the next is asked for. */
function channel<T>() {
  let waiting: { readonly item: T } | undefined
  let next: { readonly taken: () => void; readonly refused: (reason: Error) => void } | undefined
  let state: 'open' | 'ended' | 'stopped' = 'open'
  let wake: () => void = () => undefined
  const stopped = () => new Error('nobody reads on')
  return {
    put: (item: T) =>
      new Promise<void>((taken, refused) => {
        if (state === 'stopped') return refused(stopped())
        waiting = { item }
        next = { taken, refused }
        wake()
      }),
    end: () => {
      if (state === 'open') state = 'ended'
      wake()
    },
    stop: () => {
      state = 'stopped'
      next?.refused(stopped())
    },
    async *items(): AsyncGenerator<T, void, undefined> {
      for (;;) {
        if (waiting !== undefined) {
          const { item } = waiting
          waiting = undefined
          yield item
          next?.taken()
        } else if (state === 'open') {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        } else return
      }
    },
  }
}
