/**
 * The coordinator over HTTP: every route of the protocol (wire/api.ts), from bytes to a handler and back.
 *
 * In this order: who asks, as far as the head tells; the body, within the cap of its route; the signature, where there
 * is one; parameters, query and body by their schemas; the handler. Nothing of a request is believed before.
 *
 * Threat: any peer at all. What holds for every request (sizes, times, encodings) is in service/http.ts.
 */
import { setMaxListeners } from 'node:events'
import { CORE_ERRORS } from 'assay/core/errors'
import { type Operation, ROUTES, type Route } from 'assay/wire/api'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { ApiContext } from '../../service/api-context.ts'
import { type Api, createApi } from '../../service/http.ts'
import { STORE_ERRORS } from '../../store/errors.ts'
import { COORDINATOR_ERRORS } from '../errors.ts'
import { LIFE_ERRORS } from '../life/errors.ts'
import { type Caller, readCredentials } from './auth.ts'
import type { ByteRange, BytesAnswer, CoordinatorDeps } from './deps.ts'
import { createEventStreams, type EventStreams, lastEventId } from './event-stream.ts'
import type { Call, EventsAnswer, Handler, JsonText } from './handler.ts'
import { createHandlers } from './handlers.ts'
import { LARGEST_BODY_BYTES, maxBodyBytes } from './limits.ts'
import { addOperations } from './operations.ts'
import { parseBody, parseParts } from './request.ts'

/** Of codes and areas of the coordinator, beside those of service/problem.ts. */
const STATUSES = {
  'ledger/insufficient': 402,
  'job/content': 409,
  ledger: 400,
  job: 422,
  canary: 409,
  result: 422,
  task: 422,
  sampling: 422,
  statistics: 422,
}
const RANGE = /^bytes=(\d{1,15})-(\d{1,15})?$|^bytes=-(\d{1,15})$/

type AnyHandler = Handler<Operation>

/** An application that serves the whole protocol, and what operators look at. */
export function createApp(deps: CoordinatorDeps): Api {
  const { log, metrics } = deps
  const errors = { ...CORE_ERRORS, ...STORE_ERRORS, ...COORDINATOR_ERRORS, ...LIFE_ERRORS }
  const api = createApi({ log, metrics, maxBodyBytes: LARGEST_BODY_BYTES, errors, statuses: STATUSES })
  // Every request that waits listens to it.
  setMaxListeners(0, api.draining)
  const streams = createEventStreams({ maxStreams: deps.maxStreams })
  metrics.gauge({
    name: 'event_streams',
    help: 'Streams of events that are open.',
    read: () => streams.count,
  })
  const handlers = createHandlers(deps)
  addOperations(api, deps)
  for (const [name, route] of Object.entries(ROUTES) as [Operation, Route][]) {
    const handler = handlers[name] as unknown as AnyHandler
    api.app.on(route.method, route.path.replace(/\{(\w+)\}/g, ':$1'), (c) =>
      serve(c, { name, route, handler, deps, api, streams }),
    )
  }
  return api
}

interface Served {
  readonly name: Operation
  readonly route: Route
  readonly handler: AnyHandler
  readonly deps: CoordinatorDeps
  readonly api: Api
  readonly streams: EventStreams
}

async function serve(c: ApiContext, served: Served): Promise<Response> {
  const { name, route, handler, deps, api, streams } = served
  const credentials = await readCredentials(route, c, deps)
  // A request that has no body is read too: what its signature covers is what came.
  const bytes = await api.readBody(c, route.body === undefined ? 0 : maxBodyBytes(name))
  const parse = once(() => parseBody(route, c, bytes))
  const caller = callerOf(await credentials.finish(bytes, parse))
  const ending = endingOf(c, api.draining)
  let isStreaming = false
  try {
    const call = {
      ...parseParts(route, c),
      body: parse(),
      caller,
      bytes,
      idempotencyKey: route.idempotent === true ? c.req.header('idempotency-key') : undefined,
      lastEventId: route.response === 'events' ? lastEventId(c.req.header('last-event-id')) : undefined,
      range: route.takesRange === true ? rangeOf(c.req.header('range')) : undefined,
      get signal() {
        return ending.signal()
      },
    }
    const answer: unknown = await handler(call as unknown as Call<Operation>)
    if (route.response !== 'events') return respond(c, route, answer)
    isStreaming = true
    return streamEvents(c, { answer: answer as EventsAnswer, streams, ending })
  } finally {
    if (!isStreaming) ending.dispose()
  }
}

function callerOf(caller: Caller): unknown {
  switch (caller.kind) {
    case 'public':
      return undefined
    case 'account':
      return caller.principal
    case 'node':
      return caller.node
    case 'candidate':
      return caller.manifest
  }
}

function respond(c: ApiContext, route: Route, answer: unknown): Response {
  c.header('cache-control', 'no-store')
  const status = (route.status ?? 200) as ContentfulStatusCode
  if (route.response === 'bytes') return sendBytes(c, answer as BytesAnswer)
  if (route.response === 'text') {
    return c.body(answer as string, status, { 'content-type': 'text/plain; charset=utf-8' })
  }
  const json = isJsonText(answer) ? answer.json : JSON.stringify(answer)
  return c.body(json, status, { 'content-type': 'application/json' })
}

function isJsonText(answer: unknown): answer is JsonText {
  return typeof (answer as Partial<JsonText>).json === 'string'
}

function sendBytes(c: ApiContext, { bytes, sizeBytes, part }: BytesAnswer): Response {
  const headers: { [name: string]: string } = {
    'content-type': 'application/octet-stream',
    ...(sizeBytes === undefined ? {} : { 'content-length': String(sizeBytes) }),
    // Bytes of strangers: nothing that a browser should open.
    'content-disposition': 'attachment',
    'accept-ranges': 'bytes',
  }
  if (part !== undefined && sizeBytes !== undefined) {
    headers['content-range'] = `bytes ${part.from}-${part.from + sizeBytes - 1}/${part.wholeBytes}`
  }
  return c.body(streamOf(bytes), part === undefined ? 200 : 206, headers)
}

/** Taken from as it is read; closed when the reader goes away. */
function streamOf(bytes: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next()
        if (done === true) controller.close()
        else controller.enqueue(value)
      },
      async cancel() {
        await iterator.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

function streamEvents(
  c: ApiContext,
  {
    answer,
    streams,
    ending,
  }: { readonly answer: EventsAnswer; readonly streams: EventStreams; readonly ending: Ending },
): Response {
  const stop = new AbortController()
  const signal = ending.signal()
  const onEnd = () => stop.abort()
  if (signal.aborted) onEnd()
  else signal.addEventListener('abort', onEnd, { once: true })
  stop.signal.addEventListener('abort', () => ending.dispose(), { once: true })
  try {
    const body = streams.open(answer.open(stop.signal), {
      account: answer.account,
      stop,
    })
    // Proxies that buffer would hold events back.
    return c.body(body, 200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
  } catch (error) {
    stop.abort()
    throw error
  }
}

interface Ending {
  /** Made when somebody asks for it: most requests are answered before anybody could go away. */
  readonly signal: () => AbortSignal
  readonly dispose: () => void
}

/** Aborts when the client is gone, or when the service begins to stop. */
function endingOf(c: ApiContext, draining: AbortSignal): Ending {
  let controller: AbortController | undefined
  const abort = () => controller?.abort()
  return {
    signal: () => {
      if (controller === undefined) {
        controller = new AbortController()
        const gone = c.req.raw.signal
        if (gone.aborted || draining.aborted) controller.abort()
        gone.addEventListener('abort', abort, { once: true })
        draining.addEventListener('abort', abort, { once: true })
      }
      return controller.signal
    },
    dispose: () => {
      if (controller === undefined) return
      c.req.raw.signal.removeEventListener('abort', abort)
      draining.removeEventListener('abort', abort)
    },
  }
}

/** One range of bytes; what is none is passed over, as RFC 9110 wants it. */
function rangeOf(header: string | undefined): ByteRange | undefined {
  const match = header === undefined ? null : RANGE.exec(header.trim())
  if (match === null) return undefined
  const [, from, to, suffix] = match
  if (suffix !== undefined) return { suffix: Number(suffix) }
  if (to === undefined) return { from: Number(from) }
  return Number(to) < Number(from) ? undefined : { from: Number(from), to: Number(to) }
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
