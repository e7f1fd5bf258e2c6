/**
 * What a challenge of a trace is worth, and what it costs.
 *
 * Nodes are drawn with replacement; a draw takes node i with probability (1 - u)·cost_i/Σcost + u/N, where u is
 * the small share that is drawn without regard to cost. A prover whose wrong nodes hold the share w of the
 * work is missed by k draws with probability at most (1 - (1 - u)·w)^k.
 */
import { AssayError } from '../../core/errors.ts'

/**
 * Share of the draws that is uniform over nodes: so that a node whose cost the prover talks down (by committing
 * to shapes that are not true) or that costs next to nothing is still drawn at times.
 */
export const UNIFORM_SHARE = 0.1

export interface SkippedWork {
  readonly confidence: number
  /** Share of the model's cost that was not computed as specified. */
  readonly skipped: number
  /** log2 of the commitments that the prover can try until it likes its challenge; 0 where it cannot. */
  readonly grindingBits?: number
}

/** Probability that `draws` draws hit at least one of the nodes that hold the share `skipped` of the work. */
export function detectSkipped({
  skipped,
  draws,
}: {
  readonly skipped: number
  readonly draws: number
}): number {
  return -Math.expm1(draws * Math.log1p(-(1 - UNIFORM_SHARE) * skipped))
}

/** The same for nodes of a stated cost and number: one faked node, or all nodes that a swapped model changes. */
export function detectNodes(
  wrong: { readonly costShare: number; readonly countShare: number },
  draws: number,
): number {
  const hit = (1 - UNIFORM_SHARE) * wrong.costShare + UNIFORM_SHARE * wrong.countShare
  return hit >= 1 ? 1 : -Math.expm1(draws * Math.log1p(-hit))
}

/**
 * Draws that catch `skipped` with `confidence`. A prover that can try 2^g commitments is caught with that
 * confidence only if each try is missed with probability (1 - confidence)·2^-g.
 */
export function drawsFor({ confidence, skipped, grindingBits = 0 }: SkippedWork, cap: number): number {
  const missed = Math.log1p(-confidence) - grindingBits * Math.LN2
  const draws = Math.ceil(missed / Math.log1p(-(1 - UNIFORM_SHARE) * skipped) - 1e-9)
  if (draws > cap) {
    throw new AssayError(
      'trace/config',
      `it takes ${draws} draws to catch a skipped share of ${skipped}, above the cap of ${cap}: ask for a larger ` +
        'share, or run everything again',
      { detail: { draws, cap } },
    )
  }
  return Math.max(draws, 1)
}

/** Expected share of the work that checking `draws` draws repeats: nodes that are drawn twice run once. */
export function expectedCost(costShares: readonly number[], draws: number): number {
  let expected = 0
  for (const share of costShares)
    expected += share * detectNodes({ costShare: share, countShare: 1 / costShares.length }, draws)
  return expected
}
