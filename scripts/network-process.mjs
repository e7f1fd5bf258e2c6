/**
 * A whole network in a process of its own, as a user starts it: `assay up` of the build, on a free port, with all that it
 * keeps in a folder of its own. And the command line beside it, which finds it as a user's does.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const COMMAND = fileURLToPath(new URL('../packages/node/bin/assay.js', import.meta.url))
/** A machine that does much else at the same time still makes a cluster in this time. */
const START_MS = 120_000
const STOP_MS = 60_000
const POLL_MS = 50

/** Commands that touch nothing of the user's: what `assay up` leaves for others is in `scratch`. */
export function commandLine(scratch) {
  const { ASSAY_URL, ASSAY_TOKEN, DATABASE_URL, ...inherited } = process.env
  const env = { ...inherited, XDG_CONFIG_HOME: join(scratch, 'config') }
  const start = (args, stdout) =>
    spawn(process.execPath, [COMMAND, ...args], { env, stdio: ['ignore', stdout, 'pipe'] })
  return {
    /** Its exit code, and what `--json` printed, or both streams where that was no JSON. */
    async run(...args) {
      const child = start([...args, '--json'], 'pipe')
      const [stdout, stderr, [status]] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        once(child, 'close'),
      ])
      return { status, result: stdout.startsWith('{') ? JSON.parse(stdout) : { stdout, stderr } }
    },
    /** A service, whose standard error is there to be read. */
    start: (...args) => start(args, 'ignore'),
  }
}

/** Resolves once it serves: address, key of its administrator, id of its coordinator, and how to stop it. */
export async function startNetworkProcess(scratch, { nodes = 3 } = {}) {
  // The database runs as another user where this one is root, and must reach its folder.
  chmodSync(scratch, 0o755)
  const folder = join(scratch, 'network')
  mkdirSync(folder)
  const child = commandLine(scratch).start(
    'up',
    ...['--folder', folder, '--port', '0', '--nodes', String(nodes), '--log-level', 'error'],
  )
  const closed = once(child, 'close')
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (line) => {
    said += line
  })
  const connection = join(scratch, 'config', 'assay', 'connection.json')
  const deadline = performance.now() + START_MS
  while (!existsSync(connection) || !said.includes('Ctrl+C')) {
    if (child.exitCode !== null)
      throw new Error(`the network did not start (exit ${child.exitCode}): ${said}`)
    if (performance.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`the network did not start within ${START_MS} ms: ${said}`)
    }
    await sleep(POLL_MS)
  }
  return {
    ...JSON.parse(readFileSync(connection, 'utf8')),
    /** As Ctrl+C does; gives its exit code. */
    async stop() {
      child.kill('SIGINT')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      const [code] = await closed
      clearTimeout(timer)
      return code
    },
  }
}
