/**
 * A backup as one file: the records of a network (dump.ts), the blobs that they name, and a digest over all of it.
 *
 *     {"format":"assay/backup-file","version":1}
 *     …                                        the lines of the dump, up to its {"end":true,…}
 *     {"blob":"bafk…","bytes":1234}            then as many bytes, and a line feed
 *     {"blobs":7,"missing":["bafk…"],"sha256":"…"}
 *
 * The records are one snapshot; blobs are copied after it, checked against their addresses. `missing` names those that
 * the folder lacks: the network they come from is without them, too. The file gets its name when it is whole.
 *
 * Restoring reads the file once to see that it is whole, then the blobs out of it, then the records, in one
 * transaction: a network begins when everything that it names is there.
 *
 * Threat: a file that was cut short, altered or made by something else is refused before anything is written. Its digest
 * protects from accidents; whoever can write the file can write another one, so keep it where you keep the database.
 */
import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { AssayError } from 'assay/core/errors'
import type { BlobStore } from '../../store/blobs.ts'
import type { Database } from '../../store/database.ts'
import { migrate } from '../../store/migrate.ts'
import { MIGRATIONS } from '../../store/migrations/all.ts'
import { assertUnused, dumpNetwork, restoreNetwork } from './dump.ts'

const HEAD = JSON.stringify({ format: 'assay/backup-file', version: 1 })
const READ_BYTES = 2 ** 20
/** Of one line: rows of a megabyte, or one row, which has an input or a receipt at most; below what a string may have. */
const MAX_LINE_BYTES = 2 ** 28
const LINE_FEED = 10

export interface BackupSummary {
  readonly rows: number
  readonly blobs: number
  /** Of the whole file. */
  readonly bytes: number
  /** Blobs that the records name and the folder lacks. */
  readonly missing: readonly string[]
}

export interface BackupOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (what: 'records' | 'blobs', done: number, total: number) => void
}

/** @throws AssayError 'store/…'; what the file system throws, as it is; 'blob/corrupt' for a blob that is damaged. */
export async function writeBackup(
  path: string,
  { db, blobs }: { readonly db: Database; readonly blobs: BlobStore },
  { signal, onProgress = () => {} }: BackupOptions = {},
): Promise<BackupSummary> {
  const draft = `${path}.part`
  const file = await open(draft, 'w', 0o600)
  try {
    const out = hashedWriter(file)
    await out.line(HEAD)
    const cids: string[] = []
    let rows = 0
    for await (const line of dumpNetwork(db, { onBlobs: (more) => cids.push(...more) })) {
      signal?.throwIfAborted()
      await out.line(line)
      onProgress('records', ++rows, 0)
    }
    const missing: string[] = []
    for (const [i, cid] of cids.entries()) {
      signal?.throwIfAborted()
      if (!(await writeBlob(out, { cid, blobs }))) missing.push(cid)
      onProgress('blobs', i + 1, cids.length)
    }
    const count = cids.length - missing.length
    await out.end({ blobs: count, missing })
    await file.sync()
    await file.close()
    await rename(draft, path)
    return { rows: out.rows(), blobs: count, bytes: out.bytes(), missing }
  } catch (error) {
    await file.close().catch(() => undefined)
    await rm(draft, { force: true })
    throw error
  }
}

type Writer = ReturnType<typeof hashedWriter>

function hashedWriter(file: FileHandle) {
  const hash = createHash('sha256')
  let bytes = 0
  let last = ''
  const write = async (chunk: Uint8Array) => {
    hash.update(chunk)
    bytes += chunk.length
    await file.writeFile(chunk)
  }
  return {
    write,
    line: (text: string) => {
      if (text.startsWith('{"end":')) last = text
      return write(Buffer.from(`${text}\n`))
    },
    async end(trailer: { readonly blobs: number; readonly missing: readonly string[] }) {
      const sha256 = hash.copy().digest('hex')
      await write(Buffer.from(`${JSON.stringify({ ...trailer, sha256 })}\n`))
    },
    bytes: () => bytes,
    /** As the dump counted them. */
    rows: () => Number((JSON.parse(last) as { readonly rows: number }).rows),
  }
}

/** Whether it was there. */
async function writeBlob(
  out: Writer,
  { cid, blobs }: { readonly cid: string; readonly blobs: BlobStore },
): Promise<boolean> {
  let found: Awaited<ReturnType<BlobStore['read']>>
  try {
    found = await blobs.read(cid)
  } catch (error) {
    if (error instanceof AssayError && error.code === 'blob/missing') return false
    throw error
  }
  const { sizeBytes, stream } = found
  await out.line(JSON.stringify({ blob: cid, bytes: sizeBytes }))
  let copied = 0
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    copied += chunk.length
    await out.write(chunk)
  }
  if (copied !== sizeBytes) {
    throw new AssayError('blob/corrupt', `expected ${sizeBytes} bytes of the blob ${cid}, got ${copied}`)
  }
  await out.write(Uint8Array.of(LINE_FEED))
  return true
}

/**
 * Brings a network back: into a database that was never used, and a folder of blobs, which may hold some.
 * @throws AssayError 'backup/malformed', 'backup/not-empty', 'blob/…', 'store/…'.
 */
export async function restoreBackup(
  path: string,
  { db, blobs }: { readonly db: Database; readonly blobs: BlobStore },
  { signal, onProgress = () => {} }: BackupOptions = {},
): Promise<BackupSummary> {
  await assertUnused(db)
  const plan = await inspectBackup(path, signal)
  // A backup of an older release goes into its own tables, which are then brought to this release.
  const known = MIGRATIONS.slice(0, plan.migrations.length)
  if (known.some(({ name }, i) => name !== plan.migrations[i])) {
    throw damaged(`it was made by another release, with the migrations ${plan.migrations.join(', ')}`)
  }
  await restoreBlobs(path, { plan, blobs, signal, onProgress })
  await migrate(db, known, signal === undefined ? {} : { signal })
  const { rows } = await restoreNetwork(db, recordsOf(path, signal))
  await migrate(db, MIGRATIONS)
  return { rows, blobs: plan.blobs.length, bytes: plan.bytes, missing: plan.missing }
}

interface BlobAt {
  readonly cid: string
  readonly start: number
  readonly sizeBytes: number
}

interface Plan {
  readonly migrations: readonly string[]
  readonly blobs: readonly BlobAt[]
  readonly missing: readonly string[]
  readonly bytes: number
}

/** Reads all of it: what is where, if it is whole. @throws AssayError 'backup/malformed', 'blob/missing'. */
async function inspectBackup(path: string, signal: AbortSignal | undefined): Promise<Plan> {
  const file = await open(path, 'r')
  try {
    const input = hashedReader(file)
    if ((await input.line()) !== HEAD) throw damaged('it does not begin as a backup file of version 1')
    const { migrations } = parse(await input.line())
    if (!isTexts(migrations)) throw damaged('its records do not begin with the migrations that they need')
    while (parse(await input.line()).end !== true) signal?.throwIfAborted()
    const blobs: BlobAt[] = []
    for (;;) {
      signal?.throwIfAborted()
      const digest = input.digest()
      const { blob, bytes, ...trailer } = parse(await input.line())
      if (
        typeof blob === 'string' &&
        typeof bytes === 'number' &&
        Number.isSafeInteger(bytes) &&
        bytes >= 0
      ) {
        blobs.push({ cid: blob, start: input.position(), sizeBytes: bytes })
        await input.skip(bytes)
        if ((await input.line()) !== '') throw damaged('a blob is not as long as it says')
        continue
      }
      const { missing, sha256, blobs: count } = trailer
      if (sha256 !== digest || count !== blobs.length || !isTexts(missing)) {
        throw damaged('its digest is not the one at its end')
      }
      if (!(await input.isEnd())) throw damaged('something follows its end')
      return { migrations, blobs, missing, bytes: input.position() }
    }
  } finally {
    await file.close()
  }
}

async function restoreBlobs(
  path: string,
  {
    plan,
    blobs,
    signal,
    onProgress,
  }: {
    readonly plan: Plan
    readonly blobs: BlobStore
    readonly signal: AbortSignal | undefined
    readonly onProgress: NonNullable<BackupOptions['onProgress']>
  },
): Promise<void> {
  const file = await open(path, 'r')
  try {
    for (const [i, { cid, start, sizeBytes }] of plan.blobs.entries()) {
      signal?.throwIfAborted()
      const upload = { cid, owner: '' }
      const { complete, storedBytes } = await blobs.begin({ ...upload, sizeBytes })
      if (!complete) {
        const from = start + storedBytes
        await blobs.append({ ...upload, offset: storedBytes }, pieces(file, { from, to: start + sizeBytes }))
        // Checks it against its address.
        await blobs.commit(upload)
      }
      onProgress('blobs', i + 1, plan.blobs.length)
    }
  } finally {
    await file.close()
  }
}

async function* pieces(
  file: FileHandle,
  { from, to }: { readonly from: number; readonly to: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = from; at < to; ) {
    const chunk = new Uint8Array(Math.min(READ_BYTES, to - at))
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at)
    if (bytesRead === 0) throw damaged('it was cut short')
    yield chunk.subarray(0, bytesRead)
    at += bytesRead
  }
}

/** The lines of the dump, without head and blobs. */
async function* recordsOf(
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<string, void, undefined> {
  const file = await open(path, 'r')
  try {
    const input = hashedReader(file)
    await input.line()
    for (;;) {
      signal?.throwIfAborted()
      const line = await input.line()
      yield line
      if (line.startsWith('{"end":')) return
    }
  } finally {
    await file.close()
  }
}

/** Lines and bytes from the start on, with the digest of what was read so far. */
function hashedReader(file: FileHandle) {
  const hash: Hash = createHash('sha256')
  let buffer: Buffer = Buffer.alloc(0)
  let position = 0
  const more = async (): Promise<boolean> => {
    const chunk = Buffer.alloc(READ_BYTES)
    const { bytesRead } = await file.read(chunk, 0, READ_BYTES, null)
    buffer = Buffer.concat([buffer, chunk.subarray(0, bytesRead)])
    return bytesRead > 0
  }
  const take = (length: number): Buffer => {
    const taken = buffer.subarray(0, length)
    buffer = buffer.subarray(length)
    hash.update(taken)
    position += length
    return taken
  }
  return {
    position: () => position,
    digest: () => hash.copy().digest('hex'),
    async line(): Promise<string> {
      let searched = 0
      for (;;) {
        const end = buffer.indexOf(LINE_FEED, searched)
        if (end >= 0) {
          const text = buffer.toString('utf8', 0, end)
          take(end + 1)
          return text
        }
        searched = buffer.length
        if (searched > MAX_LINE_BYTES) throw damaged('a line is too long')
        if (!(await more())) throw damaged('it was cut short')
      }
    },
    async skip(length: number): Promise<void> {
      for (let left = length; left > 0; ) {
        if (buffer.length === 0 && !(await more())) throw damaged('it was cut short')
        left -= take(Math.min(left, buffer.length)).length
      }
    },
    isEnd: async () => buffer.length === 0 && !(await more()),
  }
}

function parse(text: string): { readonly [name: string]: unknown } {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as { readonly [name: string]: unknown }
  } catch {
    // Told below.
  }
  throw damaged('a line is no JSON object')
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

function damaged(why: string): AssayError {
  return new AssayError('backup/malformed', `expected a whole backup of this release: ${why}`)
}
