/**
 * How blobs lie on the disk.
 *
 *     blobs/q7/b…      a blob under its address, in one of 1,024 folders named by two characters of it
 *     uploads/<id>      what came of an upload; beside it `<id>.json` says of which blob, how large, and whose
 *     drafts/<random>   a file that is being written; whatever is found there at a start is left over
 *
 * A file gets its name after its contents are on the disk, and the folder is synced after that: what has a name is
 * whole, whatever happens.
 */
import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Cid, formatCid, isCid, parseCid } from 'assay/core/cid'
import type { Digest } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import * as z from 'zod/mini'

const READ_BYTES = 2 ** 20
const ID = /^[0-9a-f]{64}$/
const note = z.strictObject({ cid: z.string(), sizeBytes: z.int(), account: z.optional(z.string()) })

export interface StoredBlob {
  readonly cid: Cid
  readonly sizeBytes: number
  readonly usedAtMs: number
}

export interface StoredUpload {
  readonly id: string
  readonly cid: Cid
  readonly sizeBytes: number
  readonly storedBytes: number
  /** Whose space it takes; empty for one of our own. */
  readonly account: string
  readonly begunAtMs: number
  readonly touchedAtMs: number
}

/** The name of a blob, from its address in the one canonical text: letters and digits. @throws `cid/malformed`. */
export function blobPath(folder: string, cid: string): string {
  parseCid(cid)
  return join(folder, 'blobs', cid.slice(-3, -1), cid)
}

/** One for each owner and address. */
export function uploadId(cid: string, owner: string): string {
  parseCid(cid)
  return createHash('sha256').update(`${cid}\n${owner}`).digest('hex')
}

export async function makeFolders(folder: string): Promise<void> {
  for (const name of ['blobs', 'uploads', 'drafts']) {
    await guarded(mkdir(join(folder, name), { recursive: true, mode: 0o700 }))
  }
}

/** Removes what was being written when a process ended, as far as it is older than `olderThanMs`. */
export async function sweepDrafts(folder: string, olderThanMs: number): Promise<void> {
  const drafts = join(folder, 'drafts')
  for (const name of await readdir(drafts)) {
    const at = await statOf(join(drafts, name))
    if (at !== undefined && at.mtimeMs <= olderThanMs) await rm(join(drafts, name), { force: true })
  }
}

/** Every blob, the one not used for longest first. What is no blob is left alone. */
export async function listBlobs(folder: string): Promise<readonly StoredBlob[]> {
  const found: StoredBlob[] = []
  for (const shard of await readdir(join(folder, 'blobs'))) {
    for (const cid of await readdir(join(folder, 'blobs', shard)).catch(() => [])) {
      const at = isCid(cid) ? await statOf(join(folder, 'blobs', shard, cid)) : undefined
      if (at?.isFile()) found.push({ cid: cid as Cid, sizeBytes: at.size, usedAtMs: at.mtimeMs })
    }
  }
  return found.sort((a, b) => a.usedAtMs - b.usedAtMs)
}

/** Names of uploads, whether they may go on or not. */
export async function listUploadIds(folder: string): Promise<ReadonlySet<string>> {
  const names = (await readdir(join(folder, 'uploads'))).map((name) => name.replace(/\.json$/, ''))
  return new Set(names.filter((name) => ID.test(name)))
}

/** Every upload that may go on; what is left of others is removed. */
export async function listUploads(folder: string): Promise<readonly StoredUpload[]> {
  const found: StoredUpload[] = []
  const ids = new Set((await readdir(join(folder, 'uploads'))).map((name) => name.replace(/\.json$/, '')))
  for (const id of ids) {
    const upload = ID.test(id) ? await readUpload(folder, id) : undefined
    if (upload === undefined) await removeUpload(folder, id)
    else found.push(upload)
  }
  return found
}

/** Nothing where there is none, or none that could go on. */
export async function readUpload(folder: string, id: string): Promise<StoredUpload | undefined> {
  const path = join(folder, 'uploads', id)
  try {
    const parsed = z.safeParse(note, JSON.parse(await readFile(`${path}.json`, 'utf8')))
    const [at, noted] = [await statOf(path), await statOf(`${path}.json`)]
    if (!parsed.success || at === undefined || noted === undefined || !isCid(parsed.data.cid))
      return undefined
    const { cid, sizeBytes, account = '' } = parsed.data
    if (at.size > sizeBytes) return undefined
    // The note is written once, when the upload begins.
    const times = { begunAtMs: noted.mtimeMs, touchedAtMs: at.mtimeMs }
    return { id, cid: cid as Cid, sizeBytes, storedBytes: at.size, account, ...times }
  } catch {
    return undefined
  }
}

export async function makeUpload(
  folder: string,
  { id, ...upload }: Pick<StoredUpload, 'id' | 'sizeBytes' | 'account'> & { readonly cid: string },
): Promise<void> {
  const path = join(folder, 'uploads', id)
  await guarded(writeFile(path, '', { mode: 0o600 }))
  await guarded(writeFile(`${path}.json`, JSON.stringify(upload), { mode: 0o600 }))
}

export async function removeUpload(folder: string, id: string): Promise<void> {
  await rm(join(folder, 'uploads', id), { force: true })
  await rm(join(folder, 'uploads', `${id}.json`), { force: true })
}

/** Writes what comes behind `offset`; what was written before a failure stays. Returns the new size. */
export async function appendTo(
  folder: string,
  { id, offset, sizeBytes }: { readonly id: string; readonly offset: number; readonly sizeBytes: number },
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number> {
  const file = await openUpload(folder, id, constants.O_WRONLY)
  let at = offset
  try {
    for await (const chunk of bytes) {
      if (at + chunk.length > sizeBytes) {
        const message = `expected the last of ${sizeBytes} bytes, got ${at + chunk.length - sizeBytes} more`
        throw new AssayError('blob/too-large', message, { detail: { sizeBytes } })
      }
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await guarded(file.write(chunk, done, chunk.length - done, at))
        done += bytesWritten
        at += bytesWritten
      }
    }
    return at
  } finally {
    await file.close()
  }
}

/**
 * Gives an upload the name of its blob, if its bytes hash to it; says what they hash to. With `copy`, the blob is
 * a file that nobody else ever had open: where several processes write, one may still be at the upload.
 */
export async function adoptUpload(
  folder: string,
  { id, cid, copy }: { readonly id: string; readonly cid: string; readonly copy: boolean },
): Promise<Cid> {
  const source = join(folder, 'uploads', id)
  const draft = join(folder, 'drafts', randomBytes(16).toString('hex'))
  const from = await openUpload(folder, id, constants.O_RDONLY)
  const to = copy ? await guarded(open(draft, 'wx', 0o600)).catch(closing(from)) : undefined
  try {
    const got = await hashInto(from, { cid, to })
    if (got === cid) {
      await guarded((to ?? from).sync())
      await giveName(copy ? draft : source, blobPath(folder, cid))
    }
    return got
  } finally {
    await from.close()
    await to?.close()
    if (copy) await rm(draft, { force: true })
  }
}

async function openUpload(folder: string, id: string, flags: number): Promise<FileHandle> {
  try {
    return await guarded(open(join(folder, 'uploads', id), flags))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    throw new AssayError('blob/missing', 'the upload was ended meanwhile', { cause })
  }
}

function closing(file: FileHandle): (error: unknown) => Promise<never> {
  return async (error) => {
    await file.close()
    throw error
  }
}

async function hashInto(
  from: FileHandle,
  { cid, to }: { readonly cid: string; readonly to: FileHandle | undefined },
): Promise<Cid> {
  const hash = createHash('sha256')
  const buffer = new Uint8Array(READ_BYTES)
  for (let at = 0; ; ) {
    const { bytesRead } = await guarded(from.read(buffer, 0, buffer.length, at))
    if (bytesRead === 0) break
    const chunk = buffer.subarray(0, bytesRead)
    hash.update(chunk)
    if (to !== undefined) await guarded(to.writeFile(chunk))
    at += bytesRead
  }
  return addressFrom(hash.digest(), cid)
}

/** The address of these bytes, in the codec of `cid`. With Node's own hash: models have hundreds of megabytes. */
export function addressOf(bytes: Uint8Array, cid: string): Cid {
  return addressFrom(createHash('sha256').update(bytes).digest(), cid)
}

function addressFrom(digest: Uint8Array, cid: string): Cid {
  return formatCid(new Uint8Array(digest) as Digest, parseCid(cid).codec)
}

async function giveName(from: string, path: string): Promise<void> {
  const made = await guarded(mkdir(dirname(path), { recursive: true, mode: 0o700 }))
  await guarded(rename(from, path))
  await syncFolder(dirname(path))
  if (made !== undefined) await syncFolder(dirname(dirname(path)))
}

async function syncFolder(path: string): Promise<void> {
  const folder = await guarded(open(path, constants.O_RDONLY))
  try {
    await guarded(folder.sync())
  } finally {
    await folder.close()
  }
}

export async function statOf(path: string) {
  try {
    return await stat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** A disk that is full, or a quota of its user that is, as our own error. */
async function guarded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
      throw new AssayError('blob/full', `the disk is full: ${code}`, { detail: { cause: code }, cause })
    }
    throw cause
  }
}
