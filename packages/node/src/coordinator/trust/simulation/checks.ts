/** Whether what was counted agrees with what a formula says: within the exact interval of the count. */
import { binomialInterval } from 'assay/core/interval'

/** Of the interval around a measured rate; one check in a thousand fails by chance. */
export const CONFIDENCE = 0.999

export interface Check {
  readonly what: string
  readonly trials: number
  readonly observed: number
  readonly expected: number
  readonly lower: number
  readonly upper: number
  readonly agrees: boolean
}

/**
 * A rate. `expected` may be the mean of probabilities that differ from trial to trial: such a sum varies less than a
 * binomial one, so that the interval is wide enough. Undefined without trials.
 */
export function checkRate(
  what: string,
  {
    successes,
    trials,
    expected,
  }: { readonly successes: number; readonly trials: number; readonly expected: number },
): Check | undefined {
  if (trials === 0) return undefined
  const { lower, upper } = binomialInterval({ successes, trials, confidence: CONFIDENCE })
  // Sums of many probabilities round.
  const slack = 1e-9
  const agrees = expected >= lower - slack && expected <= upper + slack
  return { what, trials, observed: successes / trials, expected, lower, upper, agrees }
}
