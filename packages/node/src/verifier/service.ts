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
import type { Log } from '../service/log.ts'
import { signNative } from '../service/native-signature.ts'
import { coordinatorContent } from '../work/content-source.ts'
import type { Machine } from '../work/machine.ts'
import { checkSegment } from './check.ts'
import type { VerifierConfig } from './config.ts'

const WAIT_MS = 20_000
/** Beyond the time that the coordinator may wait for work. */
const ANSWER_MS = 10_000
const HEARTBEAT_MS = 10_000
const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 5_000
/** Verdicts of one answer that come together. */
const GATHER_MS = 5

export interface VerifierParts {
  readonly key: KeyPair
  readonly log: Log
  /** What computes; closed by whoever opened it. */
  readonly machine: Machine
  /** Gives up the start. */
  readonly signal?: AbortSignal
}

export interface RunningVerifier {
  readonly nodeId: NodeId
  /** Asks for no more, finishes what it has, stops; `now` cuts that short. */
  stop(now?: AbortSignal): Promise<void>
}

type Verdict = VerdictsRequest['verdicts'][number]
type Retry = VerdictsRequest['retry'][number]

/** Resolves when the verifier is registered. @throws AssayError what the coordinator refuses it with. */
export async function startVerifier(config: VerifierConfig, parts: VerifierParts): Promise<RunningVerifier> {
  const { key, machine } = parts
  const id = nodeId(key.publicKey)
  const log = parts.log.child({ nodeId: id })
  const client = createClient({ url: config.coordinator, nodeKey: key, signer: signNative })
  const register = (signal?: AbortSignal) =>
    client.registerNode(
      { body: { manifest: manifestOf(config, key), enrolment: config.enrolment.reveal() } },
      signal === undefined ? {} : { signal },
    )
  await register(parts.signal)
  log.info('the verifier serves', { parallel: config.parallel })
  const asking = new AbortController()
  const checking = new AbortController()
  const answers = answersTo(client, log)
  const underWay = new Set<Promise<void>>()
  const check = (lease: VerificationLease) => {
    const work = checkLease(lease, { client, key, machine, log, signal: checking.signal })
      .then((answer) => (answer === null ? undefined : answers.add(answer)))
      .finally(() => underWay.delete(work))
    underWay.add(work)
  }
  const asks = loop({ signal: asking.signal, log, register }, async () => {
    const free = config.parallel - underWay.size
    if (free === 0) return void (await Promise.race(underWay))
    const { verifications } = await client.leaseVerifications(
      { body: { max: free, waitMs: WAIT_MS } },
      { signal: asking.signal, timeoutMs: WAIT_MS + ANSWER_MS },
    )
    for (const lease of verifications) check(lease)
  })
  const beats = loop({ signal: checking.signal, log, register }, async () => {
    await client.heartbeat(
      {
        body: {
          running: underWay.size,
          freeSlots: config.parallel - underWay.size,
          cacheBytes: machine.cacheBytes(),
        },
      },
      { signal: checking.signal },
    )
    await pause(HEARTBEAT_MS, undefined, { signal: checking.signal })
  })
  return {
    nodeId: id,
    async stop(now) {
      asking.abort()
      const cut = () => checking.abort()
      now?.addEventListener('abort', cut, { once: true })
      await asks
      await Promise.all(underWay)
      checking.abort()
      await Promise.all([beats, answers.idle()])
      now?.removeEventListener('abort', cut)
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
}

/** Again and again until the signal aborts; with growing pauses while it fails. */
async function loop({ signal, log, register }: LoopParts, step: () => Promise<void>): Promise<void> {
  let pauseMs = FIRST_PAUSE_MS
  while (!signal.aborted) {
    try {
      await step()
      pauseMs = FIRST_PAUSE_MS
    } catch (error) {
      if (signal.aborted) return
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
  readonly signal: AbortSignal
}

type Answer = { readonly verdict: Verdict } | { readonly retry: Retry }

/** A verdict, or the check handed back; null where nobody waits for it any more. */
async function checkLease(lease: VerificationLease, parts: LeaseParts): Promise<Answer | null> {
  const { client, key, machine, signal } = parts
  const { id, fence, jobId } = lease
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
      log.info(verdict.isVerified ? 'verified' : 'rejected', { samples: verdict.samples, code: verdict.code })
      return { verdict: { id, fence, ...verdict, receipt: verdict.receipt as Verdict['receipt'] } }
    } finally {
      release()
    }
  } catch (error) {
    if (signal.aborted) return null
    const message = error instanceof Error ? error.message : String(error)
    log.warn('a check could not be done, and is handed back', { error })
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
function answersTo(client: Client, log: Log) {
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
