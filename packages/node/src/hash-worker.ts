/** The other thread of bulk hashing (hash-thread.ts starts it): waits for a half, hashes it, says so. */
import { workerData } from 'node:worker_threads'
import { hashChunksNatively } from './hash-chunks.ts'
import { CELL, type SharedMemory, STATE } from './hash-thread.ts'

const { cells, prefix, data, digests } = workerData as SharedMemory

Atomics.store(cells, CELL.state, STATE.idle)
for (;;) {
  const state = Atomics.load(cells, CELL.state)
  if (state !== STATE.asked) {
    Atomics.wait(cells, CELL.state, state)
    continue
  }
  const chunkBytes = cells[CELL.chunkBytes] as number
  const bytes = chunkBytes * (cells[CELL.count] as number)
  const own = prefix.subarray(0, cells[CELL.prefixBytes])
  digests.set(hashChunksNatively(own, data.subarray(0, bytes), chunkBytes))
  Atomics.store(cells, CELL.state, STATE.done)
  Atomics.notify(cells, CELL.state)
}
