/**
 * What a sampled check is worth: detection probability, sample size, and their inverses, exact to 10^9 states.
 *
 * Of n states M are faked and k are sampled without replacement. A faked state that is sampled still passes
 * with probability s = 1 - (1-f)(1-g), where f is the false positive rate of the proof and g the chance that
 * the state was guessed right. A cheat goes unnoticed with probability
 *
 *     miss = Σ_j [ C(M,j)·C(n-M,k-j) / C(n,k) ]·s^j
 *
 * (the SPEX paper, section on the lazy verifier, with the guess added). The figures assume that the indices
 * are drawn after the solver committed and cannot be foreseen, and that faked states pass independently.
 */
import {
  type Draw,
  drawRange,
  hypergeometricRatio,
  largestTerm,
  logHypergeometricPmf,
  sumOutwards,
} from './distributions.ts'
import { AssayError } from './errors.ts'

/** Most states the figures are computed for: beyond, a sum has millions of terms, and rounding grows with them. */
export const MAX_STATES = 1e12
/** Shares and probabilities are doubles: an integer missed by less than this relative error is that integer. */
const SHARE_TOLERANCE = 2 ** -50
/** A sample that misses a cheat with the probability allowed, up to this relative error, reaches the confidence. */
const TIE_TOLERANCE = 1e-12

/** How a faked state that is sampled may still pass. */
export interface Weakness {
  /** f: probability that the proof accepts a state that it does not contain, 0 … 1. */
  readonly falsePositiveRate: number
  /** g: probability that the solver guessed the state, 0 … 1. */
  readonly guessProbability: number
}

/** How much is faked: a count, or a share of the states (see `fakedCount`). */
export type Faked = { readonly faked: number } | { readonly fakedShare: number }

export interface Check extends Weakness {
  /** n: states of the computation, 1 … 10^12. */
  readonly states: number
  /** k: states re-computed, drawn without replacement, 0 … n. */
  readonly samples: number
}

export interface Goal extends Weakness {
  /** n: states of the computation, 1 … 10^12. */
  readonly states: number
  /** Least detection probability that is enough, above 0, at most 1. */
  readonly confidence: number
}

/**
 * The fewest faked states that make up at least `share` of `states`: ⌈share·states⌉, at least 1.
 * Fewer fakes are always harder to catch, so this is the worst case that the share allows. A product that
 * rounding alone keeps from an integer (0.07·100 is 7.000000000000001) counts as the integer.
 */
export function fakedCount(states: number, share: number): number {
  assertStates(states)
  if (!(share > 0 && share <= 1)) throw outOfRange('fakedShare', 'a share above 0 and at most 1', share)
  const product = share * states
  const nearest = Math.round(product)
  const isInteger = Math.abs(product - nearest) <= product * SHARE_TOLERANCE
  return Math.min(states, Math.max(1, isInteger ? nearest : Math.ceil(product)))
}

/** Probability that at least one faked state among the samples is caught, 0 … 1. Exact when small or near 1. */
export function detectionProbability(check: Check & { readonly faked: number }): number {
  return outcome(assertCheck(check)).detection
}

/** 1 - `detectionProbability`, exact when the detection is nearly certain; 0 below the range of doubles. */
export function missProbability(check: Check & { readonly faked: number }): number {
  return Math.exp(outcome(assertCheck(check)).logMiss)
}

/** Natural logarithm of `missProbability`: keeps its precision where that is too small for a double. */
export function logMissProbability(check: Check & { readonly faked: number }): number {
  return outcome(assertCheck(check)).logMiss
}

/** The confidence that a passed check gives against the stated amount of faking: its detection probability. */
export function confidenceReached(check: Check & Faked): number {
  return detectionProbability({ ...check, faked: countOf(check.states, check) })
}

/**
 * The smallest k whose detection probability reaches `confidence`. A confidence is a double, and stands for
 * every decimal that rounds to it: a tie (99 % with f = 0.01 and one faked state, k = n) counts as reached.
 *
 * @throws AssayError 'statistics/unreachable' when even k = n does not; `detail.reachable` is what k = n gives.
 * @example
 * const weakness = { falsePositiveRate: 0.01, guessProbability: 0 }
 * sampleSize({ states: 10_000, fakedShare: 0.01, confidence: 0.99, ...weakness }) // 453
 */
export function sampleSize(goal: Goal & Faked): number {
  const { states, falsePositiveRate, guessProbability, confidence } = goal
  const faked = countOf(states, goal)
  const check = (samples: number) =>
    assertCheck({ states, faked, samples, falsePositiveRate, guessProbability })
  const reached = reaches(assertConfidence(confidence))
  const full = outcome(check(states))
  if (!reached(full.logMiss)) {
    throw unreachable(`checking all ${states} states catches ${faked} faked`, {
      confidence,
      reachable: full.detection,
    })
  }
  return smallest({ low: 1, high: states }, (samples) => reached(outcome(check(samples)).logMiss))
}

/**
 * The smallest faked count that k samples catch at the confidence asked; they catch any larger one too.
 *
 * @throws AssayError 'statistics/unreachable' when not even n faked states are caught.
 */
export function smallestFaked(goal: Goal & { readonly samples: number }): number {
  const { states, samples, falsePositiveRate, guessProbability, confidence } = goal
  const check = (faked: number) =>
    assertCheck({ states, faked, samples, falsePositiveRate, guessProbability })
  const reached = reaches(assertConfidence(confidence))
  const all = outcome(check(states))
  if (!reached(all.logMiss)) {
    throw unreachable(`${samples} samples catch ${states} of ${states} faked states`, {
      confidence,
      reachable: all.detection,
    })
  }
  return smallest({ low: 1, high: states }, (faked) => reached(outcome(check(faked)).logMiss))
}

interface Outcome {
  readonly detection: number
  readonly logMiss: number
}

type CountedCheck = Check & { readonly faked: number }

function outcome(check: CountedCheck): Outcome {
  const { states, faked, samples, falsePositiveRate: f, guessProbability: g } = check
  const caught = (1 - f) * (1 - g)
  if (faked === 0 || samples === 0 || caught === 0) return { detection: 0, logMiss: 0 }
  const passed = f + g * (1 - f)
  const draw = { population: states, marked: faked, sample: samples }
  const logPassed = passed < 0.5 ? Math.log(passed) : Math.log1p(-caught)
  const logMiss = logMissOf(draw, logPassed)
  if (logMiss < -Math.LN2) return { detection: -Math.expm1(logMiss), logMiss }
  const detection = detectionOf(draw, logPassed)
  return { detection, logMiss: Math.log1p(-detection) }
}

/** log Σ h(j)·s^j: every term is positive, so the relative error stays that of its terms. */
function logMissOf(draw: Draw, logPassed: number): number {
  const { low, high } = drawRange(draw)
  if (logPassed === Number.NEGATIVE_INFINITY) return low > 0 ? logPassed : logHypergeometricPmf(0, draw)
  const passed = Math.exp(logPassed)
  const ratio = (j: number) => hypergeometricRatio(j, draw) * passed
  const start = largestTerm(ratio, { low, high })
  return Math.min(
    0,
    logHypergeometricPmf(start, draw) +
      start * logPassed +
      Math.log(sumOutwards(start, { low, high, ratio })),
  )
}

/** Σ h(j)·(1 - s^j): the same probability from the other side, exact where it is small. */
function detectionOf(draw: Draw, logPassed: number): number {
  const range = drawRange(draw)
  const low = Math.max(1, range.low)
  const high = range.high
  const caught = (j: number) => -Math.expm1(j * logPassed)
  const ratio = (j: number) => hypergeometricRatio(j, draw) * (caught(j + 1) / caught(j))
  const start = largestTerm(ratio, { low, high })
  const largest = Math.exp(logHypergeometricPmf(start, draw)) * caught(start)
  return Math.min(1, largest * sumOutwards(start, { low, high, ratio }))
}

/** The smallest integer in [low, high] for which `holds`, which is false below it and true at `high`. */
function smallest(range: { low: number; high: number }, holds: (value: number) => boolean): number {
  let { low, high } = range
  // Doubling first: answers are small next to the range, and small arguments are cheap to try.
  for (let probe = low; probe < high; probe *= 2) {
    if (holds(probe)) high = probe
    else low = probe + 1
  }
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2)
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}

function reaches(confidence: number): (logMiss: number) => boolean {
  const halfUlp = confidence < 1 ? 2 ** -54 : 0
  const allowed = (1 - confidence + halfUlp) * (1 + TIE_TOLERANCE)
  return (logMiss) => Math.exp(logMiss) <= allowed
}

function countOf(states: number, faked: Faked): number {
  return 'faked' in faked ? faked.faked : fakedCount(states, faked.fakedShare)
}

function assertCheck(check: CountedCheck): CountedCheck {
  const { states, faked, samples, falsePositiveRate, guessProbability } = check
  assertStates(states)
  assertCount('faked', faked, states)
  assertCount('samples', samples, states)
  assertProbability('falsePositiveRate', falsePositiveRate)
  assertProbability('guessProbability', guessProbability)
  return check
}

function assertStates(states: number): void {
  if (!Number.isSafeInteger(states) || states < 1 || states > MAX_STATES) {
    throw outOfRange('states', `an integer from 1 to ${MAX_STATES}`, states)
  }
}

function assertCount(name: string, count: number, states: number): void {
  if (!Number.isSafeInteger(count) || count < 0 || count > states) {
    throw outOfRange(name, `an integer from 0 to the ${states} states`, count)
  }
}

function assertProbability(name: string, value: number): void {
  if (!(value >= 0 && value <= 1)) throw outOfRange(name, 'a probability from 0 to 1', value)
}

function assertConfidence(confidence: number): number {
  if (!(confidence > 0 && confidence <= 1)) {
    throw outOfRange('confidence', 'a probability above 0 and at most 1', confidence)
  }
  return confidence
}

function outOfRange(name: string, expected: string, got: number): AssayError {
  return new AssayError('statistics/parameters', `${name} must be ${expected}, got ${got}`, {
    detail: { parameter: name, got: String(got) },
  })
}

function unreachable(what: string, detail: { confidence: number; reachable: number }): AssayError {
  return new AssayError(
    'statistics/unreachable',
    `a confidence of ${detail.confidence} cannot be reached: ${what} with probability ${detail.reachable} at most; ` +
      'lower the false positive rate or the guess probability, or ask for less',
    { detail },
  )
}
