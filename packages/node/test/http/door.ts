/** A coordinator over HTTP and a real database, with accounts and nodes that talk to it as strangers do. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toHex } from 'assay/core/bytes'
import { ed25519KeyPair, type KeyPair, nodeId } from 'assay/core/keys'
import type { Quota, Scope } from 'assay/wire/account'
import { type Client, createClient } from 'assay/wire/client'
import type { Manifest } from 'assay/wire/manifest'
import { SIGNATURE_HEADER, signRequest } from 'assay/wire/request-signature'
import { readCoordinatorConfig } from '../../src/coordinator/config.ts'
import { type RunningCoordinator, startCoordinator } from '../../src/coordinator/service.ts'
import { SILENT_LOG } from '../../src/service/log.ts'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { MIGRATIONS } from '../../src/store/migrations/all.ts'
import { answer } from '../life/answers.ts'
import { testDatabase } from '../support/postgres.ts'

export interface DoorNode {
  readonly key: KeyPair
  readonly id: string
  readonly client: Client
  readonly manifest: Manifest
  readonly enrolment: string
  /** Leases what there is, computes it and answers; how many segments that were. */
  work(max?: number): Promise<number>
}

export interface Account {
  readonly name: string
  readonly token: string
  readonly client: Client
}

export interface Door {
  readonly url: string
  readonly urls: readonly string[]
  readonly db: Database
  readonly admin: Account
  account(options?: AccountOptions): Promise<Account>
  node(options?: { readonly role?: 'solver' | 'verifier'; readonly url?: string }): Promise<DoorNode>
  /** Bytes as they are, past every client. */
  raw(options: RawOptions): Promise<RawAnswer>
  stop(): Promise<void>
}

export interface AccountOptions {
  readonly name?: string
  readonly scopes?: readonly Scope[]
  readonly credits?: number
  readonly quota?: Quota
  readonly url?: string
}

export interface RawOptions {
  readonly method?: string
  readonly path: string
  readonly headers?: { readonly [name: string]: string }
  readonly body?: string | Uint8Array
}

export interface RawAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Of a problem. */
  readonly code: string | undefined
}

let names = 0
/** Names that no other test of the run has. */
export const freshName = (what: string) => `${what}-${++names}`

export async function openDoor({
  replicas = 1,
  flags = {},
}: {
  replicas?: number
  flags?: object
} = {}): Promise<Door> {
  const database = await testDatabase({ migrations: MIGRATIONS })
  const folder = mkdtempSync(join(tmpdir(), 'assay-door-'))
  const running: RunningCoordinator[] = []
  for (let i = 0; i < replicas; i++) {
    const options = {
      databaseUrl: database.url,
      blobFolder: join(folder, 'blobs'),
      port: 0,
      databaseConnections: 8,
    }
    running.push(
      await startCoordinator(readCoordinatorConfig({ flags: { ...options, ...flags } }), { log: SILENT_LOG }),
    )
  }
  const urls = running.map(({ url }) => url)
  const [url] = urls as [string]
  const db = openDatabase(database.url, { maxConnections: 2 })
  const token = running[0]?.adminToken as string
  const admin: Account = { name: 'admin', token, client: createClient({ url, token }) }

  const account: Door['account'] = async (options = {}) => {
    const {
      name = freshName('account'),
      scopes = ['jobs:write', 'jobs:read'],
      credits = 100_000,
      quota,
    } = options
    const body = { account: name, scopes: [...scopes], ...(quota === undefined ? {} : { quota }) }
    const made = await admin.client.makeKey({ body })
    if (credits > 0) await admin.client.deposit({ body: { account: `submitter:${name}`, amount: credits } })
    return { name, token: made.token, client: createClient({ url: options.url ?? url, token: made.token }) }
  }

  const node: Door['node'] = async ({ role = 'solver', url: at = url } = {}) => {
    const key = ed25519KeyPair(new Uint8Array(randomBytes(32)))
    const operator = freshName('operator')
    const scopes: Scope[] = role === 'verifier' ? ['verifiers:enrol'] : ['nodes:enrol']
    const { token: enrolment } = await account({ name: operator, scopes, credits: 5_000 })
    const manifest = manifestOf(key, { role, operator })
    const client = createClient({ url: at, nodeKey: key })
    await client.registerNode({ body: { manifest, enrolment } })
    return {
      key,
      id: nodeId(key.publicKey),
      client,
      manifest,
      enrolment,
      async work(max = 64) {
        const { groups } = await client.lease({ body: { max } })
        if (groups.length === 0) return 0
        const { outcomes } = await client.results({ body: await answer({ key }, groups) })
        return outcomes.filter(({ state }) => state !== 'refused').length
      },
    }
  }

  return {
    url,
    urls,
    db,
    admin,
    account,
    node,
    raw: (options) => raw(url, options),
    async stop() {
      await db.close()
      for (const each of running.reverse()) await each.stop(AbortSignal.timeout(2_000))
      await database.drop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export function manifestOf(
  { publicKey }: KeyPair,
  { role = 'solver', operator }: { readonly role?: Manifest['role']; readonly operator: string },
): Manifest {
  return {
    role,
    publicKey: { type: 'ed25519', bytes: toHex(publicKey.bytes) },
    name: 'a node',
    operator,
    region: 'here',
    engine: `engine of ${operator}`,
    hardware: { tier: 3, cores: 2, memoryBytes: 1e9, score: 1 },
    runtimes: ['wasm'],
    workKinds: ['wasm'],
    chatModels: [],
    slots: 8,
  }
}

/** A header that holds for these parts, unless told otherwise. */
export function signedBy(
  key: KeyPair,
  parts: { readonly method: string; readonly path: string; readonly body?: Uint8Array },
  {
    at = Date.now(),
    nonce = randomBytes(16).toString('hex'),
  }: { readonly at?: number; readonly nonce?: string } = {},
): Promise<string> {
  return signRequest({ body: new Uint8Array(), ...parts }, { key, at, nonce })
}

export const signature = (value: string) => ({ [SIGNATURE_HEADER]: value })

function raw(url: string, { method = 'GET', path, headers = {}, body }: RawOptions): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const sent = httpRequest({ hostname, port, method, path, headers, agent: false }, async (answer) => {
      try {
        const chunks: Buffer[] = []
        for await (const chunk of answer) chunks.push(chunk)
        const text = Buffer.concat(chunks).toString()
        const isProblem = answer.headers['content-type'] === 'application/problem+json'
        const code = isProblem ? (JSON.parse(text) as { code: string }).code : undefined
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, code })
      } catch (error) {
        reject(error)
      }
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
