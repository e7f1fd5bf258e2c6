/**
 * What is held against nodes that failed at a run: nothing, until another delivers it.
 *
 * Work that nobody can do fails on every node, and its submitter is told; were nodes to answer for that, hostile work
 * would send all of them to rest. Where a run is accepted, it could be done, and whoever failed at it before, or held it
 * to the end of its time, counts as late: once for all that one transaction accepts.
 *
 * Threat: nodes that take everything and fail it, or hold it; submitters whose work fails on purpose.
 */
import type { Effects } from './effects.ts'
import type { JobFacts } from './job-facts.ts'

/** Of one run, the last of them. */
const MAX_FAILED = 16

export interface FailedBy {
  readonly operator: string
  /** Null where its conduct was recorded when it failed. */
  readonly node: string | null
}

export function failedAfter(before: readonly FailedBy[] | null, failed: FailedBy): FailedBy[] {
  return [...(before ?? []), failed].slice(-MAX_FAILED)
}

export function failedOperators(failed: readonly FailedBy[]): string[] {
  return [...new Set(failed.map(({ operator }) => operator))]
}

/** The run is accepted: it could be done. */
export function blameFailed(
  { observations }: Effects,
  failed: readonly FailedBy[] | null,
  runtime: string,
): void {
  for (const { node } of failed ?? []) {
    const isTold = observations.some(({ nodeId, outcome }) => nodeId === node && outcome === 'late')
    if (node !== null && !isTold) observations.push({ nodeId: node, outcome: 'late', runtime })
  }
}

/**
 * Whether an accepted run in this job says something for a node of the operator, or against those that failed at it.
 * Not in a job of its own, and not in one that pays nothing: such are made to order, to bank good conduct and to free
 * what is held.
 */
export function speaksFor(operator: string | null, { submitter, spec }: JobFacts): boolean {
  return spec.pricePerSegment > 0 && operator !== submitter
}
