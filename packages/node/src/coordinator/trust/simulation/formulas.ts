/**
 * What an audit should come to, exactly, given who is there to run it.
 *
 * The second node is drawn evenly from the candidates of other operators, the third from those that are left. Each
 * group of candidates answers alike: right, with the answer of its ring, or each with one of its own. For a third of
 * colluding nodes among many this is the (1 - r)² of assay/method/redundancy/security; here operators, finite numbers
 * and several kinds of cheats at once are counted too.
 */

/** The right answer; rings follow as 1, 2, …. */
export const RIGHT = 0
/** An answer that nobody else gives. */
export const OWN = -1

export interface Group {
  /** Candidates in it, without those of the operator of the first node. */
  nodes: number
  /** Whether they are all of one operator, so that at most one of them is drawn. */
  isOneOperator: boolean
  /** The answer that they share, or RIGHT; probability of an answer of their own instead. */
  answer: number
  ownRate: number
}

export interface AuditOdds {
  /** The first node is outvoted. */
  readonly caught: number
  /** Its answer is accepted. */
  readonly kept: number
}

/** What an audit of a first node with this answer comes to; the rest is three different answers. */
export function auditOdds(groups: readonly Group[], answer: number, answers: number): AuditOdds {
  let total = 0
  const mass = new Float64Array(answers)
  for (const { nodes, answer: shared, ownRate } of groups) {
    total += nodes
    mass[shared] = (mass[shared] as number) + nodes * (1 - ownRate)
  }
  if (total === 0) return { caught: 0, kept: 1 }
  let caught = 0
  let kept = answer === OWN ? 0 : (mass[answer] as number) / total
  for (const { nodes, isOneOperator, answer: shared, ownRate } of groups) {
    if (nodes === 0) continue
    const taken = isOneOperator ? nodes : 1
    const left = total - taken
    if (left <= 0) continue
    const isSecond = nodes / total
    const remaining = (a: number) => (mass[a] as number) - (a === shared ? taken * (1 - ownRate) : 0)
    if (shared !== answer) caught += isSecond * (1 - ownRate) * (remaining(shared) / left)
    if (answer === OWN) continue
    const differs = shared === answer ? ownRate : 1
    kept += isSecond * differs * (remaining(answer) / left)
  }
  return { caught, kept }
}
