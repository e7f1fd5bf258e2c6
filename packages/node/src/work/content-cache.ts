/** Placeholder until blobs are there. */
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { assertContent } from 'assay/core/cid'

/** The bytes at an address, from wherever they come. */
export type ContentSource = (cid: string, signal: AbortSignal) => AsyncIterable<Uint8Array>

export interface ContentOptions {
  readonly source: ContentSource
  readonly signal: AbortSignal
}

export interface PinnedContent {
  readonly path: string
  readonly sizeBytes: number
  release(): void
}

export interface ContentCache {
  pin(cid: string, options: ContentOptions): Promise<PinnedContent>
  read(cid: string, options: ContentOptions): Promise<Uint8Array>
  sizeBytes(): number
  close(): Promise<void>
}

export function openContentCache({
  folder,
}: {
  readonly folder: string
  readonly maxBytes: number
}): ContentCache {
  const pin: ContentCache['pin'] = async (cid, { source, signal }) => {
    await mkdir(folder, { recursive: true })
    const path = join(folder, cid)
    if (!(await stat(path).catch(() => null))) {
      await pipeline(Readable.from(source(cid, signal)), createWriteStream(`${path}.part`))
      await rename(`${path}.part`, path)
    }
    const bytes = new Uint8Array(await readFile(path))
    assertContent(cid, bytes)
    return { path, sizeBytes: bytes.length, release: () => undefined }
  }
  return {
    pin,
    read: async (cid, options) => new Uint8Array(await readFile((await pin(cid, options)).path)),
    sizeBytes: () => 0,
    close: async () => undefined,
  }
}
