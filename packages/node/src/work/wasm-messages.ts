/**
 * What travels between a runner of modules and its threads (wasm-runner.ts, wasm-thread.ts, wasm-worker.ts).
 *
 * Records and rows go as one buffer each, which is moved instead of copied. What a thread is at is told through
 * shared memory, since a thread that loops can send nothing.
 */
import type { SerializedError } from 'assay/core/errors'
import { joinBytes } from 'assay/state/binary'
import type { WasmLimits } from 'assay/wasm/limits'

/** A module by its content address. */
export interface ModuleSource {
  readonly cid: string
  readonly bytes: Uint8Array
}

/** Cells of the shared memory between a runner and one thread. */
export const CELL = {
  /** Changes whenever the thread begins a record, or a phase. */
  progress: 0,
  /** A number of PHASE. */
  phase: 1,
  /** The record that it is at, counted from the first of the chunk. */
  record: 2,
  /** Not 0: come back after the record that you are at. Set by the runner. */
  stop: 3,
} as const
export const CELLS = 4

export const PHASE = { waiting: 0, loading: 1, running: 2 } as const

/** Buffers, one after the other, and where each ends. */
export interface Packed {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly ends: Uint32Array<ArrayBuffer>
}

export interface ChunkRequest {
  readonly limits: WasmLimits
  /** Names the module within these limits. */
  readonly key: string
  readonly cid: string
  /** Where the thread does not have it yet. */
  readonly module?: Uint8Array
  /** Keys that the thread need not hold any longer. */
  readonly forget: readonly string[]
  readonly records: Packed
}

export interface ChunkReply {
  /** Of the first records of the chunk: fewer than it has where the thread was stopped, or had enough to carry. */
  readonly rows: Packed
  /** Time that the thread computed. */
  readonly elapsedMs: number
  /** What the record after these rows came to, or the module before any. */
  readonly error?: SerializedError
}

export function pack(parts: readonly Uint8Array[]): Packed {
  const ends = new Uint32Array(parts.length)
  let end = 0
  for (const [i, part] of parts.entries()) {
    end += part.length
    ends[i] = end
  }
  return { bytes: joinBytes(parts), ends }
}

/** Views into the buffer. */
export function unpack({ bytes, ends }: Packed): Uint8Array<ArrayBuffer>[] {
  const parts: Uint8Array<ArrayBuffer>[] = []
  let start = 0
  for (const end of ends) {
    parts.push(bytes.subarray(start, end))
    start = end
  }
  return parts
}
