/**
 * The trust of a network at full size: what the decisions of this folder do to honest nodes, lazy ones, colluders,
 * sybils and sleepers, counted, beside what the formulas say. `node bench/trust.mjs` records it.
 */
import { AssayError } from 'assay/core/errors'
import type { Check } from './simulation/checks.ts'
import { FIXED_CASES, type FixedResult, runFixed } from './simulation/fixed.ts'
import { LIVING_CASES, type LivingResult, runLiving } from './simulation/living.ts'

export interface SimulateOptions {
  readonly nodes: number
  /** Of the mixed network; the others run a part of it. */
  readonly jobs: number
  /** The same seed gives the same result. */
  readonly seed: number
}

export interface SimulateResult {
  readonly fixed: readonly FixedResult[]
  readonly living: readonly LivingResult[]
  /** All of them, named after network and behaviour. */
  readonly checks: readonly Check[]
}

/** Share of the jobs that each network at a fixed rate runs. */
const FIXED_PART = 0.1

/** Below, some kinds of cheats have no nodes, or give no wrong result that could be counted. */
const FEWEST = { nodes: 200, jobs: 10_000 }

/** @throws AssayError 'trust/config' for less than 200 nodes or 10,000 jobs. */
export function simulateTrust({ nodes, jobs, seed }: SimulateOptions): SimulateResult {
  if (!(nodes >= FEWEST.nodes && jobs >= FEWEST.jobs)) {
    throw new AssayError(
      'trust/config',
      `expected at least ${FEWEST.nodes} nodes and ${FEWEST.jobs} jobs to simulate, got ${nodes} and ${jobs}`,
    )
  }
  const fixed = FIXED_CASES.map((each, i) =>
    runFixed(each, { nodes, jobs: Math.floor(jobs * FIXED_PART), seed: seed + i }),
  )
  const living = LIVING_CASES.map((each, i) => runLiving(each, { nodes, jobs, seed: seed + 100 + i }))
  const named = (prefix: string, checks: readonly Check[]) =>
    checks.map((check) => ({ ...check, what: `${prefix}: ${check.what}` }))
  return {
    fixed,
    living,
    checks: [
      ...fixed.flatMap(({ name, checks }) => named(name, checks)),
      ...living.flatMap(({ name, results }) =>
        results.flatMap((result) => named(`${name}, ${result.name}`, result.checks)),
      ),
    ],
  }
}
