/** What a handler finds in the context of its request. */
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { Log } from './log.ts'

export interface ApiEnv {
  Bindings: HttpBindings
  Variables: {
    requestId: string
    /** Adds the request id to each line. */
    log: Log
    /** Of the bound on all bodies together; given back when the request ends. */
    reservedBytes: number
  }
}

export type ApiContext = Context<ApiEnv>
