/**
 * No room for blobs: the disk of the blobs filled to its last byte, or, where there is none of its own, coordinators
 * that are allowed as good as nothing. An upload must be refused by name meanwhile, and succeed afterwards.
 */
import { randomBytes } from 'node:crypto'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { AssayError } from 'assay/core/errors'
import { uploadBytes } from 'assay/wire/blob-transfer'
import type { FaultWorld } from './world.ts'

/** One at a time. */
export const FULL = 'room for blobs'
const UPLOAD_BYTES = 200_000
const RETRY_MS = 100
/** How long the refusal is waited for, through whatever else goes on. */
const TRIES_MS = 20_000

export async function fillDisk(world: FaultWorld, ms: number): Promise<void> {
  const makeRoom = world.hasDisk ? fill(world.blobFolder) : await forbid(world)
  const bytes = new Uint8Array(randomBytes(UPLOAD_BYTES))
  try {
    if (await isRefused(world, bytes)) world.refusedUploads.push(bytes)
    await pause(ms)
  } finally {
    await makeRoom()
  }
}

function fill(folder: string): () => void {
  const path = join(folder, 'full')
  const { bavail, bsize } = statfsSync(folder)
  try {
    writeFileSync(path, Buffer.alloc(bavail * bsize))
  } catch {
    // Somebody wrote meanwhile: it is as full as it gets.
  }
  return () => rmSync(path, { force: true })
}

async function forbid({ coordinators }: FaultWorld): Promise<() => Promise<void>> {
  const restart = async (extraArgs: readonly string[]) => {
    for (const { service } of coordinators) {
      service.extraArgs = extraArgs
      await service.end('SIGTERM')
    }
  }
  await restart(['--blob-bytes', '4096'])
  return () => restart([])
}

/** Whether the network says that there is no room, once it says anything. */
async function isRefused({ submitters }: FaultWorld, bytes: Uint8Array): Promise<boolean> {
  const until = Date.now() + TRIES_MS
  for (let i = 0; Date.now() < until; i++) {
    const client = submitters[i % submitters.length]
    if (client === undefined) break
    try {
      await uploadBytes(client, bytes)
      return false
    } catch (error) {
      if (error instanceof AssayError && error.code === 'blob/full') return true
      await pause(RETRY_MS)
    }
  }
  return false
}
