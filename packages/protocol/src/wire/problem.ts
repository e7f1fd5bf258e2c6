/**
 * Errors on the wire: RFC 9457, `application/problem+json`. `type` is `urn:assay:error:` and the code, `title` what
 * the code means, `detail` the message, `data` the figures and names that the message speaks of.
 *
 * Threat: problems come from whoever answers. What is none becomes `wire/unavailable` or `wire/answer` by its status,
 * and texts are clipped.
 */
import { AssayError, attempt, type ErrorCode, type ErrorEntry, type Json } from '../core/errors.ts'
import { clipText } from '../core/inspect.ts'
import { parseAnswer } from './answer.ts'
import { type Problem, problem } from './api.ts'

export const PROBLEM_TYPE = 'application/problem+json'
const URN = 'urn:assay:error:'

const STATUS: { readonly [code: ErrorCode]: number } = {
  'wire/malformed': 400,
  'wire/unauthenticated': 401,
  'wire/signature': 401,
  'wire/forbidden': 403,
  'wire/not-found': 404,
  'wire/conflict': 409,
  'wire/stale': 409,
  'wire/too-large': 413,
  'wire/quota': 429,
  'wire/internal': 500,
  'wire/unavailable': 503,
}
/** Any other refusal: the request was understood, and cannot be followed. */
const OTHER_STATUS = 422

export function statusOf(code: ErrorCode): number {
  return STATUS[code] ?? OTHER_STATUS
}

/** `entry`: what the table of the code's area says of it. `instance`: names this request in the service's log. */
export function toProblem(
  error: { readonly code: ErrorCode; readonly message: string; readonly detail: AssayError['detail'] },
  { entry, instance }: { readonly entry: ErrorEntry | undefined; readonly instance?: string },
): Problem {
  return {
    type: URN + error.code,
    title: entry?.meaning ?? error.code,
    status: statusOf(error.code),
    detail: error.message,
    ...(instance === undefined ? {} : { instance }),
    code: error.code,
    remedy: entry?.remedy ?? 'The message says what was expected.',
    data: error.detail as { [key: string]: Json } as Problem['data'],
  }
}

/**
 * The error that an answer with `status` and `body` (parsed JSON, or what came instead) stands for. `status` and the
 * request's instance are in the detail.
 */
export function fromProblem(status: number, body: unknown): AssayError {
  const parsed = attempt(() => parseAnswer(problem, body, 'problem'))
  if (parsed.ok && isCode(parsed.value.code)) {
    const { code, detail, data, instance } = parsed.value
    return new AssayError(code, detail, {
      detail: { ...(data as AssayError['detail']), status, ...(instance === undefined ? {} : { instance }) },
    })
  }
  const code = status >= 500 || status === 429 || status === 408 ? 'wire/unavailable' : 'wire/answer'
  const said = typeof body === 'string' && body !== '' ? `: ${clipText(body)}` : ''
  return new AssayError(code, `expected an answer of a coordinator, got status ${status}${said}`, {
    detail: { status },
  })
}

function isCode(code: string): code is ErrorCode {
  return /^[a-z][a-z0-9-]*\/[a-z0-9][a-z0-9-]*$/.test(code)
}
