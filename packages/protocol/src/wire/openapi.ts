/**
 * The OpenAPI 3.1 document of the public protocol, made of ROUTES: for people, for generated clients, and for the
 * check that a change breaks nobody (scripts/check-openapi.mjs).
 */
import type { Json } from '../core/errors.ts'
import { API_VERSION, MAX_BODY_BYTES, MAX_PART_BYTES, ROUTES, type Route } from './api.ts'
import { EXAMPLES } from './openapi-examples.ts'
import { type JsonObject, type MessageSchemas, messageSchemas, SCHEMA_PATH } from './openapi-schemas.ts'
import { PROBLEM_TYPE } from './problem.ts'

const DESCRIPTION = `Jobs on machines that nobody trusts, checked by sampling and re-dispatch.

Submitters authenticate with an API key (\`Authorization: Bearer …\`), nodes sign each request
(\`Assay-Signature\`). Large values go as blobs by their content address (CIDv1, sha2-256). Errors are
RFC 9457 problems with a stable \`code\`. Unknown fields of a request are refused; clients ignore unknown fields
of an answer. What takes an \`Idempotency-Key\` answers the same key and body with the first answer again.`

const TAGS: { readonly [segment: string]: string } = {
  blobs: 'blobs',
  'node-blobs': 'nodes',
  jobs: 'jobs',
  nodes: 'nodes',
  canaries: 'nodes',
  heartbeat: 'nodes',
  leases: 'nodes',
  results: 'nodes',
  failures: 'nodes',
  verifications: 'verifiers',
  keys: 'keys',
  ledger: 'ledger',
  log: 'log',
}
const OTHER_TAG = 'network'

/** Why an answer with this status comes; each is a problem. */
const REFUSALS: { readonly [status: number]: string } = {
  400: 'The request does not have the form that this document asks for.',
  401: 'No credentials, or none that hold.',
  403: 'The credentials do not allow this.',
  402: 'The balance does not cover it.',
  404: 'There is no such thing, or it belongs to another account.',
  408: 'The body did not arrive in its time.',
  409: 'The request does not fit the present state.',
  411: 'The body came without its length.',
  413: 'Too large.',
  415: 'The body is of another media type, or compressed.',
  416: 'The range lies outside.',
  422: 'Understood, and impossible.',
  429: 'A quota is used up.',
  500: 'Unforeseen.',
  503: 'Not now: starting, stopping or overloaded.',
  507: 'The disk of the service is full.',
}

/** OpenAPI 3.1 needs no schema for bytes; generators of clients do. */
const BYTES: JsonObject = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } }

/** A fresh document, as plain JSON. */
export function openApiDocument(): JsonObject {
  const schemas = messageSchemas()
  const paths: { [path: string]: { [method: string]: JsonObject } } = {}
  for (const [operation, route] of Object.entries(ROUTES) as [string, Route][]) {
    const path = paths[route.path] ?? {}
    path[route.method.toLowerCase()] = operationObject(operation, route, schemas)
    paths[route.path] = path
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Assay',
      version: API_VERSION,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set([OTHER_TAG, ...Object.values(TAGS)])].map((name) => ({ name })),
    paths,
    components: {
      schemas: schemas.components,
      responses: Object.fromEntries(
        Object.entries(REFUSALS).map(([status, why]) => [`Refused${status}`, refusal(Number(status), why)]),
      ),
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: 'A key that `POST /v1/keys` made.' },
        nodeSignature: {
          type: 'apiKey',
          in: 'header',
          name: 'Assay-Signature',
          description:
            '`v1 key=<node id>,at=<Unix ms>,nonce=<32 hex digits>,sig=<base64>`: signature by the key of the node ' +
            'over method, path with query, SHA-256 of the body, time and nonce. A nonce is good once.',
        },
      },
    },
  }
}

function operationObject(operation: string, route: Route, schemas: MessageSchemas): JsonObject {
  return {
    operationId: operation,
    summary: route.summary,
    tags: [TAGS[route.path.split('/')[2] as string] ?? OTHER_TAG],
    security: security(route),
    ...listOr('parameters', parameters(operation, route, schemas)),
    ...(route.body === undefined ? {} : { requestBody: requestBody(operation, route, schemas) }),
    responses: responses(operation, route, schemas),
  }
}

/** OpenAPI 3.1 lets requirements of any scheme list the roles that it takes. */
function security({ auth }: Route): Json[] {
  if (auth === 'public') return []
  if (auth === 'enrolling') return [{ nodeSignature: [] }]
  if (auth === 'node' || auth === 'verifier') return [{ nodeSignature: [auth] }]
  return [{ apiKey: [auth] }]
}

function parameters(operation: string, route: Route, schemas: MessageSchemas): JsonObject[] {
  const list: JsonObject[] = []
  for (const place of ['params', 'query'] as const) {
    const { properties = {}, required = [] } = (schemas.of(operation, place) ?? {}) as {
      properties?: { [name: string]: JsonObject }
      required?: string[]
    }
    for (const [name, schema] of Object.entries(properties)) {
      const where = place === 'params' ? 'path' : 'query'
      list.push({ name, in: where, required: required.includes(name), schema })
    }
  }
  if (route.idempotent === true) {
    list.push(
      header('Idempotency-Key', 'Names this attempt; good for a day.', { minLength: 1, maxLength: 128 }),
    )
  }
  if (route.response === 'events') {
    list.push(header('Last-Event-ID', 'Begin behind this event.', { pattern: '^[0-9]{1,16}$' }))
  }
  if (route.takesRange === true) {
    list.push(header('Range', 'One range of bytes.', { pattern: '^bytes=[0-9]*-[0-9]*$' }))
  }
  return list
}

function header(name: string, description: string, schema: JsonObject): JsonObject {
  return { name, in: 'header', required: false, description, schema: { type: 'string', ...schema } }
}

function requestBody(operation: string, route: Route, schemas: MessageSchemas): JsonObject {
  if (route.body === 'bytes') {
    return {
      required: true,
      description: `At most ${MAX_PART_BYTES} bytes.`,
      content: BYTES,
    }
  }
  return {
    required: true,
    description: `At most ${MAX_BODY_BYTES} bytes.`,
    content: {
      'application/json': {
        schema: schemas.of(operation, 'body') as JsonObject,
        ...example(EXAMPLES[operation]?.body),
      },
    },
  }
}

function responses(operation: string, route: Route, schemas: MessageSchemas): JsonObject {
  const answers: { [status: string]: JsonObject } = {
    [String(route.status ?? 200)]: {
      description: route.summary,
      content: answerContent(operation, route, schemas),
    },
  }
  if (route.takesRange === true) {
    answers['206'] = { description: 'The range asked for.', content: BYTES }
  }
  for (const status of refusalsOf(route)) {
    answers[String(status)] = { $ref: `#/components/responses/Refused${status}` }
  }
  return answers
}

function answerContent(operation: string, route: Route, schemas: MessageSchemas): JsonObject {
  switch (route.response) {
    case 'bytes':
      return BYTES
    case 'text':
      return { 'text/plain': { schema: { type: 'string' } } }
    case 'events':
      return {
        'text/event-stream': {
          schema: {
            type: 'string',
            description: `Server-sent events: \`id\` and \`event\` are those of an EventView, \`data\` is the whole of it (${SCHEMA_PATH}EventView). The event \`end\`, which has no id, says that no more will come.`,
          },
        },
      }
    default:
      return {
        'application/json': {
          schema: schemas.of(operation, 'response') as JsonObject,
          ...example(EXAMPLES[operation]?.response),
        },
      }
  }
}

function refusalsOf(route: Route): number[] {
  const statuses = [400, 429, 500, 503]
  if (route.auth !== 'public') statuses.push(401, 403)
  if (route.idempotent === true) statuses.push(402)
  if (route.takesRange === true) statuses.push(416)
  if (route.params !== undefined) statuses.push(404, 409)
  if (route.path.startsWith('/v1/log/')) statuses.push(404)
  if (route.body !== undefined) statuses.push(408, 409, 411, 413, 415, 422, 507)
  return [...new Set(statuses)].sort((a, b) => a - b)
}

function refusal(status: number, description: string): JsonObject {
  const isLater = status === 429 || status === 503
  return {
    description,
    ...(isLater
      ? {
          headers: { 'Retry-After': { description: 'In seconds.', schema: { type: 'integer', minimum: 0 } } },
        }
      : {}),
    content: { [PROBLEM_TYPE]: { schema: { $ref: `${SCHEMA_PATH}Problem` } } },
  }
}

function example(value: Json | undefined): JsonObject {
  return value === undefined ? {} : { example: value }
}

function listOr(key: string, list: readonly JsonObject[]): JsonObject {
  return list.length === 0 ? {} : { [key]: list }
}
