/** What a handler of an operation gets and gives, by the types of its route. */

import type { Scope } from 'assay/wire/account'
import type { Operation, ROUTES } from 'assay/wire/api'
import type { Manifest } from 'assay/wire/manifest'
import type * as z from 'zod/mini'
import type { Principal } from '../accounts.ts'
import type { NodeInfo } from '../registry/nodes.ts'
import type { ByteRange, BytesAnswer, EventSource } from './deps.ts'

type Routes = typeof ROUTES

export interface Call<Op extends Operation> {
  readonly params: PartOf<Op, 'params'>
  readonly query: PartOf<Op, 'query'>
  readonly body: BodyOf<Routes[Op]>
  readonly caller: CallerOf<Routes[Op]['auth']>
  /** Of the body as it came. */
  readonly bytes: Uint8Array
  readonly idempotencyKey: string | undefined
  readonly lastEventId: number | undefined
  readonly range: ByteRange | undefined
  /** Aborts when the caller is gone, or the service begins to stop. */
  readonly signal: AbortSignal
}

type PartOf<Op extends Operation, Name extends 'params' | 'query'> = Routes[Op] extends {
  readonly [name in Name]: infer Schema extends z.ZodMiniType
}
  ? z.output<Schema>
  : undefined

type BodyOf<R> = R extends { readonly body: 'bytes' }
  ? Uint8Array
  : R extends { readonly body: infer Schema extends z.ZodMiniType }
    ? z.output<Schema>
    : undefined

type CallerOf<Auth> = Auth extends 'public'
  ? undefined
  : Auth extends 'enrolling'
    ? Manifest
    : Auth extends 'node' | 'verifier'
      ? NodeInfo
      : Auth extends Scope
        ? Principal
        : never

export type Answer<Op extends Operation> = Routes[Op]['response'] extends infer Response
  ? Response extends 'bytes'
    ? BytesAnswer
    : Response extends 'text'
      ? string
      : Response extends 'events'
        ? EventsAnswer
        : Response extends z.ZodMiniType
          ? z.input<Response> | JsonText
          : never
  : never

export interface EventsAnswer {
  readonly account: string
  /** Ends when `stop` aborts. */
  readonly open: (stop: AbortSignal) => EventSource
}

/** JSON that is text already. */
export interface JsonText {
  readonly json: string
}

export type Handler<Op extends Operation> = (call: Call<Op>) => Promise<Answer<Op>>

/** One for each operation: a table that lacks one, or has one too many, does not compile. */
export type Handlers = { readonly [Op in Operation]: Handler<Op> }

/** Those of some operations. */
export type HandlersOf<Ops extends Operation> = { readonly [Op in Ops]: Handler<Op> }
