/**
 * How long promotion and demotion take, exactly: what thresholds are chosen by.
 *
 * After f failures and n clean audits the evidence is f·fault + n·clean (evidence.ts), so both tests are walks on a
 * lattice, and their figures are sums over it, not approximations by boundary crossings. For the CUSUM an excursion
 * begins at 0 with a failure and ends at 0 or at the threshold; runs are excursions in a row, which gives the
 * average run length (ARL) as (expected wait for an excursion and its length) / (probability that it ends in an
 * alarm). Written for planning and tests; no decision calls it.
 */
import { AssayError } from 'assay/core/errors'
import {
  type CusumRates,
  type Evidence,
  evidenceOf,
  type FaultRates,
  type SprtRates,
  sprtBounds,
} from './evidence.ts'

/** Failures in one excursion beyond which it counts as an alarm; none comes near it at any rate worth asking for. */
const MAX_FAULTS = 300
/** Mass of undecided walks that is left out of a sum. */
const NEGLIGIBLE = 1e-13
/** Audits after which an undecided SPRT is given up on. */
const MAX_AUDITS = 1_000_000
/** Beyond 10^12 audits a false alarm has no meaning. */
const LONGEST_RUN = 1e12

/** Expected audits until the CUSUM reaches its threshold, for a node that fails each audit with `faultRate`. */
export function cusumRunLength({ threshold, ...rates }: CusumRates, faultRate: number): number {
  const { length, alarm } = excursion(
    threshold,
    { ...evidenceOf(rates), rate: assertRate(faultRate) },
    () => 1,
  )
  return (1 / faultRate + length) / alarm
}

/**
 * The same in results: `auditRate(S)` of them are audited while the evidence is S, above 0 and at most 1. A node that
 * gives wrong results at `faultRate` gives that many results until it is quarantined.
 */
export function cusumResults(
  { threshold, ...rates }: CusumRates,
  { faultRate, auditRate }: { readonly faultRate: number; readonly auditRate: (evidence: number) => number },
): number {
  const resultsAt = (level: number) => 1 / assertRate(auditRate(level))
  const walk = { ...evidenceOf(rates), rate: assertRate(faultRate) }
  const { length, alarm } = excursion(threshold, walk, resultsAt)
  return (resultsAt(0) / faultRate + length) / alarm
}

/**
 * The smallest threshold, to two decimals, at which an honest node (at p0) runs at least `honestAudits` audits
 * between false alarms on average.
 *
 * @throws AssayError 'trust/config' for less than one audit or more than 10^12.
 */
export function thresholdFor(rates: FaultRates, honestAudits: number): number {
  if (!(honestAudits >= 1 && honestAudits <= LONGEST_RUN)) {
    throw new AssayError('trust/config', `expected a run of 1 to ${LONGEST_RUN} audits, got ${honestAudits}`)
  }
  const isEnough = (hundredths: number) =>
    cusumRunLength({ ...rates, threshold: hundredths / 100 }, rates.p0) >= honestAudits
  let high = 1
  while (!isEnough(high)) high *= 2
  let low = high >> 1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (isEnough(middle)) high = middle
    else low = middle
  }
  return high / 100
}

interface Excursion {
  /** Expected sum of what its steps cost, from the failure that begins it (not counted) to its end. */
  readonly length: number
  /** Probability that it ends in an alarm. */
  readonly alarm: number
}

const ALARM: Excursion = { length: 0, alarm: 1 }
const ZERO: Excursion = { length: 0, alarm: 0 }

/** From one failure at 0 to 0 or to the threshold: backwards over the lattice, from many failures to one. */
function excursion(
  threshold: number,
  { fault, clean, rate }: Evidence & { readonly rate: number },
  costAt: (level: number) => number,
): Excursion {
  if (!(threshold > 0)) throw new AssayError('trust/config', `expected a threshold above 0, got ${threshold}`)
  if (fault >= threshold) return ALARM
  const levelOf = (faults: number, cleans: number) => faults * fault + cleans * clean
  let next: { readonly first: number; readonly row: readonly Excursion[] } | undefined
  for (let faults = MAX_FAULTS; faults >= 1; faults--) {
    // Clean audits at which this many failures leave the evidence between 0 and the threshold.
    const first = Math.max(0, Math.floor((threshold - faults * fault) / clean) + 1)
    const last = Math.ceil((faults * fault) / -clean) - 1
    const row: Excursion[] = []
    for (let cleans = last; cleans >= first; cleans--) {
      const afterClean = levelOf(faults, cleans + 1) <= 0 ? ZERO : (row[cleans + 1 - first] ?? ZERO)
      const higher = levelOf(faults + 1, cleans) >= threshold ? ALARM : next?.row[cleans - next.first]
      const afterFault = higher ?? ALARM
      row[cleans - first] = {
        length: costAt(levelOf(faults, cleans)) + (1 - rate) * afterClean.length + rate * afterFault.length,
        alarm: (1 - rate) * afterClean.alarm + rate * afterFault.alarm,
      }
    }
    next = { first, row }
  }
  return next?.row[0] ?? ALARM
}

/** Probability that the CUSUM of such a node reaches its threshold within so many audits. */
export function cusumAlarmWithin(
  { threshold, ...rates }: CusumRates,
  { faultRate, audits }: { readonly faultRate: number; readonly audits: number },
): number {
  const { fault, clean } = evidenceOf(rates)
  assertRate(faultRate)
  /** Mass by clean audits, and by failures before that; 0 and 0 is no evidence. */
  let walks = new Map([[0, new Map([[0, 1]])]])
  let alarmed = 0
  for (let done = 0; done < audits; done++) {
    const after: typeof walks = new Map()
    const move = (faults: number, cleans: number, mass: number) => {
      const level = faults * fault + cleans * clean
      if (level >= threshold) alarmed += mass
      else if (mass > NEGLIGIBLE) add(after, level <= 0 ? [0, 0] : [faults, cleans], mass)
    }
    for (const [faults, row] of walks) {
      for (const [cleans, mass] of row) {
        move(faults, cleans + 1, mass * (1 - faultRate))
        move(faults + 1, cleans, mass * faultRate)
      }
    }
    walks = after
  }
  return alarmed
}

function add(
  walks: Map<number, Map<number, number>>,
  [faults, cleans]: readonly [number, number],
  mass: number,
): void {
  const row = walks.get(faults) ?? new Map<number, number>()
  walks.set(faults, row)
  row.set(cleans, (row.get(cleans) ?? 0) + mass)
}

export interface SprtFigures {
  /** Probability that the node ends trusted. */
  readonly trusted: number
  /** Probability that it ends rejected. */
  readonly rejected: number
  /** Expected audits until either. */
  readonly audits: number
}

/**
 * What the SPRT does with a node that fails each audit with `faultRate`, 0 … 1; with `within`, what it has done after so
 * many audits.
 */
export function sprtFigures(
  rates: SprtRates,
  faultRate: number,
  { within = MAX_AUDITS }: { readonly within?: number } = {},
): SprtFigures {
  const { fault, clean } = evidenceOf(rates)
  const bounds = sprtBounds(rates)
  if (!(faultRate >= 0 && faultRate <= 1)) throw rateOutOfRange(faultRate)
  /** Mass of undecided walks by their failures, after `done` audits. */
  let undecided = new Map([[0, 1]])
  const figures = { trusted: 0, rejected: 0, audits: 0 }
  for (let done = 0; undecided.size > 0 && done < within; done++) {
    const after = new Map<number, number>()
    const move = (faults: number, mass: number) => {
      const level = faults * fault + (done + 1 - faults) * clean
      if (level <= bounds.trust) figures.trusted += mass
      else if (level >= bounds.reject) figures.rejected += mass
      else if (mass > NEGLIGIBLE) after.set(faults, (after.get(faults) ?? 0) + mass)
    }
    for (const [faults, mass] of undecided) {
      figures.audits += mass
      if (faultRate < 1) move(faults, mass * (1 - faultRate))
      if (faultRate > 0) move(faults + 1, mass * faultRate)
    }
    undecided = after
  }
  return figures
}

function assertRate(rate: number): number {
  if (rate > 0 && rate <= 1) return rate
  throw rateOutOfRange(rate)
}

function rateOutOfRange(rate: number): AssayError {
  return new AssayError('trust/config', `expected a rate above 0 and at most 1, got ${rate}`)
}
