/**
 * What every verification method has in common: it says what it proves and what it does not, and computes
 * its own security and price for a job, so that methods can be set side by side.
 */

/** A job as a planner sees it. */
export interface JobShape {
  /** States (or segments) of one run. */
  readonly states: number
  /** Cost of one whole run, in any unit; prices come out in the same unit. */
  readonly runCost: number
}

/** What a method promises for one configuration and job, and at what price. */
export interface Security {
  /** Probability that a cheat of the stated size is caught, per request. */
  readonly detection: number
  /** States that the verifier recomputes. */
  readonly samples: number
  /** Prover cost beyond the run itself, and verifier cost, as shares of `runCost`. */
  readonly proverShare: number
  readonly verifierShare: number
  readonly verifierCost: number
  readonly proofBytes: number
}

export interface Method<Config> {
  readonly name: string
  /** One sentence each, for people. */
  readonly proves: string
  readonly doesNotProve: string
  security(config: Config, job: JobShape): Security
}
