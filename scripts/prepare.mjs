/**
 * What `npm start` and `npm test` do first: check Node, install what the lock file asks for, build.
 *
 * Uses nothing outside Node itself, because on a fresh clone there is nothing else.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const OLDEST_NODE = [20, 19]

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
  console.error(
    `Assay needs Node ${OLDEST_NODE.join('.')} or newer; this is ${process.version} (${process.execPath}). ` +
      'Install a newer one (https://nodejs.org) and run the command again.',
  )
  process.exit(2)
}

/** Runs the script or program to its end with our own terminal and returns its exit code. */
export function run(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', ...options })
  if (done.error) throw done.error
  return done.status ?? 128
}

/** `run` of a JavaScript file with this Node. */
export function runNode(file, args = [], options = {}) {
  return run(process.execPath, [join(ROOT, file), ...args], options)
}

/** Installs when node_modules is not what the lock file says, builds what is stale. Exits on failure. */
export function prepare() {
  if (!isInstalled()) quietly('install', npm(['ci', '--no-audit', '--no-fund', '--loglevel=error']))
  build()
}

/** The WebAssembly kernels, then TypeScript. Each looks for itself whether anything is stale. */
export function build() {
  buildKernel()
  quietly('build', [process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-b']])
}

/** The compiler of the kernel takes seconds, so a stamp in dist remembers which sources it has seen. */
function buildKernel() {
  const folder = join(ROOT, 'packages/protocol')
  const script = join(folder, 'scripts/build-kernel.mjs')
  const hash = createHash('sha256').update(readFileSync(script))
  for (const name of readdirSync(join(folder, 'kernel'), { recursive: true }).sort()) {
    const path = join(folder, 'kernel', name)
    if (statSync(path).isFile()) hash.update(name).update(readFileSync(path))
  }
  const seen = hash.digest('hex')
  const stamp = join(folder, 'dist/.kernel-sources')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === seen) return
  quietly('build kernel', [process.execPath, [script]])
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, seen)
}

/** Compares the lock file with the record that npm leaves of what it installed; times do not matter. */
export function isInstalled() {
  const record = join(ROOT, 'node_modules/.package-lock.json')
  if (!existsSync(record)) return false
  const wanted = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages
  const present = JSON.parse(readFileSync(record, 'utf8')).packages
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.includes('node_modules')) return true
    const found = present[path]
    if (found === undefined) return entry.optional === true || entry.devOptional === true
    return found.version === entry.version && found.integrity === entry.integrity
  })
}

function npm(args) {
  const cli = process.env.npm_execpath
  if (cli?.endsWith('.js')) return [process.execPath, [cli, ...args]]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm', args]
}

/** One line when it works, the whole output when it does not. Goes to stderr: stdout is the job's. */
function quietly(label, [command, args]) {
  const started = Date.now()
  const done = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    shell: command.endsWith('.cmd'),
  })
  if (done.status === 0) {
    console.error(`${label}: ok, ${((Date.now() - started) / 1000).toFixed(1)} s`)
    return
  }
  console.error(`${label} failed: ${[command, ...args].join(' ')}`)
  console.error(done.error ? String(done.error) : `${done.stdout}${done.stderr}`)
  process.exit(done.status || 1)
}
