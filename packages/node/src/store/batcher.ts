/**
 * Group commit: calls that come at the same time go to the database in one transaction.
 *
 * While nothing is under way, a call starts at once. While a batch is under way, calls gather, and go together when
 * it ends; so batches grow with the load, and an idle service adds no wait. Where calls come together, batches start
 * `spacingMs` apart: without that, a service at half its load makes as many transactions as its processors can carry,
 * and every one of them is slow. Who calls alone, one call after the other, never waits for others.
 *
 * Threat: one bad item must not fail those that it travels with. `run` gives such an item an error of its own, or
 * throws; a batch that throws is taken back as a whole, so it is halved and run again until the bad item is alone,
 * which costs the logarithm of its size. Faults of the database are not of an item: then all fail.
 */
import { AssayError } from 'assay/core/errors'

export interface BatcherOptions<T, R> {
  /** Items of one batch at most. */
  readonly maxItems: number
  /** Items that may wait; more are refused. */
  readonly maxQueued: number
  /** From the start of a batch of several items to that of the next, unless that is full; 0 unless told. */
  readonly spacingMs?: number
  /** One result for each item, in their order; an `Error` in place of a result fails that item alone. */
  readonly run: (items: readonly T[]) => Promise<readonly (R | Error)[]>
  /** Told of each batch: for metrics. */
  readonly onBatch?: (batch: { readonly items: number; readonly seconds: number }) => void
}

export interface Batcher<T, R> {
  /** @throws AssayError `store/overloaded`, `store/closed`; what `run` gave or threw for this item. */
  add(item: T): Promise<R>
  readonly queued: number
  /** Takes no more, and waits for what was taken. */
  close(): Promise<void>
}

/** Running a part of the batch again would meet the same, or do something twice. */
const FAULTS_OF_ALL: ReadonlySet<string> = new Set([
  'store/unavailable',
  'store/commit-unknown',
  'store/timeout',
  'store/conflict',
  'store/full',
  'store/overloaded',
  'store/closed',
])

interface Entry<T, R> {
  readonly item: T
  readonly resolve: (result: R) => void
  readonly reject: (error: unknown) => void
}

export function createBatcher<T, R>(options: BatcherOptions<T, R>): Batcher<T, R> {
  const { maxItems, maxQueued, spacingMs = 0, run, onBatch } = options
  for (const [name, value] of Object.entries({ maxItems, maxQueued })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new AssayError('store/options', `expected ${name} to be a whole number from 1 on, got ${value}`)
    }
  }
  let queue: Entry<T, R>[] = []
  let isUnderWay = false
  let isScheduled = false
  let timer: ReturnType<typeof setTimeout> | undefined
  let nextAtMs = 0
  let closed: (() => void)[] | undefined

  const pump = (): void => {
    if (isUnderWay) return
    if (queue.length === 0) {
      for (const done of closed?.splice(0) ?? []) done()
      return
    }
    const waitMs = queue.length >= maxItems || closed !== undefined ? 0 : nextAtMs - performance.now()
    if (waitMs > 0) {
      timer ??= setTimeout(() => {
        timer = undefined
        pump()
      }, waitMs)
      return
    }
    clearTimeout(timer)
    timer = undefined
    start()
  }

  const start = (): void => {
    const batch = queue.slice(0, maxItems)
    queue = queue.slice(maxItems)
    nextAtMs = batch.length > 1 ? performance.now() + spacingMs : 0
    isUnderWay = true
    void work(batch).finally(() => {
      isUnderWay = false
      pump()
    })
  }

  const work = async (batch: readonly Entry<T, R>[]): Promise<void> => {
    const started = performance.now()
    await settle(batch, run)
    onBatch?.({ items: batch.length, seconds: (performance.now() - started) / 1000 })
  }

  return {
    get queued() {
      return queue.length
    },
    add: (item) =>
      new Promise<R>((resolve, reject) => {
        if (closed !== undefined) return reject(new AssayError('store/closed', 'the batcher is closed'))
        if (queue.length >= maxQueued) {
          const message = `${queue.length} items already wait for the database`
          return reject(new AssayError('store/overloaded', message, { detail: { queued: queue.length } }))
        }
        queue.push({ item, resolve, reject })
        if (isScheduled) return
        // Calls of one turn of the event loop, as one packet brings them, travel together.
        isScheduled = true
        setImmediate(() => {
          isScheduled = false
          pump()
        })
      }),
    close: () =>
      new Promise<void>((resolve) => {
        closed ??= []
        closed.push(resolve)
        pump()
      }),
  }
}

async function settle<T, R>(batch: readonly Entry<T, R>[], run: BatcherOptions<T, R>['run']): Promise<void> {
  let results: readonly (R | Error)[]
  try {
    results = await run(batch.map(({ item }) => item))
    if (results.length !== batch.length) {
      throw new TypeError(`expected ${batch.length} results of a batch, got ${results.length}`)
    }
  } catch (error) {
    if (batch.length === 1 || isFaultOfAll(error)) {
      for (const { reject } of batch) reject(error)
      return
    }
    const half = Math.ceil(batch.length / 2)
    await settle(batch.slice(0, half), run)
    await settle(batch.slice(half), run)
    return
  }
  batch.forEach(({ resolve, reject }, index) => {
    const result = results[index] as R | Error
    if (result instanceof Error) reject(result)
    else resolve(result)
  })
}

/** A wrong number of results comes after the commit: a defect of `run`, and no reason to run it again. */
function isFaultOfAll(error: unknown): boolean {
  if (error instanceof AssayError) return FAULTS_OF_ALL.has(error.code)
  return error instanceof TypeError
}
