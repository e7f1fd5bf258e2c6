/**
 * The HTTP side of a service: Hono on Node's server, with every limit that a server on the open network needs.
 *
 * Threat: any peer at all. Headers and bodies must arrive in their time (slow loris), bodies say their length
 * beforehand and have a cap, compressed bodies are refused before they are read (zip bombs), the bytes of bodies
 * in memory and the number of connections are bounded, idle sockets end. Errors leave as RFC 9457 problems
 * (problem.ts). TLS, and limits for each address, belong to the proxy in front.
 */
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { AssayError } from 'assay/core/errors'
import { Hono } from 'hono'
import { routePath } from 'hono/route'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { ApiContext, ApiEnv } from './api-context.ts'
import { bodyLedger } from './body.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { PROBLEM_TYPE, type ProblemOptions, problemOf } from './problem.ts'

/** Headers of a client that is not stalling are there at once. */
const HEADERS_TIMEOUT_MS = 10_000
/** A whole request: the largest body at the slowest rate that `readBody` waits for. */
const REQUEST_TIMEOUT_MS = 300_000
/** How often the two above are looked at. */
const CHECK_INTERVAL_MS = 2000
/** Without a byte in either direction. Long polls and event streams send something more often. */
const IDLE_TIMEOUT_MS = 75_000
/** Longer than the pause between two requests of a busy node. */
const KEEP_ALIVE_TIMEOUT_MS = 20_000
const MAX_HEADER_BYTES = 16_384
/** Each costs some 20 KB, and a file descriptor. */
const MAX_CONNECTIONS = 16_384
/** Bodies being read and worked on, in all. */
const MAX_BODY_BYTES_IN_FLIGHT = 2 ** 28
/** A request id that a proxy set is kept if it is one. */
const REQUEST_ID = /^[A-Za-z0-9_-]{8,64}$/

export interface ApiOptions extends ProblemOptions {
  readonly log: Log
  /** Largest body of any route; single routes ask `readBody` for less. */
  readonly maxBodyBytes: number
  readonly maxBodyBytesInFlight?: number
  /** What every body may take, besides a second for each 64 KiB; 10 s unless told. */
  readonly bodyGraceMs?: number
  /** Counts and durations of requests by method, route and status. */
  readonly metrics?: Metrics
}

export interface Api {
  readonly app: Hono<ApiEnv>
  /** The body, within both caps. @throws AssayError `wire/too-large`, `wire/unavailable`, `http/slow`. */
  readBody(c: ApiContext, maxBytes: number): Promise<Uint8Array>
  /** The body as JSON. @throws AssayError what `readBody` throws, `http/media-type`, `wire/malformed`. */
  readJson(c: ApiContext, maxBytes: number): Promise<unknown>
  /** Aborts when the server begins to close: for event streams and long polls. */
  readonly draining: AbortSignal
  drain(): void
}

/** An application with the checks of every request; its routes are added by the service. */
export function createApi(options: ApiOptions): Api {
  const { log, maxBodyBytes, maxBodyBytesInFlight = MAX_BODY_BYTES_IN_FLIGHT, metrics } = options
  const app = new Hono<ApiEnv>()
  const draining = new AbortController()
  const bodies = bodyLedger(maxBodyBytesInFlight, options.bodyGraceMs)
  const seconds = metrics?.seconds({
    name: 'http_request_seconds',
    help: 'From the headers of a request to the headers of its answer.',
    labels: ['method', 'route', 'status'],
  })

  const answer = (c: ApiContext, error: unknown): Response => {
    const requestId = c.get('requestId')
    const { status, body, headers } = problemOf(error, { requestId, options })
    if (status >= 500) c.get('log').error('request failed', { method: c.req.method, path: c.req.path, error })
    const all = { ...headers, 'content-type': PROBLEM_TYPE }
    // What is left of a body that was not read is not worth its transfer.
    if (status === 413 || status === 408 || status === 411 || status === 415) {
      Object.assign(all, { connection: 'close' })
    }
    return c.body(JSON.stringify(body), status as ContentfulStatusCode, all)
  }

  app.use(async (c, next) => {
    const started = performance.now()
    const given = c.req.header('x-request-id')
    const requestId = given !== undefined && REQUEST_ID.test(given) ? given : randomUUID()
    c.set('requestId', requestId)
    c.set('log', log.child({ requestId }))
    // On Node's own response: to touch the headers of Hono's answer would triple the time that it takes (measured).
    const { outgoing } = c.env
    outgoing.setHeader('x-request-id', requestId)
    outgoing.setHeader('x-content-type-options', 'nosniff')
    const refusal = refuseHead(c, maxBodyBytes)
    try {
      if (refusal === undefined) await next()
      else c.res = answer(c, refusal)
    } finally {
      bodies.release(c.get('reservedBytes') ?? 0)
    }
    if (draining.signal.aborted) outgoing.setHeader('connection', 'close')
    const ms = performance.now() - started
    const { status } = c.res
    const route = status === 404 ? 'none' : routePath(c, -1)
    seconds?.observe(ms / 1000, { method: c.req.method, route, status: String(status) })
    const level = status >= 400 && status < 500 ? 'info' : 'debug'
    if (log.has(level)) {
      const fields = { method: c.req.method, path: c.req.path, status, ms: Math.round(ms * 10) / 10 }
      c.get('log')[level]('request', fields)
    }
  })
  app.onError((error, c) => answer(c, error))
  app.notFound((c) =>
    answer(c, new AssayError('wire/not-found', `there is no ${c.req.method} ${c.req.path.slice(0, 200)}`)),
  )
  return {
    app,
    readBody: (c, maxBytes) => bodies.read(c, maxBytes),
    readJson: (c, maxBytes) => bodies.readJson(c, maxBytes),
    draining: draining.signal,
    drain: () => draining.abort(),
  }
}

/** What can be refused before anything of the body is read. */
function refuseHead(c: ApiContext, maxBodyBytes: number): AssayError | undefined {
  const encoding = c.req.header('content-encoding')
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return new AssayError(
      'http/encoding',
      `expected a body without Content-Encoding, got ${encoding.slice(0, 40)}`,
    )
  }
  if (c.req.header('transfer-encoding') !== undefined) {
    return new AssayError(
      'http/length-required',
      'expected a Content-Length, got a body in chunks of unknown sum',
    )
  }
  const length = Number(c.req.header('content-length') ?? 0)
  if (!(length <= maxBodyBytes)) {
    return new AssayError(
      'wire/too-large',
      `expected a body of at most ${maxBodyBytes} bytes, got ${length}`,
      {
        detail: { maxBytes: maxBodyBytes, bytes: length },
      },
    )
  }
  return undefined
}

export interface ListenOptions {
  readonly log: Log
  /** 127.0.0.1 unless told: whoever opens it to the network does so knowingly. */
  readonly host?: string
  /** 0, unless told, for any that is free. */
  readonly port?: number
  readonly maxConnections?: number
  readonly headersTimeoutMs?: number
  readonly idleTimeoutMs?: number
}

export interface HttpServer {
  /** `http://127.0.0.1:40123`, without a slash at its end. */
  readonly url: string
  readonly port: number
  /** Takes no new request, lets those under way end, or cuts them off when `now` aborts. */
  close(now?: AbortSignal): Promise<void>
}

/** Serves an api. @throws AssayError `http/listen`. */
export async function listen(api: Api, options: ListenOptions): Promise<HttpServer> {
  const { log, host = '127.0.0.1', port = 0, maxConnections = MAX_CONNECTIONS } = options
  const server = createAdaptorServer({
    fetch: api.app.fetch,
    serverOptions: {
      headersTimeout: options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: Math.min(CHECK_INTERVAL_MS, options.headersTimeoutMs ?? CHECK_INTERVAL_MS),
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
    },
  }) as Server
  server.maxConnections = maxConnections
  server.timeout = options.idleTimeoutMs ?? IDLE_TIMEOUT_MS
  let dropped = 0
  server.on('drop', () => {
    dropped += 1
    // One line for each power of two: a flood must not flood the log.
    if (Number.isInteger(Math.log2(dropped)))
      log.warn('connections dropped, too many', { dropped, maxConnections })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `cannot listen on ${host}:${port}: ${cause.message}`
      reject(new AssayError('http/listen', message, { detail: { host, port }, cause }))
    })
    server.listen(port, host, resolve)
  })
  server.on('error', (error) => log.error('the server failed', { error }))
  const connections = new Set<Socket>()
  server.on('connection', (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  const address = server.address() as AddressInfo
  const url = `http://${hostOf(address)}:${address.port}`
  log.info('listening', { url })
  return { url, port: address.port, close: (now) => closeServer({ server, connections, api, now }) }
}

function closeServer({
  server,
  connections,
  api,
  now,
}: {
  readonly server: Server
  readonly connections: ReadonlySet<Socket>
  readonly api: Api
  readonly now: AbortSignal | undefined
}): Promise<void> {
  api.drain()
  return new Promise((resolve) => {
    const cut = () => server.closeAllConnections()
    server.close(() => {
      now?.removeEventListener('abort', cut)
      resolve()
    })
    // The server counts those as busy that never said anything, and would wait for their headers.
    for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
    if (now?.aborted) cut()
    else now?.addEventListener('abort', cut, { once: true })
  })
}

/** Where this machine reaches itself: nobody connects to "any address". */
function hostOf({ address, family }: AddressInfo): string {
  if (address === '0.0.0.0' || address === '::') return '127.0.0.1'
  return family === 'IPv6' ? `[${address}]` : address
}
