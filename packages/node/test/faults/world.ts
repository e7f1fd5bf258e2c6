/**
 * A network of real processes on one machine: a PostgreSQL, two coordinators over it, nodes of different operators and
 * a verifier, with something that can be disturbed on every way between them.
 *
 *     node, verifier, submitter ── proxy ── relay ── coordinator ── proxy ── PostgreSQL
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeKeyPair } from 'assay/core/key-file'
import { ed25519KeyPair } from 'assay/core/keys'
import type { Scope } from 'assay/wire/account'
import { type Client, createClient } from 'assay/wire/client'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts'
import { type KillableDatabase, startKillableDatabase } from './killable-database.ts'
import { type Answers, openRelay, type Relay } from './relay.ts'
import { type Service, startService } from './service.ts'

/** Of a disk for blobs that can be filled in a moment. */
const DISK_BYTES = 2 ** 27
const CREDITS = 100_000_000
const NODES = ['ada', 'ben', 'cleo', 'dan']
const COORDINATORS = 2

/** The way of one client to one coordinator. */
export interface Way {
  readonly proxy: TcpProxy
  readonly relay: Relay
}

export interface Member {
  readonly service: Service
  /** To each coordinator. */
  readonly ways: readonly Way[]
  /** Milliseconds by which its clock is off. */
  setClock(offsetMs: number): void
}

export interface FaultWorld {
  readonly folder: string
  readonly database: KillableDatabase
  readonly coordinators: readonly { readonly service: Service; readonly toDatabase: TcpProxy }[]
  readonly nodes: readonly Member[]
  readonly verifier: Member
  /** Of the submitter: as disturbed as the others', one for each coordinator. */
  readonly submitters: readonly Client[]
  readonly submitterWays: readonly Way[]
  /** Of a coordinator, past everything that is disturbed. */
  readonly url: () => string
  /** A client of an account of its own, past everything that is disturbed; and its key. */
  readonly account: (name: string) => Promise<{ readonly token: string; readonly client: Client }>
  /** Straight to a coordinator and to the database, for looking at the end. */
  readonly admin: () => Client
  readonly db: Database
  readonly coordinatorId: string
  readonly blobFolder: string
  /** The blobs have a disk of their own. */
  readonly hasDisk: boolean
  /** What came of requests that were sent twice. */
  readonly repeats: Answers[]
  /** Uploads that were refused for want of room. */
  readonly refusedUploads: Uint8Array[]
  close(): Promise<void>
}

export async function openFaultWorld(): Promise<FaultWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'assay-faults-'))
  // Root starts PostgreSQL as another user, who must get past this folder.
  chmodSync(folder, 0o711)
  const closers: (() => Promise<unknown> | unknown)[] = []
  const close = async () => {
    for (const end of closers.splice(0).reverse()) await end()
    if (process.env.ASSAY_FAULT_KEEP === undefined)
      rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
  try {
    return { ...(await open(folder, closers)), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function open(
  folder: string,
  closers: (() => Promise<unknown> | unknown)[],
): Promise<Omit<FaultWorld, 'close'>> {
  const database = await startKillableDatabase(join(folder, 'database'))
  closers.push(() => database.stop())
  const blobFolder = join(folder, 'blobs')
  mkdirSync(blobFolder)
  const hasDisk = mountDisk(blobFolder)
  if (hasDisk) closers.push(() => execFileSync('umount', ['-l', blobFolder]))

  const urls: string[] = []
  const relays: Relay[][] = Array.from({ length: COORDINATORS }, () => [])
  let adminToken = ''
  const startCoordinator = async (i: number) => {
    const toDatabase = await tcpProxy({ port: database.port })
    closers.push(() => toDatabase.close())
    const databaseUrl = new URL(database.url)
    databaseUrl.port = String(toDatabase.port)
    const service = startService({
      name: `coordinator-${i + 1}`,
      args: ['coordinator', '--blob-folder', blobFolder, '--port', '0', '--canaries-per-hour', '60'],
      env: { DATABASE_URL: databaseUrl.href },
      folder,
      serves: /The coordinator listens on/,
      onLine: (line) => {
        adminToken = /Key of the administrator, shown this once: (\S+)/.exec(line)?.[1] ?? adminToken
        const url = /The coordinator listens on (\S+?)\.?$/.exec(line)?.[1]
        if (url === undefined) return
        urls[i] = url
        for (const relay of relays[i] ?? []) relay.target = url
      },
    })
    closers.push(() => service.stop())
    await service.serving()
    return { service, toDatabase }
  }
  const coordinators = [await startCoordinator(0), await startCoordinator(1)]

  const openWays = (): Promise<Way[]> =>
    Promise.all(
      coordinators.map(async (_, i) => {
        const relay = await openRelay()
        relay.target = urls[i] ?? null
        relays[i]?.push(relay)
        const proxy = await tcpProxy({ port: relay.port })
        closers.push(
          () => relay.close(),
          () => proxy.close(),
        )
        return { relay, proxy }
      }),
    )
  const urlOf = ({ proxy }: Way) => `http://127.0.0.1:${proxy.port}`
  const url = () => urls[0] as string
  const admin = () => createClient({ url: url(), token: adminToken })

  const account = async (name: string, scopes: readonly Scope[]) => {
    const { token } = await admin().makeKey({ body: { account: name, scopes: [...scopes] } })
    await admin().deposit({ body: { account: `submitter:${name}`, amount: CREDITS } })
    return token
  }
  const startMember = async (role: 'node' | 'verifier', name: string): Promise<Member> => {
    const ways = await openWays()
    const key = join(folder, `${name}.json`)
    const clock = join(folder, `${name}.clock`)
    const pair = ed25519KeyPair(new Uint8Array(randomBytes(32)))
    writeFileSync(key, JSON.stringify(encodeKeyPair(pair)), { mode: 0o600 })
    const isNode = role === 'node'
    const enrolment = isNode ? await account(`operator-${name}`, ['nodes:enrol']) : adminToken
    const service = startService({
      name,
      args: [
        ...(isNode ? ['node', 'run', '--slots', '2', '--drain-timeout-ms', '3000'] : ['verifier']),
        ...['--name', name, '--operator', `operator-${name}`, '--key', key, '--processes', '1'],
        ...['--cache-folder', join(folder, `${name}-cache`)],
        ...['--coordinator', isNode ? ways.map(urlOf).join(',') : urlOf(ways[0] as Way)],
      ],
      env: { ASSAY_ENROLMENT: enrolment, TEST_CLOCK_FILE: clock },
      folder,
      serves: /the (node|verifier) serves/,
    })
    closers.push(() => service.stop())
    return { service, ways, setClock: (offsetMs) => writeFileSync(clock, String(offsetMs)) }
  }
  const nodes = await Promise.all(NODES.map((name) => startMember('node', name)))
  const verifier = await startMember('verifier', 'vera')
  await Promise.all([...nodes, verifier].map(({ service }) => service.serving()))

  const submitterWays = await openWays()
  const token = await account('submitter', ['jobs:read', 'jobs:write'])
  const { coordinator } = await admin().network()
  const db = openDatabase(database.url, { maxConnections: 2 })
  closers.push(() => db.close())
  return {
    folder,
    database,
    coordinators,
    nodes,
    verifier,
    submitters: submitterWays.map((way) => createClient({ url: urlOf(way), token, timeoutMs: 10_000 })),
    submitterWays,
    url,
    account: async (name) => {
      const own = await account(name, ['jobs:read', 'jobs:write'])
      return { token: own, client: createClient({ url: url(), token: own }) }
    },
    admin,
    db,
    coordinatorId: coordinator.nodeId,
    blobFolder,
    hasDisk,
    repeats: [],
    refusedUploads: [],
  }
}

/** A small disk for the folder; false where that is not allowed. */
function mountDisk(folder: string): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', folder], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
