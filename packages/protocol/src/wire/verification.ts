/** Work of the verifier service: segments whose rows it samples, and its signed verdicts. */
import * as z from 'zod/mini'
import { samplingAnswer } from './dispatch.ts'
import { samplingPolicy } from './job.ts'
import { cid, count, hex32, message, uuid, valueRef } from './text.ts'
import { workSpec } from './work.ts'

export const MAX_VERIFICATIONS = 64

export const verificationLeaseRequest = z.strictObject({
  max: z.int().check(z.minimum(1), z.maximum(MAX_VERIFICATIONS)),
  waitMs: z._default(z.int().check(z.minimum(0), z.maximum(20_000)), 0),
})

export const verificationLease = z.strictObject({
  /** The dispatch that is checked, and the fence of this check. */
  id: uuid,
  fence: count,
  jobId: uuid,
  work: workSpec,
  input: valueRef,
  inputCid: cid,
  from: count,
  to: count,
  nonce: hex32,
  policy: samplingPolicy,
  /** Signed execution in the JSON form of core/poe.ts. */
  execution: z.json(),
  output: valueRef,
  sampling: samplingAnswer,
  receivedAtSeconds: count,
  /** Commit-reveal source of the job's seed (core/seed.ts), for the verifier alone until the job ends. */
  seed: z.json(),
  leaseSeconds: count,
})
export type VerificationLease = z.infer<typeof verificationLease>

export const verificationLeaseResponse = z.strictObject({ verifications: z.array(verificationLease) })

export const verdict = z.strictObject({
  id: uuid,
  fence: count,
  isVerified: z.boolean(),
  /** DSSE envelope of the sampling receipt (receipt/sign.ts); null where the response never opened. */
  receipt: z.nullable(z.json()),
  code: z.nullable(z.string().check(z.maxLength(128))),
  message: z.nullable(message),
  samples: count,
})

/** `retry` hands the check back: the verifier could not do it, and holds nothing against the node. */
export const verdictsRequest = z.strictObject({
  verdicts: z.array(verdict).check(z.maxLength(MAX_VERIFICATIONS)),
  retry: z.array(z.strictObject({ id: uuid, fence: count, message })).check(z.maxLength(MAX_VERIFICATIONS)),
})
export type VerdictsRequest = z.infer<typeof verdictsRequest>
export const verdictsResponse = z.strictObject({ stale: z.array(uuid) })
