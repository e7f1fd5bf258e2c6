/**
 * The state of record: a pool of connections to PostgreSQL.
 *
 * Everything that waits has a limit: for a connection, in the line for one, for a statement, between statements of
 * a transaction. Errors are typed (pg-errors.ts); values come back as pg-types.ts says. A transaction that met
 * others is run again, so its function must do nothing that cannot be done twice. Notifications come over a
 * connection of their own (listener.ts).
 *
 * Every value is a parameter; the text of a statement is never put together from values. Statements on a hot path
 * are made with `statement` once, and planned once for each connection.
 */
import { createHash, randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AssayError } from 'assay/core/errors'
import { Client, type ClientConfig, Pool, type PoolClient, type QueryConfig } from 'pg'
import { type Log, SILENT_LOG } from '../service/log.ts'
import { createListener, type OnNotify, type Unlisten } from './listener.ts'
import { type Fault, faultOf } from './pg-errors.ts'
import { typeParsers } from './pg-types.ts'

/** Two cores serve some 16 connections best; PostgreSQL has 100 unless told. */
const MAX_CONNECTIONS = 16
/** Calls that may wait for a connection: some seconds of work. More is answered at once with `store/overloaded`. */
const MAX_WAITING = 2000
const CONNECT_TIMEOUT_MS = 5000
/** Longer than any statement of ours takes on a healthy database. */
const STATEMENT_TIMEOUT_MS = 15_000
/** What the network may add to that before the connection is given up for dead. */
const NETWORK_GRACE_MS = 5000
/** A transaction that is held open does harm to all others. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000
const IDLE_CONNECTION_MS = 30_000
const KEEP_ALIVE_DELAY_MS = 10_000
const MAX_ATTEMPTS = 8
/** What statements without a name are called. */
const PLAIN = 'query'
const FIRST_BACKOFF_MS = 4
const MAX_BACKOFF_MS = 250

export type SqlValue = null | boolean | number | bigint | string | Date | Uint8Array | readonly SqlValue[]

/** A statement that each connection plans once. */
export interface Statement {
  readonly label: string
  /** Of the plan. */
  readonly name: string
  readonly text: string
}

export interface Rows<Row> {
  readonly rows: readonly Row[]
  /** Rows that were returned, inserted, updated or deleted. */
  readonly count: number
}

export interface Queryable {
  /** JSON goes in as text (`JSON.stringify`). @throws AssayError of `store/`. */
  query<Row = unknown>(sql: string | Statement, params?: readonly SqlValue[]): Promise<Rows<Row>>
}

/** Queries of one transaction: they run one after another, even when they are asked for at once. */
export interface Tx extends Queryable {
  readonly isTransaction: true
}

export interface TxOptions {
  /** `read committed` unless told. */
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable'
  readonly readOnly?: boolean
  /** For this transaction; 0 is no limit. */
  readonly statementTimeoutMs?: number
  /** For its locks; none of its own unless told. */
  readonly lockTimeoutMs?: number
  /** How often it is run at most while it meets others. */
  readonly maxAttempts?: number
}

export interface Database extends Queryable {
  /**
   * Runs `work` in a transaction: commits what it did when it resolves, takes it back when it throws. Runs it again
   * after a serialization failure or a deadlock. @throws AssayError of `store/`, and whatever `work` throws.
   */
  tx<T>(work: (tx: Tx) => Promise<T>, options?: TxOptions): Promise<T>
  /**
   * Calls back with each payload; with `null` when messages may have been missed, so that the caller looks itself.
   * Resolves once no later message can be missed unnoticed.
   */
  listen(channel: string, onNotify: OnNotify): Promise<Unlisten>
  stats(): { readonly total: number; readonly idle: number; readonly waiting: number }
  /** Waits for what is under way; what is asked for afterwards throws `store/closed`. */
  close(): Promise<void>
}

export interface DatabaseOptions {
  /** As `pg_stat_activity` shows it. */
  readonly applicationName?: string
  readonly maxConnections?: number
  readonly maxWaiting?: number
  readonly connectTimeoutMs?: number
  readonly statementTimeoutMs?: number
  /** How soon a connection for notifications that went dead without a word is noticed; 15 s unless told. */
  readonly pingIntervalMs?: number
  readonly log?: Log
  /** Told of each statement by its name (`query` for those without): for metrics. */
  readonly onQuery?: (name: string, seconds: number) => void
}

/**
 * A statement with a name: for people and metrics the one given, for PostgreSQL with a digest of the text, so that
 * no two texts meet under one name.
 */
export function statement(name: string, text: string): Statement {
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 12)
  // PostgreSQL cuts names after 63 bytes.
  return { label: name, name: `${name.slice(0, 50)}_${digest}`, text }
}

/** Connects when first asked for something; `url` is `postgres://…`. @throws AssayError `store/options`. */
export function openDatabase(url: string, options: DatabaseOptions = {}): Database {
  const { log = SILENT_LOG, onQuery, maxWaiting = MAX_WAITING } = options
  const { statementTimeoutMs = STATEMENT_TIMEOUT_MS } = options
  const config = connectionConfig(url, options)
  const pool = new Pool({
    ...config,
    max: options.maxConnections ?? MAX_CONNECTIONS,
    idleTimeoutMillis: IDLE_CONNECTION_MS,
  })
  // Without these two, a connection that breaks would end the process.
  pool.on('error', (error) => log.warn('an idle database connection broke', { error }))
  pool.on('connect', (client) => {
    client.on('error', (error) => log.warn('a database connection broke', { error }))
  })
  const { pingIntervalMs } = options
  const listener = createListener(() => new Client(config), {
    log,
    ...(pingIntervalMs === undefined ? {} : { pingIntervalMs }),
  })
  const underWay = new Set<Promise<unknown>>()
  let closing: Promise<void> | undefined

  const acquire = async (): Promise<PoolClient> => {
    if (closing !== undefined) throw new AssayError('store/closed', 'the database is closed: open it again')
    if (pool.waitingCount >= maxWaiting) {
      const message = `${pool.waitingCount} calls already wait for one of ${pool.totalCount} connections`
      throw new AssayError('store/overloaded', message, { detail: { waiting: pool.waitingCount } })
    }
    const connected = pool.connect()
    underWay.add(connected)
    try {
      return await connected
    } catch (cause) {
      throw faultOf(cause, 'connect').error
    } finally {
      underWay.delete(connected)
    }
  }

  const run: Run = async <Row>(client: PoolClient, { sql, params, timeoutMs }: Call) => {
    const { label, ...named } = typeof sql === 'string' ? { label: PLAIN, text: sql } : sql
    const started = performance.now()
    try {
      const call: TimedQuery = { ...named, values: [...params] }
      if (timeoutMs > 0) call.query_timeout = timeoutMs + NETWORK_GRACE_MS
      const result = await client.query(call)
      return { rows: result.rows as Row[], count: result.rowCount ?? 0 }
    } finally {
      onQuery?.(label, (performance.now() - started) / 1000)
    }
  }

  const query: Queryable['query'] = async <Row>(
    sql: string | Statement,
    params: readonly SqlValue[] = [],
  ) => {
    for (let attempt = 1; ; attempt++) {
      const client = await acquire()
      try {
        const rows = await run<Row>(client, { sql, params, timeoutMs: statementTimeoutMs })
        client.release()
        return rows
      } catch (cause) {
        const fault = faultOf(cause, labelOf(sql))
        client.release(fault.isFatal)
        if (!fault.isRetryable || attempt >= MAX_ATTEMPTS) throw fault.error
        await sleep(backoffMs(attempt))
      }
    }
  }

  const tx: Database['tx'] = async (work, given = {}) => {
    for (let attempt = 1; ; attempt++) {
      const outcome = await attemptTx(await acquire(), { statementTimeoutMs, ...given, work, run })
      if ('value' in outcome) return outcome.value
      const { error, isRetryable } = outcome
      if (!isRetryable || attempt >= (given.maxAttempts ?? MAX_ATTEMPTS)) throw error
      log.debug('transaction runs again', { attempt, error })
      await sleep(backoffMs(attempt))
    }
  }

  return {
    query,
    tx,
    listen: (channel, onNotify) => listener.listen(channel, onNotify),
    stats: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close: () => {
      // A pool that ends forgets who waits for a connection: they come first.
      closing ??= Promise.allSettled(underWay).then(async () => {
        await Promise.all([listener.close(), pool.end()])
      })
      return closing
    },
  }
}

interface Call {
  readonly sql: string | Statement
  readonly params: readonly SqlValue[]
  readonly timeoutMs: number
}

/** What the types of the driver leave out. */
interface TimedQuery extends QueryConfig {
  query_timeout?: number
}

type Run = <Row>(client: PoolClient, call: Call) => Promise<Rows<Row>>

interface Attempt<T> extends TxOptions {
  readonly work: (tx: Tx) => Promise<T>
  readonly run: Run
  readonly statementTimeoutMs: number
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown; readonly isRetryable: boolean }

/** One run of a transaction. Gives the connection back, or throws it away. */
async function attemptTx<T>(client: PoolClient, attempt: Attempt<T>): Promise<Outcome<T>> {
  try {
    await control(client, beginText(attempt))
  } catch (cause) {
    client.release(true)
    return { error: faultOf(cause, 'begin').error, isRetryable: false }
  }
  const session = openSession(client, attempt)
  try {
    const value = await attempt.work(session.tx)
    await session.end()
    return await commit(client, value)
  } catch (error) {
    await session.end()
    const fault = session.fault()
    const isUsable = fault?.isFatal !== true && (await rolledBack(client))
    client.release(!isUsable)
    return { error, isRetryable: fault?.isRetryable ?? false }
  }
}

async function commit<T>(client: PoolClient, value: T): Promise<Outcome<T>> {
  try {
    const tag = await control(client, 'COMMIT')
    client.release()
    if (tag === 'COMMIT') return { value }
    // Work that swallowed the error of a statement: PostgreSQL rolled back, and says so only here.
    const message = 'a statement of the transaction had failed, and its error was not passed on'
    return { error: new AssayError('store/query', message), isRetryable: false }
  } catch (cause) {
    const { error, isFatal, isRetryable } = faultOf(cause, 'commit')
    client.release(isFatal)
    if (!isFatal) return { error, isRetryable }
    const message = 'the connection broke while the transaction committed'
    return { error: new AssayError('store/commit-unknown', message, { cause }), isRetryable: false }
  }
}

/** The queries of one transaction, in a line; the first that failed is remembered, since work may wrap its error. */
function openSession<T>(client: PoolClient, { run, statementTimeoutMs }: Attempt<T>) {
  let last: Promise<unknown> = Promise.resolve()
  let first: Fault | undefined
  let ended = false
  const query = <Row>(sql: string | Statement, params: readonly SqlValue[] = []): Promise<Rows<Row>> => {
    if (ended) {
      return Promise.reject(new AssayError('store/closed', 'a query came after the end of its transaction'))
    }
    const result = last.then(async () => {
      try {
        return await run<Row>(client, { sql, params, timeoutMs: statementTimeoutMs })
      } catch (cause) {
        const fault = faultOf(cause, labelOf(sql))
        first ??= fault
        throw fault.error
      }
    })
    last = result.catch(() => undefined)
    return result
  }
  const tx: Tx = { isTransaction: true, query }
  const end = async (): Promise<void> => {
    ended = true
    await last
  }
  return { tx, end, fault: () => first }
}

/** BEGIN, COMMIT, ROLLBACK: returns the tag of what was done. */
async function control(client: PoolClient, text: string): Promise<string> {
  const call: TimedQuery = { text, query_timeout: STATEMENT_TIMEOUT_MS + NETWORK_GRACE_MS }
  return (await client.query(call)).command
}

function beginText({ isolation, readOnly, ...limits }: TxOptions): string {
  let text = `BEGIN ISOLATION LEVEL ${(isolation ?? 'read committed').toUpperCase()}`
  if (readOnly === true) text += ' READ ONLY'
  for (const [name, ms] of [
    ['statement_timeout', limits.statementTimeoutMs],
    ['lock_timeout', limits.lockTimeoutMs],
  ] as const) {
    if (ms !== undefined) text += `; SET LOCAL ${name} = ${Math.trunc(ms)}`
  }
  return text
}

async function rolledBack(client: PoolClient): Promise<boolean> {
  try {
    await control(client, 'ROLLBACK')
    return true
  } catch {
    return false
  }
}

function connectionConfig(url: string, options: DatabaseOptions): ClientConfig {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new AssayError(
      'store/options',
      'expected the URL of a database, postgres://user:password@host/name',
    )
  }
  return {
    connectionString: url,
    application_name: options.applicationName ?? 'assay',
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    statement_timeout: options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    types: typeParsers,
  }
}

function labelOf(sql: string | Statement): string {
  return typeof sql === 'string' ? PLAIN : sql.label
}

/** Grows, with jitter, so that those who met do not meet again. */
function backoffMs(attempt: number): number {
  return randomInt(1, Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt) + 1)
}
