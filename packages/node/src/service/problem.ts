/**
 * Errors as answers: RFC 9457 problems made of an `AssayError`.
 *
 * What a peer did wrong is told in full. What is wrong inside (5xx) is told by its code alone: messages of the
 * database and stack traces belong to the log, under the request's id.
 */
import { AssayError, CORE_ERRORS, type ErrorEntry, type Json } from 'assay/core/errors'
import type { Problem } from 'assay/wire/api'
import { WIRE_ERRORS } from 'assay/wire/errors'
import { SERVICE_ERRORS } from './errors.ts'

export const PROBLEM_TYPE = 'application/problem+json'
/** Seconds after which a client may try again what failed for want of room. */
const RETRY_AFTER_SECONDS = 1

export type ErrorTable = { readonly [code: string]: ErrorEntry }
export type StatusTable = { readonly [code: string]: number }

export interface ProblemOptions {
  /** Of the areas of the service itself; those of core, wire and service are known. */
  readonly errors?: ErrorTable
  /** Status of codes, or of whole areas (`signature`); before the table here. */
  readonly statuses?: StatusTable
}

/** Codes first, then areas. Everything else is a defect: 500. */
const STATUSES: StatusTable = {
  'wire/too-large': 413,
  'wire/unauthenticated': 401,
  'wire/signature': 401,
  'wire/forbidden': 403,
  'wire/not-found': 404,
  'wire/conflict': 409,
  'wire/stale': 409,
  'wire/quota': 429,
  'wire/unavailable': 503,
  wire: 400,
  'http/encoding': 415,
  'http/media-type': 415,
  'http/length-required': 411,
  'http/slow': 408,
  'http/internal': 500,
  'store/unavailable': 503,
  'store/commit-unknown': 503,
  'store/timeout': 503,
  'store/conflict': 503,
  'store/overloaded': 503,
  'store/closed': 503,
  'store/full': 507,
  'blob/missing': 404,
  'blob/mismatch': 422,
  'blob/too-large': 413,
  'blob/offset': 409,
  'blob/busy': 409,
  'blob/incomplete': 409,
  'blob/range': 416,
  'blob/full': 507,
  'codec/too-large': 413,
  codec: 400,
  bytes: 400,
  cid: 400,
  key: 400,
  poe: 400,
}

const TITLES: { readonly [status: number]: string } = {
  400: 'The request is malformed',
  401: 'Not authenticated',
  403: 'Not allowed',
  404: 'Not found',
  408: 'Too slow',
  409: 'Conflict',
  411: 'Length required',
  413: 'Too large',
  415: 'Unsupported media type',
  416: 'Range not satisfiable',
  422: 'Cannot be processed',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Not available',
  507: 'No space',
}

/** The status, body and further headers that answer with `error`. */
export interface ProblemAnswer {
  readonly status: number
  readonly body: Problem
  readonly headers: { readonly [name: string]: string }
}

/** Any error that is no `AssayError` is a defect of ours: `http/internal`. */
export function problemOf(
  error: unknown,
  { requestId, options = {} }: { readonly requestId: string; readonly options?: ProblemOptions },
): ProblemAnswer {
  const typed =
    error instanceof AssayError
      ? error
      : new AssayError('http/internal', 'the service failed on this request')
  const status = statusOf(typed.code, options.statuses)
  const entry = entryOf(typed.code, options.errors)
  const isOurs = status >= 500
  const body: Problem = {
    type: `urn:assay:error:${typed.code}`,
    title: TITLES[status] ?? 'Error',
    status,
    detail: isOurs ? (entry?.meaning ?? 'The service failed on this request.') : typed.message,
    instance: `urn:assay:request:${requestId}`,
    code: typed.code,
    remedy: entry?.remedy ?? SERVICE_ERRORS['http/internal'].remedy,
    data: isOurs ? {} : (typed.detail as Problem['data']),
  }
  const wait = typed.detail.retryAfterSeconds
  const headers: { [name: string]: string } = {}
  if (status === 503 || status === 429) headers['retry-after'] = retryAfter(wait)
  if (status === 401) headers['www-authenticate'] = 'Bearer'
  return { status, body, headers }
}

function statusOf(code: string, statuses: StatusTable = {}): number {
  const area = code.slice(0, code.indexOf('/'))
  for (const table of [statuses, STATUSES]) {
    for (const key of [code, area]) if (Object.hasOwn(table, key)) return table[key] as number
  }
  return 500
}

function entryOf(code: string, errors: ErrorTable = {}): ErrorEntry | undefined {
  for (const table of [errors, WIRE_ERRORS, SERVICE_ERRORS, CORE_ERRORS] as readonly ErrorTable[]) {
    if (Object.hasOwn(table, code)) return table[code]
  }
  return undefined
}

function retryAfter(wait: Json | undefined): string {
  return String(typeof wait === 'number' && wait > 0 ? Math.ceil(wait) : RETRY_AFTER_SECONDS)
}
