/** The network at large: what anybody may know of it, whether this replica is well, and figures for operators. */
import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { toHex } from 'assay/core/bytes'
import { nodeId } from 'assay/core/keys'
import type { networkView } from 'assay/wire/api'
import type * as z from 'zod/mini'
import type { Metrics } from '../../service/metrics.ts'
import type { BlobStore } from '../../store/blobs.ts'
import type { Database } from '../../store/database.ts'
import { migrationState } from '../../store/migrate.ts'
import { MIGRATIONS } from '../../store/migrations/all.ts'
import type { LogKeeper } from '../sealing/log-store.ts'
import type { CoordinatorDeps } from './deps.ts'
import type { WorkBoard } from './work-board.ts'

/** Counting jobs takes a while where there are millions, and anybody may ask. */
const COUNTS_MS = 10_000
/** With less, blobs are about to be refused, and so is the work that needs them. */
const LEAST_FREE_BYTES = 2 ** 28

export function networkReader(
  db: Database,
  {
    name,
    keeper: { key, origin },
    now,
  }: { readonly name: string; readonly keeper: LogKeeper; readonly now: () => number },
): CoordinatorDeps['network'] {
  const { publicKey } = key
  const fixed = {
    name,
    version: packageVersion(),
    coordinator: {
      nodeId: nodeId(publicKey),
      publicKey: { type: publicKey.type, bytes: toHex(publicKey.bytes) },
    },
    logOrigin: origin,
  }
  let last: { readonly at: number; readonly view: Promise<z.infer<typeof networkView>> } | undefined
  const read = async () => {
    const { rows } = await db.query<{ nodes: number; jobs: number }>(
      `SELECT (SELECT count(*) FROM node WHERE state <> 'offline') AS nodes, (SELECT count(*) FROM job) AS jobs`,
    )
    return { ...fixed, nodes: rows[0]?.nodes ?? 0, jobs: rows[0]?.jobs ?? 0 }
  }
  return () => {
    if (last === undefined || Math.abs(now() - last.at) > COUNTS_MS) {
      const view = read()
      last = { at: now(), view }
      // A failure is told to those who asked, and not kept.
      view.catch(() => {
        last = undefined
      })
    }
    return last.view
  }
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}

export function readinessCheck(db: Database, blobFolder: string): CoordinatorDeps['readiness'] {
  const checks = {
    database: async () => {
      const { pending } = await migrationState(db, MIGRATIONS)
      return pending.length === 0 ? null : `${pending.length} migrations are to be applied`
    },
    disk: async () => {
      const { bavail, bsize } = await statfs(blobFolder)
      const free = bavail * bsize
      return free >= LEAST_FREE_BYTES ? null : `${free} bytes are free for blobs`
    },
  }
  return async () => {
    const found = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => {
        try {
          return [name, await check()] as const
        } catch {
          // Anybody may ask: the reason is in the log of whoever needed it.
          return [name, 'not available'] as const
        }
      }),
    )
    return Object.fromEntries(found.flatMap(([name, fault]) => (fault === null ? [] : [[name, fault]])))
  }
}

export interface Watched {
  readonly db: Database
  readonly store: BlobStore
  readonly segmentBoard: WorkBoard
  readonly verificationBoard: WorkBoard
}

/** Figures that are read when somebody looks. */
export function watch(metrics: Metrics, { db, store, segmentBoard, verificationBoard }: Watched): void {
  const gauges: readonly (readonly [string, string, () => number | Promise<number>])[] = [
    ['nodes_waiting', 'Nodes that wait for work.', () => segmentBoard.waiting],
    ['verifiers_waiting', 'Verifiers that wait for results to check.', () => verificationBoard.waiting],
    ['database_connections', 'Connections to the database.', () => db.stats().total],
    ['database_calls_waiting', 'Calls that wait for a connection.', () => db.stats().waiting],
    ['blobs_bytes', 'Bytes that blobs and uploads take.', () => store.stats().bytes],
    ['blobs', 'Blobs.', () => store.stats().blobs],
    ['uploads', 'Uploads that are not finished.', () => store.stats().uploads],
    [
      'nodes_online',
      'Nodes that were heard from.',
      () => countOf(db, "SELECT count(*) AS count FROM node WHERE state <> 'offline'"),
    ],
    [
      'jobs_open',
      'Jobs that have not ended.',
      () => countOf(db, "SELECT count(*) AS count FROM job WHERE state IN ('submitted', 'running')"),
    ],
    [
      'receipts_pending',
      'Accepted jobs whose receipts are not sealed.',
      () => countOf(db, "SELECT count(*) AS count FROM job WHERE receipt_state = 'pending'"),
    ],
  ]
  for (const [name, help, read] of gauges) metrics.gauge({ name, help, read })
}

async function countOf(db: Database, sql: string): Promise<number> {
  return (await db.query<{ count: number }>(sql)).rows[0]?.count ?? 0
}
