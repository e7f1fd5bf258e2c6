import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { AssayError } from 'assay/core/errors'
import { problem } from 'assay/wire/api'
import { afterEach, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { type Api, type ApiOptions, createApi, type HttpServer, type ListenOptions, listen } from './http.ts'
import { createLog, SILENT_LOG } from './log.ts'
import { createMetrics } from './metrics.ts'

const MAX_BODY = 1000

const servers: HttpServer[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await Promise.all(servers.splice(0).map((server) => server.close(AbortSignal.abort())))
})

interface Given extends Partial<ApiOptions> {
  readonly mount?: (api: Api) => void
  readonly listening?: Partial<ListenOptions>
}

async function serve({ mount, listening, ...options }: Given = {}) {
  const api = createApi({ log: SILENT_LOG, maxBodyBytes: MAX_BODY, ...options })
  api.app.get('/hello/:name', (c) => c.json({ hello: c.req.param('name') }))
  api.app.post('/json', async (c) => c.json({ got: await api.readJson(c, 100) }))
  api.app.post('/bytes', async (c) => c.text(String((await api.readBody(c, MAX_BODY)).length)))
  mount?.(api)
  const server = await listen(api, { log: SILENT_LOG, ...listening })
  servers.push(server)
  return { api, server, url: server.url }
}

async function problemFrom(response: Response) {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  return z.parse(problem, await response.json())
}

/** A connection that says what it is told to, and all that it heard until its end. */
function rawSocket(port: number) {
  const socket = connect(port, '127.0.0.1')
  sockets.push(socket)
  let heard = ''
  socket.setEncoding('latin1').on('data', (text) => {
    heard += text
  })
  socket.on('error', () => undefined)
  const closed = once(socket, 'close')
  return { socket, closed, heard: () => heard }
}

const post = (url: string, body: string | Uint8Array, headers: { [name: string]: string } = {}) =>
  fetch(url, { method: 'POST', body: body as BodyInit, headers })
const JSON_TYPE = { 'content-type': 'application/json' }

describe('answers', () => {
  it('carry a request id: that of a proxy, or a new one', async () => {
    const { url } = await serve()
    const first = await fetch(`${url}/hello/you`)
    expect(await first.json()).toEqual({ hello: 'you' })
    expect(first.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    const id = async (given: string) =>
      (await fetch(`${url}/hello/you`, { headers: { 'x-request-id': given } })).headers.get('x-request-id')
    expect(await id('proxy-1234')).toBe('proxy-1234')
    expect(await id('no id {}')).not.toBe('no id {}')
  })

  it('tell in full what a peer did wrong', async () => {
    const { url } = await serve({
      errors: { 'job/odd': { meaning: 'Odd.', remedy: 'Make it even.' } },
      statuses: { 'job/odd': 422 },
      mount: ({ app }) =>
        app.get('/odd', () => {
          throw new AssayError('job/odd' as 'wire/conflict', 'expected an even job', { detail: { id: 3 } })
        }),
    })
    const response = await fetch(`${url}/odd`, { headers: { 'x-request-id': 'proxy-1234' } })
    expect(response.status).toBe(422)
    expect(await problemFrom(response)).toEqual({
      type: 'urn:assay:error:job/odd',
      title: 'Cannot be processed',
      status: 422,
      detail: 'expected an even job',
      instance: 'urn:assay:request:proxy-1234',
      code: 'job/odd',
      remedy: 'Make it even.',
      data: { id: 3 },
    })
    const missing = await problemFrom(await fetch(`${url}/nowhere`))
    expect([missing.code, missing.status]).toEqual(['wire/not-found', 404])
  })

  it('tell nothing of what is wrong inside, but log it under the request id', async () => {
    const lines: string[] = []
    const { url } = await serve({
      log: createLog({ pretty: false, write: (line) => lines.push(line) }),
      mount: ({ app }) => {
        app.get('/defect', () => {
          throw new TypeError('row 17 of table accounts')
        })
        app.get('/away', () => {
          throw new AssayError('store/unavailable' as 'wire/unavailable', 'connect ECONNREFUSED 10.0.0.7')
        })
      },
    })
    const defect = await fetch(`${url}/defect`)
    expect(defect.status).toBe(500)
    const text = await defect.text()
    expect(text).not.toMatch(/accounts/)
    expect(lines.join('')).toContain('row 17 of table accounts')
    expect(lines.join('')).toContain(defect.headers.get('x-request-id') as string)
    const away = await fetch(`${url}/away`)
    expect([away.status, away.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await away.text()).not.toMatch(/10\.0\.0\.7/)
  })

  it('are counted by route, never by address', async () => {
    const metrics = createMetrics()
    const { url } = await serve({ metrics })
    for (const path of ['/hello/a', '/hello/b', '/x1', '/x2']) await fetch(`${url}${path}`)
    const text = await metrics.render()
    expect(text).toContain(
      'assay_http_request_seconds_count{method="GET",route="/hello/:name",status="200"} 2',
    )
    expect(text).toContain('assay_http_request_seconds_count{method="GET",route="none",status="404"} 2')
  })
})

describe('bodies', () => {
  it('are read within the cap of the service and of the route', async () => {
    const { url } = await serve()
    expect(await (await post(`${url}/json`, '{"a":1}', JSON_TYPE)).json()).toEqual({ got: { a: 1 } })
    expect(await (await post(`${url}/bytes`, new Uint8Array(MAX_BODY))).text()).toBe('1000')
    for (const [path, length] of [
      ['/json', 101],
      ['/bytes', MAX_BODY + 1],
      ['/bytes', 1e6],
    ] as const) {
      const response = await post(`${url}${path}`, new Uint8Array(length), JSON_TYPE)
      expect([response.status, (await problemFrom(response)).code]).toEqual([413, 'wire/too-large'])
    }
  })

  it('that do not say their length are refused', async () => {
    const { url } = await serve()
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new Uint8Array(10))
        controller.close()
      },
    })
    const response = await fetch(`${url}/bytes`, { method: 'POST', body, duplex: 'half' } as RequestInit)
    expect([response.status, (await problemFrom(response)).code]).toEqual([411, 'http/length-required'])
  })

  it('that are compressed are refused', async () => {
    const { url } = await serve()
    const bomb = gzipSync(Buffer.alloc(1e6))
    for (const encoding of ['gzip', 'br', 'deflate', 'identity, gzip']) {
      const response = await post(`${url}/json`, bomb.subarray(0, 500), {
        ...JSON_TYPE,
        'content-encoding': encoding,
      })
      expect([response.status, (await problemFrom(response)).code]).toEqual([415, 'http/encoding'])
    }
    expect((await post(`${url}/json`, '1', { ...JSON_TYPE, 'content-encoding': 'identity' })).status).toBe(
      200,
    )
  })

  it('that are no JSON are refused', async () => {
    const { url } = await serve()
    for (const body of ['', '{', '{"a":1}x', new Uint8Array([0x22, 0xff, 0x22]), '\ufeff{}']) {
      const response = await post(`${url}/json`, body, JSON_TYPE)
      expect([response.status, (await problemFrom(response)).code]).toEqual([400, 'wire/malformed'])
    }
    const deep = await post(`${url}/json`, '['.repeat(100), JSON_TYPE)
    expect(deep.status).toBe(400)
    const plain = await post(`${url}/json`, '{}', { 'content-type': 'text/plain' })
    expect([plain.status, (await problemFrom(plain)).code]).toEqual([415, 'http/media-type'])
  })

  it('in memory are bounded in all, and given back', async () => {
    let open: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    let holding: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      holding = resolve
    })
    const { url } = await serve({
      maxBodyBytesInFlight: 1500,
      mount: (api) =>
        api.app.post('/hold', async (c) => {
          await api.readBody(c, MAX_BODY)
          holding()
          await gate
          return c.text('held')
        }),
    })
    const first = post(`${url}/hold`, new Uint8Array(1000))
    await held
    const second = await post(`${url}/bytes`, new Uint8Array(1000))
    expect([second.status, (await problemFrom(second)).code]).toEqual([503, 'wire/unavailable'])
    open()
    expect(await (await first).text()).toBe('held')
    for (let i = 0; i < 3; i++) expect((await post(`${url}/bytes`, new Uint8Array(1000))).status).toBe(200)
  })

  it('that do not come in their time are given up', async () => {
    const { server } = await serve({ bodyGraceMs: 20 })
    const { socket, closed, heard } = rawSocket(server.port)
    socket.write('POST /bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nabc')
    await closed
    expect(heard()).toMatch(/^HTTP\/1\.1 408[\s\S]*http\/slow/)
  })

  it('that break off do no harm', async () => {
    const { server, url } = await serve()
    const { socket, closed } = rawSocket(server.port)
    socket.write('POST /bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nabc')
    socket.end()
    await closed
    expect((await fetch(`${url}/hello/still`)).status).toBe(200)
  })
})

describe('connections', () => {
  it('that do not send their headers are ended', async () => {
    const { server } = await serve({ listening: { headersTimeoutMs: 50 } })
    const { socket, closed, heard } = rawSocket(server.port)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ')
    await closed
    expect(heard()).toMatch(/^HTTP\/1\.1 408/)
  })

  it('that say nothing are ended', async () => {
    const { server } = await serve({ listening: { idleTimeoutMs: 50 } })
    await rawSocket(server.port).closed
  })

  it('with too many headers, or with two lengths, are refused', async () => {
    const { server } = await serve()
    for (const [head, status] of [
      [`X-Long: ${'a'.repeat(20_000)}`, 431],
      ['Content-Length: 3\r\nTransfer-Encoding: chunked', 400],
      ['Content-Length: 3\r\nContent-Length: 4', 400],
      ['Content-Length: -3', 400],
    ] as const) {
      const { socket, closed, heard } = rawSocket(server.port)
      socket.write(`POST /bytes HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`)
      await closed
      expect(heard()).toMatch(new RegExp(`^HTTP/1\\.1 ${status}`))
    }
  })

  it('beyond the limit are dropped, those within it served', async () => {
    const { server } = await serve({ listening: { maxConnections: 1 } })
    const first = rawSocket(server.port)
    first.socket.write('GET /hello/a HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(first.socket, 'data')
    const second = rawSocket(server.port)
    second.socket.write('GET /hello/b HTTP/1.1\r\nHost: x\r\n\r\n')
    await second.closed
    expect([first.heard().slice(0, 12), second.heard()]).toEqual(['HTTP/1.1 200', ''])
  })
})

describe('closing', () => {
  it('lets what is under way end, and takes nothing new', async () => {
    let arrived: () => void = () => undefined
    const underWay = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const { server, url } = await serve({
      mount: ({ app, draining }) =>
        app.get('/poll', async (c) => {
          arrived()
          await new Promise((resolve) => draining.addEventListener('abort', resolve))
          return c.text('drained')
        }),
    })
    const answer = fetch(`${url}/poll`)
    await underWay
    await server.close()
    const response = await answer
    expect([await response.text(), response.headers.get('connection')]).toEqual(['drained', 'close'])
    await expect(fetch(`${url}/hello/a`)).rejects.toThrow()
  })

  it('does not wait for connections that never said anything', async () => {
    const { server } = await serve({ listening: { headersTimeoutMs: 300_000, idleTimeoutMs: 300_000 } })
    const { socket, closed } = rawSocket(server.port)
    await once(socket, 'connect')
    // The server knows of it by the time that it has answered somebody who came later.
    await (await fetch(`${server.url}/hello/you`)).text()
    await server.close()
    await closed
  })

  it('cuts off when told to stop now', async () => {
    let arrived: () => void = () => undefined
    const underWay = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const { server, url } = await serve({
      mount: ({ app }) =>
        app.get('/never', () => {
          arrived()
          return new Promise<Response>(() => undefined)
        }),
    })
    const answer = fetch(`${url}/never`).catch((error: unknown) => error)
    await underWay
    const now = new AbortController()
    const closed = server.close(now.signal)
    now.abort()
    await closed
    expect(await answer).toBeInstanceOf(Error)
  })
})

describe('listening', () => {
  it('where somebody else does is a typed error', async () => {
    const { server } = await serve()
    const api = createApi({ log: SILENT_LOG, maxBodyBytes: 1 })
    const again = listen(api, { log: SILENT_LOG, port: server.port })
    await expect(again).rejects.toMatchObject({ code: 'http/listen', detail: { port: server.port } })
  })
})
