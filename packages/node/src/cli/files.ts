/**
 * Reading and writing files: every read has a cap, every failure names the path and is typed.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { AssayError } from 'assay/core/errors'

export interface ReadOptions {
  readonly maxBytes: number
  /** What the file is to its reader: "the model", "the key file". */
  readonly what: string
}

/**
 * The bytes of a regular file of at most `maxBytes`. Throws `cli/file-missing` or `cli/file-too-large`.
 * Devices and pipes are refused: they have no size to check.
 */
export async function readCapped(path: string, { maxBytes, what }: ReadOptions): Promise<Uint8Array> {
  try {
    const file = await open(path, 'r')
    try {
      const info = await file.stat()
      if (!info.isFile()) {
        const kind = info.isDirectory() ? 'a folder' : 'no regular file'
        throw new AssayError('cli/file-missing', `expected ${what} at ${path}, which is ${kind}`)
      }
      if (info.size > maxBytes) {
        throw new AssayError(
          'cli/file-too-large',
          `${what} at ${path} has ${info.size} bytes, above the cap of ${maxBytes}`,
          { detail: { path, bytes: info.size, maxBytes } },
        )
      }
      return await readExactly(file, info.size)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof AssayError) throw error
    throw new AssayError('cli/file-missing', `cannot read ${what} at ${path}: ${reasonOf(error)}`, {
      detail: { path },
      cause: error,
    })
  }
}

/** A file that grows while it is read does not get past its cap. */
async function readExactly(file: Awaited<ReturnType<typeof open>>, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size)
  let offset = 0
  while (offset < size) {
    const { bytesRead } = await file.read(bytes, offset, size - offset, offset)
    if (bytesRead === 0) break
    offset += bytesRead
  }
  return bytes.subarray(0, offset)
}

/** The JSON value in a file. Throws what `readCapped` throws, and `cli/file-malformed`. */
export async function readJson(path: string, options: ReadOptions): Promise<unknown> {
  const bytes = await readCapped(path, options)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new AssayError(
      'cli/file-malformed',
      `expected ${options.what} at ${path} to be JSON, got something else`,
      {
        detail: { path },
        cause,
      },
    )
  }
}

/** Writes all or nothing: a reader never sees half a file. Makes the folder where it is missing. */
export async function writeWhole(path: string, data: Uint8Array | string): Promise<void> {
  const unfinished = `${path}.${randomBytes(4).toString('hex')}.part`
  try {
    await makeFolder(dirname(resolve(path)))
    await writeFile(unfinished, data)
    await rename(unfinished, path)
  } catch (cause) {
    await rm(unfinished, { force: true })
    throw cannotWrite(path, cause)
  }
}

/** Writes a file that must not be there yet, readable by its owner alone. Throws `cli/file-exists`. */
export async function writeSecret(path: string, data: string): Promise<void> {
  try {
    await makeFolder(dirname(resolve(path)), 0o700)
    await writeFile(path, data, { flag: 'wx', mode: 0o600 })
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') {
      throw new AssayError('cli/file-exists', `${path} is there already, and a key cannot be made again`, {
        detail: { path },
      })
    }
    throw cannotWrite(path, cause)
  }
}

/**
 * A folder and what is missing above it. Node's own `recursive` does not come back from file systems that have
 * no such folders (`/proc`), whose refusal looks like a missing parent for ever.
 */
async function makeFolder(path: string, mode = 0o777): Promise<void> {
  if (await isFolder(path)) return
  const parent = dirname(path)
  if (parent !== path) await makeFolder(parent, mode)
  try {
    await mkdir(path, { mode })
  } catch (error) {
    // Another process may have been faster.
    if (!(await isFolder(path))) throw error
  }
}

/**
 * Refuses, with `cli/write`, a folder that could not be made or written to: said before the work, not after it.
 * Makes nothing.
 */
export async function assertWritable(folder: string): Promise<void> {
  let path = resolve(folder)
  while (!(await exists(path)) && dirname(path) !== path) path = dirname(path)
  try {
    if (!(await isFolder(path))) throw new Error(`${path} is no folder`)
    await access(path, constants.W_OK)
  } catch (cause) {
    throw cannotWrite(folder, cause)
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch {
    return false
  }
}

export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch {
    return false
  }
}

export async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch {
    return false
  }
}

export function toJsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function cannotWrite(path: string, cause: unknown): AssayError {
  return new AssayError('cli/write', `cannot write ${path}: ${reasonOf(cause)}`, { detail: { path }, cause })
}

const REASONS: { readonly [code: string]: string } = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder',
  EEXIST: 'something else is there',
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : ''
  return REASONS[code] ?? error.message
}
