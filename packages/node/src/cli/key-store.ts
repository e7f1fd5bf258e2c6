/**
 * Where node keys are kept: a file of the user's own, made when it is first needed, readable by its owner
 * alone. One machine is one node, so that solving and verifying share it unless told otherwise.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { AssayError } from 'assay/core/errors'
import { decodeKeyPair, encodeKeyPair } from 'assay/core/key-file'
import { generateKey, type KeyPair, type KeyType } from 'assay/core/keys'
import { isFile, readJson, toJsonText, writeSecret } from './files.ts'

/** A key file has about 5 kB with RSA. */
const MAX_KEY_FILE_BYTES = 16_384

/** `$XDG_CONFIG_HOME/assay/key.json`, by default under `~/.config`; `%APPDATA%` on Windows. */
export function userKeyPath(): string {
  const { XDG_CONFIG_HOME, APPDATA } = process.env
  const folder = XDG_CONFIG_HOME || (process.platform === 'win32' && APPDATA) || join(homedir(), '.config')
  return join(folder, 'assay', 'key.json')
}

export async function readKey(path: string): Promise<KeyPair> {
  const value = await readJson(path, { maxBytes: MAX_KEY_FILE_BYTES, what: 'the key file' })
  try {
    return await decodeKeyPair(value)
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    throw new AssayError(error.code, `${path}: ${error.message}`, { detail: error.detail, cause: error })
  }
}

/** Makes a key and keeps it in a file that must not be there yet. */
export async function makeKey(path: string, type: KeyType): Promise<KeyPair> {
  if (await isFile(path)) {
    throw new AssayError('cli/file-exists', `${path} is there already, and a key cannot be made again`, {
      detail: { path },
    })
  }
  const key = await generateKey(type)
  await writeSecret(path, toJsonText(encodeKeyPair(key)))
  return key
}

/** The key in `path`, or without one the user's own, made now if this is its first use. */
export async function keyOf(path: string | undefined, note: (line: string) => void): Promise<KeyPair> {
  if (path !== undefined) return readKey(path)
  const own = userKeyPath()
  if (await isFile(own)) return readKey(own)
  try {
    const key = await makeKey(own, 'ed25519')
    note(`A key for this machine was made and is kept in ${own}.`)
    return key
  } catch (error) {
    // Another process may have been faster.
    if (error instanceof AssayError && error.code === 'cli/file-exists') return readKey(own)
    throw error
  }
}
