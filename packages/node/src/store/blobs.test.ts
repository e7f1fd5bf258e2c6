import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cid, contentAddress, formatCid } from 'assay/core/cid'
import type { Digest } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type BlobOptions, type BlobStore, openBlobs } from './blobs.ts'

const BLOCK = 4096
const OPTIONS: BlobOptions = { maxBytes: 100 * BLOCK, maxBlobBytes: 20 * BLOCK, whenFull: 'refuse' }

let root: string
const opened: BlobStore[] = []
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'assay-blobs-'))
})
afterEach(() => {
  for (const store of opened.splice(0)) store.close()
  rmSync(root, { recursive: true, force: true })
})

async function open(options: Partial<BlobOptions> & { readonly folder?: string } = {}): Promise<BlobStore> {
  const { folder = join(root, 'store'), ...rest } = options
  mkdirSync(folder, { recursive: true })
  const store = await openBlobs(folder, { ...OPTIONS, ...rest })
  opened.push(store)
  return store
}

/** Bytes that are like no others, and their address. */
function sample(seed: number, sizeBytes = 1000): { readonly bytes: Uint8Array; readonly cid: Cid } {
  const bytes = new Uint8Array(sizeBytes)
  for (let i = 0; i < sizeBytes; i++) bytes[i] = (seed * 31 + i * 7 + (i >> 8)) & 255
  return { bytes, cid: contentAddress(bytes, 'raw') }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'fine'
  } catch (error) {
    if (error instanceof AssayError) return error.code
    throw error
  }
}

async function allOf(stream: AsyncIterable<unknown>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk as Uint8Array)
  return new Uint8Array(Buffer.concat(chunks))
}

const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)

describe('a blob', () => {
  it('comes in by parts of any size and goes out by any range', async () => {
    const store = await open()
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 3000 }),
        fc.array(fc.nat(3000), { maxLength: 4 }),
        fc.tuple(fc.nat(3000), fc.nat(3000)),
        fc.constantFrom('raw', 'dag-cbor'),
        async (bytes, cuts, ends, codec) => {
          const upload = { cid: contentAddress(bytes, codec as 'raw'), owner: 'me' }
          await store.begin({ ...upload, sizeBytes: bytes.length })
          const at = [0, ...cuts, bytes.length]
            .map((cut) => Math.min(cut, bytes.length))
            .sort((a, b) => a - b)
          for (const [i, offset] of at.slice(0, -1).entries()) {
            await store.append({ ...upload, offset }, bytes.slice(offset, at[i + 1]))
          }
          expect((await store.commit(upload)).complete).toBe(true)
          const [start, end] = ends.map((value) => Math.min(value, bytes.length)).sort((a, b) => a - b) as [
            number,
            number,
          ]
          const { sizeBytes, stream } = await store.read(upload.cid, { start, end })
          expect([sizeBytes, await allOf(stream)]).toEqual([bytes.length, bytes.slice(start, end)])
          expect(await store.readAll(upload.cid)).toEqual(bytes)
          await store.delete(upload.cid)
        },
      ),
      { numRuns: 40 },
    )
    expect(store.stats()).toEqual({ blobs: 0, uploads: 0, bytes: 0 })
  })

  it('is there or not', async () => {
    const store = await open()
    const { bytes, cid } = sample(1)
    expect([await store.has(cid), await store.sizeOf(cid)]).toEqual([false, undefined])
    await store.put(cid, bytes)
    await store.put(cid, bytes)
    expect([await store.has(cid), await store.sizeOf(cid)]).toEqual([true, 1000])
    expect(await store.begin({ cid, owner: 'x', sizeBytes: 5 })).toMatchObject({
      complete: true,
      storedBytes: 1000,
    })
    expect(await store.append({ cid, owner: 'x', offset: 0 }, bytes)).toMatchObject({ complete: true })
    expect([await store.delete(cid), await store.delete(cid), await store.has(cid)]).toEqual([
      true,
      false,
      false,
    ])
    for (const work of [store.read(cid), store.readAll(cid), store.status({ cid, owner: 'x' })]) {
      expect(await codeOf(work)).toBe('blob/missing')
    }
    expect(() => store.pin(cid)).toThrow(AssayError)
  })

  it('of no bytes is one as well', async () => {
    const store = await open()
    const { bytes, cid } = sample(0, 0)
    await store.put(cid, bytes)
    expect(await store.readAll(cid)).toEqual(bytes)
  })

  it('is read only where it is', async () => {
    const store = await open()
    const { bytes, cid } = sample(1)
    await store.put(cid, bytes)
    for (const range of [
      { start: -1 },
      { end: 1001 },
      { start: 5, end: 4 },
      { start: 0.5 },
      { end: Number.NaN },
    ]) {
      expect(await codeOf(store.read(cid, range))).toBe('blob/range')
    }
    const { stream } = await store.read(cid)
    await store.delete(cid)
    expect(await allOf(stream)).toEqual(bytes)
  })

  it('that the disk spoiled is thrown away', async () => {
    const store = await open()
    const { bytes, cid } = sample(1)
    for (const spoiled of [bytes.map((byte) => byte ^ 1), bytes.slice(1)]) {
      await store.put(cid, bytes)
      const [path] = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
        name.endsWith(cid),
      )
      writeFileSync(join(root, path as string), spoiled)
      expect(await codeOf(store.readAll(cid))).toBe('blob/corrupt')
      expect(await store.has(cid)).toBe(false)
    }
  })
})

describe('an upload', () => {
  const upload = (seed: number) => ({ cid: sample(seed).cid, owner: 'me' })

  it('goes on where it stands, also after a restart', async () => {
    const { bytes, cid } = sample(1)
    const key = { cid, owner: 'me' }
    let store = await open()
    expect(await codeOf(store.append({ ...key, offset: 0 }, bytes))).toBe('blob/missing')
    await store.begin({ ...key, sizeBytes: 1000 })
    await store.append({ ...key, offset: 0 }, bytes.subarray(0, 300))
    const parts = async function* () {
      yield bytes.slice(300, 500)
      throw new Error('the client went away')
    }
    await expect(store.append({ ...key, offset: 300 }, parts())).rejects.toThrow('went away')
    for (const offset of [0, 300, 501]) {
      expect(await codeOf(store.append({ ...key, offset }, bytes))).toBe('blob/offset')
    }
    expect(await codeOf(store.commit(key))).toBe('blob/incomplete')
    const before = store.stats()
    store.close()
    store = await open()
    expect(store.stats()).toEqual(before)
    expect(await store.begin({ ...key, sizeBytes: 1000 })).toEqual({
      cid,
      sizeBytes: 1000,
      storedBytes: 500,
      complete: false,
    })
    expect((await store.status(key)).storedBytes).toBe(500)
    await store.append({ ...key, offset: 500 }, bytes.subarray(500))
    await store.commit(key)
    expect(await store.readAll(cid)).toEqual(bytes)
  })

  it('of other bytes than its address says is refused and thrown away', async () => {
    const store = await open()
    const { bytes, cid } = sample(1)
    const key = { cid, owner: 'me' }
    for (const index of [0, 500, 999]) {
      const wrong = bytes.slice()
      wrong[index] = (wrong[index] as number) ^ 1
      await store.begin({ ...key, sizeBytes: 1000 })
      await store.append({ ...key, offset: 0 }, wrong)
      expect(await codeOf(store.commit(key))).toBe('blob/mismatch')
      expect([await store.has(cid), await codeOf(store.status(key))]).toEqual([false, 'blob/missing'])
    }
    expect([store.stats(), filesIn(root)]).toEqual([{ blobs: 0, uploads: 0, bytes: 0 }, ['owner.1']])
  })

  it('takes no more bytes than it said', async () => {
    const store = await open()
    const { bytes, cid } = sample(1)
    const key = { cid, owner: 'me' }
    await store.begin({ ...key, sizeBytes: 10 })
    expect(await codeOf(store.append({ ...key, offset: 0 }, bytes))).toBe('blob/too-large')
    for (const sizeBytes of [OPTIONS.maxBlobBytes + 1, -1, 0.5, Number.NaN, 2 ** 60]) {
      expect(await codeOf(store.begin({ ...upload(2), sizeBytes }))).toBe('blob/too-large')
    }
    // Whoever said another size begins anew.
    expect((await store.begin({ ...key, sizeBytes: 1000 })).storedBytes).toBe(0)
    await store.append({ ...key, offset: 0 }, bytes)
    await store.commit(key)
  })

  it('cannot be spoiled by another owner of the same address', async () => {
    const store = await open()
    const { bytes, cid } = sample(1)
    const [honest, hostile, third] = ['a', 'b', 'c'].map((owner) => ({ cid, owner })) as [
      { cid: Cid; owner: string },
      { cid: Cid; owner: string },
      { cid: Cid; owner: string },
    ]
    for (const key of [honest, hostile, third]) await store.begin({ ...key, sizeBytes: 1000 })
    await store.append({ ...hostile, offset: 0 }, new Uint8Array(1000))
    await store.append({ ...honest, offset: 0 }, bytes)
    await store.append({ ...third, offset: 0 }, bytes)
    const ends = await Promise.all([store.commit(honest), codeOf(store.commit(hostile)), store.commit(third)])
    expect(ends).toMatchObject([{ complete: true }, 'blob/mismatch', { complete: true }])
    expect(await store.readAll(cid)).toEqual(bytes)
    expect(store.stats()).toEqual({ blobs: 1, uploads: 0, bytes: BLOCK })
  })

  it('takes one part at a time', async () => {
    const store = await open()
    const { bytes, cid } = sample(1)
    const key = { cid, owner: 'me' }
    await store.begin({ ...key, sizeBytes: 1000 })
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const slow = async function* () {
      yield bytes.slice(0, 100)
      await gate
      yield bytes.slice(100)
    }
    const first = store.append({ ...key, offset: 0 }, slow())
    expect(await codeOf(store.append({ ...key, offset: 0 }, bytes))).toBe('blob/busy')
    expect(await codeOf(store.commit(key))).toBe('blob/busy')
    release()
    expect((await first).storedBytes).toBe(1000)
    expect((await store.commit(key)).complete).toBe(true)
  })

  it('has an address that is no path, and an owner that is none', async () => {
    const store = await open()
    const { cid } = sample(1)
    const hostile = [
      '../../etc/passwd',
      '',
      `${cid}/../x`,
      cid.toUpperCase(),
      `${cid}\0`,
      `${cid.slice(0, -1)}1`,
    ]
    for (const text of hostile) {
      const key = { cid: text, owner: 'me' }
      for (const work of [
        store.begin({ ...key, sizeBytes: 1 }),
        store.append({ ...key, offset: 0 }, new Uint8Array(1)),
        store.commit(key),
        store.status(key),
        store.has(text),
        store.read(text),
        store.delete(text),
      ]) {
        expect(await codeOf(work)).toBe('cid/malformed')
      }
    }
    await store.begin({ cid, owner: '../../../owner', sizeBytes: 1 })
    expect(filesIn(root).every((name) => /^(owner\.1|[0-9a-f]{64}(\.json)?)$/.test(name))).toBe(true)
  })
})

describe('a full store', () => {
  const fill = async (store: BlobStore, count: number, sizeBytes = BLOCK) => {
    const cids: Cid[] = []
    for (let seed = 0; seed < count; seed++) {
      const { bytes, cid } = sample(seed, sizeBytes)
      await store.put(cid, bytes)
      cids.push(cid)
    }
    return cids
  }
  const THREE = { maxBytes: 3 * BLOCK } as const

  it('that refuses has room for what it has, and no more', async () => {
    const store = await open(THREE)
    const [first] = await fill(store, 3)
    const { bytes, cid } = sample(9, 1)
    expect(await codeOf(store.put(cid, bytes))).toBe('blob/full')
    expect(store.stats()).toEqual({ blobs: 3, uploads: 0, bytes: 3 * BLOCK })
    await store.delete(first as Cid)
    await store.put(cid, bytes)
  })

  it('counts what was begun, and blocks, not bytes', async () => {
    const store = await open(THREE)
    await fill(store, 2, 1)
    await store.begin({ cid: sample(8).cid, owner: 'a', sizeBytes: 1 })
    expect(await codeOf(store.begin({ cid: sample(8).cid, owner: 'b', sizeBytes: 1 }))).toBe('blob/full')
  })

  it('makes room by uploads that nobody goes on with', async () => {
    let nowMs = Date.now()
    const store = await open({ maxUploads: 2, uploadIdleMs: 1000, now: () => nowMs })
    const begin = (seed: number) => store.begin({ cid: sample(seed).cid, owner: 'me', sizeBytes: 10 })
    await begin(1)
    await begin(2)
    expect(await codeOf(begin(3))).toBe('blob/full')
    nowMs += 5000
    await begin(3)
    expect(store.stats().uploads).toBe(1)
  })

  it('that evicts lets go what was not used for longest, across restarts, but nothing that is pinned', async () => {
    let nowMs = Date.now() + 1e6
    const evicting = { ...THREE, whenFull: 'evict', now: () => nowMs } as const
    let store = await open(evicting)
    const [a, b, c] = (await fill(store, 3)) as [Cid, Cid, Cid]
    nowMs += 1e6
    await store.readAll(a)
    nowMs += 1e6
    const unpin = store.pin(b)
    const there = async () =>
      (await Promise.all([a, b, c].map(async (cid) => ((await store.has(cid)) ? cid : '')))).filter(Boolean)
    const put = (seed: number) => store.put(sample(seed, BLOCK).cid, sample(seed, BLOCK).bytes)
    await put(10)
    expect(await there()).toEqual([a, b])
    await put(11)
    await put(12)
    expect(await there()).toEqual([b])
    unpin()
    unpin()
    const large = sample(13, 3 * BLOCK)
    const held = store.pin(b)
    expect(await codeOf(store.put(large.cid, large.bytes))).toBe('blob/full')
    held()
    store.close()
    store = await open(evicting)
    await store.put(large.cid, large.bytes)
    expect(store.stats()).toEqual({ blobs: 1, uploads: 0, bytes: 3 * BLOCK })
  })

  it('on a full disk says so, and goes on when there is room', async ({ skip }) => {
    const disk = mountSmallDisk()
    if (disk === undefined) return skip('needs a small disk, which only root can mount')
    try {
      const store = await open({ folder: disk, maxBytes: 1e9, maxBlobBytes: 1e9 })
      const [small, large] = [sample(1, 10 * BLOCK), sample(2, 400 * BLOCK)]
      await store.put(small.cid, small.bytes)
      expect(await codeOf(store.put(large.cid, large.bytes))).toBe('blob/full')
      expect(await store.readAll(small.cid)).toEqual(small.bytes)
      await store.begin({ cid: large.cid, owner: '', sizeBytes: 1 })
      const next = sample(3, 50 * BLOCK)
      await store.put(next.cid, next.bytes)
      store.close()
    } finally {
      execFileSync('umount', ['-l', disk])
      rmSync(disk, { recursive: true })
    }
  })
})

describe('a folder', () => {
  it('belongs to one process, unless it is shared', async () => {
    await open()
    expect(await codeOf(open())).toBe('store/in-use')
    expect(await codeOf(open({ folder: join(root, 'b'), shared: true, whenFull: 'evict' }))).toBe(
      'store/options',
    )
  })

  it('that is shared shows each what the others did', async () => {
    const [one, two] = [await open({ shared: true }), await open({ shared: true })]
    const { bytes, cid } = sample(1)
    const key = { cid, owner: 'me' }
    await one.begin({ ...key, sizeBytes: 1000 })
    await one.append({ ...key, offset: 0 }, bytes.subarray(0, 400))
    expect((await two.begin({ ...key, sizeBytes: 1000 })).storedBytes).toBe(400)
    await two.append({ ...key, offset: 400 }, bytes.subarray(400))
    expect((await one.status(key)).storedBytes).toBe(1000)
    await one.commit(key)
    expect([(await two.status(key)).complete, await two.readAll(cid)]).toEqual([true, bytes])
    await two.delete(cid)
    expect(await codeOf(one.read(cid))).toBe('blob/missing')
    expect(await one.has(cid)).toBe(false)
  })

  it('that is shared gives out nothing that an upload can still be written through', async () => {
    const [one, two] = [await open({ shared: true }), await open({ shared: true })]
    const { bytes, cid } = sample(1)
    const key = { cid, owner: 'hostile' }
    await one.begin({ ...key, sizeBytes: 1000 })
    let started: () => void = () => undefined
    const isOpen = new Promise<void>((resolve) => {
      started = resolve
    })
    let committed: () => void = () => undefined
    const after = new Promise<void>((resolve) => {
      committed = resolve
    })
    const late = async function* () {
      started()
      await after
      yield new Uint8Array(1000)
    }
    const writing = two.append({ ...key, offset: 0 }, late())
    await isOpen
    await one.append({ ...key, offset: 0 }, bytes)
    await one.commit(key)
    committed()
    await writing
    expect(await one.readAll(cid)).toEqual(bytes)
  })

  it('is cleaned of what was left by a crash', async () => {
    let store = await open()
    const { bytes, cid } = sample(1)
    await store.put(cid, bytes)
    store.close()
    const folder = join(root, 'store')
    const id = 'a'.repeat(64)
    writeFileSync(join(folder, 'drafts', 'half'), 'x')
    writeFileSync(join(folder, 'uploads', id), 'no note')
    writeFileSync(join(folder, 'uploads', `${'b'.repeat(64)}.json`), '{"cid":"x"')
    writeFileSync(join(folder, 'uploads', 'stray'), 'x')
    writeFileSync(join(folder, 'uploads', 'c'.repeat(64)), 'longer than it said')
    writeFileSync(join(folder, 'uploads', `${'c'.repeat(64)}.json`), JSON.stringify({ cid, sizeBytes: 3 }))
    mkdirSync(join(folder, 'blobs', 'zz'))
    writeFileSync(join(folder, 'blobs', 'zz', 'not-a-blob'), 'x')
    store = await open()
    expect(store.stats()).toEqual({ blobs: 1, uploads: 0, bytes: BLOCK })
    expect(filesIn(folder).toSorted()).toEqual([cid, 'not-a-blob', 'owner.1'].toSorted())
    expect(existsSync(join(folder, 'drafts', 'half'))).toBe(false)
  })

  it('hashes what is larger than one read', async () => {
    const store = await open({ maxBytes: 2 ** 24, maxBlobBytes: 2 ** 23 })
    const bytes = new Uint8Array(2 ** 22 + 17).fill(3)
    const cid = formatCid(new Uint8Array(createHash('sha256').update(bytes).digest()) as Digest, 'raw')
    await store.put(cid, bytes)
    expect((await store.readAll(cid)).length).toBe(bytes.length)
  })
})

/** One megabyte of disk, where this machine lets us have one. */
function mountSmallDisk(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'assay-small-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'assay-test', folder], { stdio: 'ignore' })
    return folder
  } catch {
    rmSync(folder, { recursive: true })
    return undefined
  }
}
