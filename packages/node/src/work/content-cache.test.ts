import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contentAddress } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import { afterEach, describe, expect, it } from 'vitest'
import { openBlobs } from '../store/blobs.ts'
import { type ContentCache, openContentCache } from './content-cache.ts'
import type { ContentSource } from './content-source.ts'

const opened: ContentCache[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((cache) => cache.close()))
})

async function cacheOf(maxBytes = 40_000, folder = mkdtempSync(join(tmpdir(), 'assay-cache-'))) {
  const cache = await openContentCache({ folder, maxBytes })
  opened.push(cache)
  return cache
}

function content(seed: number, sizeBytes = 3_000) {
  const bytes = Uint8Array.from({ length: sizeBytes }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255)
  return { bytes, cid: contentAddress(bytes, 'raw') }
}

interface Faults {
  /** Breaks off after so many bytes, each time but the last. */
  readonly breaks?: readonly number[]
  readonly ignoresRanges?: boolean
  readonly lies?: number
  readonly gate?: Promise<void>
}

/** A source of these values, and what it was asked for. */
function sourceOf(values: readonly { bytes: Uint8Array; cid: string }[], faults: Faults = {}) {
  const asked: { cid: string; fromByte: number }[] = []
  const breaks = [...(faults.breaks ?? [])]
  let lies = faults.lies ?? 0
  const source: ContentSource = async (cid, { fromByte, signal }) => {
    asked.push({ cid, fromByte })
    const { bytes: all } = values.find((value) => value.cid === cid) ?? {}
    if (all === undefined) throw new AssayError('wire/not-found', `no ${cid}`)
    const from = faults.ignoresRanges ? 0 : fromByte
    const stop = breaks.shift()
    const isLie = lies-- > 0
    async function* parts() {
      await faults.gate
      for (let at = from; at < all!.length; at += 500) {
        signal.throwIfAborted()
        if (stop !== undefined && at - from >= stop) throw new TypeError('terminated')
        const part = all!.slice(at, at + 500)
        yield isLie ? part.fill(0) : part
      }
    }
    return { sizeBytes: all.length, fromByte: from, bytes: parts() }
  }
  return { source, asked }
}

const signal = new AbortController().signal

describe('content', () => {
  it('that was whole when its node died is there at the next start', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-cache-'))
    const value = content(7)
    const store = await openBlobs(folder, { maxBytes: 40_000, maxBlobBytes: 40_000, whenFull: 'evict' })
    const upload = { cid: value.cid, owner: 'cache' }
    await store.begin({ ...upload, sizeBytes: value.bytes.length })
    await store.append({ ...upload, offset: 0 }, value.bytes)
    store.close()
    const cache = await cacheOf(40_000, folder)
    const { source, asked } = sourceOf([])
    expect(await cache.read(value.cid, { source, signal })).toEqual(value.bytes)
    expect(asked).toEqual([])
  })

  it('is fetched once, whoever asks, and is a file as long as it is pinned', async () => {
    const cache = await cacheOf()
    const value = content(1)
    let open = () => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    const { source, asked } = sourceOf([value], { gate })
    const both = Promise.all([
      cache.pin(value.cid, { source, signal }),
      cache.read(value.cid, { source, signal }),
    ])
    open()
    const [pinned, read] = await both
    expect(read).toEqual(value.bytes)
    expect(new Uint8Array(readFileSync(pinned.path))).toEqual(value.bytes)
    expect(pinned.sizeBytes).toBe(3_000)
    expect(await cache.read(value.cid, { source, signal })).toEqual(value.bytes)
    expect(asked).toHaveLength(1)
    expect(cache.sizeBytes()).toBeGreaterThanOrEqual(3_000)
    pinned.release()
  })

  it.each([false, true])(
    'goes on where the download broke off (source without ranges: %s)',
    async (ignoresRanges) => {
      const cache = await cacheOf()
      const value = content(2)
      const { source, asked } = sourceOf([value], { breaks: [1_000, 500, 0, 1_000], ignoresRanges })
      expect(await cache.read(value.cid, { source, signal })).toEqual(value.bytes)
      expect(asked.length).toBeGreaterThan(2)
      expect(asked.some(({ fromByte }) => fromByte > 0)).toBe(true)
    },
  )

  it('is given up when nothing comes any more, and is there again after a restart', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'assay-cache-'))
    const value = content(3)
    const first = await openContentCache({ folder, maxBytes: 40_000 })
    const broken = sourceOf([value], { breaks: [1_500, 0, 0, 0, 0, 0, 0] })
    await expect(first.pin(value.cid, { source: broken.source, signal })).rejects.toMatchObject({
      code: 'work/download',
    })
    await first.close()
    const again = await cacheOf(40_000, folder)
    const { source, asked } = sourceOf([value])
    expect(await again.read(value.cid, { source, signal })).toEqual(value.bytes)
    expect(asked).toEqual([{ cid: value.cid, fromByte: 1_500 }])
  })

  it('that does not hash to its address is thrown away, and asked for once more', async () => {
    const cache = await cacheOf()
    const value = content(4)
    const once = sourceOf([value], { lies: 1 })
    expect(await cache.read(value.cid, { source: once.source, signal })).toEqual(value.bytes)
    const other = content(5)
    const always = sourceOf([other], { lies: 9 })
    await expect(cache.pin(other.cid, { source: always.source, signal })).rejects.toMatchObject({
      code: 'work/download',
      detail: { reason: 'blob/mismatch' },
    })
    expect(always.asked).toHaveLength(2)
    expect(cache.sizeBytes()).toBeGreaterThanOrEqual(3_000)
  })

  it('that nobody has is refused, and so is what is no address', async () => {
    const cache = await cacheOf()
    const { source } = sourceOf([])
    await expect(cache.pin(content(6).cid, { source, signal })).rejects.toMatchObject({
      code: 'work/download',
    })
    await expect(cache.pin('../../etc/passwd', { source, signal })).rejects.toMatchObject({
      code: 'cid/malformed',
    })
  })
})

describe('the limit', () => {
  it('is kept by dropping what was not used for longest, and never what is in use', async () => {
    const cache = await cacheOf(9_000)
    const values = [content(1), content(2), content(3)]
    const { source, asked } = sourceOf(values)
    const [a, b, c] = values.map(({ cid }) => cid as string) as [string, string, string]
    const pinned = await cache.pin(a, { source, signal })
    await cache.read(b, { source, signal })
    await cache.read(c, { source, signal })
    expect(cache.sizeBytes()).toBeLessThanOrEqual(9_000)
    await cache.read(a, { source, signal })
    expect(asked.map(({ cid }) => cid)).toEqual([a, b, c])
    const second = await cache.pin(c, { source, signal })
    await expect(cache.pin(b, { source, signal })).rejects.toMatchObject({ code: 'work/cache-full' })
    pinned.release()
    await (await cache.pin(b, { source, signal })).release()
    second.release()
    const large = content(9, 12_000)
    const { source: another } = sourceOf([large])
    await expect(cache.pin(large.cid, { source: another, signal })).rejects.toMatchObject({
      code: 'work/cache-full',
    })
  })
})

describe('who stops waiting', () => {
  it('is let go at once, and the download goes on for the others', async () => {
    const cache = await cacheOf()
    const value = content(1)
    let open = () => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    const { source, asked } = sourceOf([value], { gate })
    const stop = new AbortController()
    const lost = cache.pin(value.cid, { source, signal: stop.signal })
    const kept = cache.read(value.cid, { source, signal })
    stop.abort()
    await expect(lost).rejects.toMatchObject({ code: 'task/cancelled' })
    open()
    expect(await kept).toEqual(value.bytes)
    expect(asked).toHaveLength(1)
  })

  it('as the last one, stops the download', async () => {
    const cache = await cacheOf()
    const value = content(1)
    let signalled: AbortSignal | undefined
    const stop = new AbortController()
    const source: ContentSource = async (_, options) => {
      signalled = options.signal
      return new Promise((_, reject) => {
        options.signal.addEventListener('abort', () => reject(options.signal.reason), { once: true })
      })
    }
    const lost = cache.pin(value.cid, { source, signal: stop.signal })
    await expect.poll(() => signalled).toBeDefined()
    stop.abort()
    await expect(lost).rejects.toMatchObject({ code: 'task/cancelled' })
    expect(signalled?.aborted).toBe(true)
    expect(await cache.read(value.cid, { ...sourceOf([value]), signal })).toEqual(value.bytes)
  })
})
