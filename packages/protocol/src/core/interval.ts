/**
 * Exact confidence intervals for a measured rate: what a simulation or an audit says about a probability.
 *
 * Clopper and Pearson (1934): the interval holds every p under which neither as many nor as few successes
 * would be rarer than (1 - confidence)/2. It covers the true p at least as often as it states, for any
 * number of trials; the usual normal approximation does not, near 0 and 1.
 */
import { logBinomialPmf, sumOutwards } from './distributions.ts'
import { AssayError } from './errors.ts'

/** Most trials: the sums run over as many terms as some ten standard deviations, here at most 200,000. */
export const MAX_TRIALS = 1e9
/** Halvings of the bracket; enough to reach neighbouring doubles from 1 down to 10^-12 and below. */
const MAX_HALVINGS = 200

export interface Interval {
  readonly lower: number
  readonly upper: number
}

export interface Trials {
  /** Integer from 0 to `trials`. */
  readonly successes: number
  /** Integer from 1 to 10^9. */
  readonly trials: number
  /** Probability that the interval covers the true rate, above 0 and below 1; 0.999 for 99.9 %. */
  readonly confidence: number
}

/** The two-sided Clopper–Pearson interval of the success probability. Relative error of each end below 10^-9. */
export function binomialInterval({ successes, trials, confidence }: Trials): Interval {
  if (!Number.isSafeInteger(trials) || trials < 1 || trials > MAX_TRIALS) {
    throw outOfRange('trials', `an integer from 1 to ${MAX_TRIALS}`, trials)
  }
  if (!Number.isSafeInteger(successes) || successes < 0 || successes > trials) {
    throw outOfRange('successes', `an integer from 0 to the ${trials} trials`, successes)
  }
  if (!(confidence > 0 && confidence < 1)) {
    throw outOfRange('confidence', 'a probability above 0 and below 1', confidence)
  }
  const tail = (1 - confidence) / 2
  return { lower: lowerEnd(successes, trials, tail), upper: upperEnd(successes, trials, tail) }
}

/** The p at which `successes` or more have probability `tail`; 0 for no successes. */
function lowerEnd(successes: number, trials: number, tail: number): number {
  if (successes === 0) return 0
  return boundary(0, successes / trials, (p) => {
    const ratio = (x: number) => ((trials - x) / (x + 1)) * (p / (1 - p))
    const first = logBinomialPmf(successes, trials, { p, q: 1 - p })
    return Math.exp(first) * sumOutwards(successes, { low: successes, high: trials, ratio }) < tail
  })
}

/** The p at which `successes` or fewer have probability `tail`; 1 for no failures. */
function upperEnd(successes: number, trials: number, tail: number): number {
  if (successes === trials) return 1
  return boundary(successes / trials, 1, (p) => {
    const ratio = (x: number) => ((trials - x) / (x + 1)) * (p / (1 - p))
    const first = logBinomialPmf(successes, trials, { p, q: 1 - p })
    return Math.exp(first) * sumOutwards(successes, { low: 0, high: successes, ratio }) >= tail
  })
}

/** Where `isBelow` turns from true to false between `low` and `high`. Both tails only fall away from the rate. */
function boundary(low: number, high: number, isBelow: (p: number) => boolean): number {
  for (let i = 0; i < MAX_HALVINGS; i++) {
    const p = low + (high - low) / 2
    if (p === low || p === high) break
    if (isBelow(p)) low = p
    else high = p
  }
  return high
}

function outOfRange(name: string, expected: string, got: number): AssayError {
  return new AssayError('statistics/parameters', `${name} must be ${expected}, got ${got}`, {
    detail: { parameter: name, got: String(got) },
  })
}
