/**
 * Large values as files, by their content address.
 *
 * A blob comes in as an upload: parts in order, resumable after either side went away, and checked as a whole
 * against the address before it gets its name (blob-files.ts). Uploads are kept apart by their owner, so that nobody
 * can spoil what another sends under the same address.
 *
 * A store that is full refuses (the coordinator: whoever wants to keep something is told) or evicts (a node's cache:
 * what was not used for longest goes, unless it is pinned). A folder belongs to one process, unless it is `shared`:
 * then several coordinators may use one, and the limit of bytes is kept only as exactly as they know of one another.
 *
 * Threat: addresses, owners, sizes and bytes come from anybody. File names are made of parsed addresses and of
 * digests alone; sizes are reserved before a byte is taken, within what their account may; uploads that nobody goes on
 * with make room (upload-list.ts).
 */
import { type FileHandle, open, rm, utimes } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { Cid } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import { type Log, SILENT_LOG } from '../service/log.ts'
import {
  addressOf,
  adoptUpload,
  appendTo,
  blobPath,
  listBlobs,
  makeFolders,
  makeUpload,
  readUpload,
  type StoredUpload,
  statOf,
  sweepDrafts,
  uploadId,
} from './blob-files.ts'
import { type Claim, claimFolder } from './claim.ts'
import {
  createUploadList,
  type NewUpload,
  type OpenUploads,
  spaceOf,
  UPLOAD_IDLE_MS,
  type UploadKey,
  type UploadList,
} from './upload-list.ts'

/** Unfinished uploads at a time: each has two files, and a claim on space. */
const MAX_UPLOADS = 4096
/** Times of use are written down this coarsely: they matter for weeks, not for seconds. */
const USE_RESOLUTION_MS = 60_000
/** How old a shared store's knowledge of what others added may be. */
const RESCAN_MS = 60_000

export interface BlobOptions {
  /** Of all blobs and uploads together, each in whole blocks of 4 KiB, as disks count. */
  readonly maxBytes: number
  /** Of one blob. */
  readonly maxBlobBytes: number
  readonly whenFull: 'refuse' | 'evict'
  /** Other processes use the folder as well. Not with `evict`. */
  readonly shared?: boolean
  readonly maxUploads?: number
  readonly uploadIdleMs?: number
  readonly log?: Log
  readonly now?: () => number
}

export interface UploadStatus {
  readonly cid: Cid
  readonly sizeBytes: number
  /** The next part begins here. */
  readonly storedBytes: number
  /** The blob is in the store. */
  readonly complete: boolean
}

interface Blob {
  readonly sizeBytes: number
  usedAtMs: number
  pins: number
}

/** @throws AssayError `store/in-use`, `store/options`, `blob/full`. */
export async function openBlobs(folder: string, options: BlobOptions): Promise<BlobStore> {
  const { shared = false, whenFull, now = Date.now } = options
  if (shared && whenFull === 'evict') {
    throw new AssayError('store/options', 'a shared folder of blobs cannot evict: a reader may be elsewhere')
  }
  await makeFolders(folder)
  const claim = shared ? undefined : claimFolder(folder, 'owner')
  try {
    await sweepDrafts(folder, shared ? now() - UPLOAD_IDLE_MS : Number.POSITIVE_INFINITY)
    const store = new BlobStore(folder, { options, claim })
    await store.scan()
    return store
  } catch (error) {
    claim?.release()
    throw error
  }
}

export class BlobStore {
  readonly #folder: string
  readonly #options: BlobOptions
  readonly #claim: Claim | undefined
  readonly #log: Log
  readonly #now: () => number
  /** In the order of their use, the longest ago first. */
  readonly #blobs = new Map<string, Blob>()
  readonly #uploads: UploadList
  readonly #busy = new Set<string>()
  /** Of blobs. */
  #bytes = 0
  #scannedAtMs = 0
  #turn: Promise<unknown> = Promise.resolve()

  /** Made by `openBlobs`. */
  constructor(
    folder: string,
    { options, claim }: { readonly options: BlobOptions; readonly claim: Claim | undefined },
  ) {
    this.#folder = folder
    this.#options = options
    this.#claim = claim
    this.#log = options.log ?? SILENT_LOG
    this.#now = options.now ?? Date.now
    this.#uploads = createUploadList(folder, {
      shared: options.shared === true,
      idleMs: options.uploadIdleMs,
      now: this.#now,
      isBusy: (id) => this.#busy.has(id),
    })
  }

  /** Looks at the folder anew. */
  async scan(): Promise<void> {
    const blobs = await listBlobs(this.#folder)
    await this.#uploads.scan()
    this.#blobs.clear()
    this.#bytes = 0
    for (const { cid, sizeBytes, usedAtMs } of blobs) this.#addBlob(cid, { sizeBytes, usedAtMs, pins: 0 })
    this.#scannedAtMs = this.#now()
  }

  /**
   * Begins an upload, or says how far it came.
   * @throws AssayError `cid/malformed`, `blob/too-large`, `blob/full`, `blob/busy`, and what `admit` throws.
   */
  async begin({ cid, owner, sizeBytes, account = '', admit }: NewUpload): Promise<UploadStatus> {
    const id = uploadId(cid, owner)
    return this.#inTurn(async () => {
      const held = await this.sizeOf(cid)
      if (held !== undefined) return complete(cid, held)
      const upload = await readUpload(this.#folder, id)
      if (upload?.sizeBytes === sizeBytes) return incomplete(upload)
      this.checkSize(sizeBytes)
      if (this.#busy.has(id)) throw busy(cid)
      // Another size for the same address: one of the two is wrong, and this is the later word.
      await this.#uploads.drop(id)
      admit?.(await this.#uploads.openOf(account))
      await this.#makeRoom(sizeBytes)
      await makeUpload(this.#folder, { id, cid, sizeBytes, account })
      this.#uploads.add(id, { sizeBytes, account })
      return { cid: cid as Cid, sizeBytes, storedBytes: 0, complete: false }
    })
  }

  /** @throws AssayError `blob/too-large`. */
  checkSize(sizeBytes: number): void {
    const { maxBlobBytes } = this.#options
    if (Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && sizeBytes <= maxBlobBytes) return
    const message = `expected a blob of at most ${maxBlobBytes} bytes, got one of ${sizeBytes}`
    throw new AssayError('blob/too-large', message, { detail: { maxBlobBytes, sizeBytes } })
  }

  /** Of an account that is about to show that it has a blob. */
  openUploads(account: string): Promise<OpenUploads> {
    return this.#inTurn(() => this.#uploads.openOf(account))
  }

  /** @throws AssayError `cid/malformed`, `blob/missing` where nothing was begun. */
  async status({ cid, owner }: UploadKey): Promise<UploadStatus> {
    const held = await this.sizeOf(cid)
    return held === undefined ? incomplete(await this.#upload(cid, owner)) : complete(cid, held)
  }

  /**
   * Adds what comes, from `offset` on, which must be where the upload stands. What arrived before a failure stays.
   * @throws AssayError `cid/malformed`, `blob/missing`, `blob/offset`, `blob/busy`, `blob/too-large`, `blob/full`.
   */
  async append(
    { cid, owner, offset }: UploadKey & { readonly offset: number },
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
  ): Promise<UploadStatus> {
    const held = await this.sizeOf(cid)
    if (held !== undefined) return complete(cid, held)
    return this.#alone({ cid, owner }, async () => {
      const upload = await this.#upload(cid, owner)
      const { id, sizeBytes, storedBytes } = upload
      if (offset !== storedBytes) {
        const message = `expected a part from byte ${storedBytes} on, got one from ${offset} on`
        throw new AssayError('blob/offset', message, { detail: { storedBytes, offset } })
      }
      const source = bytes instanceof Uint8Array ? [bytes] : bytes
      const size = await appendTo(this.#folder, { id, offset, sizeBytes }, source)
      return incomplete({ ...upload, storedBytes: size })
    })
  }

  /**
   * Makes an upload a blob. Of two that finish the same one, both succeed.
   * @throws AssayError `cid/malformed`, `blob/missing`, `blob/incomplete`, `blob/busy`, `blob/full`; `blob/mismatch`
   * after it threw the upload away.
   */
  async commit({ cid, owner }: UploadKey): Promise<UploadStatus> {
    const held = await this.sizeOf(cid)
    if (held !== undefined) {
      await this.#inTurn(() => this.#uploads.drop(uploadId(cid, owner)))
      return complete(cid, held)
    }
    return this.#alone({ cid, owner }, async () => {
      const { id, sizeBytes, storedBytes } = await this.#upload(cid, owner)
      if (storedBytes < sizeBytes) {
        const message = `expected ${sizeBytes} bytes before the end of the upload, got ${storedBytes}`
        throw new AssayError('blob/incomplete', message, { detail: { sizeBytes, storedBytes } })
      }
      const got = await adoptUpload(this.#folder, { id, cid, copy: this.#options.shared === true })
      await this.#inTurn(async () => {
        if (got === cid) this.#addBlob(cid, { sizeBytes, usedAtMs: this.#now(), pins: 0 })
        await this.#uploads.drop(id)
      })
      if (got === cid) return complete(cid, sizeBytes)
      const message = `expected the content at ${cid}, got ${sizeBytes} bytes that hash to ${got}`
      throw new AssayError('blob/mismatch', message, { detail: { expected: cid, got } })
    })
  }

  /** A value of our own, at once. @throws AssayError as `begin`, `append` and `commit`. */
  async put(cid: string, bytes: Uint8Array): Promise<void> {
    const upload = { cid, owner: '' }
    const status = await this.begin({ ...upload, sizeBytes: bytes.length })
    if (status.complete) return
    await this.append({ ...upload, offset: status.storedBytes }, bytes.subarray(status.storedBytes))
    await this.commit(upload)
  }

  /** @throws AssayError `cid/malformed`. */
  async has(cid: string): Promise<boolean> {
    return (await this.sizeOf(cid)) !== undefined
  }

  /** @throws AssayError `cid/malformed`. */
  async sizeOf(cid: string): Promise<number | undefined> {
    const path = blobPath(this.#folder, cid)
    const known = this.#blobs.get(cid)
    if (known !== undefined || this.#options.shared !== true) return known?.sizeBytes
    // Another process may have added it.
    const at = await statOf(path)
    if (at === undefined) return undefined
    this.#addBlob(cid, { sizeBytes: at.size, usedAtMs: at.mtimeMs, pins: 0 })
    return at.size
  }

  /** Whether its file is there now, whatever was known of it: another process may have deleted it. */
  async isOnDisk(cid: string): Promise<boolean> {
    const isThere = (await statOf(blobPath(this.#folder, cid))) !== undefined
    if (!isThere) this.#forgetBlob(cid)
    return isThere
  }

  /** Bytes from `start` up to `end`, which is not part. @throws AssayError `cid/malformed`, `blob/missing`, `blob/range`. */
  async read(
    cid: string,
    { start = 0, end }: { readonly start?: number; readonly end?: number } = {},
  ): Promise<{ readonly sizeBytes: number; readonly stream: Readable }> {
    const sizeBytes = await this.sizeOf(cid)
    if (sizeBytes === undefined) throw missing(`the blob ${cid}`)
    const until = end ?? sizeBytes
    const isRange = Number.isSafeInteger(start) && Number.isSafeInteger(until) && 0 <= start && start <= until
    if (!isRange || until > sizeBytes) {
      const message = `expected a range within 0 to ${sizeBytes}, got ${start} to ${until}`
      throw new AssayError('blob/range', message, { detail: { sizeBytes } })
    }
    const file = await this.#openBlob(cid)
    this.#touch(cid)
    if (start < until) return { sizeBytes, stream: file.createReadStream({ start, end: until - 1 }) }
    await file.close()
    return { sizeBytes, stream: Readable.from([]) }
  }

  /** All of it, checked against its address. @throws AssayError `cid/malformed`, `blob/missing`, `blob/corrupt`. */
  async readAll(cid: string): Promise<Uint8Array> {
    const { sizeBytes, stream } = await this.read(cid)
    const all = new Uint8Array(sizeBytes)
    let at = 0
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      all.set(chunk.subarray(0, sizeBytes - at), at)
      at += chunk.length
    }
    if (at === sizeBytes && addressOf(all, cid) === cid) return all
    this.#log.error('a blob is damaged and was thrown away', { cid })
    await this.delete(cid)
    throw new AssayError('blob/corrupt', `what is stored of ${cid} does not hash to it any more`, {
      detail: { cid },
    })
  }

  /** Keeps a blob from eviction until the function that it returns is called. @throws AssayError `blob/missing`. */
  pin(cid: string): () => void {
    const blob = this.#blobs.get(cid)
    if (blob === undefined) throw missing(`the blob ${cid}`)
    blob.pins += 1
    this.#touch(cid)
    let isPinned = true
    return () => {
      if (isPinned) blob.pins -= 1
      isPinned = false
    }
  }

  /** Whether it was there. Readers that have it open read on. @throws AssayError `cid/malformed`. */
  async delete(cid: string): Promise<boolean> {
    return this.#inTurn(async () => {
      const wasThere = (await this.sizeOf(cid)) !== undefined
      await this.#removeBlob(cid)
      return wasThere
    })
  }

  get maxBytes(): number {
    return this.#options.maxBytes
  }

  stats(): { readonly blobs: number; readonly uploads: number; readonly bytes: number } {
    return { blobs: this.#blobs.size, uploads: this.#uploads.count(), bytes: this.#taken() }
  }

  /** Lets go of the folder. Uploads that are under way go on at the next opening. */
  close(): void {
    this.#claim?.release()
  }

  async #upload(cid: string, owner: string): Promise<StoredUpload> {
    const upload = await readUpload(this.#folder, uploadId(cid, owner))
    if (upload === undefined) throw missing(`an upload of ${cid}`)
    return upload
  }

  /** Runs `work` as the only one on this upload, in this process. */
  async #alone<T>({ cid, owner }: UploadKey, work: () => Promise<T>): Promise<T> {
    const id = uploadId(cid, owner)
    if (this.#busy.has(id)) throw busy(cid)
    this.#busy.add(id)
    try {
      return await work()
    } finally {
      this.#busy.delete(id)
    }
  }

  /** One after another: what changes the sum of bytes. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => undefined)
    return done
  }

  #taken(): number {
    return this.#bytes + this.#uploads.bytes()
  }

  async #makeRoom(sizeBytes: number): Promise<void> {
    const { maxBytes, maxUploads = MAX_UPLOADS, whenFull, shared } = this.#options
    if (shared === true && this.#now() - this.#scannedAtMs > RESCAN_MS) await this.scan()
    const needed = spaceOf(sizeBytes)
    const hasRoom = () => this.#taken() + needed <= maxBytes
    const isFull = () => !hasRoom() || this.#uploads.count() >= maxUploads
    if (isFull()) await this.#uploads.dropIdle()
    if (whenFull === 'evict') {
      for (const [cid, { pins }] of this.#blobs) {
        if (hasRoom()) break
        if (pins === 0) await this.#removeBlob(cid)
      }
    }
    if (!isFull()) return
    const { bytes, uploads } = this.stats()
    const message = `no room for ${sizeBytes} bytes: ${bytes} of ${maxBytes} are taken, by blobs and ${uploads} uploads`
    throw new AssayError('blob/full', message, { detail: { sizeBytes, bytes, maxBytes, uploads } })
  }

  async #openBlob(cid: string): Promise<FileHandle> {
    try {
      return await open(blobPath(this.#folder, cid), 'r')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
      // Deleted meanwhile, here or by another process.
      this.#forgetBlob(cid)
      throw missing(`the blob ${cid}`)
    }
  }

  #touch(cid: string): void {
    const blob = this.#blobs.get(cid)
    if (blob === undefined) return
    this.#blobs.delete(cid)
    this.#blobs.set(cid, blob)
    const atMs = this.#now()
    if (atMs - blob.usedAtMs < USE_RESOLUTION_MS) return
    blob.usedAtMs = atMs
    // Only the order of eviction after the next start depends on it.
    utimes(blobPath(this.#folder, cid), atMs / 1000, atMs / 1000).catch(() => undefined)
  }

  #addBlob(cid: string, blob: Blob): void {
    if (this.#blobs.has(cid)) return
    this.#blobs.set(cid, blob)
    this.#bytes += spaceOf(blob.sizeBytes)
  }

  #forgetBlob(cid: string): void {
    const blob = this.#blobs.get(cid)
    if (blob !== undefined) this.#bytes -= spaceOf(blob.sizeBytes)
    this.#blobs.delete(cid)
  }

  async #removeBlob(cid: string): Promise<void> {
    this.#forgetBlob(cid)
    await rm(blobPath(this.#folder, cid), { force: true })
  }
}

function complete(cid: string, sizeBytes: number): UploadStatus {
  return { cid: cid as Cid, sizeBytes, storedBytes: sizeBytes, complete: true }
}

function incomplete({ cid, sizeBytes, storedBytes }: StoredUpload): UploadStatus {
  return { cid, sizeBytes, storedBytes, complete: false }
}

function missing(what: string): AssayError {
  return new AssayError('blob/missing', `${what} is not here`)
}

function busy(cid: string): AssayError {
  return new AssayError('blob/busy', `another part of the upload of ${cid} is being written`)
}
