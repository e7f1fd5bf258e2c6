/**
 * Uploads that were begun and did not end: whose they are, and what they hold of the space.
 *
 * Threat: to begin costs nothing, and reserves as much as is asked for. So uploads are counted by account, before another
 * one begins, and one that does not go on makes room. Several processes may use the folder: each looks at its names
 * before it counts, so that they can be wrong by no more than what begins in them in the same moment.
 */
import { listUploadIds, listUploads, readUpload, removeUpload, type StoredUpload } from './blob-files.ts'

/** An upload that nothing was added to for so long makes room for others. */
export const UPLOAD_IDLE_MS = 3_600_000
/** What an upload gets in each such time, if not its end: the slowest link has it in minutes, and a drip has not. */
export const MIN_PROGRESS_BYTES = 2 ** 20

/** What disks give out: without it, a million blobs of one byte would cost a thousand times what they count. */
const BLOCK_BYTES = 4096

export type UploadProgress = Pick<StoredUpload, 'sizeBytes' | 'storedBytes' | 'begunAtMs' | 'touchedAtMs'>

/** Of one account. */
export interface OpenUploads {
  readonly uploads: number
  readonly sizeBytes: number
  /** Of these, what did not come yet. */
  readonly awaitedBytes: number
}

/** One upload: the same blob by two owners is two. */
export interface UploadKey {
  readonly cid: string
  /** Whoever sends it: an account, a node. */
  readonly owner: string
}

export interface NewUpload extends UploadKey {
  readonly sizeBytes: number
  /** Whose space it takes, of several owners maybe. */
  readonly account?: string
  /** Throws where the account may not begin another one. Nobody else begins one meanwhile, in this process. */
  readonly admit?: (open: OpenUploads) => void
}

export interface UploadList {
  count(): number
  /** Space that they reserved. */
  bytes(): number
  /** Looks at the folder anew. */
  scan(): Promise<void>
  add(id: string, upload: Pick<StoredUpload, 'sizeBytes' | 'account'>): void
  /** With its files. */
  drop(id: string): Promise<void>
  dropIdle(): Promise<void>
  /** Of an account, those that go on; what other processes began is among them. */
  openOf(account: string): Promise<OpenUploads>
}

export interface UploadListOptions {
  readonly shared: boolean
  readonly idleMs: number | undefined
  readonly now: () => number
  /** A part of it is being written. */
  readonly isBusy: (id: string) => boolean
}

export function createUploadList(folder: string, options: UploadListOptions): UploadList {
  const { shared, idleMs, now, isBusy } = options
  const known = new Map<string, { readonly space: number; readonly account: string }>()
  let bytes = 0
  const forget = (id: string) => {
    bytes -= known.get(id)?.space ?? 0
    known.delete(id)
  }
  const add: UploadList['add'] = (id, { sizeBytes, account }) => {
    forget(id)
    known.set(id, { space: spaceOf(sizeBytes), account })
    bytes += spaceOf(sizeBytes)
  }
  const drop = async (id: string) => {
    forget(id)
    await removeUpload(folder, id)
  }
  /** What other processes began and ended. */
  const learn = async () => {
    const there = await listUploadIds(folder)
    for (const id of known.keys()) if (!there.has(id)) forget(id)
    for (const id of there) {
      // One without a note is being made this moment, or being removed.
      const upload = known.has(id) ? undefined : await readUpload(folder, id)
      if (upload !== undefined) add(id, upload)
    }
  }
  const withoutIdle = async (uploads: readonly StoredUpload[]) => {
    const nowMs = now()
    const idle = new Set(uploads.filter((upload) => isIdle(upload, { nowMs, idleMs }) && !isBusy(upload.id)))
    for (const { id } of idle) await drop(id)
    return uploads.filter((upload) => !idle.has(upload))
  }
  return {
    count: () => known.size,
    bytes: () => bytes,
    async scan() {
      const found = await listUploads(folder)
      for (const id of known.keys()) forget(id)
      for (const upload of found) add(upload.id, upload)
    },
    add,
    drop,
    async dropIdle() {
      await withoutIdle(await listUploads(folder))
    },
    async openOf(account) {
      if (shared) await learn()
      const own = [...known].filter(([, upload]) => upload.account === account)
      const read = await Promise.all(own.map(([id]) => readUpload(folder, id)))
      return sumUploads(await withoutIdle(read.filter((upload) => upload !== undefined)))
    },
  }
}

/** Whether it makes room for others: nothing came for long, or too little since it was begun. */
export function isIdle(
  { sizeBytes, storedBytes, begunAtMs, touchedAtMs }: UploadProgress,
  { nowMs, idleMs = UPLOAD_IDLE_MS }: { readonly nowMs: number; readonly idleMs?: number | undefined },
): boolean {
  if (touchedAtMs < nowMs - idleMs) return true
  const periods = Math.floor(Math.max(0, nowMs - begunAtMs) / idleMs)
  return storedBytes < Math.min(sizeBytes, periods * MIN_PROGRESS_BYTES)
}

export function sumUploads(
  uploads: Iterable<Pick<UploadProgress, 'sizeBytes' | 'storedBytes'>>,
): OpenUploads {
  const sum = { uploads: 0, sizeBytes: 0, awaitedBytes: 0 }
  for (const { sizeBytes, storedBytes } of uploads) {
    sum.uploads += 1
    sum.sizeBytes += sizeBytes
    sum.awaitedBytes += sizeBytes - storedBytes
  }
  return sum
}

/** In whole blocks. */
export function spaceOf(sizeBytes: number): number {
  return Math.max(1, Math.ceil(sizeBytes / BLOCK_BYTES)) * BLOCK_BYTES
}
