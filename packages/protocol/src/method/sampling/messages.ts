/**
 * Requests and responses with the field names of SPEX, sections 5.2.1 and 5.2.2, shared by both profiles.
 *
 * Rates and ratios lie in 0..1 and counts are not negative, as in the published models; unknown fields are
 * refused. `bloomFilter` is base64 in both profiles: the published filter bytes in `compat`, the encoded
 * proof object of `proof.ts` in `assay`.
 */
import * as z from 'zod/mini'
import { parseWith } from '../../core/codec.ts'
import type { Evidence } from './evidence.ts'

/** Defaults of the published models. */
export const DEFAULT_FALSE_POSITIVE_RATE = 0.01
export const DEFAULT_VERIFICATION_RATIO = 0.1
/** Cap on the base64 text of a proof: a filter of about 100 M states at a rate of 0.01. */
export const MAX_PROOF_TEXT = 180_000_000

export interface SolverRequest<Input> {
  readonly solverInput: Input
  readonly falsePositiveRate: number
}

export interface SolverProof {
  readonly bloomFilter: string
  readonly countItems: number
}

export interface SolverResponse<Output> {
  readonly solverOutput: Output
  readonly solverProof: SolverProof
}

export interface VerifierRequest<Input, Output> {
  readonly solverRequest: SolverRequest<Input>
  readonly solverOutput: Output
  readonly solverProof: SolverProof
  readonly verificationRatio: number
}

export interface VerifierResponse {
  readonly isVerified: boolean
  /** States that were sampled. A rejection may come before the last of them was recomputed. */
  readonly countItems: number
  readonly evidence: Evidence | null
}

const rate = z.number().check(z.minimum(0), z.maximum(1))
const count = z.int().check(z.minimum(0))

const solverRequest = z.strictObject({
  solverInput: z.unknown(),
  falsePositiveRate: z._default(rate, DEFAULT_FALSE_POSITIVE_RATE),
})

const solverProof = z.strictObject({
  bloomFilter: z.string().check(z.maxLength(MAX_PROOF_TEXT)),
  countItems: count,
})

const solverResponse = z.strictObject({ solverOutput: z.unknown(), solverProof })

const verifierRequest = z.strictObject({
  solverRequest,
  solverOutput: z.unknown(),
  solverProof,
  verificationRatio: z._default(rate, DEFAULT_VERIFICATION_RATIO),
})

/** Parses JSON-like `value`; the task's own codec still has to check `solverInput`. Throws `codec/schema`. */
export function parseSolverRequest(value: unknown): SolverRequest<unknown> {
  return parseWith(solverRequest, value, 'SolverRequest')
}

export function parseSolverProof(value: unknown): SolverProof {
  return parseWith(solverProof, value, 'SolverProof')
}

export function parseSolverResponse(value: unknown): SolverResponse<unknown> {
  return parseWith(solverResponse, value, 'SolverResponse')
}

export function parseVerifierRequest(value: unknown): VerifierRequest<unknown, unknown> {
  return parseWith(verifierRequest, value, 'VerifierRequest')
}
