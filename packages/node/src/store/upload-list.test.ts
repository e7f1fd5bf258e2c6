import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openBlobs } from './blobs.ts'
import { isIdle, MIN_PROGRESS_BYTES, type UploadProgress } from './upload-list.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'assay-uploads-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

describe('an upload makes room for others', () => {
  const MIB = MIN_PROGRESS_BYTES
  const of = (over: Partial<UploadProgress>) =>
    isIdle(
      { sizeBytes: 100 * MIB, storedBytes: 0, begunAtMs: 0, touchedAtMs: 3500, ...over },
      { nowMs: 3500, idleMs: 1000 },
    )
  it.each<[string, boolean, Partial<UploadProgress>]>([
    ['that has just begun', false, { begunAtMs: 3400 }],
    ['that nothing was added to for long', true, { storedBytes: 90 * MIB, touchedAtMs: 2499 }],
    ['that something was added to', false, { storedBytes: 90 * MIB, touchedAtMs: 2500 }],
    ['that has what it must have by now', false, { storedBytes: 3 * MIB }],
    ['that has less', true, { storedBytes: 3 * MIB - 1 }],
    ['of a byte at a time', true, { storedBytes: 50 }],
    ['that has its end', false, { sizeBytes: 500, storedBytes: 500 }],
    ['that is small and has no end', true, { sizeBytes: 500, storedBytes: 499 }],
    ['of a clock that is behind', false, { begunAtMs: 9000, touchedAtMs: 9000 }],
  ])('%s: %s', (_, expected, over) => {
    expect(of(over)).toBe(expected)
  })
})

describe('the uploads of an account', () => {
  const cidOf = (text: string) => contentAddress(utf8(text), 'raw')
  const open = (now: () => number) =>
    openBlobs(root, {
      maxBytes: 2 ** 30,
      maxBlobBytes: 2 ** 24,
      whenFull: 'refuse',
      shared: true,
      uploadIdleMs: 1000,
      now,
    })
  const NONE = { uploads: 0, sizeBytes: 0, awaitedBytes: 0 }

  it('are counted wherever they were begun, and until they end', async () => {
    const nowMs = Date.now()
    const [one, two] = [await open(() => nowMs), await open(() => nowMs)]
    const upload = { cid: cidOf('four'), owner: 'node:1', account: 'ann', sizeBytes: 4 }
    await one.begin(upload)
    await two.begin({ ...upload, cid: cidOf('three'), owner: 'node:2', sizeBytes: 3 })
    await two.begin({ ...upload, owner: 'account:ben', account: 'ben' })
    await one.append({ ...upload, offset: 0 }, utf8('fo'))
    const both = { uploads: 2, sizeBytes: 7, awaitedBytes: 5 }
    for (const store of [one, two]) expect(await store.openUploads('ann')).toEqual(both)
    await two.append({ ...upload, offset: 2 }, utf8('ur'))
    await two.commit(upload)
    for (const store of [one, two]) {
      expect(await store.openUploads('ann')).toEqual({ uploads: 1, sizeBytes: 3, awaitedBytes: 3 })
      expect(await store.openUploads('ben')).toEqual({ uploads: 1, sizeBytes: 4, awaitedBytes: 4 })
      expect(await store.openUploads('cem')).toEqual(NONE)
    }
    const third = await open(() => nowMs)
    expect((await third.openUploads('ann')).uploads).toBe(1)
  })

  it('are refused before they reserve anything, however many come at once', async () => {
    const nowMs = Date.now()
    const store = await open(() => nowMs)
    const begun = Array.from({ length: 10 }, (_, i) =>
      store.begin({
        cid: cidOf(`blob ${i}`),
        owner: 'account:ann',
        account: 'ann',
        sizeBytes: 10,
        admit: ({ uploads }) => {
          if (uploads >= 3) throw new Error('enough')
        },
      }),
    )
    const ends = await Promise.allSettled(begun)
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    expect(store.stats().uploads).toBe(3)
  })

  it('count no longer when they do not go on', async () => {
    let nowMs = Date.now()
    const store = await open(() => nowMs)
    await store.begin({ cid: cidOf('four'), owner: 'account:ann', account: 'ann', sizeBytes: 4 })
    nowMs += 1e6
    expect(await store.openUploads('ann')).toEqual(NONE)
    expect(store.stats()).toEqual({ blobs: 0, uploads: 0, bytes: 0 })
  })
})
