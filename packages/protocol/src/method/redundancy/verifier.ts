/**
 * The verdict over two or three answers to the same work, by nodes of different operators.
 *
 * Two that agree settle it; two that differ need a third; of three, two that agree outvote the other; three that
 * all differ prove only that at least two are wrong, so nobody is accused and the work runs again. The verdict
 * depends on the set of answers alone, never on the order in which they arrived.
 *
 * Equality is that of the result digests. In the native tier two digests may differ and the results still be equal
 * within a calibrated tolerance: `tolerant` decides that. Tolerance is no equivalence (a may be near b and b near c,
 * and a far from c): an answer that agrees with all the others settles the matter then, and nobody loses.
 *
 * Threat: answers come from nodes, which may collude up to the share that security.ts states; `verifyAnswers` takes
 * anybody's commitments. That two operators are different people is for whoever registers them to know.
 */
import { equalBytes, toHex } from '../../core/bytes.ts'
import { type Digest, isDigest } from '../../core/digest.ts'
import { reject, type Verdict } from '../../core/errors.ts'
import { isNodeId, type NodeId } from '../../core/keys.ts'
import { type ExecutionFields, type SignedExecution, verifyExecution } from '../../core/poe.ts'

/** More answers would make other majorities; the protocol escalates once. */
export const MAX_ANSWERS = 3
/** An operator is named by an account or a key; longer names are no names. */
export const MAX_OPERATOR_LENGTH = 256

/** What a node committed to. */
export interface Answer {
  readonly nodeId: NodeId
  /** Who runs the node: two nodes of one operator are one opinion. */
  readonly operator: string
  /** Of what is compared: the result digest of the commitment, or the output digest where that covers a proof too. */
  readonly resultDigest: Digest
}

export interface CompareOptions {
  /** Whether two results of different digest are equal within the tolerance. Called in one order: by node id. */
  readonly tolerant?: (a: Answer, b: Answer) => boolean
}

interface Settled {
  /** The result to accept, and whose it is: of those that agree with most, the one of the smallest node id. */
  readonly result: Digest
  readonly resultOf: NodeId
  /** Ascending. */
  readonly agreeing: readonly NodeId[]
}

/** What follows from the answers. Node ids ascend; `reason` says it in words. */
export type Comparison = { readonly reason: string; readonly lost: readonly NodeId[] } & (
  | ({ readonly outcome: 'agreed' } & Settled)
  | ({ readonly outcome: 'majority' } & Settled)
  /** Two differ: run it on a third node, of a third operator. */
  | { readonly outcome: 'disagreed' }
  /** Three differ: flag all, penalise nobody, run the work again on others. */
  | { readonly outcome: 'scattered'; readonly flagged: readonly NodeId[] }
)

/**
 * Compares answers that were checked already (signature, task, input).
 *
 * Rejects with 'redundancy/answers' when they are not two or three, malformed, or not of different nodes and
 * operators.
 */
export function compareAnswers(
  answers: readonly Answer[],
  { tolerant = () => false }: CompareOptions = {},
): Verdict<Comparison> {
  const fault = faultOf(answers)
  if (fault !== undefined) return reject('redundancy/answers', fault)
  const sorted = answers.toSorted((a, b) => (a.nodeId < b.nodeId ? -1 : 1))
  const degrees = degreesOf(sorted, tolerant)
  const most = Math.max(...degrees)
  if (most === 0) return { ok: true, value: unsettled(sorted) }
  const centre = sorted[degrees.indexOf(most)] as Answer
  // With three answers and a single pair that agrees, the third agrees with neither.
  const [agreeing, lost] = [
    sorted.filter((_, i) => (degrees[i] as number) > 0),
    sorted.filter((_, i) => degrees[i] === 0),
  ]
  const settled = {
    result: centre.resultDigest,
    resultOf: centre.nodeId,
    agreeing: agreeing.map(idOf),
    lost: lost.map(idOf),
  }
  if (lost.length === 0) {
    const reason = `all ${sorted.length} nodes gave result ${short(centre)}${spread(agreeing)}`
    return { ok: true, value: { outcome: 'agreed', ...settled, reason } }
  }
  const reason =
    `${agreeing.length} of ${sorted.length} nodes of different operators gave result ${short(centre)}` +
    `${spread(agreeing)}; ${lost.map((answer) => `node ${answer.nodeId} gave ${short(answer)}`).join('; ')}`
  return { ok: true, value: { outcome: 'majority', ...settled, reason } }
}

export interface SignedAnswer {
  readonly execution: SignedExecution
  readonly operator: string
}

/**
 * The same from signed commitments, by anybody: each signature is checked, and that all are over one task and
 * input. `expected` holds what else must be so, such as the task that the verifier knows. The result digests are
 * compared, so they must be of the result alone: a digest that covers a salted proof differs from node to node.
 *
 * Rejects as `verifyExecution` and `compareAnswers` do; never throws. At most three signatures are checked.
 */
export async function verifyAnswers(
  answers: readonly SignedAnswer[],
  { expected = {}, ...options }: CompareOptions & { readonly expected?: Partial<ExecutionFields> } = {},
): Promise<Verdict<Comparison>> {
  if (!Array.isArray(answers) || !isCount(answers.length)) {
    return reject('redundancy/answers', wrongCount(answers?.length))
  }
  const opened: Answer[] = []
  let work = expected
  for (const answer of answers) {
    if (typeof answer !== 'object' || answer === null) {
      return reject('redundancy/answers', 'expected an execution and an operator in each answer')
    }
    const { execution, operator } = answer
    const verified = await verifyExecution(execution, work)
    if (!verified.ok) return verified
    const { taskDigest, inputDigest, resultDigest } = execution.fields
    work = { ...work, taskDigest, inputDigest }
    opened.push({ nodeId: verified.value.nodeId, operator, resultDigest })
  }
  return compareAnswers(opened, options)
}

/** With how many of the others each answer agrees. */
function degreesOf(sorted: readonly Answer[], tolerant: (a: Answer, b: Answer) => boolean): number[] {
  const degrees = sorted.map(() => 0)
  sorted.forEach((a, i) => {
    for (let j = i + 1; j < sorted.length; j++) {
      const b = sorted[j] as Answer
      if (!equalBytes(a.resultDigest, b.resultDigest) && !tolerant(a, b)) continue
      degrees[i] = (degrees[i] as number) + 1
      degrees[j] = (degrees[j] as number) + 1
    }
  })
  return degrees
}

function unsettled(sorted: readonly Answer[]): Comparison {
  const list = sorted.map((answer) => `node ${answer.nodeId} gave ${short(answer)}`).join('; ')
  if (sorted.length < MAX_ANSWERS) {
    return { outcome: 'disagreed', lost: [], reason: `two nodes differ and a third must decide: ${list}` }
  }
  return {
    outcome: 'scattered',
    lost: [],
    flagged: sorted.map(idOf),
    reason: `three nodes gave three results, so that nobody can be blamed; run it again on others: ${list}`,
  }
}

function faultOf(answers: readonly Answer[]): string | undefined {
  if (!Array.isArray(answers) || !isCount(answers.length)) return wrongCount(answers?.length)
  for (const { nodeId, operator, resultDigest } of answers) {
    if (typeof nodeId !== 'string' || !isNodeId(nodeId))
      return 'expected a node id of 64 hexadecimal digits with each answer'
    if (typeof operator !== 'string' || operator.length < 1 || operator.length > MAX_OPERATOR_LENGTH) {
      return `expected an operator of 1 to ${MAX_OPERATOR_LENGTH} characters with the answer of node ${nodeId}`
    }
    if (!(resultDigest instanceof Uint8Array) || !isDigest(resultDigest)) {
      return `expected a result digest of 32 bytes from node ${nodeId}`
    }
  }
  for (const name of ['nodeId', 'operator'] as const) {
    if (new Set(answers.map((answer) => answer[name])).size < answers.length) {
      return `expected answers of different nodes and operators, got two of the same ${name}`
    }
  }
  return undefined
}

function isCount(length: number): boolean {
  return length >= 2 && length <= MAX_ANSWERS
}

function wrongCount(length: unknown): string {
  return `expected 2 or ${MAX_ANSWERS} answers to compare, got ${length ?? 'none'}`
}

function idOf({ nodeId }: Answer): NodeId {
  return nodeId
}

function short({ resultDigest }: Answer): string {
  return `${toHex(resultDigest.subarray(0, 8))}…`
}

function spread(agreeing: readonly Answer[]): string {
  const [first, ...others] = agreeing
  if (first === undefined || others.every((other) => equalBytes(other.resultDigest, first.resultDigest)))
    return ''
  return ', within the tolerance'
}
