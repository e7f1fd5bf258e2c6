import { afterEach, describe, expect, expectTypeOf, it } from 'vitest'
import { ed25519KeyPair } from '../core/keys.ts'
import { type Client, createClient } from './client.ts'
import type { JobView } from './job.ts'
import { parseRequestSignature, SIGNATURE_HEADER, verifyRequest } from './request-signature.ts'
import { type Handler, json, problem, serve, type TestServer } from './testing/server.ts'
import type { TransportOptions } from './transport.ts'

const servers: TestServer[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

/** A server with this handler, and a client of it that does not pause. */
async function connect(handler: Handler, options: Partial<TransportOptions> = {}) {
  const server = await serve(handler)
  servers.push(server)
  const sleep = async (_: number, signal?: AbortSignal) => signal?.throwIfAborted()
  return { server, client: createClient({ url: server.url, token: 'assay_token', sleep, ...options }) }
}

const network = {
  name: 'test',
  version: '1.0.0',
  coordinator: { nodeId: 'a'.repeat(64), publicKey: { type: 'ed25519', bytes: 'b'.repeat(64) } },
  logOrigin: 'origin',
  nodes: 1,
  jobs: 2,
}
const account = { account: 'submitter:alice', balance: 7 }
const cid = `b${'a'.repeat(58)}`

describe('a client', () => {
  it('has a method for each operation, typed by its route', () => {
    expectTypeOf<Client['showJob']>().parameter(0).toEqualTypeOf<{ readonly params: { id: string } }>()
    expectTypeOf<Client['showJob']>().returns.toEqualTypeOf<Promise<JobView>>()
    expectTypeOf<Client['network']>().toBeCallableWith()
    expectTypeOf<Client['listJobs']>().toBeCallableWith({ query: { limit: 3 } })
    expectTypeOf<Client['appendBlob']>()
      .parameter(0)
      .toExtend<{ query: { offset: number }; body: Uint8Array }>()
    expectTypeOf<Client['readBlob']>().returns.toEqualTypeOf<Promise<Uint8Array>>()
    expectTypeOf<Client['checkpoint']>().returns.toEqualTypeOf<Promise<string>>()
    // @ts-expect-error: the id is missing
    expectTypeOf<Client['showJob']>().toBeCallableWith({})
  })

  it('sends parameters, query, body and credentials, and reads the answer', async () => {
    const { server, client } = await connect(({ path }, answer) =>
      json(answer, path === '/v1/network' ? network : account),
    )
    expect(await client.network()).toEqual(network)
    expect(
      await client.deposit({ body: { account: 'submitter:alice', amount: 3 } }, { idempotencyKey: 'once' }),
    ).toEqual(account)
    expect(server.asked[0]?.headers.authorization).toBeUndefined()
    const { method, path, headers, body } = server.asked[1] as (typeof server.asked)[number]
    expect([method, path]).toEqual(['POST', '/v1/ledger/deposits'])
    expect(headers).toMatchObject({
      authorization: 'Bearer assay_token',
      'idempotency-key': 'once',
      'content-type': 'application/json',
    })
    expect(JSON.parse(body.toString())).toEqual({ account: 'submitter:alice', amount: 3 })
  })

  it('escapes what goes into a path', async () => {
    const { server, client } = await connect((_, answer) =>
      problem(answer, { code: 'wire/not-found', status: 404 }),
    )
    await expect(client.revokeKey({ params: { id: '../../v1/jobs?x=1' } })).rejects.toMatchObject({
      code: 'wire/not-found',
    })
    expect(server.asked[0]?.path).toBe('/v1/keys/..%2F..%2Fv1%2Fjobs%3Fx%3D1')
  })

  it('signs requests of nodes, each try anew', async () => {
    const nodeKey = ed25519KeyPair(new Uint8Array(32).fill(1))
    let drawn = 0
    const at = 1_700_000_000_000
    const { server, client } = await connect(
      (_, answer) => {
        if (server.asked.length === 1) problem(answer, { code: 'wire/unavailable', status: 503 })
        else json(answer, { drain: false, serverTime: '2026-01-01T00:00:00Z' })
      },
      { nodeKey, now: () => at, random: (length) => new Uint8Array(length).fill(++drawn) },
    )
    await client.heartbeat({ body: { running: 0, freeSlots: 1, cacheBytes: 0 } })
    const nonces = new Set<string>()
    for (const { method, path, headers, body } of server.asked) {
      const claim = parseRequestSignature(String(headers[SIGNATURE_HEADER]))
      if (!claim.ok) throw new Error(claim.message)
      nonces.add(claim.value.nonce)
      const verdict = await verifyRequest(
        { method, path, body },
        { claim: claim.value, publicKey: nodeKey.publicKey, now: at },
      )
      expect(verdict.ok).toBe(true)
      expect(headers.authorization).toBeUndefined()
    }
    expect(nonces.size).toBe(2)
  })

  it('says which credentials are missing before it asks', async () => {
    const server = await serve((_, answer) => json(answer, {}))
    servers.push(server)
    const client = createClient({ url: server.url })
    await expect(client.listJobs()).rejects.toMatchObject({ code: 'wire/unauthenticated' })
    await expect(client.lease({ body: { max: 1 } })).rejects.toMatchObject({ code: 'wire/unauthenticated' })
    expect(server.asked).toHaveLength(0)
  })
})

describe('retries', () => {
  it('wait out what passes, with the same idempotency key', async () => {
    const { server, client } = await connect((_, answer) => {
      if (server.asked.length === 1) answer.destroy()
      else if (server.asked.length === 2) answer.writeHead(502).end('<html>bad gateway</html>')
      else if (server.asked.length === 3) {
        answer.writeHead(200, { 'content-length': '100' }).write('{"acc')
        answer.destroy()
      } else json(answer, account)
    })
    const body = { account: 'submitter:alice', amount: 3 }
    expect(await client.deposit({ body })).toEqual(account)
    expect(server.asked).toHaveLength(4)
    expect(new Set(server.asked.map(({ headers }) => headers['idempotency-key'])).size).toBe(1)
  })

  it('end with the error of the last try', async () => {
    const { server, client } = await connect(
      (_, answer) =>
        problem(answer, { code: 'store/unavailable', status: 503, headers: { 'retry-after': '0' } }),
      { maxAttempts: 3 },
    )
    await expect(client.network()).rejects.toMatchObject({
      code: 'store/unavailable',
      detail: { status: 503, retryAfterSeconds: 0 },
    })
    expect(server.asked).toHaveLength(3)
  })

  it('leave alone what is refused, what would happen twice, and what says to come back much later', async () => {
    const { server, client } = await connect((asked, answer) =>
      asked.path === '/v1/keys'
        ? problem(answer, { code: 'wire/unavailable', status: 503 })
        : asked.path === '/v1/jobs'
          ? problem(answer, { code: 'wire/quota', status: 429, data: { retryAfterSeconds: 3600 } })
          : problem(answer, { code: 'wire/forbidden', status: 403 }),
    )
    await expect(client.balance()).rejects.toMatchObject({ code: 'wire/forbidden' })
    await expect(client.makeKey({ body: { account: 'a', scopes: ['jobs:read'] } })).rejects.toMatchObject({
      code: 'wire/unavailable',
    })
    await expect(client.listJobs()).rejects.toMatchObject({
      code: 'wire/quota',
      detail: { retryAfterSeconds: 3600 },
    })
    expect(server.asked).toHaveLength(3)
  })

  it('wait for a quota that time gives back, and for no other', async () => {
    const { server, client } = await connect((_, answer) => {
      const data: { [name: string]: number } = server.asked.length === 1 ? { retryAfterSeconds: 2 } : {}
      problem(answer, { code: 'wire/quota', status: 429, headers: { 'retry-after': '1' }, data })
    })
    await expect(client.listJobs()).rejects.toMatchObject({ code: 'wire/quota' })
    expect(server.asked).toHaveLength(2)
  })

  it('stop when the caller does', async () => {
    const controller = new AbortController()
    const { server, client } = await connect(
      (_, answer) => {
        problem(answer, { code: 'wire/unavailable', status: 503, headers: { 'retry-after': '60' } })
      },
      {
        sleep: async (_, signal) => {
          controller.abort(new Error('enough'))
          signal?.throwIfAborted()
        },
      },
    )
    await expect(client.network({}, { signal: controller.signal })).rejects.toThrow('enough')
    expect(server.asked).toHaveLength(1)
  })
})

describe('hostile answers', () => {
  const refusals: { readonly [name: string]: readonly [Handler, string] } = {
    'of another program': [(_, answer) => void answer.end('<html>hello</html>'), 'wire/answer'],
    'of another shape': [(_, answer) => json(answer, { ...network, nodes: 'many' }), 'wire/answer'],
    'that are not text': [(_, answer) => void answer.end(Buffer.from([0xff, 0xfe])), 'wire/answer'],
    'that lead elsewhere': [
      (_, answer) => void answer.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      'wire/unavailable',
    ],
    'with a problem that is none': [(_, answer) => json(answer, { code: 3 }, 418), 'wire/answer'],
    'with an endless problem': [
      (_, answer) => {
        answer.writeHead(400)
        const more = () => {
          while (answer.write(Buffer.alloc(65_536, 32)));
          answer.once('drain', more)
        }
        more()
      },
      'wire/too-large',
    ],
    'that never come': [() => undefined, 'wire/unavailable'],
    'that stop half way': [
      (_, answer) => void answer.writeHead(200, { 'content-length': '1000' }).write('{'),
      'wire/unavailable',
    ],
  }
  for (const [name, [handler, code]] of Object.entries(refusals)) {
    it(`are refused: ${name}`, async () => {
      const { client } = await connect(handler, { maxAttempts: 1, timeoutMs: 200 })
      await expect(client.network()).rejects.toMatchObject({ code })
    })
  }

  it('are cut at their cap', async () => {
    const { client } = await connect((_, answer) => void answer.end(Buffer.alloc(1000)))
    await expect(client.readBlob({ params: { cid } }, { maxBytes: 999 })).rejects.toMatchObject({
      code: 'wire/too-large',
    })
    expect(await client.readBlob({ params: { cid } }, { maxBytes: 1000 })).toEqual(new Uint8Array(1000))
  })

  it('and addresses that are none', () => {
    for (const url of ['', 'coordinator', 'file:///etc/passwd', 'http://host/?x=', 'http://a b/']) {
      expect(() => createClient({ url })).toThrow(expect.objectContaining({ code: 'wire/malformed' }))
    }
  })
})
