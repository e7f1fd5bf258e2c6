/**
 * Bulk hashing on two threads: half of the chunks on this one, half on another, since a trace is mostly hashing and the
 * machine mostly has a second core.
 *
 * The call stays synchronous, as roots of tensors are: the other thread's half is copied into memory that both share,
 * this one hashes its own half meanwhile, and sleeps until the other is done. A thread that has not started yet, or does
 * not answer, costs time and changes nothing: its half is hashed here.
 */
import { Worker } from 'node:worker_threads'
import type { ChunkHasher } from 'assay/core/chunk-tree'
import { hashChunksNatively } from './hash-chunks.ts'

export const SHARED_BYTES = 2 ** 22
const DIGEST_BYTES = 32
/** Below it, waking a thread and waiting for it cost about what it saves (measured with 0.5, 1 and 2 MiB). */
const MIN_BYTES = 2 ** 21
/** Shorter chunks are the kernel's (hash-chunks.ts); with these the digests of a full half fit beside it. */
const MIN_CHUNK_BYTES = 1024
/** A half takes some milliseconds; a machine that is busy, or asleep, longer. */
const PATIENCE_MS = 2_000

/** Cells of the shared memory that both threads look at. */
export const CELL = { state: 0, chunkBytes: 1, count: 2, prefixBytes: 3 } as const
export const STATE = { starting: 0, idle: 1, asked: 2, done: 3 } as const
/** A prefix is a byte or two. */
const MAX_PREFIX_BYTES = 64

export interface SharedMemory {
  readonly cells: Int32Array
  readonly prefix: Uint8Array
  readonly data: Uint8Array
  readonly digests: Uint8Array
}

export interface HashThread {
  /** The same digests as the kernel's `hashChunks`; give it to `tensorRoot` as `hasher`. */
  readonly hasher: ChunkHasher
  /** That the other thread has hashed so far. */
  readonly halves: number
  close(): Promise<void>
}

/** Starts the thread, which does not keep the process alive. */
export function openHashThread(): HashThread {
  const shared = (bytes: number) => new Uint8Array(new SharedArrayBuffer(bytes))
  const memory: SharedMemory = {
    cells: new Int32Array(new SharedArrayBuffer(16)),
    prefix: shared(MAX_PREFIX_BYTES),
    data: shared(SHARED_BYTES),
    digests: shared((SHARED_BYTES / MIN_CHUNK_BYTES) * DIGEST_BYTES),
  }
  const worker = new Worker(new URL('./hash-worker.js', import.meta.url), { env: {}, workerData: memory })
  let isLost = false
  let halves = 0
  const lose = () => {
    isLost = true
  }
  worker.on('error', lose).on('exit', lose).unref()

  const hasher: ChunkHasher = (prefix, data, chunkBytes) => {
    const isReady = !isLost && Atomics.load(memory.cells, CELL.state) !== STATE.starting
    const isSuited =
      chunkBytes >= MIN_CHUNK_BYTES &&
      chunkBytes <= SHARED_BYTES &&
      prefix.length <= MAX_PREFIX_BYTES &&
      data.length % chunkBytes === 0
    if (!isReady || !isSuited || data.length < MIN_BYTES) return hashChunksNatively(prefix, data, chunkBytes)
    const digests = new Uint8Array((data.length / chunkBytes) * DIGEST_BYTES)
    const put = (part: Uint8Array, from: number) => digests.set(part, (from / chunkBytes) * DIGEST_BYTES)
    const most = Math.floor(SHARED_BYTES / chunkBytes)
    for (let from = 0; from < data.length; ) {
      // Copying is this thread's, so its own half is the smaller one where they differ.
      const left = (data.length - from) / chunkBytes
      const theirs = isLost ? 0 : Math.min(most, Math.ceil(left / 2))
      const split = from + theirs * chunkBytes
      const to = isLost ? data.length : Math.min(data.length, split + theirs * chunkBytes)
      if (theirs > 0) ask(memory, { prefix, data: data.subarray(from, split), chunkBytes })
      put(hashChunksNatively(prefix, data.subarray(split, to), chunkBytes), split)
      if (theirs > 0) {
        isLost = !isDone(memory)
        const part = isLost
          ? hashChunksNatively(prefix, data.subarray(from, split), chunkBytes)
          : memory.digests.subarray(0, theirs * DIGEST_BYTES)
        if (!isLost) halves += 1
        put(part, from)
      }
      from = to
    }
    return digests
  }
  return {
    hasher,
    get halves() {
      return halves
    },
    async close() {
      lose()
      await worker.terminate()
    },
  }
}

interface Half {
  readonly prefix: Uint8Array
  readonly data: Uint8Array
  readonly chunkBytes: number
}

function ask({ cells, ...memory }: SharedMemory, { prefix, data, chunkBytes }: Half): void {
  memory.prefix.set(prefix)
  memory.data.set(data)
  cells[CELL.prefixBytes] = prefix.length
  cells[CELL.chunkBytes] = chunkBytes
  cells[CELL.count] = data.length / chunkBytes
  Atomics.store(cells, CELL.state, STATE.asked)
  Atomics.notify(cells, CELL.state)
}

function isDone({ cells }: SharedMemory): boolean {
  Atomics.wait(cells, CELL.state, STATE.asked, PATIENCE_MS)
  return Atomics.load(cells, CELL.state) === STATE.done
}
