/**
 * Configuration of a service: flags before environment before one JSON file before defaults, checked at start.
 *
 * An option `maxConnections` is the flag that the command line calls `--max-connections`, the variable
 * `ASSAY_MAX_CONNECTIONS` and the field `maxConnections` of the file. Unknown names are refused, because a
 * misspelt limit that is silently not set is worse than a service that does not start. An empty variable counts
 * as not set. Values of secret options come as `Secret` and are in no message; they may also come from a file
 * that a variable with `_FILE` at its end names, as container platforms hand them out.
 */
import { readFileSync, statSync } from 'node:fs'
import { AssayError, type Json } from 'assay/core/errors'
import { clipText, describeValue } from 'assay/core/inspect'
import { describeIssue, mainIssue } from 'assay/core/schema-issue'
import * as z from 'zod/mini'
import { Secret } from './secret.ts'
import { suggest } from './suggest.ts'

/** A configuration is written by hand. */
const MAX_FILE_BYTES = 1 << 20
const PREFIX = 'ASSAY_'

export interface OptionSpec {
  /** Of the value as JSON has it. Text from flags and environment is tried as it is, as JSON, and as a list. */
  readonly schema: z.ZodMiniType
  readonly help: string
  /** Without one, and unless the schema takes `undefined`, the option must be given. */
  readonly default?: Json
  readonly secret?: boolean
  /** A variable that is also looked at, after that with the prefix: `DATABASE_URL`. */
  readonly env?: string
}

export type OptionSpecs = { readonly [name: string]: OptionSpec }

type ValueOf<Spec extends OptionSpec> = Spec extends { readonly secret: true }
  ? Secret | Extract<z.output<Spec['schema']>, undefined>
  : z.output<Spec['schema']>

export type ConfigValues<Specs extends OptionSpecs> = { readonly [name in keyof Specs]: ValueOf<Specs[name]> }

export interface ConfigSources {
  /** As the command line parsed them: camelCase; `undefined` is not given. */
  readonly flags?: { readonly [name: string]: unknown }
  readonly env?: { readonly [name: string]: string | undefined }
  readonly file?: ConfigFile | undefined
  /** Variables of other parts of the program, which are no mistakes here: names, or beginnings with a `*`. */
  readonly otherEnv?: readonly string[]
}

export interface ConfigFile {
  readonly path: string
  readonly values: { readonly [name: string]: unknown }
}

export interface Config<Specs extends OptionSpecs> {
  readonly values: ConfigValues<Specs>
  /** For `log.hide`. */
  readonly secrets: readonly string[]
  /** Each option with its value and where that came from, secrets hidden: for the log and for `assay doctor`. */
  describe(): { readonly [name: string]: { readonly value: Json; readonly from: string } }
}

/**
 * @throws AssayError `config/unknown`, `config/invalid` and `config/file`.
 */
export function readConfig<const Specs extends OptionSpecs>(
  specs: Specs,
  sources: ConfigSources = {},
): Config<Specs> {
  refuseUnknown(specs, sources)
  const values: { [name: string]: unknown } = {}
  const described: { [name: string]: { value: Json; from: string } } = {}
  const secrets: string[] = []
  for (const [name, spec] of Object.entries(specs)) {
    const given = findGiven(name, spec, sources)
    const value = check(name, { spec, given })
    values[name] = value
    if (spec.secret === true && typeof value === 'string') {
      values[name] = new Secret(value)
      secrets.push(...secretParts(value))
    }
    const shown = value === undefined ? null : spec.secret === true ? '[secret]' : toJson(value)
    described[name] = { value: shown, from: given?.from ?? (value === undefined ? 'not set' : 'default') }
  }
  return { values: values as ConfigValues<Specs>, secrets, describe: () => described }
}

/** Reads a configuration file. @throws AssayError `config/file`. */
export function loadConfigFile(path: string): ConfigFile {
  const refuse = (reason: string, cause?: unknown) =>
    new AssayError('config/file', `${path}: ${reason}`, { detail: { path }, cause })
  const text = readText(path, refuse)
  let values: unknown
  try {
    values = JSON.parse(text)
  } catch (cause) {
    throw refuse(`expected JSON: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw refuse(`expected one JSON object, got ${describeValue(values)}`)
  }
  return { path, values: values as { readonly [name: string]: unknown } }
}

/** `maxConnections` is `ASSAY_MAX_CONNECTIONS`. */
export function envName(option: string): string {
  return PREFIX + option.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
}

function readText(path: string, refuse: (reason: string, cause?: unknown) => AssayError): string {
  try {
    const { size } = statSync(path)
    if (size > MAX_FILE_BYTES) throw refuse(`expected at most ${MAX_FILE_BYTES} bytes, got ${size}`)
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof AssayError) throw cause
    throw refuse(cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function refuseUnknown(
  specs: OptionSpecs,
  { flags = {}, env = {}, file, otherEnv = [] }: ConfigSources,
): void {
  const known = Object.keys(specs)
  const isOption = (name: string) => Object.hasOwn(specs, name)
  for (const [name, value] of Object.entries(flags)) {
    if (value !== undefined && !isOption(name)) throw unknown(`flag ${clipText(name)}`, { name, known })
  }
  const variables = Object.entries(specs).flatMap(([name, { secret }]) =>
    secret === true ? [envName(name), `${envName(name)}_FILE`] : [envName(name)],
  )
  const isOther = (name: string) =>
    otherEnv.some((other) => (other.endsWith('*') ? name.startsWith(other.slice(0, -1)) : name === other))
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || value === undefined || value === '') continue
    if (!variables.includes(name) && !isOther(name)) {
      throw unknown(`environment variable ${clipText(name)}`, { name, known: variables })
    }
  }
  for (const name of Object.keys(file?.values ?? {})) {
    if (!isOption(name)) throw unknown(`${file?.path}: option ${clipText(name)}`, { name, known })
  }
}

interface Given {
  readonly value: unknown
  readonly from: string
  readonly isText: boolean
}

function findGiven(
  name: string,
  spec: OptionSpec,
  { flags = {}, env = {}, file }: ConfigSources,
): Given | undefined {
  if (flags[name] !== undefined) {
    return { value: flags[name], from: `flag ${name}`, isText: typeof flags[name] === 'string' }
  }
  for (const variable of spec.env === undefined ? [envName(name)] : [envName(name), spec.env]) {
    const text = env[variable]
    if (text !== undefined && text !== '') return { value: text, from: variable, isText: true }
    const path = spec.secret === true ? env[`${variable}_FILE`] : undefined
    if (path !== undefined && path !== '') {
      return { value: readSecretFile(path, variable), from: `${variable}_FILE`, isText: true }
    }
  }
  if (file !== undefined && Object.hasOwn(file.values, name)) {
    return { value: file.values[name], from: file.path, isText: false }
  }
  return undefined
}

/** The text of the file, less the end of line that editors add. */
function readSecretFile(path: string, variable: string): string {
  const refuse = (reason: string, cause?: unknown) =>
    new AssayError('config/file', `${variable}_FILE: ${path}: ${reason}`, { detail: { path }, cause })
  return readText(path, refuse).replace(/\r?\n$/, '')
}

function check(name: string, { spec, given }: { spec: OptionSpec; given: Given | undefined }): unknown {
  const candidates =
    given === undefined ? [spec.default] : given.isText ? readings(given.value) : [given.value]
  let issues: readonly z.core.$ZodIssue[] = []
  for (const candidate of candidates) {
    const result = z.safeParse(spec.schema, candidate, { error: describeIssue })
    if (result.success) return result.data
    issues = result.error.issues
  }
  const { expected } = mainIssue(issues)
  if (given === undefined && spec.default === undefined) {
    const names = spec.env === undefined ? envName(name) : `${envName(name)} or ${spec.env}`
    const message = `option ${name} must be given (${spec.help}): as a flag, as ${names}, or in the file`
    throw new AssayError('config/invalid', message, { detail: { option: name } })
  }
  const from = given?.from ?? 'its default'
  const got = spec.secret === true ? 'another value, which is not shown' : describeValue(given?.value)
  throw new AssayError('config/invalid', `option ${name}, from ${from}: expected ${expected}, got ${got}`, {
    detail: { option: name, from, expected },
  })
}

/** What a text may mean, in the order of trying; where none fits, the last one's fault is told. */
function readings(value: unknown): readonly unknown[] {
  const text = value as string
  const list = text.split(',').map((part) => part.trim())
  try {
    const json: unknown = JSON.parse(text)
    // A bracket opens JSON, never the first element of a list.
    return text.trimStart().startsWith('[') ? [text, json] : [text, list, json]
  } catch {
    return list.length > 1 ? [text, list] : [list, text]
  }
}

/** A connection string is hidden as a whole, and so is the password in it, which drivers tell apart. */
function secretParts(secret: string): readonly string[] {
  if (!URL.canParse(secret)) return [secret]
  const { password } = new URL(secret)
  return password === '' ? [secret] : [secret, password, decodeURIComponent(password)]
}

function toJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value) ?? 'null') as Json
}

function unknown(
  what: string,
  { name, known }: { readonly name: string; readonly known: readonly string[] },
): AssayError {
  const meant = suggest(name, known)
  const hint = meant === undefined ? `known are ${known.join(', ')}` : `did you mean ${meant}?`
  return new AssayError('config/unknown', `${what} is not known; ${hint}`, {
    detail: { name: name.slice(0, 100), ...(meant === undefined ? {} : { meant }) },
  })
}
