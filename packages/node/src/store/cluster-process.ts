/**
 * A PostgreSQL server as a child that does not outlive its parent.
 *
 * The server gets a session of its own, so that Ctrl-C in a terminal reaches only us and we can drain first. Beside
 * it runs a guard: a shell that waits for the end of a pipe whose other end only we hold. However we end, SIGKILL
 * included, the kernel closes the pipe, and the guard tells the server to shut down. If the guard was killed as
 * well, the server stays, and the next start over the same folder stops it (`stopStale`).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { AssayError } from 'assay/core/errors'
import type { Log } from '../service/log.ts'
import { isRunning } from './claim.ts'
import type { ClusterUser, Programs } from './cluster-files.ts'

/** Disconnects everybody and writes a checkpoint, which takes as long as the disk takes. */
const FAST_STOP_MS = 20_000
/** Ends without a checkpoint; the next start recovers. */
const IMMEDIATE_STOP_MS = 5000
const POLL_MS = 10
const KEPT_LINES = 30
/** Nothing of our own environment: it may hold PGPORT and the like, and secrets. */
const ENVIRONMENT = { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/local/bin:/usr/bin:/bin' }
const GUARD = `trap '' INT TERM HUP; read -r _; kill -INT "$1"`

export interface Server {
  readonly pid: number
  /** Resolves when it ends, for whatever reason, with the last lines that it logged. */
  readonly ended: Promise<string>
  stop(): Promise<void>
}

export interface Launch {
  readonly programs: Programs
  readonly user: ClusterUser
  /** The data directory. */
  readonly cluster: string
  readonly args: readonly string[]
  readonly log: Log
}

/** Runs one of the programs to its end. @throws AssayError `store/start-failed` with what it said. */
export async function runProgram(
  name: 'initdb' | 'postgres',
  launch: Launch & { readonly cwd: string; readonly input?: string; readonly signal?: AbortSignal },
): Promise<void> {
  const { programs, user, args, cwd, input = '', signal } = launch
  signal?.throwIfAborted()
  const child = spawn(join(programs.folder, 'bin', name), args, {
    ...user,
    cwd,
    env: ENVIRONMENT,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(signal === undefined ? {} : { signal, killSignal: 'SIGKILL' as const }),
  })
  let said = ''
  const keep = (text: string) => {
    said = (said + text).slice(-4000)
  }
  child.stdout.setEncoding('utf8').on('data', keep)
  child.stderr.setEncoding('utf8').on('data', keep)
  // A program that ends early does not read its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  }).catch((cause: unknown) => {
    signal?.throwIfAborted()
    throw new AssayError('store/start-failed', `${name} cannot be run: ${String(cause)}`, { cause })
  })
  if (code !== 0) throw new AssayError('store/start-failed', `${name} ended with ${code}: ${said.trim()}`)
}

/** Starts the server, without waiting until it is ready. */
export function launchServer({ programs, user, cluster, args, log }: Launch): Server {
  const child = spawn(join(programs.folder, 'bin/postgres'), ['-D', cluster, ...args], {
    ...user,
    cwd: cluster,
    env: ENVIRONMENT,
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  const lines: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => {
    lines.push(line)
    if (lines.length > KEPT_LINES) lines.shift()
    log[/\b(FATAL|PANIC):/.test(line) ? 'warn' : 'debug']('postgres', { line })
  })
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`it cannot be run: ${error.message}`))
    child.once('close', (code, signal) => resolve([`it ended with ${signal ?? code}`, ...lines].join('\n')))
  })
  const pid = child.pid ?? -1
  const guard = pid > 0 ? startGuard(pid, user) : undefined
  // Whoever uses the database keeps the process alive, not the database.
  child.unref()
  ;(child.stderr as unknown as { unref(): void }).unref()
  void ended.then(() => guard?.kill('SIGKILL'))
  const stop = async (): Promise<void> => {
    for (const [signal, limitMs] of [
      ['SIGINT', FAST_STOP_MS],
      ['SIGQUIT', IMMEDIATE_STOP_MS],
      ['SIGKILL', IMMEDIATE_STOP_MS],
    ] as const) {
      if (child.exitCode !== null || child.signalCode !== null || pid < 0) break
      child.kill(signal)
      if (await within(limitMs, ended)) break
      log.warn('postgres does not stop', { signal, limitMs })
    }
    await ended
  }
  return { pid, ended, stop }
}

function startGuard(pid: number, user: ClusterUser): ChildProcess {
  const guard = spawn('/bin/sh', ['-c', GUARD, 'assay-postgres-guard', String(pid)], {
    ...user,
    cwd: '/',
    env: ENVIRONMENT,
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  // Without a guard everything works but the end of the server after a SIGKILL of ours.
  guard.on('error', () => undefined)
  guard.stdin?.on('error', () => undefined)
  guard.unref()
  ;(guard.stdin as unknown as { unref(): void }).unref()
  return guard
}

/** Waits until the server takes connections. @throws AssayError `store/start-failed`, and the signal's reason. */
export async function untilReady(server: Server, cluster: string, signal?: AbortSignal): Promise<void> {
  let end: string | undefined
  void server.ended.then((lines) => {
    end = lines
  })
  for (;;) {
    signal?.throwIfAborted()
    if (end !== undefined) throw new AssayError('store/start-failed', `postgres did not start: ${end}`)
    const { pid, status } = readPidFile(cluster) ?? {}
    if (pid === server.pid && status === 'ready') return
    await sleep(POLL_MS)
  }
}

/** Stops the server that a process left behind which was killed together with its guard. */
export async function stopStale(cluster: string, log: Log): Promise<void> {
  const pid = readPidFile(cluster)?.pid
  if (pid === undefined || !isRunning(pid)) return
  if (!isServerOf(pid, cluster)) {
    // The id of a server that is long gone now belongs to another program. PostgreSQL would not start.
    rmSync(join(cluster, 'postmaster.pid'), { force: true })
    return
  }
  log.warn('stopping the postgres of a process that was killed', { pid, cluster })
  for (const [signal, limitMs] of [
    ['SIGINT', FAST_STOP_MS],
    ['SIGQUIT', IMMEDIATE_STOP_MS],
    ['SIGKILL', IMMEDIATE_STOP_MS],
  ] as const) {
    kill(pid, signal)
    for (let waitedMs = 0; waitedMs < limitMs; waitedMs += POLL_MS) {
      if (!isRunning(pid)) return
      await sleep(POLL_MS)
    }
  }
  throw new AssayError('store/in-use', `a postgres that was left behind does not stop: process ${pid}`, {
    detail: { pid },
  })
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It ended in this moment.
  }
}

/** Whether a process is a server over this data directory. */
function isServerOf(pid: number, cluster: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(cluster)
  } catch {
    // Without /proc (macOS) PostgreSQL's own word for it has to do.
    return !existsSync('/proc/self')
  }
}

/** Lines 1 and 8 of postmaster.pid. */
function readPidFile(cluster: string): { readonly pid: number; readonly status: string } | undefined {
  try {
    const lines = readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n')
    const pid = Number(lines[0])
    return Number.isSafeInteger(pid) && pid > 0 ? { pid, status: (lines[7] ?? '').trim() } : undefined
  } catch {
    return undefined
  }
}

async function within(limitMs: number, work: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController()
  const late = sleep(limitMs, false, { signal: timer.signal }).catch(() => false)
  const isDone = await Promise.race([work.then(() => true), late])
  timer.abort()
  return isDone
}
