/** `assay doctor`: looks whether this machine, the network and its database are well, and says what to do. */
import { statfs } from 'node:fs/promises'
import { homedir } from 'node:os'
import { AssayError } from 'assay/core/errors'
import { MAX_CLOCK_SKEW_MS } from 'assay/wire/request-signature'
import { checkBooks } from '../coordinator/ledger-read.ts'
import { findPrograms } from '../store/cluster-files.ts'
import { openDatabase } from '../store/database.ts'
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
}

export const doctorCommand: AddCommand = (perform) =>
  addConnectionOptions(
    describedCommand('doctor', {
      summary: 'is everything well: this machine, the network, its database',
      description:
        'Looks at the runtimes, the database programs and the disk of this machine; at the network that you use (is it ' +
        'reachable, ready, and is your clock right); and, with a database URL, at its books.',
      examples: [
        ['before you ask anybody', 'assay doctor'],
        ['the books of a coordinator', 'DATABASE_URL=postgres://assay@db/assay assay doctor'],
      ],
      exits: [[0, 'all well'], [1, 'something is not; it says what to do'], USAGE_EXIT],
    }),
  )
    .option('--database-url <url>', 'database of a coordinator to look at (default: $DATABASE_URL)')
    .action(perform<DoctorOptions>(doctor))

async function doctor(options: DoctorOptions, session: Session): Promise<Outcome> {
  const databaseUrl = options.databaseUrl ?? process.env.DATABASE_URL
  const looks: readonly (readonly [string, () => Promise<string | null>])[] = [
    ['node', async () => `${process.versions.node} on ${process.platform} ${process.arch}`],
    ...RUNTIMES.map((name) => [`runtime ${name}`, async () => (await openRuntime(name)).version] as const),
    ['database programs', async () => programsText(findPrograms())],
    ['disk', freeSpace],
    ['network', () => reach(options, session.signal)],
    ['database', async () => (databaseUrl === undefined ? null : booksOf(databaseUrl))],
  ]
  const findings: Finding[] = []
  for (const [name, look] of looks) findings.push(await find(name, look))
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

async function booksOf(url: string): Promise<string> {
  const db = openDatabase(url, { applicationName: 'assay doctor', maxConnections: 1 })
  try {
    const { rows } = await db.query<{ version: string }>('SELECT version()')
    const books = await checkBooks(db)
    const [fault] = books.faults
    if (fault !== undefined) throw new AssayError('cli/books', `the books do not balance: ${fault}`)
    return `${formatCount(books.transfers)} transfers balance; ${rows[0]?.version.split(' ').slice(0, 2).join(' ')}`
  } finally {
    await db.close()
  }
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
