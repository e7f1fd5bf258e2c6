/**
 * The coordinator: takes jobs, gives them to nodes, judges and settles what comes back, and seals the receipts.
 *
 * Any number of replicas run over one database and one folder of blobs; nothing that counts is in memory alone. A
 * replica that dies leaves leases that expire, and steps that the sweep of any other takes up.
 *
 * It starts in this order: database, migrations, keys, blobs, parts, work from other replicas, HTTP. It stops in the
 * opposite one: no new requests (what waits for work is answered with none, streams of events end), then the sweep,
 * then what requests have set off, then blobs and database.
 */
import { readFileSync } from 'node:fs'
import { AssayError } from 'assay/core/errors'
import { decodeKeyPair } from 'assay/core/key-file'
import { type KeyPair, nodeId } from 'assay/core/keys'
import { openApiDocument } from 'assay/wire/openapi'
import { listen } from '../service/http.ts'
import type { Log } from '../service/log.ts'
import { createMetrics, type Metrics } from '../service/metrics.ts'
import { verifyNative } from '../service/native-signature.ts'
import { type BlobStore, openBlobs } from '../store/blobs.ts'
import { type Database, openDatabase } from '../store/database.ts'
import { migrate } from '../store/migrate.ts'
import { MIGRATIONS } from '../store/migrations/all.ts'
import { bootstrap, openKeyring } from './accounts.ts'
import { judgeCanaries } from './canary/judge.ts'
import { injectCanary } from './canary.ts'
import type { CoordinatorConfig } from './config.ts'
import { openFeed } from './event-feed.ts'
import { createApp } from './http/app.ts'
import { openBlobAccess } from './http/blob-access.ts'
import type { CoordinatorDeps } from './http/deps.ts'
import { dispatchOf, jobsOf } from './http/dispatch.ts'
import { VERIFICATIONS } from './http/handlers-dispatch.ts'
import { openReservations } from './http/idempotency.ts'
import { networkReader, readinessCheck, watch } from './http/network-view.ts'
import { openNonces } from './http/nonces.ts'
import { sealingOf } from './http/sealing.ts'
import { openWorkSignals } from './http/signals.ts'
import { openWorkBoard, placesWithWork, verificationsWaiting } from './http/work-board.ts'
import { createFactsCache } from './life/job-facts.ts'
import { createLife } from './life/life.ts'
import { openHeartbeats } from './registry/heartbeats.ts'
import { openNodes } from './registry/nodes.ts'
import { DEFAULT_NODE_POLICY, type NodePolicy } from './registry/policy.ts'
import { forget } from './retention.ts'
import { packedEvidence } from './sealing/bundle.ts'
import { coordinatorKey } from './sealing/coordinator-key.ts'
import { beginLog, type LogKeeper } from './sealing/log-store.ts'
import { openSealer } from './sealing/sealer.ts'

const SWEEP_MS = 1_000

export interface CoordinatorParts {
  readonly log: Log
  /** Gives up the start. */
  readonly signal?: AbortSignal
  readonly metrics?: Metrics
  /** Unix milliseconds; `Date.now` unless told. */
  readonly now?: () => number
}

export interface RunningCoordinator {
  readonly url: string
  /** Key of the administrator, at the first start of a network. */
  readonly adminToken?: string
  /** Finishes what is under way; drops it when `now` aborts. */
  stop(now?: AbortSignal): Promise<void>
}

/** What was opened, to be closed in the opposite order. */
type Closers = ((now: AbortSignal) => Promise<void> | void)[]

/** Resolves when it serves. @throws AssayError `store/…`, `http/listen`, `coordinator/key`; the signal's reason. */
export async function startCoordinator(
  config: CoordinatorConfig,
  parts: CoordinatorParts,
): Promise<RunningCoordinator> {
  const { log, signal } = parts
  const closers: Closers = []
  const stop = async (now: AbortSignal = new AbortController().signal) => {
    for (const close of closers.splice(0).reverse()) await close(now)
  }
  try {
    const metrics = parts.metrics ?? createMetrics({ process: true })
    const db = openStore(config, { log, metrics, closers })
    await migrate(db, MIGRATIONS, { log, ...(signal === undefined ? {} : { signal }) })
    const first = await bootstrap(db)
    const now = parts.now ?? Date.now
    const keeper = await openKeeper(db, { config, now })
    const store = await openBlobStore(config, { log, closers })
    const deps = await openParts({ config, db, store, keeper, metrics, log, now, closers })
    signal?.throwIfAborted()
    const api = createApp(deps)
    const server = await listen(api, { log, host: config.host, port: config.port })
    closers.push((cut) => server.close(cut))
    const { url } = server
    return { url, stop, ...(first === null ? {} : { adminToken: first.token }) }
  } catch (error) {
    await stop(AbortSignal.abort())
    throw error
  }
}

function openStore(
  { databaseUrl, databaseConnections }: CoordinatorConfig,
  { log, metrics, closers }: { readonly log: Log; readonly metrics: Metrics; readonly closers: Closers },
): Database {
  const seconds = metrics.seconds({
    name: 'database_query_seconds',
    help: 'Of each statement, with the wait for its answer.',
    labels: ['statement'],
  })
  const db = openDatabase(databaseUrl.reveal(), {
    applicationName: 'assay-coordinator',
    maxConnections: databaseConnections,
    log,
    onQuery: (statement, took) => seconds.observe(took, { statement }),
  })
  closers.push(() => db.close())
  return db
}

/** The key of the network, and the log that it signs. */
async function openKeeper(
  db: Database,
  { config, now }: { readonly config: CoordinatorConfig; readonly now: () => number },
): Promise<LogKeeper> {
  const given = config.keyFile === undefined ? undefined : await readKey(config.keyFile)
  const key = await coordinatorKey(db, given)
  const keeper = { key, origin: config.logOrigin ?? `assay.log/${nodeId(key.publicKey)}` }
  await beginLog(db, keeper, now())
  return keeper
}

/** @throws AssayError `config/file`, `key/malformed`. */
async function readKey(path: string): Promise<KeyPair> {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new AssayError('config/file', `${path}: expected a key file, as \`assay key new\` writes it`, {
      detail: { path },
      cause,
    })
  }
  return decodeKeyPair(value)
}

async function openBlobStore(
  { blobFolder, blobBytes, maxBlobBytes }: CoordinatorConfig,
  { log, closers }: { readonly log: Log; readonly closers: Closers },
): Promise<BlobStore> {
  const store = await openBlobs(blobFolder, {
    maxBytes: blobBytes,
    maxBlobBytes,
    whenFull: 'refuse',
    shared: true,
    log,
  })
  closers.push(() => store.close())
  return store
}

interface Opening {
  readonly config: CoordinatorConfig
  readonly db: Database
  readonly store: BlobStore
  readonly keeper: LogKeeper
  readonly metrics: Metrics
  readonly log: Log
  readonly now: () => number
  readonly closers: Closers
}

async function openParts(opening: Opening): Promise<CoordinatorDeps> {
  const { config, db, store, keeper, metrics, log, now, closers } = opening
  const policy: NodePolicy = { ...DEFAULT_NODE_POLICY, minStake: config.minStake, penalty: config.penalty }
  const blobs = openBlobAccess(db, store)
  const segmentBoard = openWorkBoard({ look: () => placesWithWork(db), log })
  const verificationBoard = openWorkBoard({
    look: async () => ((await verificationsWaiting(db)) ? [VERIFICATIONS] : []),
    log,
  })
  const onWork = () => {
    segmentBoard.signal()
    verificationBoard.signal()
  }
  const signals = await openWorkSignals(db, { onWork, log })
  const cache = createFactsCache()
  const life = createLife({
    db,
    cache,
    content: blobs.content,
    policy,
    verify: verifyNative,
    onWork: signals.made,
    onError: (error, what) => log.error('a step of jobs failed', { what, error }),
  })
  const heartbeats = openHeartbeats(db, (error) => log.warn('heartbeats were not written', { error }))
  const nonces = openNonces(db)
  const reservations = openReservations(db)
  const feed = openFeed({ db, onError: (error) => log.warn('reading events failed', { error }) })
  const sealer = openSealer({
    db,
    cache,
    keeper,
    clock: now,
    onError: (error) => log.error('sealing failed', { error }),
    onSealed: sealedCounter(metrics),
  })
  // Closed from the last to the first: what others use comes last.
  closers.push(
    () => signals.close(),
    () => Promise.all([nonces.close(), reservations.close(), heartbeats.close()]).then(() => undefined),
    () => life.close(),
    () => sealer.close(),
    () => feed.close(),
    () => Promise.all([segmentBoard.close(), verificationBoard.close()]).then(() => undefined),
    startSweep(
      {
        jobs: () => life.sweep(new Date(now())),
        canaries: () =>
          injectCanary(db, {
            perHour: config.canariesPerHour,
            now: now(),
            submit: async (submission) => (await life.submitJob({ ...submission, now: new Date(now()) })).id,
            putBlob: (cid, bytes) => store.put(cid, bytes),
          }),
        'what is old': () =>
          forget({
            db,
            blobs: store,
            evidence: (jobId) => packedEvidence(db, jobId, { cache, content: blobs.content }),
            onError: (error, jobId) => log.error('what was signed cannot be packed', { jobId, error }),
            keepDays: config.keepDays,
            now: now(),
          }),
        'answers of canaries': () => judgeCanaries(db, { policy, cache, content: blobs.content, now: now() }),
      },
      log,
    ),
  )
  watch(metrics, { db, store, segmentBoard, verificationBoard })
  const overHttp = { life, db, blobs, metrics, now }
  return {
    db,
    log,
    metrics,
    now,
    verify: verifyNative,
    keyring: openKeyring(db),
    nodes: openNodes(db),
    policy,
    heartbeats,
    feed,
    nonces,
    reservations,
    segmentBoard,
    verificationBoard,
    jobs: jobsOf(overHttp),
    dispatch: dispatchOf(overHttp),
    blobs,
    content: blobs.content,
    sealing: sealingOf({ db, cache, content: blobs.content }),
    network: networkReader(db, { name: config.networkName, keeper, now }),
    readiness: readinessCheck(db, config.blobFolder),
    openApi: openApiDocument(),
    maxStreams: config.maxEventStreams,
  }
}

function sealedCounter(metrics: Metrics) {
  const receipts = metrics.counter({
    name: 'receipts_total',
    help: 'Receipts that were sealed, and jobs whose records made none.',
    labels: ['state'],
  })
  return ({ sealed, failed }: { readonly sealed: number; readonly failed: number }) => {
    receipts.add(sealed, { state: 'sealed' })
    receipts.add(failed, { state: 'failed' })
  }
}

/** Runs the steps one after the other, again and again, with a pause after each round; returns what stops it. */
function startSweep(
  steps: { readonly [name: string]: () => Promise<unknown> },
  log: Log,
): () => Promise<void> {
  let isStopped = false
  let wake: () => void = () => undefined
  const round = async () => {
    for (const [step, run] of Object.entries(steps)) {
      if (isStopped) return
      try {
        await run()
      } catch (error) {
        log.error('a step of the sweep failed', { step, error })
      }
    }
  }
  const run = async () => {
    while (!isStopped) {
      await round()
      if (isStopped) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, SWEEP_MS)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
  const running = run()
  return () => {
    isStopped = true
    wake()
    return running
  }
}
