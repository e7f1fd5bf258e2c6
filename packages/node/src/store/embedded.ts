/**
 * A real PostgreSQL for one machine, from npm, with no configuration.
 *
 * `dataDir` holds `cluster` (the data directory of PostgreSQL), `password` (0600) and the claim of the process that
 * uses it. The server listens on 127.0.0.1 alone, on a port that it keeps only while it runs, and knows one role
 * that can log in: `assay`, no superuser, who owns the database `assay`. It syncs to disk like any PostgreSQL.
 *
 * It ends with the process that started it, whatever ends that (cluster-process.ts), and recovers at the next start
 * from whatever ended it. Threat: other users of the machine, who reach the port but know no password.
 */
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AssayError } from 'assay/core/errors'
import { type Log, SILENT_LOG } from '../service/log.ts'
import { type Claim, claimFolder } from './claim.ts'
import {
  blockedAt,
  type ClusterUser,
  findPrograms,
  findUser,
  type Programs,
  reachablePrograms,
} from './cluster-files.ts'
import { launchServer, runProgram, type Server, stopStale, untilReady } from './cluster-process.ts'

const ROLE = 'assay'
/** Between finding a free port and listening on it, another program may take it. */
const MAX_STARTS = 20
/** After a crash, the processes of the old server take a moment to notice. */
const RETRY_PAUSE_MS = 250
const SETTINGS: { readonly [name: string]: string } = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  fsync: 'on',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  // Short statements: compiling them, or sharing them out, takes longer than running them.
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  // Statements hold what people sent: they stay out of the log.
  log_min_error_statement: 'panic',
  log_line_prefix: '',
}

export interface EmbeddedOptions {
  /** Made when it is not there. For root, the user `postgres` must be able to reach it. */
  readonly dataDir: string
  /** 0, unless told, for any that is free. */
  readonly port?: number
  /** Cuts the start off; has no meaning afterwards. */
  readonly signal?: AbortSignal
  readonly log?: Log
  /** Further settings of PostgreSQL, or others than ours. */
  readonly settings?: { readonly [name: string]: string }
}

export interface EmbeddedPostgres {
  /** With the password: a secret. */
  readonly url: string
  readonly port: number
  /** Of the server, for those who test what happens when it is killed. */
  readonly pid: number
  /** Rejects when the server ends without having been stopped. */
  readonly failed: Promise<never>
  stop(): Promise<void>
}

/**
 * Starts a server over `dataDir`, which it fills at the first time; that takes about two seconds, later starts a
 * tenth of one.
 *
 * @throws AssayError `store/in-use`, `store/folder`, `store/user`, `store/binaries`, `store/cluster-version`,
 * `store/start-failed`; the reason of the signal.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { log = SILENT_LOG, signal } = options
  const dataDir = resolve(options.dataDir)
  const cluster = join(dataDir, 'cluster')
  const found = findPrograms()
  const claim = openFolder(dataDir)
  try {
    const user = findUser(cluster)
    refuseUnreachable(dataDir, user)
    const programs = reachablePrograms(found, user, dataDir)
    const base = { programs, user, cluster, log }
    const password = existsSync(cluster)
      ? readPassword(dataDir)
      : await makeCluster({ ...base, dataDir, signal })
    log.hide(password)
    refuseOtherVersion(cluster, programs)
    await stopStale(cluster, log)
    const { server, port } = await start({ ...base, options })
    log.info('database started', { dataDir, port, pid: server.pid })
    return running({ server, port, password, claim, log })
  } catch (error) {
    claim.release()
    throw error
  }
}

interface Base {
  readonly programs: Programs
  readonly user: ClusterUser
  readonly cluster: string
  readonly log: Log
}

function running({
  server,
  port,
  password,
  claim,
  log,
}: {
  readonly server: Server
  readonly port: number
  readonly password: string
  readonly claim: Claim
  readonly log: Log
}): EmbeddedPostgres {
  let stopping: Promise<void> | undefined
  const failed = server.ended.then((lines): never | Promise<never> => {
    claim.release()
    if (stopping !== undefined) return new Promise<never>(() => undefined)
    throw new AssayError('store/unavailable', `the database ended by itself: ${lines}`)
  })
  // Who does not look at it has asked for no more than errors of the queries.
  failed.catch(() => undefined)
  const stop = async () => {
    await server.stop()
    log.info('database stopped', { port })
  }
  return {
    url: `postgres://${ROLE}:${password}@127.0.0.1:${port}/${ROLE}`,
    port,
    pid: server.pid,
    failed,
    stop: () => {
      stopping ??= stop()
      return stopping
    },
  }
}

async function start(
  given: Base & { readonly options: EmbeddedOptions },
): Promise<{ readonly server: Server; readonly port: number }> {
  const { cluster, options } = given
  const { signal, port: wanted = 0 } = options
  for (let attempt = 1; ; attempt++) {
    const port = wanted === 0 ? await freePort() : wanted
    const settings = { ...SETTINGS, ...options.settings, port: String(port) }
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const server = launchServer({ ...given, args })
    try {
      await untilReady(server, cluster, signal)
      return { server, port }
    } catch (error) {
      await server.stop()
      if (attempt >= MAX_STARTS || !mayStartLater(error, wanted)) throw error
      await sleep(RETRY_PAUSE_MS, undefined, signal === undefined ? {} : { signal })
    }
  }
}

function mayStartLater(error: unknown, wantedPort: number): boolean {
  if (!(error instanceof AssayError)) return false
  if (/pre-existing shared memory block/.test(error.message)) return true
  return wantedPort === 0 && /could not (bind|create any TCP)|in use/i.test(error.message)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** A new data directory, complete before it gets its name. Returns the password. */
async function makeCluster({
  dataDir,
  signal,
  ...base
}: Base & { readonly dataDir: string; readonly signal: AbortSignal | undefined }): Promise<string> {
  const { user, cluster, programs } = base
  for (const name of readdirSync(dataDir)) {
    if (name.startsWith('cluster-draft')) rmSync(join(dataDir, name), { recursive: true, maxRetries: 5 })
  }
  const draft = join(dataDir, 'cluster-draft')
  mkdirSync(draft, { mode: 0o700 })
  if (user.uid !== undefined) chownSync(draft, user.uid, user.gid ?? user.uid)
  const password = randomBytes(24).toString('hex')
  writeFileSync(join(dataDir, 'password'), password, { mode: 0o600, flush: true })
  const common = { ...base, cwd: dataDir, ...(signal === undefined ? {} : { signal }) }
  await runProgram('initdb', {
    ...common,
    // The same order of texts on every machine; nobody logs in but by the file that is written below.
    args: [
      ...['-D', draft, '-U', 'postgres', '-E', 'UTF8', '--auth=reject', '--no-instructions'],
      ...['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
      ...['-L', join(programs.folder, 'share/postgresql')],
    ],
  })
  await runProgram('postgres', {
    ...common,
    args: ['--single', '-D', draft, 'postgres'],
    input:
      `CREATE ROLE ${ROLE} LOGIN CREATEDB PASSWORD '${password}'\n` +
      `CREATE DATABASE ${ROLE} OWNER ${ROLE}\n`,
  })
  writeFileSync(join(draft, 'pg_hba.conf'), `host all ${ROLE} 127.0.0.1/32 scram-sha-256\n`)
  renameSync(draft, cluster)
  return password
}

function readPassword(dataDir: string): string {
  const path = join(dataDir, 'password')
  try {
    const password = readFileSync(path, 'utf8').trim()
    if (/^[0-9a-f]{48}$/.test(password)) return password
  } catch (cause) {
    throw folderError(dataDir, `its password cannot be read: ${String(cause)}`, cause)
  }
  throw folderError(dataDir, `${path} does not hold the password that was written there`)
}

function openFolder(dataDir: string): Claim {
  try {
    mkdirSync(dataDir, { recursive: true })
    if (!existsSync(join(dataDir, 'cluster')) && readdirSync(dataDir).some(isForeign)) {
      throw folderError(dataDir, 'it holds something else; name an empty folder')
    }
    // Passed through by the user of the database, listed by nobody else.
    chmodSync(dataDir, 0o711)
    return claimFolder(dataDir, 'owner')
  } catch (cause) {
    if (cause instanceof AssayError) throw cause
    throw folderError(dataDir, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

/** Our own names, of an earlier start that was cut off. */
function isForeign(name: string): boolean {
  return !/^(owner[.-].*|password|cluster-draft|postgres-\d.*)$/.test(name)
}

function refuseUnreachable(dataDir: string, user: ClusterUser): void {
  const blocked = blockedAt(join(dataDir, 'cluster'), user)
  if (blocked !== undefined) {
    const reason = `the user that root starts PostgreSQL as cannot pass ${blocked}; name a folder elsewhere, such as /var/lib/assay`
    throw folderError(dataDir, reason)
  }
}

function refuseOtherVersion(cluster: string, { version }: Programs): void {
  const major = version.split('.')[0]
  let found: string
  try {
    found = readFileSync(join(cluster, 'PG_VERSION'), 'utf8').trim()
  } catch (cause) {
    throw folderError(cluster, 'it is no data directory of PostgreSQL, or may not be read', cause)
  }
  if (found !== major) {
    const message = `${cluster} is of PostgreSQL ${found}, expected ${major}`
    throw new AssayError('store/cluster-version', message, { detail: { found, expected: major ?? '' } })
  }
}

function folderError(folder: string, reason: string, cause?: unknown): AssayError {
  return new AssayError('store/folder', `${folder}: ${reason}`, { detail: { folder }, cause })
}
