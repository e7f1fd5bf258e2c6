/**
 * How often a point that was not computed passes for one that was: the floor under every similarity.
 *
 * The bits of a point are not independent: distances obey the triangle inequality, and a vantage point near
 * the middle of the data is nearer than others to almost every point. So the chance of a guess has no formula
 * here; it is estimated by Monte Carlo from a seed, and reported as an upper confidence bound.
 *
 * Two guesses are tried on every trial: another, unrelated point, and the typical point, whose every bit is the
 * one that most points have. The larger chance counts.
 *
 * It is an estimate. Without `unrelated` the points are Gaussian around the origin; embeddings of a real model
 * crowd into a cone and pass for one another far more often, so calibrate on embeddings of your own.
 */
import { AssayError } from '../core/errors.ts'
import { binomialInterval } from '../core/interval.ts'
import { type RandomStream, randomStream } from '../core/sampling.ts'
import { assertPoint } from './distance.ts'
import { type EmbeddingHash, requiredMatches } from './embedding.ts'
import { gaussianPoints } from './embedding-points.ts'
import { assertInteger, assertProbability } from './exact.ts'

/** Pairs of points tried unless told; 0 passes of 1,000 bound the chance at 0.53 %. */
export const DEFAULT_TRIALS = 1000
export const MAX_TRIALS = 100_000
/** Trials are cut until the work fits: about half a second. */
const WORK_BUDGET = 5e8
/** A random coordinate costs as much as this many multiplications. */
const DRAW_COST = 30
/** Fewest points that say anything about their own kind. */
const MIN_UNRELATED = 20
/** Of the interval whose upper end is reported. */
const CONFIDENCE = 0.99
/** A seed that nobody chose: it decides only the noise of the estimate. */
const DEFAULT_SEED = new Uint8Array(32)

export interface TrialOptions {
  /** 32 bytes; the same seed gives the same estimate. All zero unless told. */
  readonly seed?: Uint8Array
  /** Upper limit; fewer are made where they would take more than about half a second. */
  readonly trials?: number
  /** Embeddings of unrelated things, at least 20, in place of Gaussian points; shuffled, and no near duplicates. */
  readonly unrelated?: readonly Float64Array[]
}

export interface GuessEstimate {
  /** Upper end of the 99 % interval, for the better of the two guesses. */
  readonly guessProbability: number
  /** Mean Jaccard index of two unrelated points. */
  readonly floor: number
  readonly trials: number
}

/** Estimates how often a guess passes at `similarity`. Throws `state/parameters`. */
export function estimateGuess(
  hash: EmbeddingHash,
  options: TrialOptions & { readonly similarity: number },
): GuessEstimate {
  const matches = countMatches(hash, options)
  const required = requiredMatches(hash.comparisons, options.similarity)
  return {
    guessProbability: guessBound(matches, required),
    floor: meanJaccard(matches.unrelated, hash.comparisons),
    trials: matches.unrelated.length,
  }
}

/**
 * The smallest similarity at which a guess passes with a probability of at most `maxGuess`.
 *
 * @throws AssayError `state/parameters`, also when even full agreement passes too often: use more comparisons,
 * more trials, or accept more guesses.
 */
export function calibrateSimilarity(
  hash: EmbeddingHash,
  options: TrialOptions & { readonly maxGuess: number },
): GuessEstimate & { readonly similarity: number } {
  const { maxGuess } = options
  assertProbability(maxGuess, 'maxGuess')
  const matches = countMatches(hash, options)
  const { comparisons } = hash
  let [low, high] = [1, comparisons + 1]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (guessBound(matches, middle) <= maxGuess) high = middle
    else low = middle + 1
  }
  if (low > comparisons) {
    const { length } = matches.unrelated
    throw new AssayError(
      'state/parameters',
      `no similarity keeps guesses below ${maxGuess} with ${comparisons} comparisons and ${length} trials`,
    )
  }
  return {
    similarity: low / (2 * comparisons - low),
    guessProbability: guessBound(matches, low),
    floor: meanJaccard(matches.unrelated, comparisons),
    trials: matches.unrelated.length,
  }
}

/** Agreeing comparisons, trial by trial, for either guess. */
interface Matches {
  readonly unrelated: readonly number[]
  readonly typical: readonly number[]
}

/** Points come one after the other, so that memory does not grow with the trials. */
function countMatches(hash: EmbeddingHash, options: TrialOptions): Matches {
  const { trials, nextBits } = pointSource(hash, options)
  const ones = new Uint32Array(hash.comparisons)
  const unrelated: number[] = []
  let previous = nextBits()
  for (let trial = 0; trial < trials; trial++) {
    const bits = nextBits()
    unrelated.push(agreement(previous, bits))
    for (let i = 0; i < bits.length; i++) ones[i]! += bits[i]!
    previous = bits
  }
  const majority = Uint8Array.from(ones, (count) => (2 * count > trials ? 1 : 0))
  const typical = Array.from({ length: trials }, () => agreement(majority, nextBits()))
  return { unrelated, typical }
}

/** Enough points for `trials` pairs in a chain, and as many again. */
function pointSource(
  hash: EmbeddingHash,
  options: TrialOptions,
): { readonly trials: number; readonly nextBits: () => Uint8Array } {
  const { dimensions } = hash
  const { unrelated, trials = DEFAULT_TRIALS } = options
  assertInteger(trials, { name: 'trials', min: 1, max: MAX_TRIALS })
  if (unrelated !== undefined) {
    assertInteger(unrelated.length, {
      name: 'the number of unrelated points',
      min: MIN_UNRELATED,
      max: 2 ** 24,
    })
    for (const [i, point] of unrelated.entries())
      assertPoint(point, { dimensions, name: `unrelated point ${i}` })
    const points = unrelated.values()
    const affordable = affordableTrials(hash, 0)
    return {
      trials: Math.min(trials, affordable, Math.floor((unrelated.length - 1) / 2)),
      nextBits: () => hash.bits(points.next().value as Float64Array),
    }
  }
  const stream = quickStream(options.seed ?? DEFAULT_SEED)
  return {
    trials: Math.min(trials, affordableTrials(hash, DRAW_COST)),
    nextBits: () => hash.bits(gaussianPoints(stream, { count: 1, dimensions })[0]!),
  }
}

function affordableTrials(hash: EmbeddingHash, drawCost: number): number {
  const pointCost = hash.cost + hash.dimensions * drawCost
  return Math.max(1, Math.floor(WORK_BUDGET / (2 * pointCost)))
}

function guessBound({ unrelated, typical }: Matches, required: number): number {
  const successes = Math.max(...[unrelated, typical].map((list) => list.filter((x) => x >= required).length))
  return binomialInterval({ successes, trials: unrelated.length, confidence: CONFIDENCE }).upper
}

function meanJaccard(matches: readonly number[], comparisons: number): number {
  return matches.reduce((sum, x) => sum + x / (2 * comparisons - x), 0) / matches.length
}

function agreement(a: Uint8Array, b: Uint8Array): number {
  let equal = 0
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) equal += 1
  return equal
}

/**
 * The generator sfc32 (Doty-Humphrey, PractRand), its state drawn from the seed: some fifty times as fast as
 * hashing, and good enough for an estimate. Nothing secret or committed may come from it.
 */
function quickStream(seed: Uint8Array): RandomStream {
  const start = randomStream(seed, 'unrelated-points')
  const [first, second] = [start.next(), start.next()]
  let [a, b, c, counter] = [first.high, first.low, second.high, second.low]
  const draw = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  return { next: () => ({ high: draw(), low: draw() }) }
}
