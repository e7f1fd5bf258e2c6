/** What a node says of itself when it registers. It is believed for scheduling only, never for a verdict. */
import * as z from 'zod/mini'
import { KEY_TYPES } from '../core/keys.ts'
import { count, credits, hex32, message, name, share, time } from './text.ts'
import { WORK_KINDS } from './work.ts'

export const MAX_SLOTS = 1024

export const NODE_ROLES = ['solver', 'verifier'] as const

export const publicKey = z.strictObject({
  type: z.enum(KEY_TYPES),
  bytes: z.string().check(z.regex(/^(?:[0-9a-f]{2})*$/), z.maxLength(1024)),
})

/** Model that a chat endpoint beside the node serves. */
const chatModels = z.array(name).check(z.maxLength(64))

export const manifest = z.strictObject({
  role: z.enum(NODE_ROLES),
  publicKey,
  /** A name for people. */
  name,
  /** Who runs it. A re-dispatch goes to another operator; the enrolment key of the coordinator vouches for it. */
  operator: name,
  region: name,
  /** Program and version: nodes of one engine may fail together. */
  engine: name,
  hardware: z.strictObject({
    /** 1 (slowest) to 5, by the benchmark that a node runs at its start. */
    tier: z.int().check(z.minimum(1), z.maximum(5)),
    cores: z.int().check(z.minimum(1), z.maximum(4096)),
    memoryBytes: count,
    /** Rounds of the benchmark a second. */
    score: z.number().check(z.nonnegative()),
  }),
  runtimes: z.array(z.enum(['reproducible', 'native', 'wasm', 'chat'])).check(z.maxLength(4)),
  workKinds: z.array(z.enum(WORK_KINDS)).check(z.maxLength(3)),
  chatModels: z._default(chatModels, []),
  /** Segments that it runs at once. */
  slots: z.int().check(z.minimum(1), z.maximum(MAX_SLOTS)),
})
export type Manifest = z.infer<typeof manifest>

export const STANDINGS = ['probation', 'trusted', 'quarantined', 'banned'] as const

export const decision = z.strictObject({
  at: time,
  code: name,
  /** Why, in words, with the figures. */
  reason: message,
})

export const nodeView = z.strictObject({
  id: hex32,
  manifest,
  state: z.enum(['online', 'offline', 'draining']),
  standing: z.enum(STANDINGS),
  /** Share of its results that is audited now. */
  auditRate: share,
  stake: credits,
  balance: credits,
  /** Earned and held until the next clean audit. */
  held: credits,
  leases: count,
  accepted: count,
  faults: count,
  registeredAt: time,
  lastSeenAt: time,
  /** Newest first; the last 50. */
  decisions: z.array(decision),
})
export type NodeView = z.infer<typeof nodeView>
