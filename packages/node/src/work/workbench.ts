/**
 * Work that is open on this machine: the rows of a job, over its input, its model or module, and what computes them.
 *
 * Leases of one job come one after another, and opening costs a download and a session, so that work stays open for
 * a while after its last use. What it needs is pinned in the cache for as long.
 *
 * Threat: descriptors and inputs are strangers'. What opens is checked by its address, and refusals are typed.
 */
import { fromBase64 } from 'assay/core/bytes'
import { assertContent } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import type { ValueRef } from 'assay/wire/text'
import type { WorkSpec } from 'assay/wire/work'
import { contentOf } from 'assay/wire/work'
import type { ContentCache, PinnedContent } from './content-cache.ts'
import type { ContentSource } from './content-source.ts'
import { openWork, type WorkEngines } from './open-work.ts'
import type { RowRunner } from './row-runner.ts'

/** Open and not in use: jobs come back with their next leases within seconds. */
const MAX_IDLE = 8
const MAX_IDLE_BYTES = 2 ** 28

/** A job's rows, as a lease names them. */
export interface WorkOrder {
  readonly work: WorkSpec
  readonly input: ValueRef
  /** Address of the input, inline or not. */
  readonly inputCid: string
}

export interface WorkInUse {
  readonly rows: RowRunner
  /** Once, when nothing of it is under way. */
  release(): void
}

export interface UseOptions {
  /** Where content comes from that is not in the cache. */
  readonly source: ContentSource
  readonly signal: AbortSignal
}

export interface Workbench {
  /** @throws AssayError what downloading, opening and the kind of work refuse; `task/cancelled`; `work/closed`. */
  use(order: WorkOrder, options: UseOptions): Promise<WorkInUse>
  /** Closes everything that is open; what is in use fails with `work/closed`. */
  close(): Promise<void>
}

interface OpenWork {
  readonly rows: RowRunner
  readonly inputBytes: number
  close(): Promise<void>
}

interface Bench {
  readonly opening: Promise<OpenWork>
  readonly stop: AbortController
  users: number
  opened: OpenWork | undefined
}

export function openWorkbench(engines: WorkEngines, cache: ContentCache): Workbench {
  /** In the order of their last use. */
  const benches = new Map<string, Bench>()
  let closed = false

  const start = (order: WorkOrder, source: ContentSource): Bench => {
    const stop = new AbortController()
    const opening = openOrder(order, { engines, cache, source, signal: stop.signal }).catch(
      async (error: unknown) => {
        // Idle work may hold the room that this needs.
        if (!(error instanceof AssayError) || error.code !== 'work/cache-full' || !(await closeIdle(0, 0)))
          throw error
        return openOrder(order, { engines, cache, source, signal: stop.signal })
      },
    )
    // Whoever asked for it may be gone by then.
    opening.then((work) => (stop.signal.aborted ? work.close() : undefined)).catch(() => undefined)
    return { opening, stop, users: 0, opened: undefined }
  }
  /** The oldest that are not in use, down to so many and so much. Whether there were any. */
  const closeIdle = async (most: number, mostBytes: number): Promise<boolean> => {
    const idle = [...benches].filter(([, { users, opened }]) => users === 0 && opened !== undefined)
    let left = idle.length
    let bytes = idle.reduce((sum, [, { opened }]) => sum + (opened?.inputBytes ?? 0), 0)
    const closing: Promise<void>[] = []
    for (const [name, { opened }] of idle) {
      if (opened === undefined || (left <= most && bytes <= mostBytes)) break
      benches.delete(name)
      left--
      bytes -= opened.inputBytes
      closing.push(opened.close())
    }
    await Promise.all(closing)
    return closing.length > 0
  }
  const leave = (name: string, bench: Bench) => {
    bench.users--
    if (bench.users > 0) return
    if (bench.opened !== undefined) return void closeIdle(MAX_IDLE, MAX_IDLE_BYTES)
    // Nobody waits for it any more.
    if (benches.get(name) === bench) benches.delete(name)
    bench.stop.abort()
  }
  return {
    async use(order, { source, signal }) {
      if (closed) throw closedError()
      checkSignal(signal)
      const name = JSON.stringify([order.inputCid, order.work])
      const bench = benches.get(name) ?? start(order, source)
      benches.delete(name)
      benches.set(name, bench)
      bench.users++
      try {
        bench.opened = await untilAborted(bench.opening, signal)
        if (closed) throw closedError()
      } catch (error) {
        if (bench.opened === undefined && !signal.aborted && benches.get(name) === bench) benches.delete(name)
        leave(name, bench)
        throw error
      }
      return { rows: bench.opened.rows, release: once(() => leave(name, bench)) }
    },
    async close() {
      closed = true
      const all = [...benches.values()]
      benches.clear()
      await Promise.all(
        all.map(async ({ opening, stop }) => {
          stop.abort()
          await opening.then((work) => work.close()).catch(() => undefined)
        }),
      )
    },
  }
}

interface Opening extends UseOptions {
  readonly engines: WorkEngines
  readonly cache: ContentCache
}

async function openOrder(order: WorkOrder, opening: Opening): Promise<OpenWork> {
  const { engines, cache, signal } = opening
  const pinned: PinnedContent[] = []
  const release = () => {
    for (const content of pinned) content.release()
  }
  try {
    const paths: { [name: string]: string } = {}
    for (const [name, cid] of Object.entries(contentOf(order.work))) {
      const content = await cache.pin(cid, opening)
      pinned.push(content)
      paths[name] = content.path
    }
    const input = await readInput(order, opening)
    const rows = await openWork(order.work, { input, paths }, { ...engines, signal })
    let closing: Promise<void> | undefined
    return {
      rows,
      inputBytes: input.length,
      close: () => {
        closing ??= rows.close().finally(release)
        return closing
      },
    }
  } catch (error) {
    release()
    throw error
  }
}

async function readInput({ input, inputCid }: WorkOrder, opening: Opening): Promise<Uint8Array> {
  if ('cid' in input) return opening.cache.read(inputCid, opening)
  const bytes = fromBase64(input.inline)
  assertContent(inputCid, bytes)
  return bytes
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(cancelled(signal))
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function checkSignal(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled(signal)
}

function cancelled(signal: AbortSignal): AssayError {
  return new AssayError('task/cancelled', 'nobody waits for the work any more', { cause: signal.reason })
}

function closedError(): AssayError {
  return new AssayError('work/closed', 'this machine is stopping, and computes no more rows')
}

function once(act: () => void): () => void {
  let done = false
  return () => {
    if (!done) act()
    done = true
  }
}
