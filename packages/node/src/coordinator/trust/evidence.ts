/**
 * The evidence that one audit adds: log-likelihood ratios of a cheat against an honest node.
 *
 * An honest node fails an audit with probability p0 at most (false alarms, faulty memory, a colluding majority), one
 * that is to be caught with p1 at least. A failure then adds ln(p1/p0) and a clean audit ln((1 - p1)/(1 - p0)), which
 * is negative; the sum is what promotion (Wald's SPRT) and demotion (CUSUM) decide on. How long either takes is
 * computed in run-length.ts.
 */
import { AssayError } from 'assay/core/errors'

export interface FaultRates {
  /** Share of audits that an honest node fails at most, above 0. */
  readonly p0: number
  /** Share of audits that a node fails at least that is to be caught; above p0, below 1. */
  readonly p1: number
}

export interface Evidence {
  /** Added by a failed audit; above 0. */
  readonly fault: number
  /** Added by a clean one; below 0. */
  readonly clean: number
}

export interface SprtRates extends FaultRates {
  /** Probability that an honest node (at p0) is rejected. */
  readonly alpha: number
  /** Probability that a cheat (at p1) is trusted. */
  readonly beta: number
}

/** A one-sided test for ever: max(0, S + evidence), which raises an alarm at the threshold. */
export interface CusumRates extends FaultRates {
  readonly threshold: number
}

export interface SprtBounds {
  /** Trusted at or below; negative. */
  readonly trust: number
  /** Rejected at or above. */
  readonly reject: number
}

/** @throws AssayError 'trust/config' unless 0 < p0 < p1 < 1. */
export function evidenceOf({ p0, p1 }: FaultRates): Evidence {
  if (!(p0 > 0 && p0 < p1 && p1 < 1)) {
    throw new AssayError('trust/config', `expected 0 < p0 < p1 < 1, got p0 = ${p0} and p1 = ${p1}`)
  }
  return { fault: Math.log(p1 / p0), clean: Math.log1p(-p1) - Math.log1p(-p0) }
}

/** Wald's bounds: ln(beta/(1 - alpha)) and ln((1 - beta)/alpha). They err on the safe side for both. */
export function sprtBounds({ alpha, beta }: Pick<SprtRates, 'alpha' | 'beta'>): SprtBounds {
  if (!(alpha > 0 && beta > 0 && alpha + beta < 1)) {
    throw new AssayError(
      'trust/config',
      `expected alpha and beta above 0 with a sum below 1, got ${alpha} and ${beta}`,
    )
  }
  return { trust: Math.log(beta / (1 - alpha)), reject: Math.log((1 - beta) / alpha) }
}

/** Clean audits in a row that promote a new node, and failures in a row that reject it. */
export function sprtStreaks(rates: SprtRates): { readonly clean: number; readonly faults: number } {
  const { fault, clean } = evidenceOf(rates)
  const { trust, reject } = sprtBounds(rates)
  return { clean: Math.ceil(trust / clean), faults: Math.ceil(reject / fault) }
}
