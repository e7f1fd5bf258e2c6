/**
 * Runs the segments that the node holds: opens their work, computes their rows, and puts results or failures into
 * the outbox.
 *
 * Segments of one job that lie side by side run in bundles of some milliseconds, since a small one costs more to hand
 * over than to compute. A bundle that fails is run again segment by segment, so that each answers for itself.
 */
import { AssayError } from 'assay/core/errors'
import type { KeyPair } from 'assay/core/keys'
import type { Log } from '../service/log.ts'
import type { ContentSource } from '../work/content-source.ts'
import { type PieceSize, pieceSize } from '../work/piece-size.ts'
import type { RowRange, RowRunner } from '../work/row-runner.ts'
import type { Workbench } from '../work/workbench.ts'
import type { Capacity } from './capacity.ts'
import { executeRows, type GroupTask, groupTask } from './execution.ts'
import type { Held, HeldLeases } from './held.ts'
import type { NodeHooks } from './hooks.ts'
import type { NodeMetrics } from './node-metrics.ts'
import { namesOf, type Outbox } from './outbox.ts'

/** What another machine may well have: its failure uses up no attempt of the segment. */
const OWN_TROUBLE: readonly string[] = [
  'work/unsupported',
  'work/endpoint',
  'work/download',
  'work/cache-full',
  'work/closed',
  'onnx/runtime-missing',
  'wasm/closed',
  'wasm/no-memory',
  'wire/unavailable',
]

export interface Runner {
  /** Takes segments of one group, and returns. */
  run(held: readonly Held[]): void
}

export interface RunnerOptions {
  readonly workbench: Workbench
  readonly source: ContentSource
  readonly leases: HeldLeases
  readonly outbox: Outbox
  readonly key: KeyPair
  readonly log: Log
  /** Bundles under way at once. */
  readonly slots: number
  readonly capacity: Pick<Capacity, 'starved' | 'began'>
  readonly hooks: NodeHooks
  readonly metrics: Pick<NodeMetrics, 'executed'>
}

/** Segments of one job that wait or run. */
interface JobQueue {
  readonly task: GroupTask
  readonly waiting: Held[]
  readonly size: PieceSize
  underWay: number
}

export function openRunner(options: RunnerOptions): Runner {
  const { slots, leases } = options
  /** The one whose turn was last at the end. */
  const jobs = new Map<string, JobQueue>()
  let underWay = 0

  const nextBundle = () => {
    for (const [name, queue] of [...jobs]) {
      const bundle = takeBundle(queue, leases)
      jobs.delete(name)
      if (bundle.length > 0 || queue.underWay > 0) jobs.set(name, queue)
      if (bundle.length > 0) return { queue, bundle }
    }
    return undefined
  }
  const pump = () => {
    while (underWay < slots) {
      const next = nextBundle()
      if (next === undefined) return options.capacity.starved()
      underWay++
      next.queue.underWay++
      void runBundle({ ...next, abreast: underWay }, options).finally(() => {
        underWay--
        next.queue.underWay--
        pump()
      })
    }
  }
  return {
    run(held) {
      const [first] = held
      if (first === undefined) return
      const { jobId, falsePositiveRate, guessProbability } = first.group
      // A job has one task but for what its proofs are to be like.
      const name = `${jobId} ${falsePositiveRate} ${guessProbability}`
      const queue = jobs.get(name) ?? newQueue(first)
      queue.waiting.push(...held)
      jobs.set(name, queue)
      pump()
    },
  }
}

function newQueue({ group }: Held): JobQueue {
  return { task: groupTask(group), waiting: [], size: pieceSize(), underWay: 0 }
}

/** The next segment that is still held, and those beside it that fit into the time of a bundle. */
function takeBundle({ waiting, size }: JobQueue, leases: HeldLeases): Held[] {
  const bundle: Held[] = []
  const most = size.next()
  let rows = 0
  while (waiting.length > 0) {
    const held = waiting[0] as Held
    if (leases.isHeld(held)) {
      const { from, to } = held.lease
      rows += to - from
      const last = bundle.at(-1)
      if (last !== undefined && (last.lease.to !== from || rows > most)) break
      bundle.push(held)
    }
    waiting.shift()
  }
  return bundle
}

interface BundleRun {
  readonly queue: JobQueue
  readonly bundle: readonly Held[]
  /** Bundles that run at the same time, and take turns on what computes. */
  readonly abreast: number
}

/** Never rejects. */
async function runBundle({ queue, bundle, abreast }: BundleRun, options: RunnerOptions): Promise<void> {
  const [first] = bundle
  if (first !== undefined) options.capacity.began(performance.now() - first.leasedAtMs)
  const { signal, clear } = whenAllAborted(bundle.map((held) => held.signal))
  let isOpen = false
  try {
    const { group } = queue.task
    const work = await options.workbench.use(group, { source: options.source, signal })
    isOpen = true
    try {
      await answerBundle({ queue, bundle, abreast, rows: work.rows, signal }, options)
    } finally {
      work.release()
    }
  } catch (error) {
    // What was lost, or is being handed back, needs no answer from here.
    const left = bundle.filter((held) => options.leases.isHeld(held) && !held.signal.aborted)
    // Which of them it was is found out one by one; what keeps the work from opening is the trouble of all.
    if (isOpen && left.length > 1)
      for (const held of left) await runBundle({ queue, bundle: [held], abreast }, options)
    else for (const held of left) fail(held, error, options)
  } finally {
    clear()
  }
}

interface OpenBundle extends BundleRun {
  readonly rows: RowRunner
  readonly signal: AbortSignal
}

async function answerBundle(
  { queue: { task, size }, bundle, abreast, rows: runner, signal }: OpenBundle,
  { leases, outbox, key, hooks, metrics }: RunnerOptions,
): Promise<void> {
  const started = performance.now()
  const range = { from: bundle[0]!.lease.from, to: bundle.at(-1)!.lease.to }
  const compute = (part: RowRange) => runner.rows(part, { signal })
  const { jobId, work } = task.group
  const rows = await (hooks.rows?.({ jobId, work, range, signal, compute }) ?? compute(range))
  const elapsedMs = performance.now() - started
  size.learn(range.to - range.from, elapsedMs / abreast)
  const held = bundle.filter((each) => leases.isHeld(each))
  if (held.length === 0) return
  const computed = held.map(({ lease }) => {
    const own = rows.slice(lease.from - range.from, lease.to - range.from)
    return { lease, rows: own, elapsedMs: (elapsedMs * own.length) / Math.max(1, rows.length) }
  })
  const executed = await executeRows(task, computed, { key, signal })
  metrics.executed({ rows: rows.length, seconds: elapsedMs / 1000, kind: work.kind })
  for (const [i, each] of held.entries()) outbox.result(each, executed[i]!)
}

function fail(held: Held, error: unknown, { outbox, log }: RunnerOptions): void {
  const typed = error instanceof AssayError
  const code = typed ? error.code : 'task/failed'
  const message = error instanceof Error ? error.message : String(error)
  log.warn('a segment failed', { ...namesOf(held), error })
  outbox.failure(held, { code, message, retryElsewhere: OWN_TROUBLE.includes(code) })
}

/** Aborts when the last of them has, with its reason. */
function whenAllAborted(signals: readonly AbortSignal[]) {
  const [only] = signals
  if (signals.length === 1 && only !== undefined) return { signal: only, clear: () => undefined }
  const all = new AbortController()
  const look = () => {
    const last = signals.find((signal) => !signal.aborted)
    if (last === undefined) all.abort(only?.reason)
  }
  for (const signal of signals) signal.addEventListener('abort', look, { once: true })
  look()
  const clear = () => {
    for (const signal of signals) signal.removeEventListener('abort', look)
  }
  return { signal: all.signal, clear }
}
