/**
 * What the checks of a job are worth, in numbers and in words.
 *
 * For one wrong segment by a node that colludes with nobody, with both draws independent (draws.ts):
 *
 *     caught = 1 - (1 - redundancy share) · (1 - sampling share · confidence)
 *
 * where a segment counts as wrong for sampling if at least the stated share of its rows is made up. A job of n segments
 * of which w are wrong is caught with 1 - (1 - caught)^w. What was caught is not in the output: another result replaced
 * it, and the receipt tells the fault.
 *
 * With a colluding share r of the nodes, the first factor becomes 1 - share · (1 - r)² (method/redundancy/security.ts);
 * no receipt knows r, so the figure is for r = 0, and the words say so.
 */
import { fakedCount } from '../../core/statistics.ts'
import { caughtRate } from '../../method/redundancy/security.ts'
import type { AskedValidation } from './statement.ts'

/** The share of wrong segments for which `jobCaught` is stated. */
export const WRONG_SHARE = 0.01

export interface Assurance {
  /** Probability with which one wrong segment was caught before it was accepted. */
  readonly segmentCaught: number
  readonly wrongShare: number
  /** The same for a job of which this share of the segments (at least one) was wrong: that some was caught. */
  readonly jobCaught: number
  readonly proves: readonly string[]
  readonly doesNotProve: readonly string[]
}

export function assuranceOf(
  asked: AskedValidation,
  { segments, wrongShare = WRONG_SHARE }: { readonly segments: number; readonly wrongShare?: number },
): Assurance {
  const { sampling, redundancy } = asked
  const audited = caughtRate({ auditRate: redundancy?.share ?? 0, colludingShare: 0 })
  const sampled = (sampling?.share ?? 0) * (sampling?.confidence ?? 0)
  const segmentCaught = 1 - (1 - audited) * (1 - sampled)
  const wrong = fakedCount(segments, wrongShare)
  const jobCaught = segmentCaught === 1 ? 1 : -Math.expm1(wrong * Math.log1p(-segmentCaught))
  return { segmentCaught, wrongShare, jobCaught, proves: proves(asked), doesNotProve: doesNotProve(asked) }
}

function proves({ sampling, redundancy }: AskedValidation): string[] {
  const texts = [
    'Each accepted result was signed by the node named, for this task, this input and this request.',
  ]
  if (redundancy !== null && redundancy.share > 0) {
    texts.push(
      `Each result was as likely as ${percent(redundancy.share)} to run again on a node of another operator, and was ` +
        'drawn after it was signed, by a secret that the coordinator had committed to before.',
    )
  }
  if (sampling !== null && sampling.share > 0) {
    texts.push(
      `Each result was as likely as ${percent(sampling.share)} to be sampled by a verifier, and one with ` +
        `${percent(sampling.fakedShare)} of its rows made up fails that with a probability of ${percent(sampling.confidence)}.`,
    )
  }
  return texts
}

function doesNotProve({ sampling, redundancy }: AskedValidation): string[] {
  const texts = [
    'That the coordinator kept its secret until the nodes had signed, and told it to none of them.',
  ]
  if (redundancy !== null && redundancy.share > 0) {
    texts.push('That a result is right where nodes of different operators agreed to give the same wrong one.')
  }
  if (sampling !== null && sampling.share > 0) {
    texts.push(`Rows that were made up in a smaller share of a segment than ${percent(sampling.fakedShare)}.`)
  }
  if (!(redundancy !== null && redundancy.share === 1) && !(sampling !== null && sampling.share === 1)) {
    texts.push('Anything but its signature about a result that was not drawn.')
  }
  return texts
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(6))} %`
}
