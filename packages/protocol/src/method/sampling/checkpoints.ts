/**
 * Checkpoints: single steps of a sequential task, checked without replaying what came before.
 *
 * A filter has no openings, so the published protocol replays a chain from its start for each sample. Where
 * the solver hands its states over, or commits to them under a Merkle root and opens the ones asked for, one
 * step is checked alone: state i must follow from the solver's own state i - 1. A solver that skipped work
 * has at least one step that does not follow; what is sampled is steps, and the share that is caught is the
 * share of steps that are wrong.
 */

import type { Digest } from '../../core/digest.ts'
import { AssayError } from '../../core/errors.ts'
import { verifyInclusions } from '../../core/merkle-multiproof.ts'
import type { StateKind } from '../../state/kind.ts'

/** States that a solver opened: ascending by index, with one multi-proof for all. */
export interface CheckpointOpenings {
  readonly states: readonly { readonly index: number; readonly encoding: Uint8Array }[]
  readonly proof: readonly Digest[]
}

/** Asks the solver for states; how it travels is the caller's. */
export type OpenCheckpoints = (indices: readonly number[]) => Promise<CheckpointOpenings>

/** The states to open: each sample, the one before it, and those that the output claims; ascending. */
export function touchedStates(samples: readonly number[], claimed: readonly number[] = []): number[] {
  const touched = new Set<number>(claimed)
  for (const index of samples) {
    if (index > 0) touched.add(index - 1)
    touched.add(index)
  }
  return [...touched].sort((a, b) => a - b)
}

/** Checks openings against the committed root, and decodes them. Throws `sampling/opening`. */
export function readOpenings<State>(
  kind: StateKind<State>,
  openings: CheckpointOpenings,
  {
    root,
    size,
    indices,
  }: { readonly root: Uint8Array; readonly size: number; readonly indices: readonly number[] },
): Map<number, State> {
  assertOpenings(openings)
  const found = openings.states.map(({ index }) => index)
  if (found.length !== indices.length || found.some((index, i) => index !== indices[i])) {
    throw new AssayError(
      'sampling/opening',
      `expected ${indices.length} openings of the states asked for, got others`,
    )
  }
  const verdict = verifyInclusions({
    root: root as Digest,
    size,
    leaves: openings.states.map(({ index, encoding }) => ({ index, leaf: encoding })),
    proof: openings.proof,
  })
  if (!verdict.ok) {
    throw new AssayError(
      'sampling/opening',
      `the openings do not lead to the committed root: ${verdict.message}`,
    )
  }
  return new Map(openings.states.map(({ index, encoding }) => [index, kind.decode(encoding)]))
}

/** Openings come over a wire: of the right shape before anything is read of them. */
function assertOpenings(value: unknown): asserts value is CheckpointOpenings {
  const { states, proof } = (value ?? {}) as { readonly states?: unknown; readonly proof?: unknown }
  const isOpening = (entry: unknown) =>
    typeof entry === 'object' &&
    entry !== null &&
    Number.isSafeInteger((entry as { index?: unknown }).index) &&
    (entry as { encoding?: unknown }).encoding instanceof Uint8Array
  if (!Array.isArray(states) || !states.every(isOpening) || !Array.isArray(proof)) {
    throw new AssayError(
      'sampling/opening',
      'expected openings as indices with encodings, and a proof, got something else',
    )
  }
}
