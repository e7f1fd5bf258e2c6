/**
 * Fraud or incident: what to make of faults before anybody is penalised.
 *
 * An update of an engine, a driver or a kind of processor can make honest nodes differ from all others at once. Such
 * faults belong to the *cohort* (nodes of one engine version, runtime, hardware tier, or a combination), and not to its
 * nodes. A cohort is to blame when all of these hold:
 *
 * 1. at least `minOperators` different operators of the cohort failed within the window: one operator's nodes are one
 *    witness, however many it runs;
 * 2. they are at least `minShare` of the operators of the cohort that were audited: a cheat among many of one version
 *    does not make an incident;
 * 3. that is more than chance explains. With enough operators outside of the cohort: Fisher's exact test, one-sided,
 *    of operators that failed inside against outside. Without (all of a network run one version): the exact binomial
 *    probability of so many failures of honest operators. Times the number of cohorts looked at (Bonferroni), it must
 *    be at most `significance`.
 *
 * Threat: cheats that want to pass for an incident. They need that many operators (which are enrolled by people), all
 * of a version that few honest nodes run, and they gain the penalty alone: the results stay rejected and unpaid. While
 * an incident lasts, its cohort gets no new work of its kind where others are there to do it (registry/incidents.ts):
 * neither cheats nor an engine that is broken for all of it go on with what no audit sees. Whoever fails after it is
 * judged anew, by what was seen within the window. An engine that nobody published is no cohort: see `knownEngines`.
 */
import {
  drawRange,
  hypergeometricRatio,
  logBinomialPmf,
  logHypergeometricPmf,
  sumOutwards,
} from 'assay/core/distributions'
import { AssayError, type Json } from 'assay/core/errors'

/** What the nodes of one operator of one kind did within the window. */
export interface CohortRecord {
  readonly operator: string
  /** Program and version, as in the manifest. */
  readonly engine: string
  readonly runtime: string
  readonly tier: number
  /** Results compared, and of these lost or malformed. */
  readonly audits: number
  readonly faults: number
}

export type Kind = Pick<CohortRecord, 'engine' | 'runtime' | 'tier'>

export interface CohortConfig {
  /** Operators of a cohort that must have failed; at least 2. */
  readonly minOperators: number
  /** Share of the audited operators of a cohort that must have failed, above 0. */
  readonly minShare: number
  /** Probability that chance alone makes an incident, over all cohorts looked at. */
  readonly significance: number
  /** p0: share of audits that an honest node fails. */
  readonly honestFaultRate: number
  /** Engines that may excuse; undefined for any. */
  readonly knownEngines?: readonly string[]
}

/** Three operators, most of their cohort, one chance in a thousand. */
export const DEFAULT_COHORT: CohortConfig = {
  minOperators: 3,
  minShare: 0.5,
  significance: 0.001,
  honestFaultRate: 0.001,
}

/** Operators, so that a table of four counts is enough for the test. */
export interface CohortCounts {
  readonly inside: { readonly operators: number; readonly failed: number }
  readonly outside: { readonly operators: number; readonly failed: number }
}

export interface CohortVerdict {
  readonly verdict: 'fraud' | 'incident'
  /** The cohort to blame, or the most suspicious one: the fields that its nodes share, and their values. */
  readonly cohort: Partial<Kind>
  /** Bonferroni's correction included; at most 1. */
  readonly probability: number
  readonly reason: string
  readonly detail: { readonly [key: string]: Json }
}

/** Which fields make a cohort; from the widest to the narrowest. */
const GROUPINGS = [
  ['engine'],
  ['runtime'],
  ['tier'],
  ['engine', 'runtime'],
  ['engine', 'tier'],
  ['runtime', 'tier'],
  ['engine', 'runtime', 'tier'],
] as const satisfies readonly (readonly (keyof Kind)[])[]

/**
 * What to make of a fault of a node of this `kind`, given what all operators did within the window, this fault
 * included. Bounded work: the records are gone over once for each of seven groupings.
 *
 * @throws AssayError 'trust/config' for a config out of range.
 */
export function judgeCohort(
  kind: Kind,
  records: readonly CohortRecord[],
  config: CohortConfig = DEFAULT_COHORT,
): CohortVerdict {
  assertConfig(config)
  const isKnown = config.knownEngines?.includes(kind.engine) ?? true
  const candidates = GROUPINGS.map((fields) => examine(pick(kind, fields), records, config))
  const least = candidates.reduce((best, next) => (better(next, best) ? next : best))
  if (isKnown && least.isBlamed) return verdictOf('incident', least, config)
  return verdictOf('fraud', least, config, isKnown ? undefined : kind.engine)
}

/** One-sided probability that this many operators fail inside by chance. */
export function cohortProbability(
  { inside, outside }: CohortCounts,
  { minOperators, honestFailing }: { readonly minOperators: number; readonly honestFailing: number },
): number {
  if (inside.failed === 0) return 1
  if (outside.operators < minOperators) {
    return binomialTail(inside.failed, inside.operators, honestFailing)
  }
  const draw = {
    population: inside.operators + outside.operators,
    marked: inside.failed + outside.failed,
    sample: inside.operators,
  }
  const { low, high } = drawRange(draw)
  if (inside.failed <= low) return 1
  const first = Math.exp(logHypergeometricPmf(inside.failed, draw))
  const ratio = (x: number) => hypergeometricRatio(x, draw)
  return Math.min(1, first * sumOutwards(inside.failed, { low: inside.failed, high, ratio }))
}

interface Candidate {
  readonly cohort: Partial<Kind>
  readonly counts: CohortCounts
  readonly probability: number
  readonly isBlamed: boolean
}

function examine(cohort: Partial<Kind>, records: readonly CohortRecord[], config: CohortConfig): Candidate {
  const inside = new Map<string, boolean>()
  const outside = new Map<string, boolean>()
  let mostAudits = 1
  for (const record of records) {
    if (record.audits === 0) continue
    const isInside = Object.entries(cohort).every(([field, value]) => record[field as keyof Kind] === value)
    const side = isInside ? inside : outside
    side.set(record.operator, (side.get(record.operator) ?? false) || record.faults > 0)
    if (isInside) mostAudits = Math.max(mostAudits, record.audits)
  }
  const counts = { inside: tally(inside), outside: tally(outside) }
  // An operator with more audits has more chances to fail: taking the most for all errs against an incident.
  const honestFailing = -Math.expm1(mostAudits * Math.log1p(-config.honestFaultRate))
  const { minOperators, minShare, significance } = config
  const single = cohortProbability(counts, { minOperators, honestFailing })
  const probability = Math.min(1, single * GROUPINGS.length)
  const { operators, failed } = counts.inside
  const isBlamed = failed >= minOperators && failed >= minShare * operators && probability <= significance
  return { cohort, counts, probability, isBlamed }
}

/** The blamed before the others, then the less probable by chance, then the wider, which comes first. */
function better(a: Candidate, b: Candidate): boolean {
  if (a.isBlamed !== b.isBlamed) return a.isBlamed
  return a.probability < b.probability
}

function tally(failedBy: ReadonlyMap<string, boolean>): {
  readonly operators: number
  readonly failed: number
} {
  let failed = 0
  for (const hasFailed of failedBy.values()) if (hasFailed) failed++
  return { operators: failedBy.size, failed }
}

function pick(kind: Kind, fields: readonly (keyof Kind)[]): Partial<Kind> {
  return Object.fromEntries(fields.map((field) => [field, kind[field]]))
}

function verdictOf(
  verdict: CohortVerdict['verdict'],
  { cohort, counts, probability }: Candidate,
  config: CohortConfig,
  unknownEngine?: string,
): CohortVerdict {
  const { inside, outside } = counts
  const name = Object.entries(cohort)
    .map(([field, value]) => `${field} ${value}`)
    .join(', ')
  const figures =
    `${inside.failed} of ${inside.operators} operators with ${name} failed, ${outside.failed} of ${outside.operators} ` +
    `others; by chance with a probability of ${probability.toPrecision(2)}`
  const bound =
    `an incident takes ${config.minOperators} operators, ${100 * config.minShare} % of the cohort and a probability of ` +
    `${config.significance} or less`
  const reason =
    verdict === 'incident'
      ? `${figures}: an incident of the cohort, not the fault of its nodes`
      : unknownEngine === undefined
        ? `${figures}: the node's own fault (${bound})`
        : `${figures}: the node's own fault, since engine ${unknownEngine} is none that was published`
  return {
    verdict,
    cohort,
    probability,
    reason,
    detail: {
      ...cohort,
      operators: inside.operators,
      failed: inside.failed,
      otherOperators: outside.operators,
      otherFailed: outside.failed,
      probability,
      significance: config.significance,
    },
  }
}

/** P(X >= failed) of a binomial. */
function binomialTail(failed: number, operators: number, p: number): number {
  if (p <= 0) return failed === 0 ? 1 : 0
  if (p >= 1) return 1
  if (failed <= operators * p) return 1
  const first = Math.exp(logBinomialPmf(failed, operators, { p, q: 1 - p }))
  const ratio = (x: number) => ((operators - x) / (x + 1)) * (p / (1 - p))
  return Math.min(1, first * sumOutwards(failed, { low: failed, high: operators, ratio }))
}

function assertConfig({ minOperators, minShare, significance, honestFaultRate }: CohortConfig): void {
  const isValid =
    Number.isSafeInteger(minOperators) &&
    minOperators >= 2 &&
    [minShare, significance, honestFaultRate].every((share) => share > 0 && share < 1)
  if (isValid) return
  throw new AssayError(
    'trust/config',
    'expected at least 2 operators, and a share, a significance and a fault rate above 0 and below 1',
  )
}
