/** `assay doctor`: looks whether this machine, the network and its database are well, and says what to do. */
import { statfs } from 'node:fs/promises'
import { homedir } from 'node:os'
import { AssayError } from 'assay/core/errors'
import { MAX_CLOCK_SKEW_MS } from 'assay/wire/request-signature'
import { checkNetwork, type NetworkCheck } from '../coordinator/backup/check.ts'
import { findPrograms } from '../store/cluster-files.ts'
import { openDatabase } from '../store/database.ts'
import { isBlobFolder, missingFrom, openSharedBlobs } from './backup.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { addConnectionOptions, type ConnectionOptions, connectionOf } from './connection.ts'
import { remedyOf } from './exit.ts'
import { openRuntime, RUNTIMES } from './onnx-runtime.ts'
import { formatBytes, formatCount, type Style, table } from './style.ts'

const LEAST_FREE_BYTES = 2 ** 30
const TIMEOUT_MS = 5_000

interface Finding {
  readonly name: string
  /** `skipped`: there is nothing to look at. */
  readonly state: 'ok' | 'bad' | 'skipped'
  readonly detail: string
  readonly remedy?: string
}

interface DoctorOptions extends ConnectionOptions {
  readonly databaseUrl?: string
  readonly blobFolder?: string
}

export const doctorCommand: AddCommand = (perform) =>
  addConnectionOptions(
    describedCommand('doctor', {
      summary: 'is everything well: this machine, the network, its database',
      description:
        'Looks at the runtimes, the database programs and the disk of this machine; at the network that you use (is it ' +
        'reachable, ready, and is your clock right); and, with a database URL, at all records of a network: do the books ' +
        'balance, is the log the one that was signed, is every receipt in it; with its folder, are all blobs there.',
      examples: [
        ['before you ask anybody', 'assay doctor'],
        [
          'the records of a network',
          'DATABASE_URL=postgres://assay@db/assay assay doctor --blob-folder /var/lib/assay/blobs',
        ],
      ],
      exits: [[0, 'all well'], [1, 'something is not; it says what to do'], USAGE_EXIT],
    }),
  )
    .option('--database-url <url>', 'database of a coordinator to look at (default: $DATABASE_URL)')
    .option('--blob-folder <folder>', 'its folder of blobs (default: $ASSAY_BLOB_FOLDER)')
    .action(perform<DoctorOptions>(doctor))

async function doctor(options: DoctorOptions, session: Session): Promise<Outcome> {
  const { DATABASE_URL, ASSAY_BLOB_FOLDER } = process.env
  const { databaseUrl = DATABASE_URL, blobFolder = ASSAY_BLOB_FOLDER } = options
  const looks: readonly (readonly [string, () => Promise<string | null>])[] = [
    ['node', async () => `${process.versions.node} on ${process.platform} ${process.arch}`],
    ...RUNTIMES.map((name) => [`runtime ${name}`, async () => (await openRuntime(name)).version] as const),
    ['database programs', async () => programsText(findPrograms())],
    ['disk', freeSpace],
    ['network', () => reach(options, session.signal)],
  ]
  const findings: Finding[] = []
  for (const [name, look] of looks) findings.push(await find(name, look))
  findings.push(...(databaseUrl === undefined ? [NO_RECORDS] : await lookAtRecords(databaseUrl, blobFolder)))
  const isWell = findings.every(({ state }) => state !== 'bad')
  return {
    exitCode: isWell ? 0 : 1,
    json: { isWell, findings: findings as never },
    text: (style) => doctorText(findings, { isWell, style }),
  }
}

async function find(name: string, look: () => Promise<string | null>): Promise<Finding> {
  try {
    const detail = await look()
    return detail === null
      ? { name, state: 'skipped', detail: 'nothing to look at' }
      : { name, state: 'ok', detail }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    const remedy = error instanceof AssayError ? remedyOf(error.code) : ''
    return { name, state: 'bad', detail, ...(remedy === '' ? {} : { remedy }) }
  }
}

function programsText(programs: unknown): string {
  return programs === undefined ? 'none' : 'PostgreSQL for a network on this machine is there'
}

async function freeSpace(): Promise<string> {
  const { bavail, bsize } = await statfs(homedir())
  const free = bavail * bsize
  if (free >= LEAST_FREE_BYTES) return `${formatBytes(free)} free`
  throw new AssayError(
    'cli/write',
    `expected at least ${formatBytes(LEAST_FREE_BYTES)} free, got ${formatBytes(free)}`,
  )
}

/** Null where this user has no network. */
async function reach(options: ConnectionOptions, signal: AbortSignal): Promise<string | null> {
  let url: string
  try {
    url = (await connectionOf(options)).url
  } catch (error) {
    if (error instanceof AssayError && error.code === 'cli/usage') return null
    throw error
  }
  const response = await fetch(new URL('/readyz', url), {
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  }).catch((cause: unknown) => {
    throw new AssayError('wire/unavailable', `${url} cannot be reached`, { cause })
  })
  if (!response.ok) throw new AssayError('wire/unavailable', `${url} is not ready: ${await response.text()}`)
  const skewMs = Math.abs(Date.parse(response.headers.get('date') ?? '') - Date.now())
  if (skewMs > MAX_CLOCK_SKEW_MS) {
    throw new AssayError(
      'wire/signature',
      `the clocks of ${url} and of this machine differ by ${Math.round(skewMs / 1000)} s`,
    )
  }
  return `${url} is ready`
}

const NO_RECORDS: Finding = { name: 'records', state: 'skipped', detail: 'nothing to look at' }

/** All records of a network, in one snapshot. */
async function lookAtRecords(url: string, folder: string | undefined): Promise<Finding[]> {
  const db = openDatabase(url, { applicationName: 'assay doctor', maxConnections: 1 })
  try {
    const version = await find('database', async () => {
      const { rows } = await db.query<{ version: string }>('SELECT version()')
      return rows[0]?.version.split(' ').slice(0, 2).join(' ') ?? ''
    })
    if (version.state === 'bad') return [version]
    let blobs: Awaited<ReturnType<typeof openSharedBlobs>> | undefined
    const opened = await find('blobs', async () => {
      if (folder === undefined) return null
      if (!(await isBlobFolder(folder))) throw new AssayError('cli/blobs', `there are no blobs in ${folder}`)
      blobs = await openSharedBlobs(folder)
      return folder
    })
    const check = await checkNetwork(
      db,
      blobs === undefined ? {} : { missingBlobs: missingFrom(blobs) },
    ).catch((error: unknown) => error)
    if (check instanceof Error) return [version, await find('records', () => Promise.reject(check))]
    const { found, transfers, logSize, receipts, pending, blobs: count } = check as NetworkCheck
    return [
      version,
      judged('books', {
        faults: found.books,
        code: 'cli/books',
        detail: `${formatCount(transfers)} transfers balance`,
      }),
      judged('log', {
        faults: found.log,
        code: 'cli/log',
        detail: `${formatCount(logSize)} leaves, ${formatCount(receipts)} receipts, ${formatCount(pending)} to be sealed`,
      }),
      opened.state === 'ok'
        ? judged('blobs', {
            faults: found.blobs,
            code: 'cli/blobs',
            detail: `${formatCount(count)} are there`,
          })
        : opened,
    ]
  } finally {
    await db.close()
  }
}

/** The first of the faults, and how many there are. */
function judged(
  name: string,
  {
    faults,
    code,
    detail,
  }: { readonly faults: readonly string[]; readonly code: string; readonly detail: string },
): Finding {
  const [first] = faults
  if (first === undefined) return { name, state: 'ok', detail }
  const more = faults.length === 1 ? '' : ` (and ${formatCount(faults.length - 1)} more)`
  return { name, state: 'bad', detail: `${first}${more}`, remedy: remedyOf(code) }
}

function doctorText(
  findings: readonly Finding[],
  { isWell, style }: { readonly isWell: boolean; readonly style: Style },
): string {
  const marks = { ok: style.good('✔'), bad: style.bad('✘'), skipped: style.faint('–') }
  const rows = findings.flatMap(({ name, state, detail, remedy }) => [
    [`${marks[state]} ${name}`, detail],
    ...(remedy === undefined ? [] : [['', style.faint(remedy)]]),
  ])
  return `${table(rows)}\n\n${isWell ? style.good('All is well.') : style.bad('Something is not well.')}`
}
