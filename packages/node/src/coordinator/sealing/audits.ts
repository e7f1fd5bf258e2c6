/**
 * The audits of a segment, from its runs: which of them were compared with which, and what came of it.
 *
 * Runs of a segment are compared in rounds: two that agree, or three of which two do; or three that all differ, which
 * decides nothing and begins a new round. What a run was rejected for says which round it was of.
 */
import type { Digest } from 'assay/core/digest'
import { auditFraction } from 'assay/method/redundancy/audit'
import { MAX_ANSWERS } from 'assay/method/redundancy/verifier'
import type { ReceiptAudit, ReceiptRun } from 'assay/receipt/job/sign'

/** A run with a result, that was compared. */
export interface ComparedRun extends ReceiptRun {
  readonly state: string
  /** Code of a rejection, or null. */
  readonly code: string | null
  /** Share with which it was drawn to run again; null where it was compared anyway. */
  readonly auditRate: number | null
}

/** Of one segment: `runs` by their ordinal. */
export function auditsOf(
  segment: number,
  runs: readonly ComparedRun[],
  { seed }: { readonly seed: Uint8Array },
): ReceiptAudit[] {
  const scattered = runs.filter(({ code }) => code === 'redundancy/scattered')
  const rounds: ReceiptAudit[] = []
  for (let at = 0; at + MAX_ANSWERS <= scattered.length; at += MAX_ANSWERS) {
    rounds.push(auditOf(segment, scattered.slice(at, at + MAX_ANSWERS), { seed, outcome: 'scattered' }))
  }
  const agreeing = runs.filter(({ state }) => state === 'accepted')
  if (agreeing.length < 2) return rounds
  const outvoted = runs.filter(({ code }) => code === 'redundancy/outvoted')
  const last = runs.filter((run) => agreeing.includes(run) || outvoted.includes(run)).slice(-MAX_ANSWERS)
  const outcome = outvoted.length > 0 ? 'majority' : 'agreed'
  return [...rounds, auditOf(segment, last, { seed, outcome })]
}

function auditOf(
  segment: number,
  runs: readonly ComparedRun[],
  { seed, outcome }: { readonly seed: Uint8Array; readonly outcome: ReceiptAudit['outcome'] },
): ReceiptAudit {
  const lost = runs.filter(({ code }) => code === 'redundancy/outvoted').map(({ nodeId }) => nodeId)
  const plain = runs.map(({ nodeId, commitment, output }) => ({ nodeId, commitment, output }))
  const drawn = runs.findIndex(
    ({ commitment, auditRate }) =>
      auditRate !== null && auditFraction({ seed, commitment: commitment as Digest }) < auditRate,
  )
  // The run that was drawn may be out since (a verifier found it wrong): the others were compared in any case.
  const rate = runs[drawn]?.auditRate ?? 1
  return { segment, rate, drawn: Math.max(0, drawn), runs: plain, outcome, lost }
}
