/**
 * The public protocol as data: every route, who may call it, what goes in and what comes out. The coordinator
 * mounts this table, the client calls it, the OpenAPI document is made of it.
 *
 * Errors are RFC 9457 problems (`application/problem+json`): `type` is `urn:assay:error:` and the code.
 */
import * as z from 'zod/mini'
import {
  accountId,
  accountView,
  deposit,
  keyView,
  madeKey,
  newKey,
  type Scope,
  transferView,
} from './account.ts'
import {
  failuresRequest,
  heartbeat,
  heartbeatResponse,
  leaseRequest,
  leaseResponse,
  renewRequest,
  renewResponse,
  resultsRequest,
  resultsResponse,
} from './dispatch.ts'
import { jobSpec, jobView, pageOf, segmentView } from './job.ts'
import { JOB_STATES } from './life.ts'
import { manifest, nodeView, publicKey } from './manifest.ts'
import { cid, count, cursor, hex32, name, uuid } from './text.ts'
import {
  verdictsRequest,
  verdictsResponse,
  verificationLeaseRequest,
  verificationLeaseResponse,
} from './verification.ts'

export const API_VERSION = '1.0.0'
/** Largest JSON body: a full answer of results with inline outputs. */
export const MAX_BODY_BYTES = 2 ** 24
/** Largest part of one blob upload. */
export const MAX_PART_BYTES = 2 ** 24
export const MAX_PAGE = 500

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** With parameters in braces. */
  readonly path: string
  /**
   * Everybody, holders of a key with a scope, or a registered node that signs. `enrolling`: signed by the key in the
   * manifest that the body brings.
   */
  readonly auth: 'public' | 'enrolling' | 'node' | 'verifier' | Scope
  readonly summary: string
  readonly params?: z.ZodMiniObject
  readonly query?: z.ZodMiniObject
  /** JSON, or raw bytes. */
  readonly body?: z.ZodMiniType | 'bytes'
  readonly response: z.ZodMiniType | 'bytes' | 'events' | 'text'
  readonly status?: number
  /** Takes an `Idempotency-Key`: the same key and body give the first answer again. */
  readonly idempotent?: boolean
  /** Takes one `Range` of bytes. */
  readonly takesRange?: boolean
}

const limit = z.optional(z.coerce.number().check(z.int(), z.minimum(1), z.maximum(MAX_PAGE)))
const page = z.strictObject({ cursor: z.optional(cursor), limit })
const byId = z.strictObject({ id: uuid })
const byNode = z.strictObject({ id: hex32 })
const byCid = z.strictObject({ cid })
const size = z.coerce.number().check(z.int(), z.minimum(0), z.maximum(Number.MAX_SAFE_INTEGER))
const none = z.strictObject({})

export const problem = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.optional(z.string()),
  /** Stable code, e.g. `wire/quota`. */
  code: z.string(),
  /** What to do. */
  remedy: z.string(),
  /** Figures and names that the message speaks of. */
  data: z.record(z.string(), z.json()),
})
export type Problem = z.infer<typeof problem>

/** Bytes stored so far; the next part starts there. */
export const blobStatus = z.strictObject({ cid, sizeBytes: count, storedBytes: count, complete: z.boolean() })

export const networkView = z.strictObject({
  name,
  version: z.string(),
  /** Signs receipts and checkpoints. */
  coordinator: z.strictObject({ nodeId: hex32, publicKey }),
  /** Origin line of the transparency log's checkpoints. */
  logOrigin: z.string(),
  nodes: count,
  jobs: count,
})

export const logProof = z.strictObject({
  index: count,
  size: count,
  leaf: z.string(),
  path: z.array(hex32).check(z.maxLength(64)),
  checkpoint: z.string(),
})

export const ROUTES = {
  network: {
    method: 'GET',
    path: '/v1/network',
    auth: 'public',
    summary: 'Who coordinates, and how large the network is',
    response: networkView,
  },

  beginBlob: {
    method: 'POST',
    path: '/v1/blobs',
    auth: 'jobs:write',
    summary: 'Begin or resume an upload',
    body: z.strictObject({ cid, sizeBytes: count }),
    response: blobStatus,
  },
  appendBlob: {
    method: 'PATCH',
    path: '/v1/blobs/{cid}',
    auth: 'jobs:write',
    summary: 'Append a part at the offset given; the last part is checked against the address',
    params: byCid,
    query: z.strictObject({ offset: size }),
    body: 'bytes',
    response: blobStatus,
  },
  beginNodeBlob: {
    method: 'POST',
    path: '/v1/node-blobs',
    auth: 'node',
    summary: 'Begin or resume the upload of an output or proof',
    body: z.strictObject({ cid, sizeBytes: count }),
    response: blobStatus,
  },
  appendNodeBlob: {
    method: 'PATCH',
    path: '/v1/node-blobs/{cid}',
    auth: 'node',
    summary: 'Append a part of an output or proof',
    params: byCid,
    query: z.strictObject({ offset: size }),
    body: 'bytes',
    response: blobStatus,
  },
  readNodeBlob: {
    method: 'GET',
    path: '/v1/node-blobs/{cid}',
    auth: 'node',
    summary: 'A model, module, input, output or proof; takes Range',
    params: byCid,
    response: 'bytes',
    takesRange: true,
  },
  readBlob: {
    method: 'GET',
    path: '/v1/blobs/{cid}',
    auth: 'jobs:read',
    summary: 'A blob of the account: uploaded by it, or a result of its jobs; takes Range',
    params: byCid,
    response: 'bytes',
    takesRange: true,
  },

  submitJob: {
    method: 'POST',
    path: '/v1/jobs',
    auth: 'jobs:write',
    summary: 'Submit a job',
    body: jobSpec,
    response: jobView,
    status: 201,
    idempotent: true,
  },
  listJobs: {
    method: 'GET',
    path: '/v1/jobs',
    auth: 'jobs:read',
    summary: 'Jobs of the account, newest first',
    query: z.strictObject({ ...page.shape, state: z.optional(z.enum(JOB_STATES)) }),
    response: pageOf(jobView),
  },
  showJob: {
    method: 'GET',
    path: '/v1/jobs/{id}',
    auth: 'jobs:read',
    summary: 'One job',
    params: byId,
    response: jobView,
  },
  listSegments: {
    method: 'GET',
    path: '/v1/jobs/{id}/segments',
    auth: 'jobs:read',
    summary: 'Segments of a job in order, with the outputs that are accepted',
    params: byId,
    query: page,
    response: pageOf(segmentView),
  },
  jobResult: {
    method: 'GET',
    path: '/v1/jobs/{id}/result',
    auth: 'jobs:read',
    summary: 'All rows of an accepted job (task/rows.ts)',
    params: byId,
    response: 'bytes',
  },
  jobReceipt: {
    method: 'GET',
    path: '/v1/jobs/{id}/receipt',
    auth: 'jobs:read',
    summary: 'Receipt bundle of an accepted job',
    params: byId,
    response: z.json(),
  },
  jobEvents: {
    method: 'GET',
    path: '/v1/jobs/{id}/events',
    auth: 'jobs:read',
    summary: 'Events of a job as server-sent events; resumes behind Last-Event-ID',
    params: byId,
    response: 'events',
  },
  cancelJob: {
    method: 'POST',
    path: '/v1/jobs/{id}/cancel',
    auth: 'jobs:write',
    summary: 'Cancel a job; what is not accepted is refunded',
    params: byId,
    body: none,
    response: jobView,
  },

  networkEvents: {
    method: 'GET',
    path: '/v1/events',
    auth: 'network:read',
    summary: 'Events of the whole network as server-sent events',
    response: 'events',
  },
  listNodes: {
    method: 'GET',
    path: '/v1/nodes',
    auth: 'network:read',
    summary: 'Nodes',
    query: page,
    response: pageOf(nodeView),
  },
  showNode: {
    method: 'GET',
    path: '/v1/nodes/{id}',
    auth: 'network:read',
    summary: 'One node, and why it stands as it does',
    params: byNode,
    response: nodeView,
  },
  drainNode: {
    method: 'POST',
    path: '/v1/nodes/{id}/drain',
    auth: 'admin',
    summary: 'Give a node no more work, or work again',
    params: byNode,
    body: z.strictObject({ drain: z.boolean() }),
    response: nodeView,
  },

  addCanary: {
    method: 'POST',
    path: '/v1/canaries',
    auth: 'admin',
    summary:
      'Take the rows of an accepted job, each compared by two operators, as known answers to test nodes with',
    body: z.strictObject({ jobId: uuid }),
    response: z.strictObject({ pool: count, rows: count }),
    status: 201,
  },

  registerNode: {
    method: 'POST',
    path: '/v1/nodes',
    auth: 'enrolling',
    summary: 'Register or renew a node: signed by the key in the manifest',
    body: z.strictObject({ manifest, enrolment: z.string().check(z.maxLength(256)) }),
    response: nodeView,
    status: 201,
  },
  heartbeat: {
    method: 'POST',
    path: '/v1/heartbeat',
    auth: 'node',
    summary: 'Every ten seconds',
    body: heartbeat,
    response: heartbeatResponse,
  },
  lease: {
    method: 'POST',
    path: '/v1/leases',
    auth: 'node',
    summary: 'Ask for work; waits for some',
    body: leaseRequest,
    response: leaseResponse,
  },
  renewLeases: {
    method: 'POST',
    path: '/v1/leases/renew',
    auth: 'node',
    summary: 'Keep leases',
    body: renewRequest,
    response: renewResponse,
  },
  results: {
    method: 'POST',
    path: '/v1/results',
    auth: 'node',
    summary: 'Return results with their commitment',
    body: resultsRequest,
    response: resultsResponse,
  },
  failures: {
    method: 'POST',
    path: '/v1/failures',
    auth: 'node',
    summary: 'Give work back that cannot be done',
    body: failuresRequest,
    response: none,
  },

  leaseVerifications: {
    method: 'POST',
    path: '/v1/verifications/lease',
    auth: 'verifier',
    summary: 'Ask for results to check',
    body: verificationLeaseRequest,
    response: verificationLeaseResponse,
  },
  verdicts: {
    method: 'POST',
    path: '/v1/verifications',
    auth: 'verifier',
    summary: 'Return verdicts',
    body: verdictsRequest,
    response: verdictsResponse,
  },

  makeKey: {
    method: 'POST',
    path: '/v1/keys',
    auth: 'admin',
    summary: 'Make an API key',
    body: newKey,
    response: madeKey,
    status: 201,
  },
  listKeys: {
    method: 'GET',
    path: '/v1/keys',
    auth: 'admin',
    summary: 'API keys',
    query: page,
    response: pageOf(keyView),
  },
  revokeKey: {
    method: 'DELETE',
    path: '/v1/keys/{id}',
    auth: 'admin',
    summary: 'Revoke an API key',
    params: z.strictObject({ id: z.string().check(z.maxLength(64)) }),
    response: keyView,
  },

  balance: {
    method: 'GET',
    path: '/v1/ledger/balance',
    auth: 'jobs:read',
    summary: 'Balance of the account of the key',
    response: accountView,
  },
  accounts: {
    method: 'GET',
    path: '/v1/ledger/accounts',
    auth: 'admin',
    summary: 'Balances of all accounts',
    query: page,
    response: pageOf(accountView),
  },
  transfers: {
    method: 'GET',
    path: '/v1/ledger/transfers',
    auth: 'jobs:read',
    summary: 'Transfers, newest first: of the account of the key, or of any for admin',
    query: z.strictObject({ ...page.shape, account: z.optional(accountId) }),
    response: pageOf(transferView),
  },
  deposit: {
    method: 'POST',
    path: '/v1/ledger/deposits',
    auth: 'admin',
    summary: 'Issue credits to an account',
    body: deposit,
    response: accountView,
    status: 201,
    idempotent: true,
  },

  checkpoint: {
    method: 'GET',
    path: '/v1/log/checkpoint',
    auth: 'public',
    summary: 'Newest signed checkpoint of the transparency log',
    response: 'text',
  },
  logInclusion: {
    method: 'GET',
    path: '/v1/log/inclusion',
    auth: 'public',
    summary: 'Proof that a leaf is in the log',
    query: z.strictObject({ index: size }),
    response: logProof,
  },
  logConsistency: {
    method: 'GET',
    path: '/v1/log/consistency',
    auth: 'public',
    summary: 'Proof that one size of the log is a prefix of another',
    query: z.strictObject({ from: size, to: size }),
    /** `fromRoot`: what the log has at `from` now, so that one whose records were rewritten convicts itself. */
    response: z.strictObject({
      from: count,
      to: count,
      fromRoot: hex32,
      path: z.array(hex32).check(z.maxLength(128)),
    }),
  },
  logEntries: {
    method: 'GET',
    path: '/v1/log/entries',
    auth: 'public',
    summary: 'Leaves of the log, in order',
    query: z.strictObject({ from: size, limit }),
    response: z.strictObject({ from: count, leaves: z.array(z.string()) }),
  },
} as const satisfies { readonly [operation: string]: Route }

export type Operation = keyof typeof ROUTES
