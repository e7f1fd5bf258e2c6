/** API keys, accounts of the ledger, and events. */
import * as z from 'zod/mini'
import { count, credits, hex32, message, name, time, timeInput, uuid } from './text.ts'

export const SCOPES = [
  /** Blobs and jobs of the account. */
  'jobs:write',
  'jobs:read',
  /** Enrols nodes of the account as their operator. */
  'nodes:enrol',
  /** Enrols verifiers, which decide over nodes of everybody. */
  'verifiers:enrol',
  /** Nodes, events and figures of the network. */
  'network:read',
  /** Everything, of every account. */
  'admin',
] as const
export type Scope = (typeof SCOPES)[number]

export const quota = z.strictObject({
  jobsPerMinute: z.int().check(z.minimum(0), z.maximum(1e9)),
  queuedSegments: z.int().check(z.minimum(0), z.maximum(1e9)),
  blobBytes: count,
})
export type Quota = z.infer<typeof quota>

export const newKey = z.strictObject({
  /** Account that the key acts for: made when there is none. */
  account: name,
  scopes: z.array(z.enum(SCOPES)).check(z.minLength(1), z.maxLength(SCOPES.length)),
  quota: z.optional(quota),
  expiresAt: z.optional(timeInput),
})
export const keyView = z.strictObject({
  id: z.string(),
  account: name,
  scopes: z.array(z.enum(SCOPES)),
  quota,
  createdAt: time,
  expiresAt: z.nullable(time),
  revokedAt: z.nullable(time),
})
/** The one time that the secret is shown. */
export const madeKey = z.strictObject({ key: keyView, token: z.string() })

/** `submitter:NAME`, `escrow:JOB`, `node:ID`, `stake:ID`, `held:ID`, `penalties`, `issued`. */
export const accountId = z.string().check(z.maxLength(160))
export const accountView = z.strictObject({
  account: accountId,
  /** May be negative for `issued` alone: the sum over all accounts is zero. */
  balance: z.int(),
})
export const transferView = z.strictObject({
  id: count,
  at: time,
  from: accountId,
  to: accountId,
  amount: credits,
  /** `deposit`, `escrow`, `release`, `refund`, `hold`, `payout`, `stake`, `penalty`. */
  kind: z.string().check(z.maxLength(32)),
  jobId: z.nullable(uuid),
  nodeId: z.nullable(hex32),
  note: message,
})
export const deposit = z.strictObject({ account: accountId, amount: credits, note: z._default(message, '') })

/** One event; on the stream its `id` is the event id, `type` the event name, the rest the data. */
export const eventView = z.strictObject({
  id: count,
  at: time,
  type: z.string().check(z.maxLength(64)),
  jobId: z.nullable(uuid),
  nodeId: z.nullable(hex32),
  segment: z.nullable(count),
  data: z.record(z.string(), z.json()),
})
export type EventView = z.infer<typeof eventView>
