/**
 * The verifier: asks the coordinator for results to check, computes a sample of their rows again, and returns signed
 * verdicts, until it is told to stop.
 *
 * It is the one service whose word is taken, by whoever relies on its receipts; so it blames a node only for what the
 * node signed, and hands a check back where something is wrong on this side. Checks that it holds when it stops run
 * out, and go to another verifier.
 */

import { createRequire } from 'node:module'
import { availableParallelism, totalmem } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { fromBase64, toBase64, toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { type KeyPair, type NodeId, nodeId } from 'assay/core/keys'
import { MAX_PROOF_TEXT } from 'assay/method/sampling/messages'
import { MAX_ROWS_BYTES } from 'assay/task/rows'
import { downloadBlob } from 'assay/wire/blob-transfer'
import { type Client, createClient } from 'assay/wire/client'
import type { Manifest } from 'assay/wire/manifest'
import type { VerdictsRequest, VerificationLease } from 'assay/wire/verification'
import type { HttpServer } from '../service/http.ts'
import type { Log } from '../service/log.ts'
import { createMetrics, type Metrics } from '../service/metrics.ts'
import { signNative } from '../service/native-signature.ts'
import { startStatusServer } from '../service/status.ts'
import { coordinatorContent } from '../work/content-source.ts'
import type { Machine } from '../work/machine.ts'
import { checkSegment } from './check.ts'
import type { VerifierConfig } from './config.ts'
import { type VerifierMetrics, verifierMetrics } from './verifier-metrics.ts'

const WAIT_MS = 20_000
/** Beyond the time that the coordinator may wait for work. */
const ANSWER_MS = 10_000
const HEARTBEAT_MS = 10_000
const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 5_000
/** Verdicts of one answer that come together. */
const GATHER_MS = 5
/** What saying goodbye may take: who does not say it is missed, a little later. */
const GOODBYE_MS = 1_000

export interface VerifierParts {
  readonly key: KeyPair
  readonly log: Log
  /** What computes; closed by whoever opened it. */
  readonly machine: Machine
  /** Gives up the start. */
  readonly signal?: AbortSignal
  readonly metrics?: Metrics
}

export interface RunningVerifier {
  readonly nodeId: NodeId
  /** Where it shows its health and metrics, if it was told to. */
  readonly statusUrl: string | null
  /** Asks for no more, finishes what it has, stops; `now` cuts that short. */
  stop(now?: AbortSignal): Promise<void>
}

type Verdict = VerdictsRequest['verdicts'][number]
type Retry = VerdictsRequest['retry'][number]

/** Resolves when the verifier is registered. @throws AssayError what the coordinator refuses it with; `http/listen`. */
export async function startVerifier(config: VerifierConfig, parts: VerifierParts): Promise<RunningVerifier> {
  const log = parts.log.child({ nodeId: nodeId(parts.key.publicKey) })
  const registry = parts.metrics ?? createMetrics({ process: config.statusPort !== undefined })
  const asking = new AbortController()
  const status = await openStatus(config, { metrics: registry, log, isReady: () => !asking.signal.aborted })
  try {
    return await serve(config, { ...parts, log, registry, asking, status })
  } catch (error) {
    await status?.close(AbortSignal.abort())
    throw error
  }
}

async function openStatus(
  { statusHost: host, statusPort: port }: VerifierConfig,
  options: { readonly metrics: Metrics; readonly log: Log; readonly isReady: () => boolean },
): Promise<HttpServer | undefined> {
  return port === undefined ? undefined : startStatusServer({ ...options, host, port })
}

interface ServeParts extends VerifierParts {
  readonly registry: Metrics
  readonly asking: AbortController
  readonly status: HttpServer | undefined
}

async function serve(config: VerifierConfig, parts: ServeParts): Promise<RunningVerifier> {
  const { key, machine, log, asking, status } = parts
  const client = createClient({ url: config.coordinator, nodeKey: key, signer: signNative })
  const register = (signal?: AbortSignal) =>
    client.registerNode(
      { body: { manifest: manifestOf(config, key), enrolment: config.enrolment.reveal() } },
      signal === undefined ? {} : { signal },
    )
  await register(parts.signal)
  log.info('the verifier serves', { parallel: config.parallel })
  const checking = new AbortController()
  const underWay = new Set<Promise<void>>()
  const metrics = verifierMetrics(parts.registry, {
    underWay: () => underWay.size,
    parallel: config.parallel,
    cacheBytes: machine.cacheBytes,
  })
  const answers = answersTo(client, { log, metrics })
  const check = (lease: VerificationLease) => {
    const work = checkLease(lease, { client, key, machine, log, metrics, signal: checking.signal })
      .then((answer) => (answer === null ? undefined : answers.add(answer)))
      .finally(() => underWay.delete(work))
    underWay.add(work)
  }
  const failed = (operation: 'lease' | 'heartbeat') => () => metrics.callFailed(operation)
  const asks = loop({ signal: asking.signal, log, register, onFailure: failed('lease') }, async () => {
    const free = config.parallel - underWay.size
    if (free === 0) return void (await Promise.race(underWay))
    const { verifications } = await client.leaseVerifications(
      { body: { max: free, waitMs: WAIT_MS } },
      { signal: asking.signal, timeoutMs: WAIT_MS + ANSWER_MS },
    )
    for (const lease of verifications) check(lease)
  })
  const beating = { signal: checking.signal, log, register, onFailure: failed('heartbeat') }
  const beats = loop(beating, async () => {
    const running = underWay.size
    const body = { running, freeSlots: config.parallel - running, cacheBytes: machine.cacheBytes() }
    await client.heartbeat({ body }, { signal: checking.signal })
    await pause(HEARTBEAT_MS, undefined, { signal: checking.signal })
  })
  return {
    nodeId: nodeId(key.publicKey),
    statusUrl: status?.url ?? null,
    async stop(now) {
      asking.abort()
      const cut = () => checking.abort()
      now?.addEventListener('abort', cut, { once: true })
      await asks
      await Promise.all(underWay)
      checking.abort()
      await Promise.all([beats, answers.idle()])
      now?.removeEventListener('abort', cut)
      const body = { running: 0, freeSlots: 0, cacheBytes: 0, leaving: true }
      await client.heartbeat({ body }, { timeoutMs: GOODBYE_MS, maxAttempts: 1 }).catch(() => undefined)
      await status?.close(AbortSignal.abort())
      log.info('the verifier stopped')
    },
  }
}

function manifestOf(config: VerifierConfig, { publicKey }: KeyPair): Manifest {
  const own = createRequire(import.meta.url)('@assay/node/package.json') as { readonly version: string }
  return {
    role: 'verifier',
    publicKey: { type: publicKey.type, bytes: toHex(publicKey.bytes) },
    name: config.name,
    operator: config.operator,
    region: config.region,
    engine: `assay ${own.version}, node ${process.versions.node}`,
    // Verifiers are not scheduled by what their machine can do.
    hardware: { tier: 1, cores: availableParallelism(), memoryBytes: totalmem(), score: 0 },
    runtimes: ['reproducible', 'native', 'wasm'],
    workKinds: ['onnx', 'wasm'],
    chatModels: [],
    slots: config.parallel,
  }
}

interface LoopParts {
  readonly signal: AbortSignal
  readonly log: Log
  readonly register: () => Promise<unknown>
  readonly onFailure: () => void
}

/** Again and again until the signal aborts; with growing pauses while it fails. */
async function loop(
  { signal, log, register, onFailure }: LoopParts,
  step: () => Promise<void>,
): Promise<void> {
  let pauseMs = FIRST_PAUSE_MS
  while (!signal.aborted) {
    try {
      await step()
      pauseMs = FIRST_PAUSE_MS
    } catch (error) {
      if (signal.aborted) return
      onFailure()
      log.warn('the coordinator did not answer well', { error })
      await pause(pauseMs, undefined, { signal }).catch(() => undefined)
      pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs)
      const isUnknown = error instanceof AssayError && error.code === 'wire/unauthenticated'
      if (isUnknown) await register().catch(() => undefined)
    }
  }
}

interface LeaseParts {
  readonly client: Client
  readonly key: KeyPair
  readonly machine: Machine
  readonly log: Log
  readonly metrics: VerifierMetrics
  readonly signal: AbortSignal
}

type Answer = { readonly verdict: Verdict } | { readonly retry: Retry }

/** A verdict, or the check handed back, at the latest when its lease is over; null where nobody waits for it any more. */
async function checkLease(lease: VerificationLease, parts: LeaseParts): Promise<Answer | null> {
  const { client, key, machine, metrics } = parts
  const signal = AbortSignal.any([parts.signal, AbortSignal.timeout(1000 * lease.leaseSeconds)])
  const { id, fence, jobId } = lease
  const { kind } = lease.work
  const started = performance.now()
  const log = parts.log.child({ jobId, dispatchId: id })
  try {
    const [output, proof] = await Promise.all([
      readValue(client, lease.output, { maxBytes: MAX_ROWS_BYTES, signal }),
      readValue(client, lease.sampling.proof, { maxBytes: MAX_PROOF_TEXT, signal }),
    ])
    const source = coordinatorContent(client)
    const { rows, release } = await machine.workbench.use(lease, { source, signal })
    try {
      const row = (index: number) => rows.row(index, { signal })
      const deps = { key, row, output, proof: toBase64(proof), now: new Date(), signal }
      const verdict = await checkSegment(lease, deps)
      const { samples, code } = verdict
      const word = verdict.isVerified ? 'verified' : 'rejected'
      log.info(word, { samples, code })
      metrics.checked({ verdict: word, kind, samples, seconds: (performance.now() - started) / 1000 })
      return { verdict: { id, fence, ...verdict, receipt: verdict.receipt as Verdict['receipt'] } }
    } finally {
      release()
    }
  } catch (error) {
    if (parts.signal.aborted) return null
    const message = error instanceof Error ? error.message : String(error)
    log.warn('a check could not be done, and is handed back', { error })
    metrics.handedBack(kind)
    return { retry: { id, fence, message: message.slice(0, 2048) } }
  }
}

async function readValue(
  client: Client,
  value: { readonly inline: string } | { readonly cid: string },
  options: { readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  if ('inline' in value) return fromBase64(value.inline)
  return downloadBlob(client, value.cid, { side: 'node', ...options })
}

/** Sends what was found, several together; tries again until the coordinator took it. */
function answersTo(
  client: Client,
  { log, metrics }: { readonly log: Log; readonly metrics: VerifierMetrics },
) {
  let waiting: Answer[] = []
  let sending: Promise<void> | undefined
  const send = async () => {
    await pause(GATHER_MS)
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      const body = {
        verdicts: batch.flatMap((answer) => ('verdict' in answer ? [answer.verdict] : [])),
        retry: batch.flatMap((answer) => ('retry' in answer ? [answer.retry] : [])),
      }
      try {
        const { stale } = await client.verdicts({ body })
        if (stale.length > 0) log.info('verdicts came too late', { stale: stale.length })
      } catch (error) {
        // The checks run out, and are done again.
        log.warn('verdicts could not be handed in', { error, verdicts: batch.length })
        metrics.callFailed('verdicts')
      }
    }
    sending = undefined
  }
  return {
    add(answer: Answer): void {
      waiting.push(answer)
      sending ??= send()
    },
    async idle(): Promise<void> {
      await sending
    },
  }
}
