/**
 * A typed client of the public protocol: one method for each operation of ROUTES, in Node and in browsers.
 *
 *     const client = createClient({ url: 'https://coordinator.example', token: 'assay_…' })
 *     const { items } = await client.listJobs({ query: { state: 'running' } })
 *
 * Errors are `AssayError`s with the code that the service gave, or `wire/unavailable` and `wire/answer`. What a
 * submitter wants first (submit, wait, fetch the result) is in submit.ts; blobs are in blob-transfer.ts.
 *
 * Threat: answers come from anybody; each is capped and checked against its schema.
 */
import type * as z from 'zod/mini'
import { AssayError } from '../core/errors.ts'
import type { EventView } from './account.ts'
import { parseAnswer } from './answer.ts'
import { MAX_BODY_BYTES, type Operation, ROUTES, type Route } from './api.ts'
import { EVENTS_TIMEOUT_MS, followEvents } from './events-stream.ts'
import {
  type Answer,
  type CallInput,
  type CallOptions,
  createTransport,
  readAll,
  type Transport,
  type TransportOptions,
} from './transport.ts'

/** The largest answer is one of leases, whose inputs are inline: about as large as a request may be. */
const MAX_JSON_BYTES = 2 * MAX_BODY_BYTES
/** Bytes of an answer that is kept whole, unless `maxBytes` says more. */
export const DEFAULT_MAX_BYTES = 2 ** 28

type Routes = typeof ROUTES

/** What a method takes: the parts that the route has. Fields with defaults may be left away. */
export type InputOf<Op extends Operation> = Part<Op, 'params'> & Part<Op, 'query'> & BodyOf<Routes[Op]>

type Part<Op extends Operation, Name extends 'params' | 'query'> = Routes[Op] extends {
  readonly [name in Name]: infer Schema extends z.ZodMiniType
}
  ? MaybeOptional<Name, z.output<Schema>>
  : unknown

type BodyOf<R> = R extends { readonly body: 'bytes' }
  ? { readonly body: Uint8Array }
  : R extends { readonly body: infer Schema extends z.ZodMiniType }
    ? { readonly body: z.input<Schema> }
    : unknown

type MaybeOptional<Name extends string, Value> =
  Record<string, never> extends Value
    ? { readonly [name in Name]?: Value }
    : { readonly [name in Name]: Value }

export type AnswerOf<Op extends Operation> = Routes[Op]['response'] extends infer Response
  ? Response extends 'bytes'
    ? Promise<Uint8Array>
    : Response extends 'text'
      ? Promise<string>
      : Response extends 'events'
        ? AsyncGenerator<EventView, void, undefined>
        : Response extends z.ZodMiniType
          ? Promise<z.output<Response>>
          : never
  : never

type Method<Op extends Operation> =
  Record<string, never> extends InputOf<Op>
    ? (input?: InputOf<Op>, options?: CallOptions) => AnswerOf<Op>
    : (input: InputOf<Op>, options?: CallOptions) => AnswerOf<Op>

export type Operations = { readonly [Op in Operation]: Method<Op> }

export interface Client extends Operations {
  /** For what reads answers as they come. */
  readonly transport: Transport
}

export function createClient(options: TransportOptions): Client {
  const transport = createTransport(options)
  const methods = Object.keys(ROUTES).map((operation) => [
    operation,
    methodOf(transport, operation as Operation),
  ])
  return { ...(Object.fromEntries(methods) as Operations), transport }
}

function methodOf(transport: Transport, operation: Operation) {
  const route: Route = ROUTES[operation]
  if (route.response === 'events') {
    return (input: CallInput = {}, options: CallOptions = {}) =>
      followEvents({
        open: (lastEventId) => openEvents(transport, operation, { input, options, lastEventId }),
        transport,
        lastEventId: options.lastEventId,
        signal: options.signal,
      })
  }
  return (input: CallInput = {}, options: CallOptions = {}) =>
    transport.call(operation, input, {
      ...options,
      read: (answer) => readAnswer(answer, { operation, options }),
    })
}

function openEvents(
  transport: Transport,
  operation: Operation,
  {
    input,
    options,
    lastEventId,
  }: { readonly input: CallInput; readonly options: CallOptions; readonly lastEventId: string | undefined },
): Promise<Answer> {
  return transport.call(operation, input, {
    timeoutMs: EVENTS_TIMEOUT_MS,
    ...options,
    // Whoever follows opens again by itself.
    maxAttempts: 1,
    ...(lastEventId === undefined ? {} : { lastEventId }),
    read: async (answer) => answer,
  })
}

async function readAnswer(
  { body }: Answer,
  { operation, options }: { readonly operation: Operation; readonly options: CallOptions },
): Promise<unknown> {
  const { response } = ROUTES[operation] as Route
  if (response === 'bytes') return readAll(body, options.maxBytes ?? DEFAULT_MAX_BYTES)
  const bytes = await readAll(body, options.maxBytes ?? MAX_JSON_BYTES)
  const text = textOf(bytes)
  if (typeof response === 'string') return text
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new AssayError('wire/answer', `${operation}: expected JSON, got ${bytes.length} bytes of else`, {
      cause,
    })
  }
  return parseAnswer(response, value, operation)
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new AssayError('wire/answer', `expected UTF-8, got ${bytes.length} bytes of else`, { cause })
  }
}
