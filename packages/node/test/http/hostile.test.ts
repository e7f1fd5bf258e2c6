/** Requests of strangers who know the protocol: each is refused with its code, and changes nothing. */
import { gzipSync } from 'node:zlib'
import { toBase64, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { ed25519KeyPair } from 'assay/core/keys'
import { encodeRows } from 'assay/task/rows'
import { MAX_BODY_BYTES, ROUTES, type Route } from 'assay/wire/api'
import { uploadBytes } from 'assay/wire/blob-transfer'
import { createClient } from 'assay/wire/client'
import type { JobSpecInput } from 'assay/wire/job'
import { MAX_CLOCK_SKEW_MS } from 'assay/wire/request-signature'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkBooks } from '../../src/coordinator/ledger-read.ts'
import { answer } from '../life/answers.ts'
import {
  type Account,
  type Door,
  type DoorNode,
  manifestOf,
  openDoor,
  type RawAnswer,
  signature,
  signedBy,
} from './door.ts'

const MODULE = utf8('a module')
const SPEC: JobSpecInput = {
  work: {
    kind: 'wasm',
    module: contentAddress(MODULE, 'raw'),
    memoryPages: 1,
    timeLimitMs: 1000,
    maxOutputBytes: 20_000,
  },
  input: { inline: toBase64(encodeRows([utf8('one'), utf8('two')])) },
  rows: 2,
  segmentRows: 1,
  pricePerSegment: 10,
  budget: 20,
}
const HEARTBEAT = JSON.stringify({ running: 0, freeSlots: 1, cacheBytes: 0 })
const JSON_TYPE = { 'content-type': 'application/json' }
/** Breaks out of quotes, comments, patterns and casts, where anything could. */
const SQL = [
  "'; DROP TABLE job; --",
  '" OR 1=1 --',
  "\\'); SELECT pg_sleep(9); --",
  '%',
  '_',
  '$1',
  "E'\\x00'",
]

let door: Door
let alice: Account
let mallory: Account
let node: DoorNode
beforeAll(async () => {
  door = await openDoor()
  alice = await door.account()
  mallory = await door.account()
  node = await door.node()
  await uploadBytes(alice.client, MODULE)
}, 60_000)
afterAll(async () => {
  const { faults } = await checkBooks(door.db)
  await door.stop()
  expect(faults).toEqual([])
})

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const post = (path: string, body: string | Uint8Array, headers: { [name: string]: string }) =>
  door.raw({ method: 'POST', path, headers: { ...JSON_TYPE, ...headers }, body })
/** A request that the node signs. */
async function signedPost(
  path: string,
  body: string,
  over: {
    at?: number
    nonce?: string
    signed?: { method?: string; path?: string; body?: string }
    key?: DoorNode['key']
  } = {},
): Promise<RawAnswer> {
  const parts = { method: 'POST', path, body, ...over.signed }
  const header = await signedBy(over.key ?? node.key, { ...parts, body: utf8(parts.body) }, over)
  return post(path, body, signature(header))
}

describe('credentials', () => {
  test('are asked for by every route that is not public', async () => {
    for (const { method, path, auth } of Object.values(ROUTES) as Route[]) {
      if (auth === 'public') continue
      const at = path.replace('{cid}', `b${'a'.repeat(58)}`).replace('{id}', '0'.repeat(64))
      const { status, code, headers } = await door.raw({
        method,
        path: at,
        headers: { 'content-length': '0' },
      })
      expect({ path, status, code }).toEqual({ path, status: 401, code: 'wire/unauthenticated' })
      expect(headers['www-authenticate']).toBe('Bearer')
    }
  })

  test('that are malformed, unknown or too long are refused alike', async () => {
    const [, id = ''] = alice.token.split('_')
    const wrong = ['', 'x', 'a'.repeat(10_000), `assay_${id}_${'0'.repeat(64)}`, `${alice.token}x`, ...SQL]
    for (const token of wrong) {
      const { status, code } = await door.raw({ path: '/v1/jobs', headers: bearer(token) })
      expect({ token: token.slice(0, 20), status, code }).toMatchObject({
        status: 401,
        code: 'wire/unauthenticated',
      })
    }
    const basic = await door.raw({ path: '/v1/jobs', headers: { authorization: `Basic ${alice.token}` } })
    expect(basic.code).toBe('wire/unauthenticated')
  })

  test('allow what their scopes name, and nothing else', async () => {
    const scoped = await Promise.all(
      (['jobs:write', 'jobs:read', 'nodes:enrol', 'network:read'] as const).map(async (scope) => ({
        scope,
        account: await door.account({ scopes: [scope], credits: 0 }),
      })),
    )
    for (const { scope, account } of scoped) {
      for (const { method, path, auth } of Object.values(ROUTES) as Route[]) {
        if (['public', 'enrolling', 'node', 'verifier', scope].includes(auth)) continue
        const at = path.replace('{cid}', `b${'a'.repeat(58)}`).replace('{id}', '0'.repeat(64))
        const headers = { ...bearer(account.token), 'content-length': '0' }
        const { status, code } = await door.raw({ method, path: at, headers })
        expect({ scope, path, status, code }).toEqual({ scope, path, status: 403, code: 'wire/forbidden' })
      }
    }
  })

  test('that expired or were revoked are refused', async () => {
    const body = { account: alice.name, scopes: ['jobs:read' as const], expiresAt: '2001-01-01T00:00:00Z' }
    const { token } = await door.admin.client.makeKey({ body })
    expect((await door.raw({ path: '/v1/jobs', headers: bearer(token) })).code).toBe('wire/unauthenticated')
  })
})

describe('signed requests', () => {
  test('hold once', async () => {
    const nonce = 'ab'.repeat(16)
    expect((await signedPost('/v1/heartbeat', HEARTBEAT, { nonce })).status).toBe(200)
    const replayed = await signedPost('/v1/heartbeat', HEARTBEAT, { nonce })
    expect([replayed.status, replayed.code]).toEqual([401, 'wire/signature'])
  })

  test('hold once among many that come together', async () => {
    const nonce = 'cd'.repeat(16)
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => signedPost('/v1/heartbeat', HEARTBEAT, { nonce })),
    )
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  })

  test('hold for what they were made for', async () => {
    const other = await door.node()
    const cases = [
      { signed: { body: HEARTBEAT.replace('1', '2') } },
      { signed: { path: '/v1/leases' } },
      { signed: { path: '/v1/heartbeat?' } },
      { signed: { method: 'PATCH' } },
      { at: Date.now() - MAX_CLOCK_SKEW_MS - 10_000 },
      { at: Date.now() + MAX_CLOCK_SKEW_MS + 10_000 },
    ]
    for (const over of cases) {
      const { status, code } = await signedPost('/v1/heartbeat', HEARTBEAT, over)
      expect({ over, status, code }).toEqual({ over, status: 401, code: 'wire/signature' })
    }
    // In the name of one, signed by the other.
    const header = await signedBy(other.key, { method: 'POST', path: '/v1/heartbeat', body: utf8(HEARTBEAT) })
    const forged = header.replace(other.id, node.id)
    expect((await post('/v1/heartbeat', HEARTBEAT, signature(forged))).code).toBe('wire/signature')
  })

  test('that are altered anywhere are refused', async () => {
    const header = await signedBy(node.key, { method: 'POST', path: '/v1/heartbeat', body: utf8(HEARTBEAT) })
    await fc.assert(
      fc.asyncProperty(
        fc.nat(header.length - 1),
        fc.constantFrom('0', 'z', '=', ' ', ','),
        async (at, letter) => {
          const bent = header.slice(0, at) + letter + header.slice(at + 1)
          if (bent === header) return
          expect((await post('/v1/heartbeat', HEARTBEAT, signature(bent))).status).toBe(401)
        },
      ),
      { numRuns: 40 },
    )
    expect((await post('/v1/heartbeat', HEARTBEAT, signature('v1 '.repeat(3_000)))).status).toBe(401)
  })

  test('of nodes that are not registered are refused before their body is read', async () => {
    const key = ed25519KeyPair(new Uint8Array(32).fill(77))
    const { code } = await signedPost('/v1/heartbeat', HEARTBEAT, { key })
    expect(code).toBe('wire/unauthenticated')
  })

  test('register only the node whose key signs', async () => {
    const thief = ed25519KeyPair(new Uint8Array(32).fill(78))
    const body = (manifest: object) => JSON.stringify({ manifest, enrolment: node.enrolment })
    const stolen = await signedPost('/v1/nodes', body(node.manifest), { key: thief })
    expect(stolen.code).toBe('wire/signature')
    const own = manifestOf(thief, { operator: 'x' })
    expect((await signedPost('/v1/nodes', body({ ...own, role: 'verifier' }), { key: thief })).code).toBe(
      'wire/forbidden',
    )
    const smallOrder = { ...own, publicKey: { type: 'ed25519', bytes: `01${'00'.repeat(31)}` } }
    expect((await signedPost('/v1/nodes', body(smallOrder), { key: thief })).code).toBe('wire/signature')
    const unknown = JSON.stringify({ manifest: own, enrolment: 'assay_0' })
    expect((await signedPost('/v1/nodes', unknown, { key: thief })).code).toBe('wire/unauthenticated')
  })

  test('of solvers are no verifier’s, and the other way round', async () => {
    await expect(node.client.leaseVerifications({ body: { max: 1 } })).rejects.toMatchObject({
      code: 'wire/forbidden',
    })
    const verifier = await door.node({ role: 'verifier' })
    await expect(verifier.client.lease({ body: { max: 1 } })).rejects.toMatchObject({
      code: 'wire/forbidden',
    })
  })
})

describe('bodies', () => {
  const submit = (body: string | Uint8Array, headers: { [name: string]: string } = {}) =>
    post('/v1/jobs', body, { ...bearer(alice.token), ...headers })

  test('of other types, encodings and shapes are refused', async () => {
    const good = JSON.stringify(SPEC)
    const cases: readonly (readonly [
      string,
      string | Uint8Array,
      { [name: string]: string },
      number,
      string,
    ])[] = [
      ['another type', good, { 'content-type': 'text/plain' }, 415, 'http/media-type'],
      ['a form', good, { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'http/media-type'],
      ['compressed', gzipSync(Buffer.alloc(2 ** 20)), { 'content-encoding': 'gzip' }, 415, 'http/encoding'],
      ['no JSON', '{', {}, 400, 'wire/malformed'],
      ['nothing', '', {}, 400, 'wire/malformed'],
      ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), {}, 400, 'wire/malformed'],
      ['null', 'null', {}, 400, 'wire/malformed'],
      ['a list', '[]', {}, 400, 'wire/malformed'],
      ['an unknown field', JSON.stringify({ ...SPEC, isCanary: true }), {}, 400, 'wire/malformed'],
      ['a prototype', good.replace('{', '{"__proto__":{"budget":0},'), {}, 400, 'wire/malformed'],
      ['deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, {}, 400, 'wire/malformed'],
      ['too large', ' '.repeat(2 ** 18 + 1), {}, 413, 'wire/too-large'],
    ]
    for (const [name, body, headers, status, code] of cases) {
      const refused = await submit(body, headers)
      expect({ name, status: refused.status, code: refused.code }).toEqual({ name, status, code })
    }
  })

  test('beyond every cap are refused by what they say of themselves', async () => {
    const { status, code } = await door
      .raw({
        method: 'POST',
        path: '/v1/jobs',
        headers: { ...bearer(alice.token), ...JSON_TYPE, 'content-length': String(MAX_BODY_BYTES * 2) },
      })
      .catch(() => ({ status: 413, code: 'wire/too-large' }))
    expect([status, code]).toEqual([413, 'wire/too-large'])
    const chunked = await submit('{}', { 'transfer-encoding': 'chunked' })
    expect(chunked.status).toBe(411)
  })

  test('where there is none are refused', async () => {
    const { status } = await door.raw({
      path: '/v1/jobs',
      headers: { ...bearer(alice.token), 'content-length': '5' },
      body: 'hello',
    })
    expect(status).toBe(413)
  })

  test('whatever they are, end in a typed refusal', async () => {
    const keys = fc.constantFrom(...Object.keys(SPEC), '__proto__', 'constructor', 'id')
    await fc.assert(
      fc.asyncProperty(keys, fc.jsonValue(), async (key, value) => {
        const body = JSON.stringify({ ...SPEC, [key]: value, budget: 0, pricePerSegment: 1 })
        const { status, code } = await submit(body)
        expect(status).toBeGreaterThanOrEqual(400)
        expect(status).toBeLessThan(500)
        expect(code).toMatch(/^[a-z]+\/[a-z-]+$/)
      }),
      { numRuns: 60 },
    )
  })
})

describe('paths and queries', () => {
  test('that climb, repeat or are unknown are refused', async () => {
    const headers = bearer(alice.token)
    const cid = `b${'a'.repeat(58)}`
    const cases: readonly (readonly [string, number])[] = [
      ['/v1/blobs/..%2f..%2fetc%2fpasswd', 400],
      ['/v1/blobs/../../etc/passwd', 404],
      ['/v1/blobs/%2e%2e/%2e%2e/etc/passwd', 404],
      [`/v1/blobs/${cid}%00`, 400],
      [`/v1/blobs/${cid}`, 400],
      [`/v1/blobs/${cid.toUpperCase()}`, 400],
      ['/v1/jobs/%27%20OR%201%3D1', 400],
      ['/v1/jobs?limit=0', 400],
      ['/v1/jobs?limit=1e9', 400],
      ['/v1/jobs?limit=1&limit=2', 400],
      ['/v1/jobs?order=asc', 400],
      ['/v1/jobs?cursor=%27', 400],
      ['/v1/jobs?cursor=zz', 400],
      ['/v1/jobs?state=any', 400],
      ['/v1/ledger/balance?account=issued', 400],
      ['/v1/log/inclusion?index=-1', 400],
      ['/v1/log/inclusion?index=1e300', 400],
      ['/v1/log/inclusion?index=999999', 404],
      ['/v1/log/consistency?from=5&to=2', 404],
      ['/v2/jobs', 404],
    ]
    for (const [path, status] of cases) {
      const answer = await door.raw({ path, headers })
      expect({ path, status: answer.status }).toEqual({ path, status })
      expect(answer.code).toBeDefined()
    }
  })

  test('with SQL in them change nothing', async () => {
    const admin = door.admin.client
    for (const text of SQL) {
      const name = text.slice(0, 100)
      const { token } = await admin.makeKey({ body: { account: name, scopes: ['jobs:read', 'jobs:write'] } })
      await admin.deposit({ body: { account: `submitter:${name}`, amount: 50, note: text } })
      const client = createClient({ url: door.url, token })
      expect(await client.balance()).toEqual({ account: `submitter:${name}`, balance: 50 })
      await uploadBytes(client, MODULE)
      const job = await client.submitJob(
        { body: { ...SPEC, name } },
        { idempotencyKey: text.replace(/\s/g, '') },
      )
      expect((await client.listJobs()).items).toEqual([job])
      await client.cancelJob({ params: { id: job.id }, body: {} })
      await expect(admin.revokeKey({ params: { id: text } })).rejects.toMatchObject({
        code: 'wire/not-found',
      })
    }
    expect((await alice.client.network()).jobs).toBeGreaterThan(0)
  })
})

describe('what belongs to others', () => {
  test('jobs are as if they were not there', async () => {
    const { id } = await alice.client.submitJob({ body: SPEC })
    const params = { id }
    const { client } = mallory
    const tries: readonly (() => Promise<unknown>)[] = [
      () => client.showJob({ params }),
      () => client.listSegments({ params }),
      () => client.jobResult({ params }),
      () => client.jobReceipt({ params }),
      () => client.cancelJob({ params, body: {} }),
      () => client.jobEvents({ params }).next(),
    ]
    for (const attempted of tries) {
      await expect(attempted()).rejects.toMatchObject({ code: 'wire/not-found', detail: { status: 404 } })
    }
    expect((await client.listJobs()).items).toEqual([])
    expect(await door.admin.client.showJob({ params })).toMatchObject({ id })
    await alice.client.cancelJob({ params, body: {} })
  })

  test('blobs are, too, and an address alone gives nothing', async () => {
    const secret = utf8('known to alice alone')
    const cid = await uploadBytes(alice.client, secret)
    await expect(mallory.client.readBlob({ params: { cid } })).rejects.toMatchObject({
      code: 'wire/not-found',
    })
    await expect(node.client.readNodeBlob({ params: { cid } })).rejects.toMatchObject({
      code: 'wire/not-found',
    })
    // As if nobody had it.
    const begun = await mallory.client.beginBlob({ body: { cid, sizeBytes: secret.length } })
    expect(begun).toMatchObject({ storedBytes: 0, complete: false })
    const guess = mallory.client.appendBlob({
      params: { cid },
      query: { offset: 0 },
      body: new Uint8Array(secret.length),
    })
    await expect(guess).rejects.toMatchObject({ code: 'blob/mismatch' })
    await expect(mallory.client.readBlob({ params: { cid } })).rejects.toMatchObject({
      code: 'wire/not-found',
    })
    await expect(mallory.client.submitJob({ body: { ...SPEC, input: { cid } } })).rejects.toMatchObject({
      code: 'job/content',
      detail: { status: 409 },
    })
    // Whoever has the bytes may have the blob.
    expect(await uploadBytes(mallory.client, secret)).toBe(cid)
    expect(await mallory.client.readBlob({ params: { cid } })).toEqual(secret)
  })

  test('leases are the node’s that has them', async () => {
    const { id } = await alice.client.submitJob({ body: SPEC })
    const { groups } = await node.client.lease({ body: { max: 10 } })
    const thief = await door.node()
    const stolen = await thief.client.results({ body: await answer(thief, groups) })
    expect(stolen.outcomes.map(({ code }) => code)).toEqual(['wire/stale', 'wire/stale'])
    const leases = groups.flatMap(({ segments }) => segments).map(({ id, fence }) => ({ id, fence }))
    expect(await thief.client.renewLeases({ body: { leases } })).toEqual({
      lost: leases.map((lease) => lease.id),
    })
    // In the name of the other, with its key on the results alone.
    const mixed = await thief.client.results({ body: await answer(node, groups) })
    expect(mixed.outcomes.map(({ state }) => state)).toEqual(['refused', 'refused'])
    const older = groups.map((group) => ({
      ...group,
      segments: group.segments.map((segment) => ({ ...segment, fence: segment.fence - 1 })),
    }))
    const stale = await node.client.results({ body: await answer(node, older) })
    expect(stale.outcomes.map(({ code }) => code)).toEqual(['wire/stale', 'wire/stale'])
    const kept = await node.client.results({ body: await answer(node, groups) })
    expect(kept.outcomes.map(({ state }) => state)).not.toContain('refused')
    await alice.client.cancelJob({ params: { id }, body: {} }).catch(() => undefined)
  })
})

describe('uploads', () => {
  const bytes = new Uint8Array(5_000).map((_, i) => i)
  const cid = contentAddress(bytes, 'raw')
  const append = (offset: number, body: Uint8Array) =>
    alice.client.appendBlob({ params: { cid }, query: { offset }, body })

  test('out of order, twice, too long and of other bytes are refused, and can be begun again', async () => {
    await expect(append(0, bytes)).rejects.toMatchObject({ code: 'blob/missing' })
    await alice.client.beginBlob({ body: { cid, sizeBytes: bytes.length } })
    await expect(append(10, bytes.subarray(10))).rejects.toMatchObject({ code: 'blob/offset' })
    expect(await append(0, bytes.subarray(0, 2_000))).toMatchObject({ storedBytes: 2_000, complete: false })
    await expect(append(0, bytes.subarray(0, 2_000))).rejects.toMatchObject({ code: 'blob/offset' })
    await expect(append(2_000, bytes)).rejects.toMatchObject({ code: 'blob/too-large' })
    const { storedBytes } = await alice.client.beginBlob({ body: { cid, sizeBytes: bytes.length } })
    const rest = new Uint8Array(bytes.length - storedBytes)
    await expect(append(storedBytes, rest)).rejects.toMatchObject({ code: 'blob/mismatch' })
    await expect(alice.client.readBlob({ params: { cid } })).rejects.toMatchObject({ code: 'wire/not-found' })
    expect(await uploadBytes(alice.client, bytes, { partBytes: 999 })).toBe(cid)
  })

  test('of another size than the address has are refused', async () => {
    const short = contentAddress(utf8('short'), 'raw')
    await alice.client.beginBlob({ body: { cid: short, sizeBytes: 3 } })
    const cut = alice.client.appendBlob({ params: { cid: short }, query: { offset: 0 }, body: utf8('sho') })
    await expect(cut).rejects.toMatchObject({ code: 'blob/mismatch' })
  })

  test('beyond the quota, or beyond every size, are refused before they begin', async () => {
    const quota = { jobsPerMinute: 10, queuedSegments: 10, blobBytes: 100 }
    const small = await door.account({ quota })
    await expect(uploadBytes(small.client, new Uint8Array(101))).rejects.toMatchObject({ code: 'wire/quota' })
    await uploadBytes(small.client, new Uint8Array(60))
    await expect(uploadBytes(small.client, new Uint8Array(41))).rejects.toMatchObject({ code: 'wire/quota' })
    const huge = { cid, sizeBytes: Number.MAX_SAFE_INTEGER }
    await expect(door.admin.client.beginBlob({ body: huge })).rejects.toMatchObject({ code: 'wire/quota' })
  })

  test('give the range that is asked for, and no other', async () => {
    const read = (range: string) =>
      door.raw({ path: `/v1/blobs/${cid}`, headers: { ...bearer(alice.token), range } })
    expect(await read('bytes=10-19')).toMatchObject({
      status: 206,
      headers: { 'content-range': 'bytes 10-19/5000', 'content-length': '10' },
    })
    expect((await read('bytes=-5')).headers['content-range']).toBe('bytes 4995-4999/5000')
    expect((await read('bytes=4999-9999')).headers['content-range']).toBe('bytes 4999-4999/5000')
    expect(await read('bytes=5000-')).toMatchObject({ status: 416, code: 'blob/range' })
    for (const nonsense of ['bytes=5-3', 'bytes=a-b', 'bytes=0-1,5-6', 'items=0-1']) {
      expect((await read(nonsense)).status).toBe(200)
    }
  })
})

describe('quotas and idempotency', () => {
  test('jobs beyond a quota or a balance are refused with what to do', async () => {
    const quota = { jobsPerMinute: 1, queuedSegments: 100, blobBytes: 1e6 }
    const { client } = await door.account({ quota, credits: 1_000 })
    await uploadBytes(client, MODULE)
    const body = { ...SPEC, budget: 2_000 }
    await expect(client.submitJob({ body })).rejects.toMatchObject({
      code: 'ledger/insufficient',
      detail: { status: 402 },
    })
    await client.submitJob({ body: SPEC })
    const refused = client.submitJob({ body: SPEC }, { maxAttempts: 1 })
    await expect(refused).rejects.toMatchObject({
      code: 'wire/quota',
      detail: { retryAfterSeconds: expect.any(Number) },
    })
    await expect(client.submitJob({ body: { ...SPEC, budget: 19 } })).rejects.toMatchObject({
      code: 'job/budget',
    })
  })

  test('the same key makes one job, however often and however much at once', async () => {
    const idempotencyKey = 'one-job'
    const jobs = await Promise.all(
      Array.from({ length: 8 }, () => alice.client.submitJob({ body: SPEC }, { idempotencyKey })),
    )
    jobs.push(await alice.client.submitJob({ body: SPEC }, { idempotencyKey }))
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(1)
    const other = alice.client.submitJob({ body: { ...SPEC, name: 'other' } }, { idempotencyKey })
    await expect(other).rejects.toMatchObject({ code: 'wire/conflict' })
    // Of another account it is another key.
    await uploadBytes(mallory.client, MODULE)
    const { id } = await mallory.client.submitJob({ body: SPEC }, { idempotencyKey })
    expect(id).not.toBe(jobs[0]?.id)
    for (const key of ['', 'a b', 'x'.repeat(129), 'ümlaut']) {
      const headers = { ...bearer(alice.token), 'idempotency-key': Buffer.from(key).toString('latin1') }
      const answer = await post('/v1/jobs', JSON.stringify(SPEC), headers)
      expect({ key, status: answer.status }).toEqual({ key, status: 400 })
    }
  })

  test('a refused job can be submitted again under its key', async () => {
    const poor = await door.account({ credits: 0 })
    await uploadBytes(poor.client, MODULE)
    const idempotencyKey = 'once-i-am-rich'
    const submit = () => poor.client.submitJob({ body: SPEC }, { idempotencyKey })
    await expect(submit()).rejects.toMatchObject({ code: 'ledger/insufficient' })
    await door.admin.client.deposit({ body: { account: `submitter:${poor.name}`, amount: 20 } })
    const job = await submit()
    expect((await submit()).id).toBe(job.id)
    expect((await poor.client.balance()).balance).toBe(0)
  })

  test('the same key deposits once', async () => {
    const account = `submitter:${(await door.account({ credits: 0 })).name}`
    const deposit = () =>
      door.admin.client.deposit({ body: { account, amount: 7 } }, { idempotencyKey: 'seven' })
    await Promise.all([deposit(), deposit(), deposit()])
    expect(await deposit()).toEqual({ account, balance: 7 })
    const more = door.admin.client.deposit({ body: { account, amount: 8 } }, { idempotencyKey: 'seven' })
    await expect(more).rejects.toMatchObject({ code: 'wire/conflict' })
    await expect(door.admin.client.deposit({ body: { account: 'nobody', amount: 1 } })).rejects.toMatchObject(
      {
        code: 'ledger/account',
      },
    )
  })
})
