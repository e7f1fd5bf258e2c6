/**
 * A network in the process of the test, over a fresh database of the server of the run. With
 * ASSAY_TEST_COORDINATORS=2 a second replica runs over the same tables, and submitters talk to that one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Scope } from 'assay/wire/account'
import { type Client, createClient } from 'assay/wire/client'
import type { JobView } from 'assay/wire/job'
import { submitJob } from 'assay/wire/submit'
// What was built: its threads and processes need files that a thread can load.
import { readCoordinatorConfig } from '../../../dist/coordinator/config.js'
import { startCoordinator } from '../../../dist/coordinator/service.js'
import { type Network, type NetworkOptions, startNetwork } from '../../../dist/network/up.js'
import { SILENT_LOG } from '../../../src/service/log.ts'
import { type Database, openDatabase } from '../../../src/store/database.ts'
import { testDatabase } from '../../support/postgres.ts'
import type { TestJob } from './work.ts'

export interface TestNetwork {
  readonly network: Network
  readonly db: Database
  /** Where submitters go: the last replica. */
  readonly url: string
  /** With jobs:read and jobs:write, its account filled. */
  readonly submitter: Client
  /** A client of an account with these scopes. */
  account(
    name: string,
    scopes: readonly Scope[],
    credits?: number,
  ): Promise<{ token: string; client: Client }>
  submit(job: TestJob, client?: Client): Promise<JobView>
  close(): Promise<void>
}

const CREDITS = 100_000

export async function openNetwork(
  nodes: NetworkOptions['nodes'],
  options: Partial<NetworkOptions> = {},
): Promise<TestNetwork> {
  const database = await testDatabase()
  const folder = mkdtempSync(join(tmpdir(), 'assay-network-'))
  const common = {
    folder,
    port: 0,
    databaseUrl: database.url,
    log: SILENT_LOG,
    signal: new AbortController().signal,
  }
  const network = await startNetwork({ ...common, nodes, ...options })
  const second = process.env.ASSAY_TEST_COORDINATORS === '2' ? await startReplica(common, options) : undefined
  const url = second?.url ?? network.url
  const db = openDatabase(database.url, { maxConnections: 2 })
  const account: TestNetwork['account'] = async (name, scopes, credits = CREDITS) => {
    const { token } = await network.admin.client.makeKey({ body: { account: name, scopes: [...scopes] } })
    await network.admin.client.deposit({ body: { account: `submitter:${name}`, amount: credits } })
    return { token, client: createClient({ url, token }) }
  }
  const { client: submitter } = await account('tester', ['jobs:read', 'jobs:write'])
  return {
    network,
    db,
    url,
    submitter,
    account,
    submit: ({ draft, input, content }, client = submitter) => submitJob(client, draft, { input, content }),
    async close() {
      await db.close()
      await second?.stop(AbortSignal.abort())
      await network.stop(AbortSignal.abort())
      await database.drop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function startReplica(
  {
    folder,
    databaseUrl,
    log,
    signal,
  }: Pick<NetworkOptions, 'folder' | 'log' | 'signal'> & { databaseUrl: string },
  { coordinator = {} }: Partial<NetworkOptions>,
) {
  const flags = { databaseUrl, blobFolder: join(folder, 'blobs'), port: 0, host: '127.0.0.1', ...coordinator }
  return startCoordinator(readCoordinatorConfig({ flags }), { log, signal })
}
