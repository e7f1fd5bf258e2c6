/**
 * The node: registers, keeps its slots full of leases, runs them, and returns results, until it is told to stop.
 *
 * Four things go on at once: asking for work (one request that waits), renewing what is held, heartbeats, and what
 * runner.ts and outbox.ts do. None of them ends because a coordinator is away: it is asked again, with pauses, and
 * what was computed meanwhile is kept.
 *
 * Threat: work and coordinator belong to others. What strangers' work can do to the machine is bounded where it runs
 * (work/); a coordinator can waste the node's time, and cannot make it sign anything but commitments to what it
 * computed.
 */
import { AssayError } from 'assay/core/errors'
import { type KeyPair, type NodeId, nodeId } from 'assay/core/keys'
import type { HttpServer } from '../service/http.ts'
import type { Log } from '../service/log.ts'
import { createMetrics, type Metrics } from '../service/metrics.ts'
import { type StatusOptions, startStatusServer } from '../service/status.ts'
import { coordinatorContent } from '../work/content-source.ts'
import { type Machine, openMachine } from '../work/machine.ts'
import { sleep } from './backoff.ts'
import { type Hardware, measureHardware } from './benchmark.ts'
import { adaptiveCapacity } from './capacity.ts'
import { chatEndpoint, type NodeConfig } from './config.ts'
import { type Enrol, enroller } from './enrol.ts'
import { type HeldLeases, heldLeases } from './held.ts'
import type { NodeHooks } from './hooks.ts'
import { type Link, openLink } from './link.ts'
import { heartbeats, leasing, renewals } from './loops.ts'
import { nodeManifest } from './manifest.ts'
import { nodeMetrics } from './node-metrics.ts'
import { namesOf, type Outbox, openOutbox } from './outbox.ts'
import { openRunner } from './runner.ts'

/** What handing back may take, once the time for finishing is over; and when it is to stop now. */
const HAND_BACK_MS = 3_000
const HAND_BACK_NOW_MS = 1_000
/** What saying goodbye may take: who does not say it is missed, a little later. */
const GOODBYE_MS = 1_000

export interface NodeParts {
  readonly key: KeyPair
  readonly log: Log
  /** Gives up the start. */
  readonly signal?: AbortSignal
  readonly metrics?: Metrics
  /** What computes; several nodes of one process share it. The node opens and closes its own without it. */
  readonly machine?: Machine
  /** Measured without it. */
  readonly hardware?: Hardware
  readonly fetch?: typeof fetch
  readonly hooks?: NodeHooks
}

export interface RunningNode {
  readonly nodeId: NodeId
  /** Where it shows its health and metrics, if it was told to. */
  readonly statusUrl: string | null
  /** Takes no more work, finishes what it has in its time, hands the rest back, stops. `now` cuts the time short. */
  drain(now?: AbortSignal): Promise<void>
  /** Stops at once; what it held runs out. */
  stop(): Promise<void>
}

/**
 * Resolves when the node is registered and asks for work.
 *
 * @throws AssayError what the coordinator refuses the registration with; `store/in-use` where another process has the
 * folder of the cache; `http/listen`; the reason of the signal.
 */
export async function startNode(config: NodeConfig, parts: NodeParts): Promise<RunningNode> {
  const { key, metrics = createMetrics({ process: config.statusPort !== undefined }) } = parts
  const log = parts.log.child({ nodeId: nodeId(key.publicKey) })
  const hardware = parts.hardware ?? (await measureHardware())
  const machine = parts.machine ?? (await openMachine({ ...config, chat: chatEndpoint(config), log }))
  const closers: (() => Promise<void>)[] = parts.machine === undefined ? [() => machine.close()] : []
  const close = async () => {
    for (const end of closers.splice(0).reverse()) await end()
  }
  try {
    const link = openLink({ urls: config.coordinator, key, ...(parts.fetch ? { fetch: parts.fetch } : {}) })
    const draining = new AbortController()
    const status = await openStatus(config, { metrics, log, isReady: () => !draining.signal.aborted })
    if (status !== undefined) closers.push(() => status.close(AbortSignal.abort()))
    const manifest = nodeManifest(config, { publicKey: key.publicKey, hardware })
    const enrol = enroller(link, { manifest, enrolment: config.enrolment.reveal(), log })
    await enrol(parts.signal ?? new AbortController().signal)
    const served = serve(config, { ...parts, log, hardware, machine, metrics, link, enrol, draining, close })
    return { nodeId: nodeId(key.publicKey), statusUrl: status?.url ?? null, ...served }
  } catch (error) {
    await close()
    throw error
  }
}

interface ServeParts extends NodeParts {
  readonly hardware: Hardware
  readonly machine: Machine
  readonly metrics: Metrics
  readonly link: Link
  readonly enrol: Enrol
  readonly draining: AbortController
  readonly close: () => Promise<void>
}

/** Puts the parts together, and lets them run. */
function serve(config: NodeConfig, parts: ServeParts): Pick<RunningNode, 'drain' | 'stop'> {
  const { key, log, machine, link, enrol, draining, hooks = {} } = parts
  const leases = heldLeases()
  const capacity = adaptiveCapacity(config.slots)
  const stopping = new AbortController()
  const metrics = nodeMetrics(parts.metrics, {
    heldSegments: () => leases.size,
    slots: config.slots,
    cacheBytes: machine.cacheBytes,
    clockOffsetMs: link.clockOffsetMs,
  })
  const outbox = openOutbox({
    link,
    key,
    log,
    leases,
    enrol: () => enrol(stopping.signal),
    signal: stopping.signal,
    alter: hooks.result,
    onOutcome: (held, outcome) => metrics.outcome(outcome, held.group.work.kind),
  })
  const runner = openRunner({
    workbench: machine.workbench,
    source: coordinatorContent(link.client),
    leases,
    outbox,
    key,
    log,
    slots: config.slots,
    capacity,
    hooks,
    metrics,
  })
  const loop = { link, leases, log, metrics, enrol, slots: config.slots }
  const loops = [
    heartbeats({
      ...loop,
      cacheBytes: machine.cacheBytes,
      isLeaving: () => draining.signal.aborted,
      signal: stopping.signal,
    }),
    renewals({ ...loop, signal: stopping.signal }),
    leasing({ ...loop, runner, capacity, signal: draining.signal }),
  ]
  log.info('the node serves', { slots: config.slots, operator: config.operator })

  const end = async () => {
    draining.abort()
    stopping.abort()
    for (const held of leases.all()) held.drop(stoppingError())
    await Promise.all(loops)
    await parts.close()
    log.info('the node stopped')
  }
  const drain = async (now: AbortSignal) => {
    draining.abort()
    log.info('draining', { held: leases.size })
    const time = AbortSignal.timeout(config.drainTimeoutMs)
    if (leases.size > 0) {
      const waited = untilEmpty(leases, AbortSignal.any([now, stopping.signal, time]))
      await Promise.all([goodbye(link, leases.size), waited])
    }
    handBack(leases, { outbox, log })
    const handBackMs = now.aborted ? HAND_BACK_NOW_MS : HAND_BACK_MS
    await Promise.race([outbox.idle(), sleep(handBackMs, stopping.signal)])
    await goodbye(link, leases.size)
    await stop()
  }
  let drained: Promise<void> | undefined
  let ended: Promise<void> | undefined
  const stop = () => {
    ended ??= end()
    return ended
  }
  return {
    drain: (now = new AbortController().signal) => {
      drained ??= drain(now)
      return drained
    },
    stop,
  }
}

async function openStatus(
  { statusHost: host, statusPort: port }: NodeConfig,
  options: Omit<StatusOptions, 'host' | 'port'>,
): Promise<HttpServer | undefined> {
  return port === undefined ? undefined : startStatusServer({ ...options, host, port })
}

async function untilEmpty(leases: HeldLeases, signal: AbortSignal): Promise<void> {
  while (leases.size > 0 && !signal.aborted) await leases.changed(signal)
}

/** Nothing more is kept for the node, and what was is somebody else's. */
async function goodbye({ client }: Link, running: number): Promise<void> {
  const body = { running, freeSlots: 0, cacheBytes: 0, leaving: true }
  await client.heartbeat({ body }, { timeoutMs: GOODBYE_MS, maxAttempts: 1 }).catch(() => undefined)
}

/** What is not done is somebody else's: at once, and without using up an attempt. */
function handBack(leases: HeldLeases, { outbox, log }: { readonly outbox: Outbox; readonly log: Log }): void {
  for (const held of leases.all()) {
    log.info('handing a segment back', namesOf(held))
    const { code, message } = stoppingError()
    held.drop(stoppingError())
    outbox.failure(held, { code, message, retryElsewhere: true })
  }
}

function stoppingError(): AssayError {
  return new AssayError('node/stopping', 'the node is stopping, and hands back what it could not finish')
}
