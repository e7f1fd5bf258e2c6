/**
 * Attacks on the real HTTP server of a coordinator: each is refused with a code, none harms anybody else, and the
 * books hold afterwards. What is refused below the coordinator has its tests there (service/http.test.ts,
 * executor, work).
 */
import { randomBytes } from 'node:crypto'
import { toBase64 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { encodeRows } from 'assay/task/rows'
import { SCOPES, type Scope } from 'assay/wire/account'
import { ROUTES, type Route } from 'assay/wire/api'
import { uploadBytes } from 'assay/wire/blob-transfer'
import { createClient } from 'assay/wire/client'
import { MAX_CLOCK_SKEW_MS, SIGNATURE_HEADER } from 'assay/wire/request-signature'
import { waitForJob } from 'assay/wire/submit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openNetwork, type TestNetwork } from './support/in-process.ts'
import { brokenInvariants } from './support/invariants.ts'
import { type RawNode, raw, rawNode, signedHeaders } from './support/raw-node.ts'
import { squares } from './support/work.ts'

const START_MS = 60_000
const BEAT = { running: 0, freeSlots: 1, cacheBytes: 0 }
const HEARTBEAT = { method: 'POST', path: '/v1/heartbeat', body: BEAT } as const
/** What a text may try to say to a database, a file system, a terminal or a template. */
const NASTY = [
  "'; DROP TABLE job; --",
  '" OR 1=1 --',
  '$1); DELETE FROM account; --',
  '../../../../etc/passwd',
  '..\\..\\windows',
  '%2e%2e%2f',
  `$${'{process.exit(1)}'}`,
  '{{7*7}}',
  '__proto__',
  '\u202e\ufeff',
]

let world: TestNetwork
let token: string
let mine: RawNode
let theirs: RawNode

beforeAll(async () => {
  world = await openNetwork([])
  token = (await world.account('submitter', ['jobs:read', 'jobs:write'])).token
  mine = await member('mine')
  theirs = await member('theirs')
}, START_MS)
afterAll(async () => world?.close(), START_MS)

async function member(operator: string): Promise<RawNode> {
  const { token: enrolment } = await world.account(operator, ['nodes:enrol'])
  const node = rawNode(world.url, { operator })
  await node.register(enrolment)
  return node
}

async function send(request: Parameters<typeof raw>[1]) {
  return raw(world.url, request)
}
const bearer = (key = token) => ({ authorization: `Bearer ${key}` })

describe('signed requests', () => {
  it('are good once', async () => {
    const headers = await signedHeaders(HEARTBEAT, mine.key)
    expect(await send({ ...HEARTBEAT, headers })).toMatchObject({ status: 200 })
    expect(await send({ ...HEARTBEAT, headers })).toMatchObject({ status: 401, code: 'wire/signature' })
    // Several at once: one passes.
    const again = await signedHeaders(HEARTBEAT, mine.key)
    const answers = await Promise.all(Array.from({ length: 8 }, () => send({ ...HEARTBEAT, headers: again })))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  })

  it('are refused when they were made too early or too late', async () => {
    for (const offMs of [-MAX_CLOCK_SKEW_MS - 5_000, MAX_CLOCK_SKEW_MS + 5_000, -1e9]) {
      const headers = await signedHeaders(HEARTBEAT, mine.key, { at: Date.now() + offMs })
      expect(await send({ ...HEARTBEAT, headers })).toMatchObject({ status: 401, code: 'wire/signature' })
    }
  })

  it('are refused when they are of another key, or for another request', async () => {
    const refused = { status: 401, code: 'wire/signature' }
    const own = (await signedHeaders(HEARTBEAT, mine.key))[SIGNATURE_HEADER] as string
    const forged = own.replace(/key=[0-9a-f]+/, `key=${theirs.id}`)
    expect(await send({ ...HEARTBEAT, headers: { [SIGNATURE_HEADER]: forged } })).toMatchObject(refused)
    const headers = () => signedHeaders(HEARTBEAT, mine.key)
    const body = { ...BEAT, running: 1 }
    expect(await send({ ...HEARTBEAT, body, headers: await headers() })).toMatchObject(refused)
    const lease = { method: 'POST', path: '/v1/leases', body: BEAT }
    expect(await send({ ...lease, headers: await headers() })).toMatchObject(refused)
    const query = { ...HEARTBEAT, path: '/v1/heartbeat?a=b' }
    expect(await send({ ...query, headers: await headers() })).toMatchObject(refused)
    // None of these has used the nonce up.
    expect(await send({ ...HEARTBEAT, headers: { [SIGNATURE_HEADER]: own } })).toMatchObject({ status: 200 })
  })

  it('of unknown nodes, without signature or with garbage are refused', async () => {
    const stranger = rawNode(world.url, { operator: 'mine' })
    const headers = await signedHeaders(HEARTBEAT, stranger.key)
    expect(await send({ ...HEARTBEAT, headers })).toMatchObject({ status: 401, code: 'wire/unauthenticated' })
    expect(await send(HEARTBEAT)).toMatchObject({ status: 401, code: 'wire/unauthenticated' })
    for (const garbage of ['', 'v1', `v1 key=${mine.id},at=1,nonce=0,sig=`, 'a'.repeat(2000)]) {
      const answer = await send({ ...HEARTBEAT, headers: { [SIGNATURE_HEADER]: garbage } })
      expect(answer.status, garbage).toBe(401)
    }
    // Neither does a node enrol with the key of somebody who may not.
    const { token: other } = await world.account('reader', ['network:read'])
    await expect(stranger.register(other)).rejects.toMatchObject({ code: 'wire/forbidden' })
    await expect(stranger.register('assay_nobody')).rejects.toMatchObject({ code: 'wire/unauthenticated' })
    const { token: foreign } = await world.account('foreign', ['nodes:enrol'])
    // The enrolment key says whose the node is, whatever its manifest says.
    expect(await stranger.register(foreign)).toMatchObject({ manifest: { operator: 'foreign' } })
    // Nor with the manifest of another's key.
    const stolen = { ...theirs.manifest, operator: 'mine' }
    const body = { manifest: stolen, enrolment: 'x' }
    const register = { method: 'POST', path: '/v1/nodes', body }
    expect(await send({ ...register, headers: await signedHeaders(register, mine.key) })).toMatchObject({
      code: 'wire/signature',
    })
  })
})

describe('leases', () => {
  it('are of no use to another node', async () => {
    const job = squares(4, { segmentRows: 4, leaseSeconds: 60 })
    const { id } = await world.submit(job)
    const group = await mine.lease()
    const forged = await theirs.answer(group, job.expected)
    const { outcomes } = await theirs.client.results({ body: forged })
    expect(outcomes).toMatchObject([{ state: 'refused', code: 'wire/stale' }])
    const [lease] = group.segments
    const held = { id: lease?.id as string, fence: lease?.fence as number }
    expect(await theirs.client.renewLeases({ body: { leases: [held] } })).toEqual({ lost: [held.id] })
    const failure = { ...held, code: 'work/crashed', message: 'not mine', retryElsewhere: false }
    await theirs.client.failures({ body: { failures: [failure] } })
    expect(await mine.client.renewLeases({ body: { leases: [held] } })).toEqual({ lost: [] })
    // Nor is its answer, sent by the one who holds the lease.
    const lent = await mine.client.results({ body: forged }).catch((error: unknown) => error)
    expect(JSON.stringify(lent)).not.toMatch(/"state":"(?:accepted|committed)"/)
    await world.submitter.cancelJob({ params: { id }, body: {} })
  })

  it('that ended are of no use to the node that had them', async () => {
    const job = squares(4, { segmentRows: 4, leaseSeconds: 1 })
    const { id } = await world.submit(job)
    const old = await mine.lease()
    const late = await mine.answer(old, job.expected)
    const next = await theirs.lease()
    expect(next.segments[0]?.id).toBe(old.segments[0]?.id)
    expect(next.segments[0]?.fence).toBeGreaterThan(old.segments[0]?.fence as number)
    const stale = [{ state: 'refused', code: 'wire/stale' }]
    expect((await mine.client.results({ body: late })).outcomes).toMatchObject(stale)
    // With the fence of the new lease it is not its own either.
    const fence = next.segments[0]?.fence as number
    const moved = { ...late, results: late.results.map((result) => ({ ...result, fence })) }
    expect((await mine.client.results({ body: moved })).outcomes).toMatchObject(stale)
    const good = await theirs.answer(next, job.expected)
    const first = await theirs.client.results({ body: good })
    expect(first.outcomes[0]?.state).toMatch(/^(?:committed|accepted)$/)
    // The same again changes nothing, and something else instead is refused.
    expect((await theirs.client.results({ body: good })).outcomes[0]?.state).toMatch(
      /^(?:committed|accepted)$/,
    )
    const other = await theirs.answer(next, job.expected.toReversed())
    expect((await theirs.client.results({ body: other })).outcomes).toMatchObject(stale)
    await world.submitter.cancelJob({ params: { id }, body: {} })
  })

  it('bring nothing to a node whose answer does not hold', async () => {
    const job = squares(4, { segmentRows: 4, leaseSeconds: 60 })
    const { id } = await world.submit(job)
    const group = await mine.lease()
    const good = await mine.answer(group, job.expected)
    const [result] = good.results
    if (result === undefined) throw new Error('no result')
    const wrong = [
      { ...good, signature: toBase64(randomBytes(64)) },
      { ...good, results: [{ ...result, commitment: '00'.repeat(32) }] },
      {
        ...good,
        results: [{ ...result, output: { inline: toBase64(encodeRows(job.expected.toReversed())) } }],
      },
    ]
    for (const body of wrong) {
      const answer = await mine.client.results({ body }).catch((error: unknown) => error)
      expect(JSON.stringify(answer)).not.toMatch(/"state":"(?:accepted|committed)"/)
    }
    const runs = await world.db.query(
      'SELECT state FROM dispatch WHERE job_id = $1 AND commitment IS NOT NULL',
      [id],
    )
    expect(runs.rows).toEqual([])
    await world.submitter.cancelJob({ params: { id }, body: {} })
  })
})

describe('requests in a form that they must not have', () => {
  const job = () => {
    const { draft, input } = squares(4)
    return { ...draft, input: { inline: toBase64(input) } }
  }
  const submit = { method: 'POST', path: '/v1/jobs' }

  it('are refused before they cost anything', async () => {
    const { gzipSync } = await import('node:zlib')
    const bomb = gzipSync(Buffer.alloc(2 ** 24))
    const zipped = { ...bearer(), 'content-encoding': 'gzip' }
    expect(await send({ ...submit, body: bomb, headers: zipped })).toMatchObject({ code: 'http/encoding' })
    const large = `"${'x'.repeat(2 ** 20)}"`
    expect(await send({ ...submit, body: large, headers: bearer() })).toMatchObject({
      code: 'wire/too-large',
    })
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    expect(await send({ ...submit, body: deep, headers: bearer() })).toMatchObject({ status: 400 })
    const deepSpec = JSON.stringify({ ...job(), name: 'DEEP' }).replace('"DEEP"', deep)
    expect(await send({ ...submit, body: deepSpec, headers: bearer() })).toMatchObject({ status: 400 })
    for (const body of ['', 'null', '[]', '{', '\ufeff{}', '{"a":1e999}', '"\ud800"']) {
      expect(await send({ ...submit, body, headers: bearer() }), body).toMatchObject({ status: 400 })
    }
    const text = { ...bearer(), 'content-type': 'text/plain' }
    expect(await send({ ...submit, body: job(), headers: text })).toMatchObject({ code: 'http/media-type' })
  })

  it('with fields that nobody knows, or values out of range, are refused', async () => {
    const malformed = { status: 400, code: 'wire/malformed' }
    const { work } = job()
    const wrong = [
      { ...job(), isCanary: true },
      { ...job(), submitter: 'admin' },
      { ...job(), work: { ...work, sudo: 1 } },
      { ...job(), work: { kind: 'shell', command: 'id' } },
      { ...job(), budget: -1 },
      { ...job(), budget: 0.5 },
      { ...job(), pricePerSegment: 2 ** 53 },
      { ...job(), rows: 1e12 },
      { ...job(), segmentRows: 0 },
      { ...job(), leaseSeconds: 1e9 },
      { ...job(), input: { inline: 'not base64!' } },
      { ...job(), input: { cid: '../../etc/passwd' } },
      { ...job(), name: 'a\0b' },
      { ...job(), name: 'x'.repeat(129) },
    ]
    for (const body of wrong) {
      expect(await send({ ...submit, body, headers: bearer() }), JSON.stringify(body)).toMatchObject(
        malformed,
      )
    }
    const polluted = JSON.stringify(job()).replace('{', '{"__proto__":{"budget":0},')
    expect(await send({ ...submit, body: polluted, headers: bearer() })).toMatchObject({ status: 400 })
    const get = { method: 'GET', path: '/v1/jobs?limit=1&limit=2', headers: bearer() }
    expect(await send(get)).toMatchObject(malformed)
    expect(await send({ ...get, path: '/v1/jobs?offset=1' })).toMatchObject(malformed)
    expect(await send({ ...get, path: '/v1/jobs?cursor=%27%20OR%201=1' })).toMatchObject(malformed)
    expect(await send({ ...get, path: '/v1/jobs?limit=100000' })).toMatchObject(malformed)
  })

  it('that leave the place they may name are refused', async () => {
    const paths = [
      '/v1/blobs/..%2f..%2f..%2fetc%2fpasswd',
      '/v1/blobs/%2e%2e/%2e%2e/etc/passwd',
      `/v1/blobs/${'b'.repeat(58)}..`,
      '/v1/jobs/..%2faccounts',
      '/v1/jobs/%00',
      '/v1/jobs/%',
      "/v1/jobs/'%20OR%20'1'='1",
      '/v1/jobs/00000000-0000-0000-0000-000000000000%2fresult',
      '/v1/../../etc/passwd',
      '//etc/passwd',
    ]
    for (const path of paths) {
      const { status, text } = await send({ method: 'GET', path, headers: bearer() })
      expect([400, 404], `${path}: ${text}`).toContain(status)
      expect(text).not.toContain('root:')
    }
    for (const cid of [...NASTY, 'bafkrei/../../x', '']) {
      const begin = { method: 'POST', path: '/v1/blobs', body: { cid, sizeBytes: 1 }, headers: bearer() }
      expect(await send(begin), cid).toMatchObject({ status: 400 })
    }
  })

  it('whose text is SQL are taken for text, or refused', async () => {
    const { admin } = world.network
    for (const [i, text] of NASTY.entries()) {
      const key = {
        ...bearer(),
        'idempotency-key': `key-${i}-${text.replace(/[^\x21-\x7e]/g, '')}`.slice(0, 128),
      }
      const made = await send({ ...submit, body: { ...job(), name: text }, headers: key })
      // Without the module among its blobs; the name is no reason.
      expect([201, 409], `${text}: ${made.text}`).toContain(made.status)
      const made2 = await admin.client.makeKey({ body: { account: text, scopes: ['jobs:read'] } })
      expect(made2.key.account).toBe(text)
      await admin.client.deposit({ body: { account: `submitter:${text}`, amount: 7, note: text } })
      const { balance } = await createClient({ url: world.url, token: made2.token }).balance()
      expect(balance, text).toBe(7)
      const account = encodeURIComponent(text)
      const path = `/v1/ledger/transfers?account=${account}`
      expect(await send({ method: 'GET', path, headers: bearer(made2.token) })).toMatchObject({ status: 403 })
      const chat = {
        kind: 'chat',
        model: text,
        system: text,
        temperature: 0,
        seed: 1,
        maxTokens: 1,
        compare: 'text',
      }
      const { status, text: answer } = await send({
        ...submit,
        body: { ...job(), work: chat },
        headers: bearer(),
      })
      expect([201, 422], answer).toContain(status)
      if (status === 201) {
        const { id } = JSON.parse(answer) as { id: string }
        await createClient({ url: world.url, token }).cancelJob({ params: { id }, body: {} })
      }
      const node = rawNode(world.url, { operator: text, name: text })
      const { token: enrolment } = await world.account(text, ['nodes:enrol'], 0)
      Object.assign(node.manifest, { region: text, engine: text, chatModels: [text] })
      await node.register(enrolment)
      const shown = await admin.client.showNode({ params: { id: node.id } })
      expect(shown.manifest).toMatchObject({ name: text, operator: text, region: text, engine: text })
      await node.client.failures({
        body: {
          failures: [
            {
              id: '00000000-0000-7000-8000-000000000000',
              fence: 1,
              code: text,
              message: text,
              retryElsewhere: true,
            },
          ],
        },
      })
      await expect(node.register(text)).rejects.toMatchObject({ code: 'wire/unauthenticated' })
    }
    const { rows } = await world.db.query('SELECT count(*) > 0 AS is_there FROM job')
    expect(rows).toEqual([{ is_there: true }])
  })
})

describe('what belongs to somebody else', () => {
  it('is not shown, and not said to be there', async () => {
    const input = randomBytes(20_000)
    const job = squares(4)
    const { id } = await world.submit(job)
    const { client: owner } = await world.account('owner', ['jobs:read', 'jobs:write'])
    const cid = await uploadBytes(owner, new Uint8Array(input))
    const { client: other, token: otherToken } = await world.account('curious', ['jobs:read', 'jobs:write'])
    const nothing = { code: 'wire/not-found' }
    const nowhere = contentAddress(new Uint8Array(randomBytes(8)), 'raw')
    await expect(other.readBlob({ params: { cid } })).rejects.toMatchObject({
      code: expect.stringMatching(/not-found|missing/),
    })
    await expect(other.readBlob({ params: { cid: nowhere } })).rejects.toMatchObject({
      code: expect.stringMatching(/not-found|missing/),
    })
    await expect(other.showJob({ params: { id } })).rejects.toMatchObject(nothing)
    // A job cannot name it as its input either.
    const { draft } = squares(4)
    const naming = { ...draft, work: job.draft.work, input: { cid } }
    const answer = await send({ method: 'POST', path: '/v1/jobs', body: naming, headers: bearer(otherToken) })
    expect(answer).toMatchObject({ status: 409, code: 'job/content' })
    const begun = await other.beginBlob({ body: { cid, sizeBytes: input.length } })
    expect(begun).toMatchObject({ storedBytes: 0, complete: false })
    // And a node reads nothing that it has no lease of.
    await expect(mine.client.readNodeBlob({ params: { cid } })).rejects.toMatchObject({
      code: expect.stringMatching(/not-found|missing/),
    })
    await world.submitter.cancelJob({ params: { id }, body: {} })
  })

  it('needs its scope, whatever the route', async () => {
    const tokens = new Map<Scope, string>()
    for (const scope of SCOPES) tokens.set(scope, (await world.account(`only-${scope}`, [scope])).token)
    const { token: gone, key } = await world.network.admin.client.makeKey({
      body: { account: 'gone', scopes: [...SCOPES] },
    })
    await world.network.admin.client.revokeKey({ params: { id: key.id } })
    let refused = 0
    for (const route of Object.values(ROUTES) as Route[]) {
      const path = route.path.replace('{cid}', 'b'.repeat(59)).replace('{id}', '0'.repeat(64))
      const request = { method: route.method, path, ...(route.method === 'GET' ? {} : { body: {} }) }
      if (route.auth === 'public') continue
      const isSigned = ['node', 'verifier', 'enrolling'].includes(route.auth)
      const attempts: [string | undefined, number][] = [
        [undefined, 401],
        [gone, 401],
        ['assay_x_y', 401],
      ]
      for (const [scope, scoped] of tokens) {
        if (isSigned) attempts.push([scoped, 401])
        else if (scope !== route.auth && scope !== 'admin') attempts.push([scoped, 403])
      }
      for (const [authorization, status] of attempts) {
        const headers = authorization === undefined ? {} : bearer(authorization)
        const answer = await send({ ...request, headers })
        expect(answer.status, `${route.method} ${route.path} with ${authorization}: ${answer.text}`).toBe(
          status,
        )
        refused++
      }
      if (route.auth === 'verifier') {
        const headers = await signedHeaders(request, mine.key)
        expect(await send({ ...request, headers })).toMatchObject({ status: 403 })
      }
    }
    expect(refused).toBeGreaterThan(100)
  })
})

it('left the books as they must be', async () => {
  const { items } = await world.submitter.listJobs({ query: { limit: 500 } })
  for (const { id } of items) await waitForJob(world.submitter, id)
  await expect.poll(() => brokenInvariants(world.db), { timeout: 10_000 }).toEqual({})
})
