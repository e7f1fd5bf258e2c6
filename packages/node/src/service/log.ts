/**
 * Structured logs: one JSON object a line, or one readable line on a terminal.
 *
 * Ids (job, node, request) are fields, so that a line can be found by them. Threat: fields and messages repeat
 * what hostile peers sent. So texts are clipped, trees are cut, control characters never reach a terminal or
 * start a new line, and secrets are taken out: by the name of their field, by their form (credentials in an
 * address, bearer tokens), and wherever a value that was given to `hide` appears.
 */
import { toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { describeValue } from 'assay/core/inspect'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export type LogFields = { readonly [name: string]: unknown }

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A log that adds these fields to each of its lines. */
  child(fields: LogFields): Log
  /** Never writes this text again, here and in every other log of the same root. */
  hide(secret: string): void
  /** Whether a line of this level is written: for lines that cost something to make. */
  has(level: LogLevel): boolean
}

export interface LogOptions {
  /** Lines below are not written; `info` unless told. */
  readonly level?: LogLevel
  /** Takes a whole line with its end; standard error unless told, since standard output is the job's. */
  readonly write?: (line: string) => void
  /** Readable instead of JSON; whether standard error is a terminal unless told. */
  readonly pretty?: boolean
  readonly fields?: LogFields
  readonly now?: () => Date
}

/** Characters of one text: room for a stack trace, not for somebody's payload. */
const MAX_TEXT = 4096
/** What is searched for secrets before it is clipped: a cut through a secret would leave half of it. */
const MAX_SEARCHED = 65_536
const MAX_DEPTH = 5
const MAX_ENTRIES = 50
/** Bytes that are written in full: ids and digests. */
const MAX_BYTES = 32
/** A shorter secret would take half of the words out of every line. */
const SHORTEST_SECRET = 6
const REDACTED = '[redacted]'

const SECRET_NAME =
  /(authorization|cookie|password|passphrase|secret|apikey|privatekey|databaseurl|(?<!fencing)token)$/
const URL_CREDENTIALS = /(\b[a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@]+@/gi
const BEARER = /\bBearer\s+\S+/gi
/** Ends of lines, and what steers a terminal or turns the direction of a text. */
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be written
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** A log that writes nothing. */
export const SILENT_LOG: Log = createLog({ write: () => undefined, pretty: false, level: 'error' })

export function createLog(options: LogOptions = {}): Log {
  const { level = 'info', write = writeToStderr, pretty = process.stderr.isTTY === true } = options
  const { now = () => new Date() } = options
  const lowest = LOG_LEVELS.indexOf(level)
  const secrets = new Set<string>()
  const format = pretty ? prettyLine : jsonLine
  const make = (bound: LogFields): Log => {
    const at = (own: LogLevel) => (message: string, fields?: LogFields) => {
      if (LOG_LEVELS.indexOf(own) < lowest) return
      const time = now().toISOString()
      const clean = cleanFields({ ...bound, ...fields }, secrets)
      write(format({ time, level: own, message: cleanText(message, secrets), fields: clean }))
    }
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (fields) => make({ ...bound, ...fields }),
      hide: (secret) => {
        if (secret.length >= SHORTEST_SECRET) secrets.add(secret)
      },
      has: (asked) => LOG_LEVELS.indexOf(asked) >= lowest,
    }
  }
  return make(options.fields ?? {})
}

interface Line {
  readonly time: string
  readonly level: LogLevel
  readonly message: string
  readonly fields: { readonly [name: string]: unknown }
}

function jsonLine({ time, level, message, fields }: Line): string {
  const head = { time, level, message }
  // A field must not pass itself off as the level or the time of its line.
  const own = Object.entries(fields).map(([name, value]) => [name in head ? `${name}_` : name, value])
  return `${escapeUnprintable(JSON.stringify({ ...head, ...Object.fromEntries(own) }))}\n`
}

const COLOURS = { debug: 90, info: 36, warn: 33, error: 31 } as const satisfies {
  [level in LogLevel]: number
}

function prettyLine({ time, level, message, fields }: Line): string {
  const plain = process.env.NO_COLOR !== undefined
  const paint = (colour: number, text: string) => (plain ? text : `\u001b[${colour}m${text}\u001b[0m`)
  const rest = Object.entries(fields).map(([name, value]) => {
    const text = typeof value === 'string' && /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value)
    return ` ${paint(90, `${escapeUnprintable(name)}=`)}${escapeUnprintable(text)}`
  })
  const clock = paint(90, time.slice(11, 23))
  return `${clock} ${paint(COLOURS[level], level.padEnd(5))} ${escapeUnprintable(message)}${rest.join('')}\n`
}

function escapeUnprintable(text: string): string {
  return text.replace(UNPRINTABLE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function cleanFields(fields: LogFields, secrets: ReadonlySet<string>): { readonly [name: string]: unknown } {
  return cleanEntries(Object.entries(fields), { secrets, depth: 0 })
}

interface Cleaning {
  readonly secrets: ReadonlySet<string>
  readonly depth: number
}

function cleanEntries(
  entries: readonly (readonly [string, unknown])[],
  { secrets, depth }: Cleaning,
): { readonly [name: string]: unknown } {
  const kept: [string, unknown][] = []
  for (const [name, value] of entries.slice(0, MAX_ENTRIES)) {
    if (value === undefined) continue
    const hidden = SECRET_NAME.test(name.toLowerCase().replace(/[-_.\s]/g, ''))
    kept.push([
      cleanText(name, secrets),
      hidden && value !== null ? REDACTED : clean(value, { secrets, depth }),
    ])
  }
  if (entries.length > MAX_ENTRIES) kept.push(['…', `${entries.length - MAX_ENTRIES} more`])
  return Object.fromEntries(kept)
}

function clean(value: unknown, { secrets, depth }: Cleaning): unknown {
  if (typeof value === 'string') return cleanText(value, secrets)
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'boolean' || value === null) return value
  if (typeof value !== 'object') return describeValue(value)
  if (value instanceof Uint8Array) return value.length <= MAX_BYTES ? toHex(value) : describeValue(value)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'invalid date' : value.toISOString()
  if (depth >= MAX_DEPTH) return describeValue(value)
  const deeper = { secrets, depth: depth + 1 }
  if (value instanceof Error) return cleanError(value, deeper)
  if (Array.isArray(value)) {
    const kept = value.slice(0, MAX_ENTRIES).map((element) => clean(element, deeper))
    return value.length > MAX_ENTRIES ? [...kept, `… ${value.length - MAX_ENTRIES} more`] : kept
  }
  if ('toJSON' in value && typeof value.toJSON === 'function') return clean(value.toJSON(), deeper)
  return cleanEntries(Object.entries(value), deeper)
}

function cleanError(error: Error, cleaning: Cleaning): unknown {
  const typed = error instanceof AssayError
  return cleanEntries(
    [
      ['code', typed ? error.code : 'code' in error ? error.code : undefined],
      ['message', error.message],
      ['detail', typed && Object.keys(error.detail).length > 0 ? error.detail : undefined],
      // Where a refusal was thrown is known by its code; for everything else the stack is all there is.
      ['stack', typed ? undefined : error.stack],
      ['cause', error.cause],
    ],
    cleaning,
  )
}

function cleanText(text: string, secrets: ReadonlySet<string>): string {
  let clean = text.length > MAX_SEARCHED ? text.slice(0, MAX_SEARCHED) : text
  for (const secret of secrets) clean = clean.replaceAll(secret, REDACTED)
  const length = clean.length
  if (length > MAX_TEXT) clean = clean.slice(0, MAX_TEXT)
  clean = clean.replace(URL_CREDENTIALS, `$1${REDACTED}@`).replace(BEARER, `Bearer ${REDACTED}`)
  return length > MAX_TEXT ? `${clean}… (${text.length} characters)` : clean
}

let guarded = false

function writeToStderr(line: string): void {
  // A reader that went away must not take the service with it.
  if (!guarded) process.stderr.on('error', () => undefined)
  guarded = true
  process.stderr.write(line)
}
