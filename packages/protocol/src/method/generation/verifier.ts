/**
 * The verifier: one prefill over prompt and claimed output gives the logits before every token and all hidden
 * states at once, at a fraction of what generating cost.
 *
 * Two judgements, because each leaves a gap that the other closes. Tokens: is each the one that rule and seed
 * give here, within a margin? A solver that ran another model and then fingerprinted the right one over its text
 * is caught by this alone. Fingerprints: are the hidden states those that the solver had? They see differences of
 * the model that move few tokens, and see them in the first chunk.
 *
 * Judged on the claimed text, never on a text of the verifier's own: after one token that honestly differs, two
 * free runs have nothing in common.
 *
 * Threat: result and commitment are hostile. Shape, number and size are checked before the model runs.
 */
import { AssayError, attempt, type Json, reject, type Verdict } from '../../core/errors.ts'
import type { Job, SignedExecution } from '../../core/poe.ts'
import { verifyExecution } from '../../core/poe.ts'
import { chunksOf } from './chunks.ts'
import type { GenerationRequest, Thresholds } from './config.ts'
import { assertTokens, type Decoder } from './decoder.ts'
import { type GenerationResult, generationFields } from './proof.ts'
import { allowedDisagreements } from './security.ts'
import { assertServes } from './serves.ts'
import { tokenDistance, uniformNumbers } from './token-rule.ts'
import {
  compareFingerprint,
  decodeFingerprint,
  type Fingerprint,
  type FingerprintDistance,
} from './toploc.ts'

/** What one prefill says of a result; judged by thresholds, or collected to calibrate them. */
export interface Measurement {
  /** Distance of each token from the rule's choice (token-rule.ts). */
  readonly tokenDistances: Float64Array
  /** One a fingerprint: the prompt's, then one for each 32 tokens. */
  readonly fingerprintDistances: readonly FingerprintDistance[]
}

/**
 * Runs the prefill. `decoder` is the verifier's own, of the requested model.
 *
 * Rejects with `generation/tokens` and `toploc/proof` what is no result of this request in form. Throws for
 * misuse: `generation/request`, `generation/model`, and what the runtime throws.
 */
export async function measureGeneration(
  decoder: Decoder,
  request: GenerationRequest,
  result: GenerationResult,
): Promise<Verdict<Measurement>> {
  assertServes(decoder, request)
  const opened = attempt(() => openResult(decoder, request, result))
  if (!opened.ok) return opened
  const { tokens } = result
  const { logits, hidden } = await decoder.run([...request.prompt, ...tokens.slice(0, -1)], decoder.empty)
  const width = decoder.width ?? 0
  return {
    ok: true,
    value: {
      tokenDistances: distances(request, { tokens, logits, vocabulary: decoder.vocabulary }),
      fingerprintDistances: chunksOf(request, { tokens: tokens.length, width }).map(({ from, to }, i) =>
        compareFingerprint(opened.value[i]!, hidden!.subarray(from * width, to * width), {
          ties: 'lowest-index',
        }),
      ),
    },
  }
}

/** What an accepted output was measured to be. */
export interface Judgement extends Measurement {
  readonly tokens: number
  /** Tokens beyond the margin, and how many of them the thresholds allow. */
  readonly disagreements: number
  readonly allowed: number
}

/** Rejects with `generation/disagreement` or `generation/fingerprint`; the detail has the figures. */
export function judgeGeneration(
  measured: Measurement,
  { rule, thresholds }: Pick<GenerationRequest, 'rule'> & { readonly thresholds: Thresholds },
): Verdict<Judgement> {
  const { tokenDistances, fingerprintDistances } = measured
  const margin = rule.kind === 'greedy' ? thresholds.greedyMargin : thresholds.sampleMargin
  const tokens = tokenDistances.length
  const disagreements = tokenDistances.filter((distance) => !(distance <= margin)).length
  const allowed = allowedDisagreements(tokens, thresholds)
  if (disagreements > allowed) {
    return reject(
      'generation/disagreement',
      `${disagreements} of ${tokens} tokens are not the ones that model, rule and seed give; at most ${allowed} may differ`,
      {
        tokens,
        disagreements,
        allowed,
        first: tokenDistances.findIndex((distance) => !(distance <= margin)),
      },
    )
  }
  const chunk = fingerprintDistances.findIndex((distance) => !isNear(distance, thresholds))
  if (chunk >= 0) {
    const found = fingerprintDistances[chunk]!
    return reject(
      'generation/fingerprint',
      `the activations of ${chunk === 0 ? 'the prompt' : `chunk ${chunk}`} are not those that were fingerprinted`,
      { chunk, found: { ...found }, thresholds: { ...thresholds } } satisfies { [key: string]: Json },
    )
  }
  return { ok: true, value: { ...measured, tokens, disagreements, allowed } }
}

/** Whether a fingerprint is within all three thresholds. */
export function isNear(found: FingerprintDistance, thresholds: Thresholds): boolean {
  const { compared, exponentMismatches, meanMantissaError, medianMantissaError } = found
  if (meanMantissaError === null || medianMantissaError === null) return false
  return (
    exponentMismatches <= thresholds.exponentMismatches * compared &&
    meanMantissaError <= thresholds.meanMantissaError &&
    medianMantissaError <= thresholds.medianMantissaError
  )
}

export interface VerifyGenerationOptions {
  readonly result: GenerationResult
  readonly job: Job
  readonly commitment: SignedExecution
  readonly thresholds: Thresholds
}

/** Commitment, form, tokens, fingerprints. What is thrown is misuse; see `measureGeneration`. */
export async function verifyGeneration(
  decoder: Decoder,
  request: GenerationRequest,
  options: VerifyGenerationOptions,
): Promise<Verdict<Judgement>> {
  const { result, job, commitment, thresholds } = options
  assertServes(decoder, request)
  const opened = attempt(() => openResult(decoder, request, result))
  if (!opened.ok) return opened
  const fields = attempt(() => generationFields(request, { result, job }))
  if (!fields.ok) return fields
  const signed = await verifyExecution(commitment, fields.value)
  if (!signed.ok) return signed
  const measured = await measureGeneration(decoder, request, result)
  return measured.ok ? judgeGeneration(measured.value, { rule: request.rule, thresholds }) : measured
}

function distances(
  { prompt, rule, seed }: GenerationRequest,
  {
    tokens,
    logits,
    vocabulary,
  }: { readonly tokens: readonly number[]; readonly logits: Float32Array; readonly vocabulary: number },
): Float64Array {
  const uniforms = seed === null ? () => 0 : uniformNumbers(seed)
  return Float64Array.from(tokens, (token, i) => {
    const row = (prompt.length - 1 + i) * vocabulary
    return tokenDistance(logits.subarray(row, row + vocabulary), { rule, uniform: uniforms(), token })
  })
}

/** Number, range and end of the tokens; number and form of the fingerprints. */
function openResult(decoder: Decoder, request: GenerationRequest, result: GenerationResult): Fingerprint[] {
  const { tokens, fingerprints } = result
  if (!Array.isArray(tokens) || !Array.isArray(fingerprints)) {
    throw new AssayError('generation/tokens', 'expected a list of tokens and a list of fingerprints')
  }
  const { maxTokens, stop } = request
  if (tokens.length < 1 || tokens.length > maxTokens) {
    throw new AssayError('generation/tokens', `expected 1 to ${maxTokens} tokens, got ${tokens.length}`)
  }
  assertTokens(tokens, decoder.vocabulary)
  const end = tokens.findIndex((token) => stop.includes(token))
  const ends = end === -1 ? tokens.length === maxTokens : end === tokens.length - 1
  if (!ends) {
    throw new AssayError(
      'generation/tokens',
      `expected the output to end with its first stop token, or after ${maxTokens} tokens; it has ${tokens.length}`,
    )
  }
  const chunks = chunksOf(request, { tokens: tokens.length, width: decoder.width ?? 0 })
  if (fingerprints.length !== chunks.length) {
    throw new AssayError(
      'toploc/proof',
      `expected ${chunks.length} fingerprints for ${tokens.length} tokens, got ${fingerprints.length}`,
    )
  }
  return chunks.map(({ topk }, i) => decodeFingerprint(fingerprints[i] as Uint8Array, { topk }))
}
