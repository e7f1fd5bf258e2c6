/** What is counted in a simulated network, by behaviour and by node, beside what the formulas expect. */

/** Counts of one behaviour; results are those that its nodes gave first, audits that they ran are not among them. */
export interface Tally {
  /** Results, audits and canaries. */
  runs: number
  results: number
  wrong: number
  /** Sum of the audit rates of wrong results. */
  wrongAuditsExpected: number
  /** Wrong results whose node was outvoted, and the sum of the probabilities of it. */
  caught: number
  caughtExpected: number
  /** Wrong results that were accepted as they were. */
  kept: number
  keptExpected: number
  /** Right results that were outvoted. */
  right: number
  accused: number
  accusedExpected: number
  canaries: number
  canariesFailed: number
  /** Nodes whose first probation ended in trust, or in quarantine; and nodes that lost their trust later. */
  promoted: number
  rejected: number
  demoted: number
}

export interface NodeTally {
  /** Results that it gave first since it began to cheat, and which of them was the first to be caught (0: none). */
  readonly results: Int32Array
  readonly firstCaught: Int32Array
  /** Audits of any kind since it began to cheat, and at its first quarantine after that (0: none). */
  readonly audits: Int32Array
  readonly auditsToQuarantine: Int32Array
  /** Whether its first probation has ended. */
  readonly isDecided: Uint8Array
  /** Credits: earned and paid out, less costs and penalties; and held until the next clean audit. */
  readonly balance: Float64Array
  readonly held: Float64Array
}

export function emptyTally(): Tally {
  return {
    runs: 0,
    results: 0,
    wrong: 0,
    wrongAuditsExpected: 0,
    caught: 0,
    caughtExpected: 0,
    kept: 0,
    keptExpected: 0,
    right: 0,
    accused: 0,
    accusedExpected: 0,
    canaries: 0,
    canariesFailed: 0,
    promoted: 0,
    rejected: 0,
    demoted: 0,
  }
}

export function emptyNodeTally(nodes: number): NodeTally {
  return {
    results: new Int32Array(nodes),
    firstCaught: new Int32Array(nodes),
    audits: new Int32Array(nodes),
    auditsToQuarantine: new Int32Array(nodes),
    isDecided: new Uint8Array(nodes),
    balance: new Float64Array(nodes),
    held: new Float64Array(nodes),
  }
}
