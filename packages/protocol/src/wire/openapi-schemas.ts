/**
 * JSON Schemas of the messages (JSON Schema 2020-12, as OpenAPI 3.1 embeds it), with names for the larger ones.
 *
 * A message that goes in is not the one that comes out: defaults may be left away and unknown fields are refused on
 * the way in; on the way out all fields are there, and later versions may add some. Where a message goes both ways and
 * the two differ, the one that goes in is called `…Input`.
 */
import * as z from 'zod/mini'
import type { Json } from '../core/errors.ts'
import { accountView, deposit, eventView, keyView, madeKey, newKey, quota, transferView } from './account.ts'
import { blobStatus, logProof, networkView, problem, ROUTES, type Route } from './api.ts'
import {
  failuresRequest,
  heartbeat,
  heartbeatResponse,
  leaseGroup,
  leaseRequest,
  leaseResponse,
  renewRequest,
  renewResponse,
  resultsRequest,
  resultsResponse,
  samplingAnswer,
  segmentLease,
  segmentResult,
} from './dispatch.ts'
import { jobSpec, jobView, redundancyPolicy, samplingPolicy, segmentView, validationPolicy } from './job.ts'
import { decision, manifest, nodeView, publicKey } from './manifest.ts'
import { valueRef } from './text.ts'
import {
  verdict,
  verdictsRequest,
  verdictsResponse,
  verificationLease,
  verificationLeaseRequest,
  verificationLeaseResponse,
} from './verification.ts'
import { chatWork, onnxWork, wasmWork, workSpec } from './work.ts'

export type JsonObject = { readonly [key: string]: Json }

const NAMED: { readonly [name: string]: z.ZodMiniType } = {
  AccountView: accountView,
  BlobStatus: blobStatus,
  ChatWork: chatWork,
  Decision: decision,
  Deposit: deposit,
  EventView: eventView,
  FailuresRequest: failuresRequest,
  Heartbeat: heartbeat,
  HeartbeatResponse: heartbeatResponse,
  JobSpec: jobSpec,
  JobView: jobView,
  KeyView: keyView,
  LeaseGroup: leaseGroup,
  LeaseRequest: leaseRequest,
  LeaseResponse: leaseResponse,
  LogProof: logProof,
  MadeKey: madeKey,
  Manifest: manifest,
  NetworkView: networkView,
  NewKey: newKey,
  NodeView: nodeView,
  OnnxWork: onnxWork,
  Problem: problem,
  PublicKey: publicKey,
  Quota: quota,
  RedundancyPolicy: redundancyPolicy,
  RenewRequest: renewRequest,
  RenewResponse: renewResponse,
  ResultsRequest: resultsRequest,
  ResultsResponse: resultsResponse,
  SamplingAnswer: samplingAnswer,
  SamplingPolicy: samplingPolicy,
  SegmentLease: segmentLease,
  SegmentResult: segmentResult,
  SegmentView: segmentView,
  TransferView: transferView,
  ValidationPolicy: validationPolicy,
  ValueRef: valueRef,
  Verdict: verdict,
  VerdictsRequest: verdictsRequest,
  VerdictsResponse: verdictsResponse,
  VerificationLease: verificationLease,
  VerificationLeaseRequest: verificationLeaseRequest,
  VerificationLeaseResponse: verificationLeaseResponse,
  WasmWork: wasmWork,
  WorkSpec: workSpec,
}

export const SCHEMA_PATH = '#/components/schemas/'
/** Where the schema library puts what it had to name by itself: recursive schemas without a name of ours. */
const SHARED = '__shared'
const INPUT = 'Input'
/** Names of parts of a route in the registry; a dot keeps them apart from the names above. */
type Part = 'params' | 'query' | 'body' | 'response'

export interface MessageSchemas {
  /** Named schemas, for `components.schemas`. */
  readonly components: { readonly [name: string]: JsonObject }
  /** Of a part of a route; `undefined` where it has none, or one that is not JSON. */
  of(operation: string, part: Part): JsonObject | undefined
}

/** All schemas of ROUTES. */
export function messageSchemas(): MessageSchemas {
  const { registry, aliases } = register()
  const inward = convert(registry, 'input')
  const outward = convert(registry, 'output')
  const differing = differingNames(inward, outward)
  const inputName = (name: string) => (differing.has(name) ? `${name}${INPUT}` : name)
  const all: { [name: string]: JsonObject } = {}
  for (const name of Object.keys(NAMED)) {
    all[inputName(name)] = mapRefs(inward[name] as JsonObject, inputName)
    all[name] = outward[name] as JsonObject
  }
  const of = (operation: string, part: Part): JsonObject | undefined => {
    const key = `${operation}.${part}`
    const alias = aliases.get(key)
    const schema = alias === undefined ? undefined : { $ref: SCHEMA_PATH + alias }
    if (part === 'response') return schema ?? outward[key]
    const own = schema ?? inward[key]
    return own === undefined ? undefined : mapRefs(own, inputName)
  }
  const used = reachable(all, of)
  const plain = (name: string) => {
    const bare = name.endsWith(INPUT) ? name.slice(0, -INPUT.length) : name
    return used.has(bare) ? name : bare
  }
  return {
    components: Object.fromEntries(
      [...used].sort().map((name) => [plain(name), mapRefs(all[name] as JsonObject, plain)]),
    ),
    of(operation, part) {
      const schema = of(operation, part)
      return schema === undefined ? undefined : mapRefs(schema, plain)
    },
  }
}

/** Every schema under its name, or under that of the part of the route where it stands. */
function register() {
  const registry = z.registry<{ id: string }>()
  const names = new Map<unknown, string>()
  for (const [name, schema] of Object.entries(NAMED)) {
    registry.add(schema, { id: name })
    names.set(schema, name)
  }
  const aliases = new Map<string, string>()
  for (const [operation, route] of Object.entries(ROUTES) as [string, Route][]) {
    for (const part of ['params', 'query', 'body', 'response'] as const) {
      const schema = route[part]
      if (schema === undefined || typeof schema === 'string') continue
      const key = `${operation}.${part}`
      const name = names.get(schema)
      if (name !== undefined) aliases.set(key, name)
      // One schema may serve several routes, and the registry knows a schema by one name.
      else registry.add(z.clone(schema as never) as typeof schema, { id: key })
    }
  }
  return { registry, aliases }
}

function convert(registry: ReturnType<typeof register>['registry'], io: 'input' | 'output') {
  const { schemas } = z.toJSONSchema(registry, { io, uri: (id) => `${SCHEMA_PATH}${id}` })
  const entries = Object.entries(schemas as unknown as { readonly [name: string]: JsonObject })
  return Object.fromEntries(
    entries.filter(([name]) => name !== SHARED).map(([name, schema]) => [name, tidy(schema, io)]),
  )
}

/** Without what says nothing to a reader, and open on the way out. */
function tidy(schema: JsonObject, io: 'input' | 'output'): JsonObject {
  // The one schema that the library names by itself is `z.json()`.
  if (typeof schema.$ref === 'string' && schema.$ref.includes(SHARED)) return { description: 'Any JSON.' }
  const kept = Object.entries(schema).filter(([key, value]) => {
    if (key === '$schema' || key === '$id' || key === 'propertyNames') return false
    // The format says it; the pattern of dates is a page long.
    if (key === 'pattern' && schema.format === 'date-time') return false
    if (key === 'minimum' && value === Number.MIN_SAFE_INTEGER) return false
    return !(key === 'additionalProperties' && value === false && io === 'output')
  })
  return Object.fromEntries(kept.map(([key, value]) => [key, tidyValue(key, value, io)]))
}

function tidyValue(key: string, value: Json, io: 'input' | 'output'): Json {
  if (key === 'properties') {
    const properties = Object.entries(value as { readonly [name: string]: JsonObject })
    return Object.fromEntries(properties.map(([name, schema]) => [name, tidy(schema, io)]))
  }
  if (Array.isArray(value)) return value.map((item) => (isObject(item) ? tidy(item, io) : item))
  return isObject(value) && key !== 'default' ? tidy(value, io) : value
}

/** Names whose two forms differ, by themselves or by what they refer to. */
function differingNames(
  inward: { readonly [name: string]: JsonObject },
  outward: { readonly [name: string]: JsonObject },
): ReadonlySet<string> {
  const names = Object.keys(NAMED)
  const differing = new Set(
    names.filter((name) => JSON.stringify(inward[name]) !== JSON.stringify(outward[name])),
  )
  for (let before = -1; before !== differing.size; ) {
    before = differing.size
    for (const name of names) {
      if (refsOf(outward[name] as JsonObject).some((ref) => differing.has(ref))) differing.add(name)
    }
  }
  return differing
}

/** The named schemas that routes lead to, and those that no route names but every client reads. */
function reachable(
  all: { readonly [name: string]: JsonObject },
  of: MessageSchemas['of'],
): ReadonlySet<string> {
  const seen = new Set<string>()
  const visit = (schema: JsonObject): void => {
    for (const name of refsOf(schema)) {
      if (seen.has(name)) continue
      seen.add(name)
      visit(all[name] as JsonObject)
    }
  }
  for (const operation of Object.keys(ROUTES)) {
    for (const part of ['params', 'query', 'body', 'response'] as const) visit(of(operation, part) ?? {})
  }
  visit({ a: { $ref: `${SCHEMA_PATH}Problem` }, b: { $ref: `${SCHEMA_PATH}EventView` } })
  return seen
}

function refsOf(schema: Json): string[] {
  const found: string[] = []
  mapRefs(schema, (name) => {
    found.push(name)
    return name
  })
  return found
}

function mapRefs<T extends Json>(schema: T, rename: (name: string) => string): T {
  if (Array.isArray(schema)) return schema.map((item) => mapRefs(item, rename)) as unknown as T
  if (!isObject(schema)) return schema
  const entries = Object.entries(schema).map(([key, value]) => {
    const isRef = key === '$ref' && typeof value === 'string'
    return [key, isRef ? SCHEMA_PATH + rename(value.slice(SCHEMA_PATH.length)) : mapRefs(value, rename)]
  })
  return Object.fromEntries(entries) as T
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
