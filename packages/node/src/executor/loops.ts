/** What a node does all the time: asks for work, renews what it holds, tells that it lives. */
import { AssayError } from 'assay/core/errors'
import { MAX_LEASES } from 'assay/wire/dispatch'
import type { Log } from '../service/log.ts'
import { backoff, sleep } from './backoff.ts'
import type { Capacity } from './capacity.ts'
import type { Enrol } from './enrol.ts'
import type { Held, HeldLeases } from './held.ts'
import type { Link } from './link.ts'
import type { NodeMetrics } from './node-metrics.ts'
import type { Runner } from './runner.ts'

const HEARTBEAT_MS = 10_000
/** How long one request waits for work. */
const WAIT_MS = 20_000
/** Longest sleep between two looks at what is to be renewed: new leases come in between. */
const RENEWAL_LOOK_MS = 500
/** How often a node that is told to wait looks whether it still is. */
const TOLD_TO_DRAIN_MS = 2_000
/** A node that holds many segments waits so long for room to come together before it asks for more. */
const GATHER_MS = 10
const MANY = 8
/** Beyond the time that the coordinator may wait for work. */
const ANSWER_MS = 10_000

interface LoopParts {
  readonly link: Link
  readonly leases: HeldLeases
  readonly log: Log
  readonly metrics: NodeMetrics
  readonly enrol: Enrol
  readonly slots: number
  /** Ends the loop. */
  readonly signal: AbortSignal
}

/** Keeps the slots full, and some work ahead of them. */
export async function leasing(
  parts: LoopParts & { readonly runner: Runner; readonly capacity: Capacity },
): Promise<void> {
  const { link, leases, log, metrics, slots, signal, runner, capacity } = parts
  const trouble = troubleOf(parts, 'lease')
  while (!signal.aborted) {
    const max = await roomFor(leases, capacity, signal)
    if (signal.aborted) return
    // What is fetched ahead is not worth a wait, in which the node would not hear of what its slots could run.
    const isAhead = leases.size >= slots
    const started = performance.now()
    try {
      const body = { max, waitMs: isAhead ? 0 : WAIT_MS }
      const { groups, drain } = await link.client.lease({ body }, { signal, timeoutMs: WAIT_MS + ANSWER_MS })
      trouble.over()
      const now = performance.now()
      const segments = groups.reduce((sum, group) => sum + group.segments.length, 0)
      metrics.leased(segments, (now - started) / 1000)
      if (segments > 0) log.debug('leased', { segments, jobs: groups.map(({ jobId }) => jobId) })
      capacity.answered(segments >= max)
      for (const group of groups) runner.run(leases.add(group, now))
      // Looked at again, as they may all have ended while the request was under way: nothing would end this wait.
      if (isAhead && segments < max && leases.size >= slots) await leases.changed(signal)
      if (drain) await sleep(TOLD_TO_DRAIN_MS, signal)
    } catch (error) {
      if (!signal.aborted) await trouble.meet(error)
    }
  }
}

/** How many segments to ask for; waits until there is room for some. */
async function roomFor(leases: HeldLeases, capacity: Capacity, signal: AbortSignal): Promise<number> {
  while (leases.size >= capacity.value() && !signal.aborted) await leases.changed(signal)
  const most = capacity.value()
  if (most >= MANY && most - leases.size < most / 4) await sleep(GATHER_MS, signal)
  return Math.min(MAX_LEASES, Math.max(1, capacity.value() - leases.size))
}

/** Keeps what is held. A coordinator that is away loses nothing: who comes back later finds out what is still his. */
export async function renewals(parts: LoopParts): Promise<void> {
  const { leases, signal } = parts
  const trouble = troubleOf(parts, 'renew')
  while (!signal.aborted) {
    const { held, nextAtMs } = leases.due(performance.now())
    if (held.length === 0) {
      const untilNextMs = (nextAtMs ?? Number.POSITIVE_INFINITY) - performance.now()
      await sleep(Math.max(1, Math.min(RENEWAL_LOOK_MS, untilNextMs)), signal)
      continue
    }
    try {
      await renew(held.slice(0, MAX_LEASES), parts)
      trouble.over()
    } catch (error) {
      if (!signal.aborted) await trouble.meet(error)
    }
  }
}

async function renew(
  held: readonly Held[],
  { link, leases, log, metrics, signal }: LoopParts,
): Promise<void> {
  const body = { leases: held.map(({ lease: { id, fence } }) => ({ id, fence })) }
  const { lost } = await link.client.renewLeases({ body }, { signal, maxAttempts: 1 })
  const gone = new Set(lost)
  leases.renewed(held, performance.now())
  for (const each of held) {
    if (!gone.has(each.lease.id) || !leases.isHeld(each)) continue
    log.warn('a lease is lost', { jobId: each.group.jobId, dispatchId: each.lease.id })
    metrics.outcome('lost', each.group.work.kind)
    leases.lose([each.lease.id])
  }
}

/** Every ten seconds, whatever came of the last one. */
export async function heartbeats(
  parts: LoopParts & { readonly cacheBytes: () => number; readonly isLeaving: () => boolean },
): Promise<void> {
  const { link, leases, slots, signal, cacheBytes, isLeaving } = parts
  const trouble = troubleOf(parts, 'heartbeat')
  while (!signal.aborted) {
    const nextAtMs = performance.now() + HEARTBEAT_MS
    try {
      const running = leases.size
      const freeSlots = Math.max(0, slots - running)
      const body = { running, freeSlots, cacheBytes: cacheBytes(), ...(isLeaving() ? { leaving: true } : {}) }
      await link.client.heartbeat({ body }, { signal, maxAttempts: 1 })
      trouble.over()
    } catch (error) {
      if (!signal.aborted) await trouble.meet(error)
    }
    await sleep(Math.max(0, nextAtMs - performance.now()), signal)
  }
}

/** Says once that something fails, and once that it does not any more; pauses; registers again where that helps. */
function troubleOf({ log, metrics, enrol, signal }: LoopParts, operation: 'lease' | 'renew' | 'heartbeat') {
  const pauses = backoff()
  let told: string | undefined
  return {
    async meet(error: unknown): Promise<void> {
      metrics.callFailed(operation)
      const code = error instanceof AssayError ? error.code : 'untyped'
      if (told !== code) log.warn(`the coordinator did not take a ${operation}`, { error })
      told = code
      await pauses.wait(signal)
      if (code === 'wire/unauthenticated') await enrol(signal).catch(() => undefined)
    },
    over(): void {
      if (told !== undefined) log.info(`the coordinator takes a ${operation} again`)
      told = undefined
      pauses.reset()
    },
  }
}
