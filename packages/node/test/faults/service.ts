/**
 * A service as a process of its own, started from its command line and started again whenever it ends, as systemd
 * would. What it says goes into a file, for whoever wants to know why.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const COMMAND_LINE = fileURLToPath(new URL('../../bin/assay.js', import.meta.url))
const PRELOAD = new URL('./fixtures/service-preload.mjs', import.meta.url).href
/** Before it is started again: some of what systemd waits. */
const RESTART_MS = 100

export interface ServiceOptions {
  readonly name: string
  readonly args: readonly string[]
  readonly folder: string
  readonly env?: { readonly [name: string]: string }
  /** A line by which it says that it serves. */
  readonly serves: RegExp
  readonly onLine?: (line: string) => void
}

/** How a run of it ended. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** What it was told to end with; null where it ended by itself. */
  readonly asked: 'SIGKILL' | 'SIGTERM' | null
  readonly hadServed: boolean
  readonly lastLines: readonly string[]
}

export interface Service {
  readonly name: string
  readonly endings: readonly Ending[]
  /** Given with the next start, beside its arguments. */
  extraArgs: readonly string[]
  isServing(): boolean
  pid(): number | undefined
  /** Resolves when it serves. */
  serving(): Promise<void>
  /** Sends a signal to the process that runs; false where none does. */
  signal(name: NodeJS.Signals): boolean
  /** Ends it, waits for its end and lets it start again. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<Ending | null>
  /** Ends it for good. */
  stop(): Promise<void>
}

const KEPT_LINES = 12
const all = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of all) child.kill('SIGKILL')
})

export function startService(options: ServiceOptions): Service {
  const { name, args, folder, env = {}, serves, onLine } = options
  const log = createWriteStream(join(folder, `${name}.log`), { flags: 'a' })
  const endings: Ending[] = []
  let child: ChildProcess | undefined
  let isServing = false
  let asked: Ending['asked'] = null
  let isOver = false
  let wake: (() => void)[] = []

  const run = async () => {
    const lastLines: string[] = []
    let hadServed = false
    asked = null
    child = spawn(process.execPath, ['--import', PRELOAD, COMMAND_LINE, ...args, ...service.extraArgs], {
      cwd: folder,
      // Nothing of what this test was given: the services refuse settings that they do not know.
      env: { PATH: process.env.PATH ?? '', HOME: folder, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    all.add(child)
    const take = (line: string) => {
      log.write(`${new Date().toISOString()} ${line}\n`)
      lastLines.push(line)
      if (lastLines.length > KEPT_LINES) lastLines.shift()
      onLine?.(line)
      if (!serves.test(line)) return
      hadServed = true
      isServing = true
      for (const resolve of wake) resolve()
      wake = []
    }
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', take)
    }
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    all.delete(child)
    child = undefined
    isServing = false
    endings.push({ code, signal, asked, hadServed, lastLines })
    log.write(`${new Date().toISOString()} --- ended with ${signal ?? code}\n`)
  }
  const keepUp = async () => {
    while (!isOver) {
      await run()
      if (!isOver) await pause(RESTART_MS)
    }
  }
  const service: Service = {
    name,
    endings,
    extraArgs: [],
    isServing: () => isServing,
    pid: () => child?.pid,
    serving: () => {
      if (isServing) return Promise.resolve()
      return new Promise((resolve) => wake.push(resolve))
    },
    signal: (signal) => child?.kill(signal) ?? false,
    async end(signal) {
      const own = child
      if (own === undefined) return null
      const closed = once(own, 'close')
      asked = signal
      own.kill(signal)
      // One that was stopped hears of nothing else.
      own.kill('SIGCONT')
      await closed
      return endings.at(-1) ?? null
    },
    async stop() {
      isOver = true
      await service.end('SIGKILL')
      await running
      log.end()
    },
  }
  const running = keepUp()
  return service
}
