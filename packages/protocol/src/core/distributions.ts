/**
 * Binomial and hypergeometric probabilities to nearly full double precision, for populations to 10^12.
 *
 * Differences of log-gamma values lose every digit that matters here: at 10^9 the values are near 2·10^10,
 * so that their difference is off by 10^-5. Loader's saddle-point form ("Fast and Accurate Computation of
 * Binomial Probabilities", 2000) never forms the large values: it adds the deviance, which is of the size
 * of the result, and the error of Stirling's formula, which is small. Sums run outwards from the largest
 * term by ratios of neighbours; every term is positive, so nothing cancels.
 */

const HALF_LOG_TWO_PI = 0.9189385332046728
/** A sum ends when all that is left is below this share of it: well under the rounding of a double. */
const NEGLIGIBLE = 2 ** -60

/** log(x!) - log(√(2πx)·(x/e)^x) for x = 0 … 15, from 40-digit arithmetic. x = 0 is never asked for. */
const STIRLING_ERRORS = [
  0, 0.08106146679532726, 0.0413406959554093, 0.02767792568499834, 0.020790672103765093, 0.016644691189821193,
  0.013876128823070748, 0.01189670994589177, 0.010411265261972096, 0.009255462182712733, 0.00833056343336287,
  0.007573675487951841, 0.00694284010720953, 0.006408994188004207, 0.0059513701127588475,
  0.005554733551962801,
] as const

/** The error of Stirling's formula for log(x!), x a positive integer. */
function stirlingError(x: number): number {
  if (x < STIRLING_ERRORS.length) return STIRLING_ERRORS[x] as number
  const y = 1 / (x * x)
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - (1 / 1188) * y) * y) * y) * y) / x
}

/** x·log(x/mean) + mean - x, without cancellation where x is near the mean. Both are positive. */
function deviance(x: number, mean: number): number {
  const difference = x - mean
  if (Math.abs(difference) >= 0.1 * (x + mean)) return x * Math.log(x / mean) - difference
  const v = difference / (x + mean)
  let sum = difference * v
  let power = 2 * x * v
  for (let j = 1; j < 1000; j++) {
    power *= v * v
    const next = sum + power / (2 * j + 1)
    if (next === sum) break
    sum = next
  }
  return sum
}

/** A probability together with its complement, so that neither is lost to rounding. */
export interface Odds {
  readonly p: number
  /** 1 - p. */
  readonly q: number
}

/** Natural logarithm of C(n, x)·p^x·q^(n-x), for integers 0 <= x <= n and 0 < p < 1. */
export function logBinomialPmf(x: number, n: number, { p, q }: Odds): number {
  if (x === 0) return n * (p < 0.5 ? Math.log1p(-p) : Math.log(q))
  if (x === n) return n * (q < 0.5 ? Math.log1p(-q) : Math.log(p))
  const stirling = stirlingError(n) - stirlingError(x) - stirlingError(n - x)
  const scale = HALF_LOG_TWO_PI + 0.5 * (Math.log(x) + Math.log1p(-x / n))
  return stirling - deviance(x, n * p) - deviance(n - x, n * q) - scale
}

/** A draw without replacement: `sample` of `population`, `marked` of which are marked. Integers. */
export interface Draw {
  readonly population: number
  readonly marked: number
  readonly sample: number
}

/** The fewest and the most marked items that a draw can hold. */
export function drawRange({ population, marked, sample }: Draw): {
  readonly low: number
  readonly high: number
} {
  return { low: Math.max(0, sample - (population - marked)), high: Math.min(marked, sample) }
}

/** Natural logarithm of the probability that the draw holds exactly x marked items, x within `drawRange`. */
export function logHypergeometricPmf(x: number, draw: Draw): number {
  const { population, marked, sample } = draw
  if (sample === 0 || sample === population || marked === 0 || marked === population) return 0
  const odds = { p: sample / population, q: (population - sample) / population }
  return (
    logBinomialPmf(x, marked, odds) +
    logBinomialPmf(sample - x, population - marked, odds) -
    logBinomialPmf(sample, population, odds)
  )
}

/** Probability of x + 1 marked items over that of x. Falls as x grows. */
export function hypergeometricRatio(x: number, { population, marked, sample }: Draw): number {
  return ((marked - x) / (x + 1)) * ((sample - x) / (population - marked - sample + x + 1))
}

/** The x in [low, high] with the largest term, where `ratio(x)` (term x+1 over term x) falls as x grows. */
export function largestTerm(ratio: (x: number) => number, range: { low: number; high: number }): number {
  let { low, high } = range
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2)
    if (ratio(middle) > 1) low = middle + 1
    else high = middle
  }
  return low
}

export interface LogConcaveSum {
  readonly low: number
  readonly high: number
  /** Term x+1 over term x; must fall as x grows. */
  readonly ratio: (x: number) => number
}

/** The sum of the terms low … high, in units of the term at `start`. Ends early once the rest is negligible. */
export function sumOutwards(start: number, { low, high, ratio }: LogConcaveSum): number {
  let sum = 1
  for (let x = start, term = 1; x < high; x++) {
    const step = ratio(x)
    term *= step
    sum += term
    if (isNegligible(term, step, sum)) break
  }
  for (let x = start, term = 1; x > low; x--) {
    const step = 1 / ratio(x - 1)
    term *= step
    sum += term
    if (isNegligible(term, step, sum)) break
  }
  return sum
}

/** Steps only shrink, so that what follows `term` is at most a geometric series. */
function isNegligible(term: number, step: number, sum: number): boolean {
  return step < 1 && term * step <= NEGLIGIBLE * sum * (1 - step)
}
