/**
 * What a solver hands over: the tokens, a fingerprint a chunk, and a signed commitment to both.
 *
 * The commitment is a Proof-of-Execution (core/poe.ts): `task` is the model, the rule and the limits, `input`
 * the prompt and the seed, `result` tokens and fingerprints. It binds; what it binds is judged in verifier.ts.
 */
import * as z from 'zod/mini'
import { defineObject } from '../../core/codec.ts'
import type { Digest } from '../../core/digest.ts'
import type { ExecutionFields, Job } from '../../core/poe.ts'
import { type GenerationRequest, inputDigest, MAX_POSITIONS, taskDigest } from './config.ts'
import { packTokens, unpackTokens } from './tokens.ts'
import { fingerprintBytes, MAX_TOPK } from './toploc.ts'

export interface GenerationResult {
  readonly tokens: readonly number[]
  /** In the published bytes, in order: the prompt's, then one for each 32 tokens. */
  readonly fingerprints: readonly Uint8Array[]
}

/** One a chunk of 32 positions, and one for the prompt. */
const MAX_FINGERPRINTS = MAX_POSITIONS / 32 + 1
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'bytes')

const resultObject = defineObject({
  type: 'assay/generation-result',
  version: 1,
  schema: z.strictObject({
    tokens: bytes.check(z.refine((value) => value.length <= 4 * MAX_POSITIONS, 'bytes within the cap')),
    fingerprints: z.array(bytes).check(z.maxLength(MAX_FINGERPRINTS)),
  }),
  maxBytes: 4 * MAX_POSITIONS + MAX_FINGERPRINTS * (fingerprintBytes(MAX_TOPK) + 8) + 256,
})

/** Canonical bytes, for a file or the wire. */
export function encodeGeneration({ tokens, fingerprints }: GenerationResult): Uint8Array {
  return resultObject.encode({ tokens: packTokens(tokens), fingerprints: [...fingerprints] })
}

/** Strict inverse of `encodeGeneration`. Throws `codec/...` and `generation/tokens`. */
export function decodeGeneration(encoded: Uint8Array): GenerationResult {
  const { tokens, fingerprints } = resultObject.decode(encoded)
  return { tokens: unpackTokens(tokens), fingerprints }
}

export function resultDigest({ tokens, fingerprints }: GenerationResult): Digest {
  return resultObject.digest({ tokens: packTokens(tokens), fingerprints: [...fingerprints] })
}

/** What is signed, but for the node that signs. */
export function generationFields(
  request: GenerationRequest,
  { result, job }: { readonly result: GenerationResult; readonly job: Job },
): Omit<ExecutionFields, 'nodeId'> {
  return {
    requestId: job.requestId,
    nonce: job.nonce,
    taskDigest: taskDigest(request),
    inputDigest: inputDigest(request),
    resultDigest: resultDigest(result),
  }
}
