/**
 * How much a verifier looks at: the paper's one number, or what it stands for.
 */
import * as z from 'zod/mini'
import { parseWith } from '../../core/codec.ts'
import { AssayError } from '../../core/errors.ts'
import { sampleSize } from '../../core/statistics.ts'

/**
 * - `verificationRatio`: the paper's delta, the share of the states that is recomputed;
 * - `confidence` and `faked`: catch, with this probability, a solver that faked at least this share;
 * - `samples`: exactly so many.
 */
export type Ask =
  | { readonly verificationRatio: number }
  | { readonly confidence: number; readonly faked: number }
  | { readonly samples: number }

const ratio = z.number().check(z.minimum(0), z.maximum(1))
const inside = z.number().check(z.gt(0), z.lt(1))

const ask = z.union([
  z.strictObject({ verificationRatio: ratio }),
  z.strictObject({ confidence: inside, faked: z.number().check(z.gt(0), z.maximum(1)) }),
  z.strictObject({ samples: z.int().check(z.minimum(0)) }),
])

export interface Passing {
  /** Probability that a faked state that is sampled passes as a false positive of the proof. */
  readonly falsePositiveRate: number
  readonly guessProbability: number
}

/**
 * Samples that `asked` means for `states`.
 *
 * @throws AssayError `codec/schema` for values out of range, `statistics/unreachable` where no sample
 * reaches the confidence, `sampling/config` for more samples than states.
 */
export function samplesFor(
  asked: Ask,
  { states, ...passing }: Passing & { readonly states: number },
): number {
  const checked = parseWith(ask, asked, 'Ask')
  if ('samples' in checked) {
    if (checked.samples > states) {
      throw new AssayError('sampling/config', `expected at most ${states} samples, got ${checked.samples}`)
    }
    return checked.samples
  }
  if ('verificationRatio' in checked) return Math.ceil(checked.verificationRatio * states)
  return sampleSize({ states, fakedShare: checked.faked, confidence: checked.confidence, ...passing })
}
