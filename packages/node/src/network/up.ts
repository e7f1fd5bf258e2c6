/**
 * A whole network in one process: a PostgreSQL of its own, a coordinator, a verifier, nodes. For one machine, for
 * trying out, for tests. The parts talk over the public protocol, as they do when each runs alone.
 *
 * Everything that must outlive the process is in one folder: database, blobs, keys.
 */
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeKeyPair, encodeKeyPair } from 'assay/core/key-file'
import { ed25519KeyPair, type KeyPair } from 'assay/core/keys'
import type { Scope } from 'assay/wire/account'
import { type Client, createClient } from 'assay/wire/client'
import { readCoordinatorConfig } from '../coordinator/config.ts'
import { type RunningCoordinator, startCoordinator } from '../coordinator/service.ts'
import { NODE_OPTIONS } from '../executor/config.ts'
import { type NodeParts, type RunningNode, startNode } from '../executor/service.ts'
import { readConfig } from '../service/config.ts'
import type { Log } from '../service/log.ts'
import { startEmbeddedPostgres } from '../store/embedded.ts'
import { VERIFIER_OPTIONS } from '../verifier/config.ts'
import { type RunningVerifier, startVerifier } from '../verifier/service.ts'
import { type Machine, openMachine } from '../work/machine.ts'

const CACHE_BYTES = 2 ** 32
/** Beside what the nodes put at stake. */
const OPERATOR_CREDITS = 10_000
const SUBMITTER = 'me'
const ADMIN = 'admin'
const SUBMITTER_CREDITS = 1_000_000

export interface NodePlan {
  readonly name: string
  readonly operator: string
  readonly slots?: number
  /** How a demonstration lets it cheat (cheats.ts). */
  readonly cheat?: Pick<NodeParts, 'hooks' | 'fetch'>
}

export interface NetworkOptions {
  readonly folder: string
  /** 0 is any free one. */
  readonly port: number
  readonly host?: string
  /** Instead of a PostgreSQL of its own. */
  readonly databaseUrl?: string
  readonly nodes: readonly NodePlan[]
  /** Processes that run models, for all nodes together. */
  readonly processes?: number
  /** Further options of the coordinator. */
  readonly coordinator?: { readonly [name: string]: unknown }
  readonly log: Log
  readonly signal: AbortSignal
}

export interface Network {
  readonly url: string
  /** Node id of the coordinator: whose receipts count. */
  readonly coordinatorId: string
  /** May do everything. */
  readonly admin: { readonly token: string; readonly client: Client }
  /** Submits jobs and sees the network. */
  readonly submitter: { readonly token: string; readonly client: Client }
  readonly nodes: readonly RunningNode[]
  /** Starts another node. */
  addNode(plan: NodePlan): Promise<RunningNode>
  /** Drains the nodes, all at once; then stops everything, the last started first. */
  stop(now?: AbortSignal): Promise<void>
}

/** Resolves when every part serves. */
export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const { folder, log, signal } = options
  mkdirSync(folder, { recursive: true })
  const stops: ((now?: AbortSignal) => Promise<void>)[] = []
  const stop = async (now?: AbortSignal) => {
    for (const end of stops.splice(0).reverse()) await end(now)
  }
  try {
    const databaseUrl = options.databaseUrl ?? (await openPostgres(options, stops))
    const coordinator = await openCoordinator(options, { databaseUrl, stops })
    const { url } = coordinator
    const token = keptToken(folder, coordinator.adminToken)
    const admin = createClient({ url, token })
    const machine = await openSharedMachine(options)
    stops.push(() => machine.close())
    const verifier = await openVerifier(options, { url, admin, machine })
    stops.push((now) => verifier.stop(now))
    const nodes: RunningNode[] = []
    stops.push(async (now) => {
      await Promise.all(nodes.map((node) => node.drain(now)))
    })
    const addNode = async (plan: NodePlan) => {
      const node = await openNode(plan, { options, url, admin, machine })
      nodes.push(node)
      return node
    }
    for (const plan of options.nodes) await addNode(plan)
    const own = await accountToken(admin, {
      account: SUBMITTER,
      scopes: ['jobs:write', 'jobs:read', 'network:read'],
    })
    // The administrator submits, too: its key is what `assay up` leaves for the other commands.
    for (const account of [SUBMITTER, ADMIN]) {
      await fill(admin, { account: `submitter:${account}`, amount: SUBMITTER_CREDITS })
    }
    const { coordinator: identity } = await admin.network()
    signal.throwIfAborted()
    return {
      url,
      coordinatorId: identity.nodeId,
      admin: { token, client: admin },
      submitter: { token: own, client: createClient({ url, token: own }) },
      nodes,
      addNode,
      stop,
    }
  } catch (error) {
    await stop(AbortSignal.abort())
    log.error('the network did not start', { error })
    throw error
  }
}

type Stops = ((now?: AbortSignal) => Promise<void>)[]

async function openPostgres({ folder, log, signal }: NetworkOptions, stops: Stops): Promise<string> {
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'database'), log, signal })
  stops.push(() => postgres.stop())
  return postgres.url
}

async function openCoordinator(
  options: NetworkOptions,
  { databaseUrl, stops }: { readonly databaseUrl: string; readonly stops: Stops },
): Promise<RunningCoordinator> {
  const { folder, port, host = '127.0.0.1', log, signal } = options
  const flags = { databaseUrl, blobFolder: join(folder, 'blobs'), port, host, ...options.coordinator }
  const coordinator = await startCoordinator(readCoordinatorConfig({ flags }), { log, signal })
  stops.push((now) => coordinator.stop(now))
  return coordinator
}

function openSharedMachine({ folder, processes = 1, log }: NetworkOptions): Promise<Machine> {
  return openMachine({ cacheFolder: join(folder, 'cache'), cacheBytes: CACHE_BYTES, processes, log })
}

async function openVerifier(
  { folder, log, signal }: NetworkOptions,
  { url, admin, machine }: { readonly url: string; readonly admin: Client; readonly machine: Machine },
): Promise<RunningVerifier> {
  const flags = {
    coordinator: url,
    enrolment: await accountToken(admin, { account: ADMIN, scopes: ['verifiers:enrol'] }),
    name: 'verifier',
    operator: 'network',
    cacheFolder: join(folder, 'cache'),
  }
  const { values } = readConfig(VERIFIER_OPTIONS, { flags })
  return startVerifier(values, { key: await keptKey(folder, 'verifier'), log, machine, signal })
}

interface NodeContext {
  readonly options: NetworkOptions
  readonly url: string
  readonly admin: Client
  readonly machine: Machine
}

async function openNode(plan: NodePlan, { options, url, admin, machine }: NodeContext): Promise<RunningNode> {
  const { folder, log, signal } = options
  const { name, operator, slots, cheat = {} } = plan
  await fill(admin, { account: `submitter:${operator}`, amount: OPERATOR_CREDITS })
  const flags = {
    coordinator: [url],
    enrolment: await accountToken(admin, { account: operator, scopes: ['nodes:enrol'] }),
    name,
    operator,
    cacheFolder: join(folder, 'cache'),
    ...(slots === undefined ? {} : { slots }),
  }
  const { values } = readConfig(NODE_OPTIONS, { flags })
  return startNode(values, { key: await keptKey(folder, name), log, machine, signal, ...cheat })
}

async function accountToken(
  admin: Client,
  { account, scopes }: { readonly account: string; readonly scopes: readonly Scope[] },
): Promise<string> {
  return (await admin.makeKey({ body: { account, scopes: [...scopes] } })).token
}

async function fill(
  admin: Client,
  deposit: { readonly account: string; readonly amount: number },
): Promise<void> {
  await admin.deposit({ body: { ...deposit, note: 'for a network on one machine' } })
}

/** The coordinator shows its first key once. */
function keptToken(folder: string, fresh: string | undefined): string {
  const path = join(folder, 'admin-token')
  if (fresh !== undefined) {
    writeFileSync(path, fresh, { mode: 0o600 })
    chmodSync(path, 0o600)
    return fresh
  }
  return readFileSync(path, 'utf8').trim()
}

async function keptKey(folder: string, name: string): Promise<KeyPair> {
  const keys = join(folder, 'keys')
  mkdirSync(keys, { recursive: true, mode: 0o700 })
  const path = join(keys, `${name}.json`)
  if (existsSync(path)) return decodeKeyPair(JSON.parse(readFileSync(path, 'utf8')))
  const key = ed25519KeyPair(new Uint8Array(randomBytes(32)))
  writeFileSync(path, JSON.stringify(encodeKeyPair(key)), { mode: 0o600 })
  return key
}
