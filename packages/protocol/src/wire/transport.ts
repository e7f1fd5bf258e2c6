/**
 * One request of the protocol and its answer: address, credentials, time limits, retries, errors.
 *
 * A request is tried again, with growing pauses, when no answer came or the service said "later"; but for those that
 * do something else the second time. Each try is signed anew.
 *
 * Threat: whoever answers may be slow, endless or another program. Time limits hold for the head and for each piece of
 * the body; readers cap what they keep; redirects are refused, since credentials go with the request.
 */
import { toHex, utf8 } from '../core/bytes.ts'
import { AssayError, type Json } from '../core/errors.ts'
import { type KeyPair, sign } from '../core/keys.ts'
import { type Operation, ROUTES, type Route } from './api.ts'
import { type Deadline, sleepUnlessAborted, startDeadline } from './deadline.ts'
import { fromProblem, isTransient } from './problem.ts'
import { SIGNATURE_HEADER, signRequest } from './request-signature.ts'

/** Longer than the longest wait for work (`MAX_WAIT_MS`). */
export const DEFAULT_TIMEOUT_MS = 30_000
export const DEFAULT_ATTEMPTS = 5
/** What a body may take to be sent, beyond the time limit: 64 KiB a second. */
const SLOWEST_BYTES_PER_MS = 64
const FIRST_PAUSE_MS = 200
const MAX_PAUSE_MS = 5_000
/** A longer `Retry-After` is left to the caller. */
const LONGEST_RETRY_AFTER_MS = 60_000
const MAX_PROBLEM_BYTES = 65_536
const NONCE_BYTES = 16

/** Would do something else the second time: make another key, take other work. */
const ONCE: ReadonlySet<Operation> = new Set(['makeKey', 'lease', 'leaseVerifications'])

export interface TransportOptions {
  /** Of the coordinator: `https://host`, or with a path in front of the protocol's. */
  readonly url: string
  /** API key, for submitters and operators. */
  readonly token?: string
  /** Key of a node, which signs requests that need it. */
  readonly nodeKey?: KeyPair
  /** `sign` of core/keys.ts, or a faster one that gives the same. */
  readonly signer?: typeof sign
  /** `globalThis.fetch` unless told. */
  readonly fetch?: typeof globalThis.fetch
  /** Unix milliseconds; `Date.now` unless told. */
  readonly now?: () => number
  /** That many random bytes, for nonces and idempotency keys; from WebCrypto unless told. */
  readonly random?: (length: number) => Uint8Array
  /** Between tries; rejects with the signal's reason when that aborts. */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>
  /** For the head of an answer, and then for each piece of it. */
  readonly timeoutMs?: number
  /** Tries in all. */
  readonly maxAttempts?: number
}

export interface CallOptions {
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
  readonly maxAttempts?: number
  /** For operations that take one; random unless told. */
  readonly idempotencyKey?: string
  /** Bytes of an answer that are kept at most. */
  readonly maxBytes?: number
  /** First byte of a blob that is wanted. */
  readonly fromByte?: number
  /** Last event that is known. */
  readonly lastEventId?: string
}

/** What an operation is given, checked by the types of client.ts. */
export interface CallInput {
  readonly params?: { readonly [name: string]: unknown }
  readonly query?: { readonly [name: string]: unknown }
  readonly body?: unknown
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** Once; ends the request when it is left early. */
  readonly body: AsyncGenerator<Uint8Array, void, undefined>
}

export interface Transport {
  /** Calls until there is a good answer that `read` could read, or no hope. Throws `AssayError`, or the signal's reason. */
  call<T>(
    operation: Operation,
    input: CallInput,
    options: CallOptions & { readonly read: (answer: Answer) => Promise<T> },
  ): Promise<T>
  readonly random: (length: number) => Uint8Array
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
}

export function createTransport(options: TransportOptions): Transport {
  const base = baseUrl(options.url)
  const random = options.random ?? ((length) => globalThis.crypto.getRandomValues(new Uint8Array(length)))
  const sleep = options.sleep ?? sleepUnlessAborted
  const call: Transport['call'] = async (operation, input, { read, ...given }) => {
    const route: Route = ROUTES[operation]
    const attempts = ONCE.has(operation) ? 1 : (given.maxAttempts ?? options.maxAttempts ?? DEFAULT_ATTEMPTS)
    const request = prepare(route, input, { ...given, random })
    for (let attempt = 1; ; attempt++) {
      given.signal?.throwIfAborted()
      try {
        return await once(request, { ...options, base, random, route, given, read })
      } catch (error) {
        given.signal?.throwIfAborted()
        const pauseMs = pauseAfter(error, { attempt, random })
        if (attempt >= attempts || pauseMs === undefined) throw error
        await sleep(pauseMs, given.signal)
      }
    }
  }
  return { call, random, sleep }
}

interface Prepared {
  readonly path: string
  readonly body: Uint8Array | undefined
  readonly headers: { readonly [name: string]: string }
}

/** What is the same in every try. */
function prepare(
  route: Route,
  { params = {}, query = {}, body }: CallInput,
  { random, ...options }: CallOptions & Pick<Transport, 'random'>,
): Prepared {
  const named = route.path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(String(params[name])),
  )
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) search.set(name, String(value))
  }
  const isRaw = route.body === 'bytes'
  const bytes = body === undefined ? undefined : isRaw ? (body as Uint8Array) : utf8(JSON.stringify(body))
  const headers: { [name: string]: string } = {}
  if (bytes !== undefined) headers['content-type'] = isRaw ? 'application/octet-stream' : 'application/json'
  if (route.idempotent === true) {
    headers['idempotency-key'] = options.idempotencyKey ?? toHex(random(NONCE_BYTES))
  }
  if (options.fromByte !== undefined && options.fromByte > 0) headers.range = `bytes=${options.fromByte}-`
  if (options.lastEventId !== undefined) headers['last-event-id'] = options.lastEventId
  return { path: search.size === 0 ? named : `${named}?${search}`, body: bytes, headers }
}

interface Once<T> extends TransportOptions {
  readonly base: string
  readonly random: Transport['random']
  readonly route: Route
  readonly given: CallOptions
  readonly read: (answer: Answer) => Promise<T>
}

async function once<T>(request: Prepared, options: Once<T>): Promise<T> {
  const { route, given, base, fetch = globalThis.fetch } = options
  const place = `${route.method} ${base}${route.path}`
  const timeoutMs = given.timeoutMs ?? options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  const deadline = startDeadline(`answer to ${place}`, given.signal)
  deadline.set(timeoutMs + (request.body?.length ?? 0) / SLOWEST_BYTES_PER_MS)
  let isKept = false
  try {
    const response = await fetch(base + request.path, {
      method: route.method,
      headers: { ...request.headers, ...(await credentials(request, options)) },
      // The type knows no bytes of shared memory, which are sent all the same.
      body: (request.body as Uint8Array<ArrayBuffer> | undefined) ?? null,
      redirect: 'error',
      signal: deadline.signal,
    })
    const body = pieces(response, { deadline, timeoutMs, place })
    if (!response.ok) throw await problemOf(response, body)
    const answer = { status: response.status, headers: response.headers, body }
    const value = await options.read(answer)
    // An answer that is handed on is read later.
    isKept = (value as unknown) === answer
    return value
  } catch (error) {
    throw asAssayError(error, { deadline, place })
  } finally {
    if (!isKept) deadline.clear()
  }
}

async function credentials(
  { path, body }: Prepared,
  { route, token, nodeKey, signer = sign, now = Date.now, random }: Once<unknown>,
): Promise<{ readonly [name: string]: string }> {
  const { auth, method } = route
  if (auth === 'public') return {}
  if (auth !== 'node' && auth !== 'verifier' && auth !== 'enrolling') {
    if (token === undefined) {
      throw new AssayError('wire/unauthenticated', `${method} ${route.path} needs an API key: pass \`token\``)
    }
    return { authorization: `Bearer ${token}` }
  }
  if (nodeKey === undefined) {
    throw new AssayError('wire/unauthenticated', `${method} ${route.path} is signed: pass \`nodeKey\``)
  }
  const parts = { method, path, body: body ?? new Uint8Array() }
  const nonce = toHex(random(NONCE_BYTES))
  return { [SIGNATURE_HEADER]: await signRequest(parts, { key: nodeKey, at: now(), nonce, signer }) }
}

/** The body piece by piece, each within the time limit. */
async function* pieces(
  response: Response,
  {
    deadline,
    timeoutMs,
    place,
  }: { readonly deadline: Deadline; readonly timeoutMs: number; readonly place: string },
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader()
  // Not left to `fetch`: that of Node 20 forgets its signal when memory is collected while a body is read.
  const aborted = new Promise<never>((_, reject) => {
    deadline.signal.addEventListener('abort', () => reject(deadline.signal.reason), { once: true })
  })
  aborted.catch(() => undefined)
  try {
    while (reader !== undefined) {
      deadline.set(timeoutMs)
      const { done, value } = await Promise.race([reader.read(), aborted])
      if (done) return
      yield value
    }
  } catch (error) {
    throw asAssayError(error, { deadline, place })
  } finally {
    deadline.clear()
    // Not waited for: what is cancelled may never answer.
    void reader?.cancel().catch(() => undefined)
  }
}

async function problemOf(response: Response, body: Answer['body']): Promise<AssayError> {
  const text = new TextDecoder().decode(await readAll(body, MAX_PROBLEM_BYTES))
  let parsed: unknown = text
  try {
    parsed = JSON.parse(text)
  } catch {
    // Not of a coordinator, then: told by its status.
  }
  const error = fromProblem(response.status, parsed)
  // A quota that time alone gives back says so itself; others are told of with the header too.
  const after = error.code === 'wire/quota' ? null : response.headers.get('retry-after')
  const wait: { [name: string]: Json } =
    after !== null && /^[0-9]{1,6}$/.test(after) ? { retryAfterSeconds: Number(after) } : {}
  return new AssayError(error.code, error.message, { detail: { ...wait, ...error.detail } })
}

/** All of a body, at most `maxBytes` of it: `wire/too-large`. */
export async function readAll(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of body) {
    length += part.length
    if (length > maxBytes) {
      throw new AssayError('wire/too-large', `expected an answer of at most ${maxBytes} bytes, got more`, {
        detail: { maxBytes },
      })
    }
    parts.push(part)
  }
  const all = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function asAssayError(
  error: unknown,
  { deadline, place }: { readonly deadline: Deadline; readonly place: string },
): unknown {
  if (error instanceof AssayError) return error
  const { reason, aborted } = deadline.signal
  // Our own time limit is an AssayError; the caller's reason is the caller's.
  if (aborted) return reason
  return new AssayError('wire/unavailable', `${place}: ${reasonOf(error)}`, { cause: error })
}

/** The cause of a failed fetch says more than "fetch failed". */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return cause instanceof Error ? `${error.message} (${cause.message || cause.name})` : error.message
}

/** How long to wait before the next try; undefined where there is no point. */
export function pauseAfter(
  error: unknown,
  { attempt, random }: { readonly attempt: number; readonly random: Transport['random'] },
): number | undefined {
  if (!(error instanceof AssayError)) return undefined
  const { status, retryAfterSeconds } = error.detail
  const isLater = status === undefined ? error.code === 'wire/unavailable' : isTransient(status)
  if (!isLater || (error.code === 'wire/quota' && retryAfterSeconds === undefined)) return undefined
  const wanted = typeof retryAfterSeconds === 'number' ? retryAfterSeconds * 1000 : 0
  if (wanted > LONGEST_RETRY_AFTER_MS) return undefined
  const most = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1))
  // Half of it, and up to the other half by chance: those who failed together do not come back together.
  const [chance = 0] = random(1)
  return Math.max(wanted, most / 2 + (most / 2) * (chance / 255))
}

function baseUrl(url: string): string {
  if (!/^https?:\/\/[^\s?#]+$/.test(url)) {
    throw new AssayError(
      'wire/malformed',
      `expected the address of a coordinator, http(s)://…, got ${JSON.stringify(url.slice(0, 100))}`,
    )
  }
  return url.replace(/\/+$/, '')
}
