/**
 * How a command reaches a network: address and API key from options, environment, or the file that `assay up`
 * leaves for this user, in this order.
 */
import { rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseWith } from 'assay/core/codec'
import { AssayError } from 'assay/core/errors'
import { type Client, createClient } from 'assay/wire/client'
import type { Command } from 'commander'
import * as z from 'zod/mini'
import { isFile, readJson, toJsonText, writeSecret } from './files.ts'

const MAX_CONNECTION_BYTES = 16_384

const schema = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  token: z.string().check(z.minLength(1), z.maxLength(512)),
  /** Of the coordinator: whose receipts this user relies on. */
  coordinator: z.optional(z.string().check(z.regex(/^[0-9a-f]{64}$/))),
})
export type Connection = z.infer<typeof schema>

export interface ConnectionOptions {
  readonly url?: string
  readonly token?: string
}

/** `$XDG_CONFIG_HOME/assay/connection.json`, by default under `~/.config`. */
function connectionPath(): string {
  const { XDG_CONFIG_HOME, APPDATA } = process.env
  const folder = XDG_CONFIG_HOME || (process.platform === 'win32' && APPDATA) || join(homedir(), '.config')
  return join(folder, 'assay', 'connection.json')
}

export function addConnectionOptions(command: Command): Command {
  return command
    .option('--url <address>', 'address of the coordinator (default: $ASSAY_URL, or what `assay up` left)')
    .option('--token <key>', 'API key (default: $ASSAY_TOKEN, or what `assay up` left)')
}

/** @throws AssayError `cli/usage` where nothing says where the network is. */
export async function connectionOf(options: ConnectionOptions): Promise<Connection> {
  const { ASSAY_URL, ASSAY_TOKEN } = process.env
  const kept = await keptConnection()
  const url = options.url ?? ASSAY_URL ?? kept?.url
  // A key goes to the network that it is for, and to no other.
  const token = options.token ?? ASSAY_TOKEN ?? (kept?.url === url ? kept?.token : undefined)
  if (url === undefined || token === undefined) {
    throw new AssayError(
      'cli/usage',
      `expected ${url === undefined ? 'the address of a coordinator' : 'an API key'}: start a network with ` +
        '`assay up`, or give --url and --token (or ASSAY_URL and ASSAY_TOKEN)',
    )
  }
  const coordinator = kept?.url === url ? kept?.coordinator : undefined
  return parseWith(
    schema,
    { url, token, ...(coordinator === undefined ? {} : { coordinator }) },
    'connection',
  )
}

export async function connect(options: ConnectionOptions): Promise<Client> {
  const { url, token } = await connectionOf(options)
  return createClient({ url, token })
}

async function keptConnection(): Promise<Connection | undefined> {
  const path = connectionPath()
  if (!(await isFile(path))) return undefined
  const value = await readJson(path, { maxBytes: MAX_CONNECTION_BYTES, what: 'the connection' })
  return parseWith(schema, value, path)
}

/** Leaves the connection for the other commands of this user. */
export async function keepConnection(connection: Connection): Promise<string> {
  const path = connectionPath()
  await rm(path, { force: true })
  await writeSecret(path, toJsonText(connection))
  return path
}

/** Takes it away again, if it is still the one of this network. */
export async function dropConnection({ url }: Pick<Connection, 'url'>): Promise<void> {
  if ((await keptConnection())?.url === url) await rm(connectionPath(), { force: true })
}
