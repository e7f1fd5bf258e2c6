/** Parameters, query and body of a request, by the schemas of its route. */

import { parseWith } from 'assay/core/codec'
import { AssayError } from 'assay/core/errors'
import type { Route } from 'assay/wire/api'
import type { Context } from 'hono'
import type * as z from 'zod/mini'
import type { ApiContext } from '../../service/api-context.ts'

export interface Parts {
  readonly params: unknown
  readonly query: unknown
}

/** Throws 'wire/malformed'. */
export function parseParts(route: Route, c: ApiContext): Parts {
  return {
    params: route.params === undefined ? undefined : parseMessage(route.params, c.req.param(), 'path'),
    query: parseQuery(route, c),
  }
}

function parseQuery({ query }: Route, c: Context): unknown {
  const values: { [name: string]: string } = {}
  for (const [name, given] of Object.entries(c.req.queries())) {
    if (given.length !== 1)
      throw new AssayError('wire/malformed', `query: expected one value of ${name.slice(0, 40)}`)
    values[name] = given[0] as string
  }
  if (query !== undefined) return parseMessage(query, values, 'query')
  const [stray] = Object.keys(values)
  if (stray === undefined) return undefined
  throw new AssayError('wire/malformed', `query: expected nothing, got ${stray.slice(0, 40)}`)
}

/** The body as the route has it, from its bytes. Throws 'http/media-type' and 'wire/malformed'. */
export function parseBody({ body }: Route, c: Context, bytes: Uint8Array): unknown {
  if (body === undefined) return undefined
  const wanted = body === 'bytes' ? 'application/octet-stream' : 'application/json'
  const type = c.req.header('content-type')
  if (type?.split(';')[0]?.trim().toLowerCase() !== wanted) {
    const got = type === undefined ? 'none' : type.slice(0, 80)
    throw new AssayError('http/media-type', `expected Content-Type ${wanted}, got ${got}`)
  }
  if (body === 'bytes') return bytes
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch (cause) {
    throw new AssayError('wire/malformed', `expected JSON in UTF-8, got ${bytes.length} bytes of else`, {
      cause,
    })
  }
  return parseMessage(body, value, 'body')
}

function parseMessage<T>(schema: z.ZodMiniType<T>, value: unknown, what: string): T {
  try {
    return parseWith(schema, value, what)
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    throw new AssayError('wire/malformed', error.message, { detail: error.detail, cause: error })
  }
}
