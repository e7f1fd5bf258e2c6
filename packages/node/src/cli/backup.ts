/** `assay backup` and `assay restore`: a network as one file, while it runs, and back from it. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AssayError } from 'assay/core/errors'
import type { Command } from 'commander'
import { checkNetwork, type NetworkCheck } from '../coordinator/backup/check.ts'
import { type BackupSummary, restoreBackup, writeBackup } from '../coordinator/backup/file.ts'
import { type BlobStore, openBlobs } from '../store/blobs.ts'
import { type Database, openDatabase } from '../store/database.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { isFile } from './files.ts'
import { formatBytes, formatCount, type Style } from './style.ts'

/** Of a restore and a backup: whoever may write there decides how much. */
const NO_LIMIT = { maxBytes: Number.MAX_SAFE_INTEGER, maxBlobBytes: Number.MAX_SAFE_INTEGER }
/** One for the snapshot, one for what is looked at meanwhile. */
const CONNECTIONS = 2

interface RecordsOptions {
  readonly databaseUrl?: string
  readonly blobFolder?: string
}

export const backupCommand: AddCommand = (perform) =>
  addRecordsOptions(
    describedCommand('backup', {
      summary: 'write a whole network into one file, while it runs',
      description:
        'Reads the database in one snapshot, then copies the blobs that it names. Jobs go on meanwhile; what comes ' +
        'after the snapshot is not in the file. The file holds the key that signs receipts, unless the coordinators ' +
        'have it in a file of their own, and the seeds of open jobs: keep it secret. docs/guides/operator.md says more.',
      examples: [
        [
          'tonight’s',
          'DATABASE_URL=postgres://assay@db/assay assay backup --blob-folder /var/lib/assay/blobs assay-monday.backup',
        ],
      ],
      exits: [[0, 'written, and whole'], USAGE_EXIT],
    }),
  )
    .argument('<file>', 'where to write it; must not be there yet')
    .action(perform<RecordsOptions>(backup))

export const restoreCommand: AddCommand = (perform) =>
  addRecordsOptions(
    describedCommand('restore', {
      summary: 'bring a network back from a backup, into an empty database',
      description:
        'Checks that the file is whole, copies its blobs into the folder, writes its records into a database that was ' +
        'never used, in one transaction, and looks at all of it: books, log, receipts, blobs. Then start a coordinator ' +
        'over both, with the same key. Whatever the network did after the backup is forgotten.',
      examples: [
        [
          'on another machine',
          'DATABASE_URL=postgres://assay@db2/assay assay restore --blob-folder /var/lib/assay/blobs assay-monday.backup',
        ],
      ],
      exits: [
        [0, 'restored, and sound'],
        [1, 'restored, and not sound: it says what is wrong'],
        [2, 'refused, and nothing written to the database; or bad usage'],
      ],
    }),
  )
    .argument('<file>', 'what `assay backup` wrote')
    .action(perform<RecordsOptions>(restore))

function addRecordsOptions(command: Command): Command {
  return command
    .option('--database-url <url>', 'database of the coordinators (default: $DATABASE_URL)')
    .option('--blob-folder <folder>', 'their folder of blobs (default: $ASSAY_BLOB_FOLDER)')
}

async function backup(
  options: RecordsOptions,
  session: Session,
  [path = '']: readonly string[],
): Promise<Outcome> {
  if (await isFile(path)) {
    throw new AssayError('cli/file-exists', `expected a new file, and ${path} is there`, { detail: { path } })
  }
  const { blobFolder } = locationsOf(options)
  if (!(await isBlobFolder(blobFolder))) {
    throw new AssayError('cli/file-missing', `expected a folder of blobs at ${blobFolder}`)
  }
  const summary = await withRecords(options, (records) =>
    writeBackup(path, records, progressOf(session)).catch(asFileError(path)),
  )
  return {
    exitCode: 0,
    json: { file: path, ...summary },
    text: (style) => `${style.good('✔')} ${path}: ${summaryText(summary)}`,
  }
}

async function restore(
  options: RecordsOptions,
  session: Session,
  [path = '']: readonly string[],
): Promise<Outcome> {
  if (!(await isFile(path))) {
    throw new AssayError('cli/file-missing', `cannot read the backup at ${path}`, { detail: { path } })
  }
  return withRecords(options, async (records) => {
    const summary = await restoreBackup(path, records, progressOf(session)).catch(asFileError(path))
    const { found, ...check } = await checkNetwork(records.db, { missingBlobs: missingFrom(records.blobs) })
    // What was missing when the backup was made is no news.
    const faults = check.faults.filter((fault) => !summary.missing.some((cid) => fault.includes(cid)))
    const isSound = faults.length === 0
    return {
      exitCode: isSound ? 0 : 1,
      json: { file: path, ...summary, check: { ...check, isSound, faults, found } as never },
      text: (style) => restoreText({ ...check, faults }, { path, summary, style }),
    }
  })
}

function restoreText(
  { faults, transfers, logSize, pending }: Omit<NetworkCheck, 'found'>,
  { path, summary, style }: { readonly path: string; readonly summary: BackupSummary; readonly style: Style },
): string {
  const mark = faults.length === 0 ? style.good('✔') : style.bad('✘')
  return [
    `${style.good('✔')} ${path}: ${summaryText(summary)}`,
    `${mark} ${formatCount(transfers)} transfers, ${formatCount(logSize)} receipts in the log, ${formatCount(pending)} to be sealed`,
    ...faults.map((fault) => `  ${style.bad(fault)}`),
  ].join('\n')
}

function summaryText({ rows, blobs, bytes, missing }: BackupSummary): string {
  const lacks =
    missing.length === 0 ? '' : `; without ${formatCount(missing.length)} that were not in the folder`
  return `${formatCount(rows)} rows and ${formatCount(blobs)} blobs, ${formatBytes(bytes)}${lacks}`
}

function progressOf({ signal, progress }: Session) {
  return {
    signal,
    onProgress: (what: string, done: number, total: number) => {
      if (total > 0) progress(what, done, total)
    },
  }
}

/** @throws AssayError `cli/usage` where one of the two is not told. */
export function locationsOf({ databaseUrl, blobFolder }: RecordsOptions): Required<RecordsOptions> {
  const { DATABASE_URL, ASSAY_BLOB_FOLDER } = process.env
  const [url, folder] = [databaseUrl ?? DATABASE_URL, blobFolder ?? ASSAY_BLOB_FOLDER]
  if (url !== undefined && folder !== undefined) return { databaseUrl: url, blobFolder: folder }
  throw new AssayError(
    'cli/usage',
    url === undefined
      ? 'expected the database of the coordinators: give --database-url, or DATABASE_URL'
      : 'expected their folder of blobs: give --blob-folder, or ASSAY_BLOB_FOLDER',
  )
}

async function withRecords<T>(
  options: RecordsOptions,
  work: (records: { readonly db: Database; readonly blobs: BlobStore }) => Promise<T>,
): Promise<T> {
  const { databaseUrl, blobFolder } = locationsOf(options)
  const db = openDatabase(databaseUrl, { applicationName: 'assay backup', maxConnections: CONNECTIONS })
  try {
    const blobs = await openSharedBlobs(blobFolder)
    try {
      return await work({ db, blobs })
    } finally {
      blobs.close()
    }
  } finally {
    await db.close()
  }
}

/** Beside coordinators that use it. */
export function openSharedBlobs(folder: string): Promise<BlobStore> {
  return openBlobs(folder, { ...NO_LIMIT, whenFull: 'refuse', shared: true })
}

export async function isBlobFolder(folder: string): Promise<boolean> {
  return stat(join(folder, 'blobs')).then(
    (at) => at.isDirectory(),
    () => false,
  )
}

/** Which addresses a store lacks. */
export function missingFrom(blobs: BlobStore) {
  return async (cids: readonly string[]): Promise<readonly string[]> => {
    const missing: string[] = []
    for (const cid of cids) if (!(await blobs.has(cid))) missing.push(cid)
    return missing
  }
}

/** What the file system refuses, as our own error. */
function asFileError(path: string): (error: unknown) => never {
  return (cause) => {
    if (cause instanceof AssayError || typeof (cause as NodeJS.ErrnoException).code !== 'string') throw cause
    throw new AssayError('cli/write', `${path}: ${(cause as Error).message}`, { detail: { path }, cause })
  }
}
