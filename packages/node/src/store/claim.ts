/**
 * One owner for a folder, among the processes of one machine, with no lock that outlives its process.
 *
 * A claim is a file `<name>.<generation>` that says which process holds it. Whoever wants the folder looks at the
 * highest generation: if its process lives, the folder is taken; if not, it makes the next one, which only one
 * can (`link` is atomic and fails where there is a file), with its contents complete from the first moment.
 * A process is known by its id, its start and the boot of its machine, so an id that was given out again is not
 * mistaken. Where those cannot be read (macOS), the id alone decides. Processes of other containers are not seen:
 * a folder belongs to one container.
 */
import { linkSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AssayError } from 'assay/core/errors'
import * as z from 'zod/mini'

export interface Claim {
  release(): void
}

const record = z.strictObject({ pid: z.int(), identity: z.string() })
type Owner = z.infer<typeof record>

/** @throws AssayError `store/in-use`. */
export function claimFolder(folder: string, name: string): Claim {
  for (;;) {
    const held = highest(folder, name)
    const owner = held === 0 ? undefined : readOwner(pathOf(folder, name, held))
    if (owner !== undefined && isAlive(owner)) {
      throw new AssayError('store/in-use', `${folder} is in use by process ${owner.pid}`, {
        detail: { folder, pid: owner.pid },
      })
    }
    const mine = held + 1
    if (!make(folder, name, mine)) continue
    // Whoever looked long ago may have made a generation that others have passed since.
    if (highest(folder, name) !== mine) {
      rmSync(pathOf(folder, name, mine), { force: true })
      continue
    }
    for (const old of generations(folder, name)) {
      if (old < mine) rmSync(pathOf(folder, name, old), { force: true })
    }
    return { release: () => rmSync(pathOf(folder, name, mine), { force: true }) }
  }
}

function make(folder: string, name: string, generation: number): boolean {
  const draft = join(folder, `${name}-draft-${process.pid}`)
  const owner: Owner = { pid: process.pid, identity: identityOf(process.pid) ?? '' }
  writeFileSync(draft, JSON.stringify(owner), { mode: 0o600 })
  try {
    linkSync(draft, pathOf(folder, name, generation))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
}

function pathOf(folder: string, name: string, generation: number): string {
  return join(folder, `${name}.${generation}`)
}

function generations(folder: string, name: string): readonly number[] {
  return readdirSync(folder)
    .filter((file) => file.startsWith(`${name}.`) && /^\d{1,15}$/.test(file.slice(name.length + 1)))
    .map((file) => Number(file.slice(name.length + 1)))
}

function highest(folder: string, name: string): number {
  return Math.max(0, ...generations(folder, name))
}

/** Nobody, for a file that went away meanwhile or is damaged: then the next generation decides. */
function readOwner(path: string): Owner | undefined {
  try {
    const parsed = z.safeParse(record, JSON.parse(readFileSync(path, 'utf8')))
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}

function isAlive({ pid, identity }: Owner): boolean {
  return isRunning(pid) && (identity === '' || identityOf(pid) === identity)
}

/** Whether there is a process of this id that has not ended; one that nobody has waited for yet has. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return statOf(pid)?.state !== 'Z'
}

/** Start of the process, in ticks since the boot that is named; nothing where there is no /proc. */
function identityOf(pid: number): string | undefined {
  const start = statOf(pid)?.start
  if (start === undefined) return undefined
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${start}`
  } catch {
    return start
  }
}

/** Fields 3 and 22 of proc(5) stat; the name before them is in parentheses and may hold anything. */
function statOf(pid: number): { readonly state: string; readonly start: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0] ?? '', start: fields[19] ?? '' }
  } catch {
    return undefined
  }
}
