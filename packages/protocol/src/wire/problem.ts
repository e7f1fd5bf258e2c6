/**
 * Errors from the wire: RFC 9457, `application/problem+json`. `type` is `urn:assay:error:` and the code, `detail` the
 * message, `data` the figures and names that the message speaks of.
 *
 * Threat: problems come from whoever answers. What is none becomes `wire/unavailable` or `wire/answer` by its status,
 * and texts are clipped.
 */
import { AssayError, attempt, type ErrorCode } from '../core/errors.ts'
import { clipText } from '../core/inspect.ts'
import { parseAnswer } from './answer.ts'
import { problem } from './api.ts'

export const PROBLEM_TYPE = 'application/problem+json'
const CODE = /^[a-z][a-z0-9-]{0,63}\/[a-z0-9][a-z0-9-]{0,63}$/
/** Of a message that is repeated. */
const MAX_MESSAGE = 4096
/** Come from a proxy, or from a service that is overloaded: worth another try. */
const TRANSIENT = [408, 425, 429, 502, 503, 504]

/**
 * The error that an answer with `status` and `body` (parsed JSON, or what came instead) stands for. `status` and the
 * name of the request in the service's log (`instance`) are in its detail.
 */
export function fromProblem(status: number, body: unknown): AssayError {
  const parsed = attempt(() => parseAnswer(problem, body, 'problem'))
  if (parsed.ok && isCode(parsed.value.code)) {
    const { code, detail, data, instance } = parsed.value
    return new AssayError(code, detail.slice(0, MAX_MESSAGE), {
      detail: { ...(data as AssayError['detail']), status, ...(instance === undefined ? {} : { instance }) },
    })
  }
  const said = typeof body === 'string' && body !== '' ? `: ${clipText(body)}` : ''
  return new AssayError(
    isTransient(status) ? 'wire/unavailable' : 'wire/answer',
    `expected an answer of a coordinator, got status ${status}${said}`,
    { detail: { status } },
  )
}

/** Whether the same request may well be answered a moment later. */
export function isTransient(status: unknown): boolean {
  return TRANSIENT.includes(status as number)
}

function isCode(code: string): code is ErrorCode {
  return CODE.test(code)
}
