/**
 * What is asked for, and how an answer is judged.
 */
import * as z from 'zod/mini'
import { type Cid, isCid } from '../../core/cid.ts'
import { defineObject, parseWith } from '../../core/codec.ts'
import type { Digest } from '../../core/digest.ts'
import { AssayError, attempt } from '../../core/errors.ts'
import { SEED_BYTES } from '../../core/sampling.ts'
import type { TokenRule } from './token-rule.ts'
import { packTokens } from './tokens.ts'
import { DEFAULT_TOPK, MAX_TOPK } from './toploc.ts'

/**
 * Tokens of prompt and output together. A verifier holds the logits of all of them at once: at this number
 * and 50,000 tokens of vocabulary, 6.5 GB. Ask for less where that is too much.
 */
export const MAX_POSITIONS = 2 ** 15
const MAX_STOPS = 64

export interface GenerationRequest {
  /** Content address of the model file. */
  readonly model: Cid
  /** At least one token. */
  readonly prompt: readonly number[]
  readonly rule: TokenRule
  /**
   * 32 bytes that neither party could choose at will, or null for greedy choice. Who chooses the seed chooses
   * the text among as many as it tries.
   */
  readonly seed: Uint8Array | null
  /** The output ends with the first of `stop`, or has this many tokens. */
  readonly maxTokens: number
  readonly stop: readonly number[]
  /** Values bound by each fingerprint (fewer where a chunk has fewer), or null for none. */
  readonly fingerprintTopk: number | null
}

/** `request` with what is usual: no stop tokens, no seed, 128 values a fingerprint. */
export function generationRequest(
  given: Pick<GenerationRequest, 'model' | 'prompt' | 'rule' | 'maxTokens'> & Partial<GenerationRequest>,
): GenerationRequest {
  const request = { seed: null, stop: [], fingerprintTopk: DEFAULT_TOPK, ...given }
  assertRequest(request)
  return request
}

const token = z.int().check(z.minimum(0), z.maximum(2 ** 32 - 1))
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'bytes')
const seed = z.custom<Uint8Array>(
  (value) => value instanceof Uint8Array && value.length === SEED_BYTES,
  `${SEED_BYTES} bytes`,
)
const rule = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('greedy') }),
  z.strictObject({
    kind: z.literal('sample'),
    temperature: z.number().check(z.gt(0), z.maximum(100)),
    topk: z.nullable(z.int().check(z.minimum(1), z.maximum(2 ** 32 - 1))),
  }),
])
const taskFields = {
  model: z.custom<Cid>(isCid, 'a content address'),
  rule,
  maxTokens: z.int().check(z.minimum(1), z.maximum(MAX_POSITIONS)),
  stop: z.array(token).check(z.maxLength(MAX_STOPS)),
  fingerprintTopk: z.nullable(z.int().check(z.minimum(1), z.maximum(MAX_TOPK))),
}
const requestSchema = z.strictObject({
  ...taskFields,
  prompt: z.array(token).check(z.minLength(1), z.maxLength(MAX_POSITIONS)),
  seed: z.nullable(seed),
})

/** Throws `generation/request`. */
export function assertRequest(value: unknown): asserts value is GenerationRequest {
  const parsed = attempt(() => parseWith(requestSchema, value, 'generation request'))
  if (!parsed.ok) throw refuse(parsed.message)
  const request = parsed.value
  if (request.rule.kind === 'sample' && request.seed === null) {
    throw refuse('expected a seed of 32 bytes for sampling, got none')
  }
  if (request.prompt.length + request.maxTokens > MAX_POSITIONS) {
    throw refuse(`expected at most ${MAX_POSITIONS} tokens of prompt and output together`)
  }
}

const taskObject = defineObject({
  type: 'assay/generation-task',
  version: 1,
  schema: z.strictObject(taskFields),
  maxBytes: 4096,
})
const inputObject = defineObject({
  type: 'assay/generation-input',
  version: 1,
  schema: z.strictObject({ prompt: bytes, seed: z.nullable(seed) }),
  maxBytes: 4 * MAX_POSITIONS + 256,
})

/** Digest of everything about a request but prompt and seed. */
export function taskDigest(request: GenerationRequest): Digest {
  const { model, rule, maxTokens, stop, fingerprintTopk } = request
  return taskObject.digest({ model, rule, maxTokens, stop: [...stop], fingerprintTopk })
}

export function inputDigest({ prompt, seed }: GenerationRequest): Digest {
  return inputObject.digest({ prompt: packTokens(prompt), seed })
}

/**
 * What an honest solver on other hardware may differ by. Calibrate them for the machines at hand: `margin`s
 * and fingerprint errors from honest runs, `disagreementRate` from the tokens that still differ.
 */
export interface Thresholds {
  /** Distance (token-rule.ts) up to which a token counts as the rule's: in logits, and in probability. */
  readonly greedyMargin: number
  readonly sampleMargin: number
  /** Share of tokens that honest solvers get beyond the margin; 0 for "none". */
  readonly disagreementRate: number
  /** Probability with which an honest output of that rate may be refused; unused at a rate of 0. */
  readonly falseAlarm: number
  /** Share of a chunk's exponents that may differ, and its mantissa errors where they do not. */
  readonly exponentMismatches: number
  readonly meanMantissaError: number
  readonly medianMantissaError: number
}

/**
 * Both parties in the reproducible runtime. Steps and prefill differ by less than a tenth of these margins on the
 * example model (bench/results/generation.md), and a rounding to bfloat16 turns now and then.
 */
export const REPRODUCIBLE: Thresholds = {
  greedyMargin: 1e-4,
  sampleMargin: 1e-4,
  disagreementRate: 0,
  falseAlarm: 0,
  exponentMismatches: 4 / 128,
  meanMantissaError: 0.1,
  medianMantissaError: 0,
}

/** Either party in any of the runtimes, float32 weights: other orders of summing, fused multiplication. */
export const FLOAT32: Thresholds = { ...REPRODUCIBLE, greedyMargin: 1e-3, sampleMargin: 1e-3 }

/** Fingerprints as the published experiments accept them (bfloat16 inference across GPUs), tokens as FLOAT32. */
export const PUBLISHED: Thresholds = {
  ...FLOAT32,
  exponentMismatches: 38 / 128,
  meanMantissaError: 10,
  medianMantissaError: 8,
}

function refuse(message: string): AssayError {
  return new AssayError('generation/request', message)
}
