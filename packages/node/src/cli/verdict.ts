/**
 * A verdict, as a person and as a program read it.
 */
import type { Json } from 'assay/core/errors'
import type { SeedSource } from 'assay/core/seed'
import type { Evidence } from 'assay/method/sampling/evidence'
import type { Verification } from 'assay/method/sampling/verifier'
import { remedyOf } from './exit.ts'
import { formatCount, formatDuration, formatPercent, type Style, table } from './style.ts'

export interface VerdictFigures extends Verification {
  readonly method: string
  /** Null where the run could not be read. */
  readonly solver: string | null
  readonly requestId: string | null
  readonly nonce: string | null
  /** Whether the verifier named the nonce, or took the one in the run. */
  readonly isNonceInsisted: boolean
  readonly seed: SeedSource | null
  readonly verifyMs: number
  readonly receipt: string | null
}

export function verdictJson(figures: VerdictFigures): { readonly [key: string]: Json } {
  const { response, check, method, solver, requestId, nonce, isNonceInsisted, seed, verifyMs, receipt } =
    figures
  return {
    isVerified: response.isVerified,
    countItems: response.countItems,
    evidence: evidenceJson(response.evidence),
    method,
    states: check.states,
    samples: check.samples,
    confidence: check.confidence,
    faked: check.faked,
    verifierShare: check.samples / check.states,
    verifyMs,
    falsePositiveRate: check.falsePositiveRate,
    guessProbability: check.guessProbability,
    outputBinding: check.outputBinding,
    solver,
    requestId,
    nonce,
    isNonceInsisted,
    seed: seed as Json,
    receipt,
  }
}

export function evidenceJson(evidence: Evidence | null): Json {
  return evidence === null ? null : { ...evidence }
}

export function describeVerdict(figures: VerdictFigures, style: Style): string {
  const { response, check, receipt, solver } = figures
  const { evidence } = response
  const rows: (readonly string[])[] = []
  if (evidence !== null) {
    rows.push(['evidence', `${style.bad(evidence.code)}: ${evidence.message}`])
    rows.push(['what to do', rejectionRemedy(evidence.code)])
  }
  rows.push(['checked', describeCheck(figures)])
  const confidence = describeConfidence(figures)
  if (confidence !== null) rows.push(['confidence', confidence])
  if (solver !== null) rows.push(['solver', solver])
  if (receipt !== null) rows.push(['receipt', receipt])
  const lines = [heading(figures, style), table(rows)]
  if (response.isVerified && check.outputBinding === 'unbound') {
    lines.push('', style.bad('Nothing ties the output to the proved states: only a full re-execution would.'))
  }
  if (response.isVerified && !figures.isNonceInsisted) {
    lines.push(
      '',
      style.faint(
        'The nonce is the one in the run. Draw your own and give it with --nonce to rule out an old run.',
      ),
    )
  }
  return lines.join('\n')
}

/** Nobody should read "verified" where no state was looked at. */
function heading({ response, check }: VerdictFigures, style: Style): string {
  if (!response.isVerified) return `${style.bad('✘')} ${style.strong('rejected')}`
  if (check.samples > 0) return `${style.good('✔')} ${style.strong('verified')}`
  return `${style.good('✔')} ${style.strong('accepted')}: signed, and its output is the proved one; no state was recomputed`
}

/** The remedies of other areas speak to whoever wrote the bytes; here that is the solver. */
function rejectionRemedy(code: string): string {
  const remedy = /^(?:sampling|run)\//.test(code) ? remedyOf(code) : ''
  return remedy === '' ? 'Reject the run: its solver did not hand over what it should have.' : remedy
}

function describeCheck({ check, method, verifyMs }: VerdictFigures): string {
  if (check.outputBinding === null) return 'nothing was recomputed'
  const states = formatCount(check.states)
  if (check.samples === 0 && method === 'adversarial') {
    return `the seed did not choose this run to be run again (${states} states)`
  }
  const share = formatPercent(check.samples / check.states)
  return `${formatCount(check.samples)} of ${states} states recomputed, ${share} of the run, in ${formatDuration(verifyMs)}`
}

function describeConfidence({ check, response, method }: VerdictFigures): string | null {
  if (!response.isVerified || method !== 'lazy') return null
  if (check.confidence === null || check.faked === null) return null
  return `${formatPercent(check.confidence)} of solvers that fake ${formatPercent(check.faked)} of the states, or more, are caught`
}
