/**
 * What verified generation is worth.
 *
 * A cheat shows in tokens at a rate: the share of its tokens that are not the ones that model, rule and seed give.
 * The rates of some cheats on the example model are in bench/results/generation.md; they are properties of model,
 * text and cheat, and are to be measured for others. Tokens are taken as independent: what is computed from a rate
 * was compared there with what was counted.
 *
 * What fingerprints add is not in the formula. Somebody who cheats in generating can still fingerprint the
 * requested model over the text that came out, at the price of one prefill: against that solver the tokens
 * decide alone. A solver that does not take this trouble is caught in the first chunk.
 */
import { logBinomialPmf } from '../../core/distributions.ts'
import { AssayError } from '../../core/errors.ts'
import type { JobShape, Method, Security } from '../interface.ts'
import type { Thresholds } from './config.ts'
import { fingerprintBytes, TOKENS_A_CHUNK } from './toploc.ts'

type Tolerance = Pick<Thresholds, 'disagreementRate' | 'falseAlarm'>

/** Beyond this no cheat is worth calling caught. */
export const MAX_TOKENS_NEEDED = 2 ** 17

/**
 * Disagreements that an output of `tokens` may have: as few as keep the false alarm within its bound when each
 * token honestly disagrees at the stated rate.
 */
export function allowedDisagreements(tokens: number, { disagreementRate, falseAlarm }: Tolerance): number {
  if (disagreementRate === 0) return 0
  let allowed = 0
  while (allowed < tokens && exceedance({ allowed, tokens, rate: disagreementRate }) > falseAlarm) allowed++
  return allowed
}

/** Probability that a cheat which shows in each token at `rate` is caught by the tokens of an output. */
export function detectionByTokens({
  tokens,
  rate,
  tolerance,
}: {
  readonly tokens: number
  readonly rate: number
  readonly tolerance: Tolerance
}): number {
  return exceedance({ allowed: allowedDisagreements(tokens, tolerance), tokens, rate })
}

/**
 * Fewest tokens at which such a cheat is caught with `confidence`.
 *
 * @throws AssayError `statistics/parameters`, and `statistics/unreachable` where 131,072 tokens are too few.
 */
export function tokensNeeded({
  rate,
  confidence,
  tolerance,
}: {
  readonly rate: number
  readonly confidence: number
  readonly tolerance: Tolerance
}): number {
  assertShare('the rate', rate)
  assertShare('the confidence', confidence)
  if (tolerance.disagreementRate === 0) {
    const tokens = Math.ceil(Math.log1p(-confidence) / Math.log1p(-rate))
    if (tokens <= MAX_TOKENS_NEEDED) return Math.max(1, tokens)
    throw unreachable(rate)
  }
  // More tokens also allow more disagreements, so that detection rises in teeth: double, then walk back.
  let enough = 1
  while (detectionByTokens({ tokens: enough, rate, tolerance }) < confidence) {
    enough *= 2
    if (enough > MAX_TOKENS_NEEDED) throw unreachable(rate)
  }
  let tooFew = enough >> 1
  while (enough - tooFew > 1) {
    const middle = (enough + tooFew) >> 1
    if (detectionByTokens({ tokens: middle, rate, tolerance }) >= confidence) enough = middle
    else tooFew = middle
  }
  return enough
}

/** P(more than `allowed` of `tokens` disagree). */
function exceedance({
  allowed,
  tokens,
  rate,
}: {
  readonly allowed: number
  readonly tokens: number
  readonly rate: number
}): number {
  if (allowed >= tokens || rate === 0) return 0
  if (rate === 1) return 1
  let within = 0
  for (let x = 0; x <= allowed; x++) within += Math.exp(logBinomialPmf(x, tokens, { p: rate, q: 1 - rate }))
  return Math.max(0, 1 - within)
}

export interface GenerationConfig {
  readonly thresholds: Thresholds
  /** Share of tokens in which the cheat to be caught shows. */
  readonly cheatRate: number
  /** Values bound by each fingerprint; null for none. */
  readonly fingerprintTopk: number | null
  /** Time of one prefill as a share of generating; measured. */
  readonly prefillShare: number
}

/** States of a job are its generated tokens. */
export const generationMethod: Method<GenerationConfig> = {
  name: 'generation',
  proves:
    'that the text is what this model, prompt, rule and seed give, up to the calibrated differences of honest ' +
    'machines, for every cheat that shows in enough tokens',
  doesNotProve:
    'that every token is the one that exact arithmetic gives, nor that the solver ran the model step by step: ' +
    'a text that was got in another way and is the same is the same; nor anything about a seed that the ' +
    'solver could choose',
  security(config: GenerationConfig, job: JobShape): Security {
    // Taken apart in full, so that a new parameter cannot be left out of the analysis unnoticed.
    const { thresholds, cheatRate, fingerprintTopk, prefillShare, ...rest } = config
    const exhaustive: Record<string, never> = rest
    void exhaustive
    const {
      disagreementRate,
      falseAlarm,
      // Which tokens count as disagreeing is in `cheatRate`, measured at these margins; fingerprints only add.
      greedyMargin: _greedy,
      sampleMargin: _sample,
      exponentMismatches: _exponents,
      meanMantissaError: _mean,
      medianMantissaError: _median,
      ...unread
    } = thresholds
    const allRead: Record<string, never> = unread
    void allRead
    const tokens = job.states
    const chunks = fingerprintTopk === null ? 0 : 1 + Math.ceil((tokens - 1) / TOKENS_A_CHUNK)
    return {
      detection: detectionByTokens({ tokens, rate: cheatRate, tolerance: { disagreementRate, falseAlarm } }),
      samples: tokens,
      proverShare: 0,
      verifierShare: prefillShare,
      verifierCost: prefillShare * job.runCost,
      proofBytes: chunks * fingerprintBytes(fingerprintTopk ?? 0),
    }
  },
}

function assertShare(what: string, value: number): void {
  if (value > 0 && value < 1) return
  throw new AssayError('statistics/parameters', `expected ${what} between 0 and 1, got ${value}`)
}

function unreachable(rate: number): AssayError {
  return new AssayError(
    'statistics/unreachable',
    `a cheat that shows in ${rate} of the tokens is not caught within ${MAX_TOKENS_NEEDED} tokens at these thresholds`,
  )
}
