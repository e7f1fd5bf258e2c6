/**
 * Work on its way to a node and back: leases, results, failures.
 *
 * A lease says nothing of why it was given: first run, re-dispatch and canary look the same. Results of one answer
 * are signed at once (core/poe-batch.ts); a result with a sampling proof carries its own signature beside.
 */
import * as z from 'zod/mini'
import { base64, cid, count, hex32, message, share, time, uuid, valueRef } from './text.ts'
import { workSpec } from './work.ts'

/** Leases of one request, and results of one answer. */
export const MAX_LEASES = 512
/** Longest that a request for work waits for some. */
export const MAX_WAIT_MS = 20_000
/** Proof that travels with the result; a larger one goes as a blob. */
export const MAX_INLINE_PROOF_BYTES = 65_536

export const leaseRequest = z.strictObject({
  max: z.int().check(z.minimum(1), z.maximum(MAX_LEASES)),
  waitMs: z._default(z.int().check(z.minimum(0), z.maximum(MAX_WAIT_MS)), 0),
})

export const segmentLease = z.strictObject({
  /** The dispatch: `segmentRequestId` of it is what commitments name. */
  id: uuid,
  /** Grows with each lease of the dispatch; an answer with an older one is refused as `wire/stale`. */
  fence: count,
  from: count,
  to: count,
  /** 32 bytes, drawn for this lease. */
  nonce: hex32,
})
export type SegmentLease = z.infer<typeof segmentLease>

export const leaseGroup = z.strictObject({
  jobId: uuid,
  work: workSpec,
  /** The whole input of the job, and its address (that of the inline bytes, too). */
  input: valueRef,
  inputCid: cid,
  /** Of the proof that is asked for; null where none is. */
  falsePositiveRate: z.nullable(share),
  guessProbability: z.number(),
  leaseSeconds: count,
  deadlineAt: time,
  segments: z.array(segmentLease).check(z.minLength(1), z.maxLength(MAX_LEASES)),
})
export type LeaseGroup = z.infer<typeof leaseGroup>

/** `drain` tells a node to finish and ask for no more. */
export const leaseResponse = z.strictObject({ groups: z.array(leaseGroup), drain: z.boolean() })

const held = z.strictObject({ id: uuid, fence: count })

export const renewRequest = z.strictObject({
  leases: z.array(held).check(z.minLength(1), z.maxLength(MAX_LEASES)),
})
/** Leases that are no longer the node's: cancelled, expired, given to another. Drop their work. */
export const renewResponse = z.strictObject({ lost: z.array(uuid) })

export const samplingAnswer = z.strictObject({
  /** Of the encoded proof object (method/sampling/proof.ts), in base64 or by address. */
  proof: z.union([z.strictObject({ inline: base64(MAX_INLINE_PROOF_BYTES) }), z.strictObject({ cid })]),
  /** Signature of the execution alone, so that it stands without the batch. */
  signature: base64(512),
})

export const segmentResult = z.strictObject({
  ...held.shape,
  /** Commitment of the execution (`commitExecution`): a leaf of the batch that is signed. */
  commitment: hex32,
  /** The encoded rows (task/rows.ts). */
  output: valueRef,
  sampling: z.optional(samplingAnswer),
  /** Time that the rows took, for people and for scheduling. */
  elapsedMs: z.number().check(z.nonnegative()),
})
export type SegmentResult = z.infer<typeof segmentResult>

export const resultsRequest = z.strictObject({
  /** Over the Merkle root of the commitments, in the order of `results`. */
  signature: base64(512),
  results: z.array(segmentResult).check(z.minLength(1), z.maxLength(MAX_LEASES)),
})
export type ResultsRequest = z.infer<typeof resultsRequest>

/** For each result in order: `accepted`, `committed` (its validation goes on), or an error code. */
export const resultsResponse = z.strictObject({
  outcomes: z.array(
    z.strictObject({
      id: uuid,
      state: z.enum(['accepted', 'committed', 'refused']),
      code: z.nullable(z.string()),
      message: z.nullable(message),
    }),
  ),
})

export const failuresRequest = z.strictObject({
  failures: z
    .array(
      z.strictObject({
        ...held.shape,
        code: z.string().check(z.maxLength(128)),
        message,
        /** The node drains or lacks something: no attempt of the segment is used up. */
        retryElsewhere: z.boolean(),
      }),
    )
    .check(z.minLength(1), z.maxLength(MAX_LEASES)),
})
export type FailuresRequest = z.infer<typeof failuresRequest>

export const heartbeat = z.strictObject({
  running: count,
  freeSlots: count,
  cacheBytes: count,
  /** It takes no more work, and stops when it has done what it holds. */
  leaving: z.optional(z.boolean()),
})
export const heartbeatResponse = z.strictObject({ drain: z.boolean(), serverTime: time })
