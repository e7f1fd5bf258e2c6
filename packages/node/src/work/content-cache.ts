/**
 * Models, modules and inputs on this machine, by their content address, within a limit of space.
 *
 * What was not used for longest makes room; what is in use is pinned. Whoever asks for the same content while it
 * comes waits for the one download, which goes on where an earlier one stopped.
 *
 * Threat: a coordinator may serve anything. Nothing gets its name here before it hashes to it (store/blobs.ts).
 */

import { parseCid } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import type { Log } from '../service/log.ts'
import { blobPath } from '../store/blob-files.ts'
import { type BlobStore, openBlobs } from '../store/blobs.ts'
import type { ContentSource } from './content-source.ts'

const OWNER = 'cache'
/** Downloads that broke off without a byte before the content is given up. */
const MAX_BROKEN = 4
/** Of content that does not hash to its address: the second time it is no accident. */
const MAX_MISMATCHES = 2
/** Content that was evicted between its download and its use; more means that it does not fit. */
const MAX_EVICTIONS = 3

export interface ContentOptions {
  readonly source: ContentSource
  readonly signal: AbortSignal
}

export interface PinnedContent {
  /** A file that stays until it is released. */
  readonly path: string
  readonly sizeBytes: number
  release(): void
}

export interface ContentCache {
  /** @throws AssayError `work/download`, `work/cache-full`; `task/cancelled`. */
  pin(cid: string, options: ContentOptions): Promise<PinnedContent>
  /** All of it. Throws what `pin` does. */
  read(cid: string, options: ContentOptions): Promise<Uint8Array>
  /** Of everything that is there. */
  sizeBytes(): number
  close(): Promise<void>
}

export interface ContentCacheOptions {
  readonly folder: string
  readonly maxBytes: number
  readonly log?: Log
}

interface Download {
  readonly done: Promise<void>
  readonly stop: AbortController
  waiting: number
}

/** @throws AssayError `store/in-use`, `store/folder`: the folder belongs to one cache. */
export async function openContentCache({
  folder,
  maxBytes,
  log,
}: ContentCacheOptions): Promise<ContentCache> {
  const store = await openBlobs(folder, {
    maxBytes,
    maxBlobBytes: maxBytes,
    whenFull: 'evict',
    ...(log === undefined ? {} : { log }),
  })
  const downloads = new Map<string, Download>()

  const start = (cid: string, source: ContentSource): Download => {
    const stop = new AbortController()
    const done = download(store, cid, { source, signal: stop.signal }).finally(() => {
      if (downloads.get(cid) === made) downloads.delete(cid)
    })
    // Whoever waits sees how it ended; by then nobody may.
    done.catch(() => undefined)
    const made: Download = { done, stop, waiting: 0 }
    downloads.set(cid, made)
    return made
  }
  const fetched = async (cid: string, { source, signal }: ContentOptions): Promise<void> => {
    if (await store.has(cid)) return
    const wait = downloads.get(cid) ?? start(cid, source)
    wait.waiting++
    try {
      await untilAborted(wait.done, signal)
    } finally {
      wait.waiting--
      if (wait.waiting === 0) {
        if (downloads.get(cid) === wait) downloads.delete(cid)
        wait.stop.abort()
      }
    }
  }
  const pin: ContentCache['pin'] = async (cid, options) => {
    parseCid(cid)
    for (let evictions = 0; ; evictions++) {
      await fetched(cid, options)
      try {
        const release = store.pin(cid)
        const sizeBytes = (await store.sizeOf(cid)) ?? 0
        return { path: blobPath(folder, cid), sizeBytes, release }
      } catch (error) {
        const isGone = error instanceof AssayError && error.code === 'blob/missing'
        if (!isGone || evictions >= MAX_EVICTIONS) throw asWorkError(cid, error)
      }
    }
  }
  return {
    pin,
    async read(cid, options) {
      const pinned = await pin(cid, options)
      try {
        return await store.readAll(cid)
      } catch (error) {
        throw asWorkError(cid, error)
      } finally {
        pinned.release()
      }
    },
    sizeBytes: () => store.stats().bytes,
    async close() {
      const under = [...downloads.values()]
      for (const { stop } of under) stop.abort()
      await Promise.allSettled(under.map(({ done }) => done))
      await store.close()
    },
  }
}

/** Until it is there. What came is kept when it breaks off, and the next try goes on from there. */
async function download(store: BlobStore, cid: string, { source, signal }: ContentOptions): Promise<void> {
  let broken = 0
  let mismatches = 0
  for (;;) {
    const before = await storedBytes(store, cid)
    if (signal.aborted) throw cancelled(signal)
    try {
      await continueDownload(store, { cid, before }, { source, signal })
      return
    } catch (error) {
      if (signal.aborted) throw cancelled(signal)
      const code = error instanceof AssayError ? error.code : undefined
      if (code === 'blob/mismatch' ? ++mismatches >= MAX_MISMATCHES : !mayGoOn(code))
        throw asWorkError(cid, error)
      broken = (await storedBytes(store, cid)) > before ? 0 : broken + 1
      if (broken >= MAX_BROKEN) throw asWorkError(cid, error)
    }
  }
}

async function continueDownload(
  store: BlobStore,
  { cid, before }: { readonly cid: string; readonly before: number },
  { source, signal }: ContentOptions,
): Promise<void> {
  const upload = { cid, owner: OWNER }
  if (before > 0 && (await isWhole(store, cid))) {
    // Whoever fetched the last of it died before it got its name: there is nothing left to ask for.
    await store.commit(upload)
    return
  }
  const { sizeBytes, fromByte, bytes } = await source(cid, { fromByte: before, signal })
  const { storedBytes: offset, complete } = await store.begin({ ...upload, sizeBytes })
  if (complete) return
  await store.append({ ...upload, offset }, skipBytes(bytes, offset - fromByte))
  await store.commit(upload)
}

/** A source may begin at the beginning, whatever it was asked for. */
async function* skipBytes(bytes: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  if (count < 0) throw new AssayError('wire/answer', 'expected content from where it broke off, got its end')
  let skip = count
  for await (const part of bytes) {
    const rest = part.subarray(Math.min(skip, part.length))
    skip -= part.length - rest.length
    if (rest.length > 0) yield rest
  }
}

async function storedBytes(store: BlobStore, cid: string): Promise<number> {
  try {
    return (await store.status({ cid, owner: OWNER })).storedBytes
  } catch {
    return 0
  }
}

async function isWhole(store: BlobStore, cid: string): Promise<boolean> {
  const { storedBytes, sizeBytes } = await store.status({ cid, owner: OWNER })
  return storedBytes === sizeBytes
}

/** Breaks of the connection, and untyped ones from under it. */
function mayGoOn(code: string | undefined): boolean {
  return (
    code === undefined || code === 'wire/unavailable' || code === 'wire/answer' || code === 'blob/incomplete'
  )
}

function asWorkError(cid: string, error: unknown): AssayError {
  const typed = error instanceof AssayError ? error : undefined
  if (typed?.code === 'task/cancelled') return typed
  const message = error instanceof Error ? error.message : String(error)
  const isFull = typed?.code === 'blob/full' || typed?.code === 'blob/too-large'
  return new AssayError(isFull ? 'work/cache-full' : 'work/download', `${cid}: ${message}`, {
    detail: { cid, ...(typed === undefined ? {} : { reason: typed.code }) },
    cause: error,
  })
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(cancelled(signal))
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function cancelled(signal: AbortSignal): AssayError {
  return new AssayError('task/cancelled', 'nobody waits for the content any more', { cause: signal.reason })
}
