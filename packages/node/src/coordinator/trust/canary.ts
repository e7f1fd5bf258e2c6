/**
 * Canaries: work whose answer is known, given to a node as if it were any other. They check a node without a second
 * one, and so also nodes whose auditors would collude with them.
 *
 * A canary must not be told from work. It is a segment of a job that the node gets leases of anyway, one that was
 * settled before by nodes of other operators, leased once more; its answer is the settled one. What a lease shows
 * (assay/wire/dispatch), and why it equals a normal lease there:
 *
 * | field | normal lease | canary |
 * |---|---|---|
 * | jobId, work, input, inputCid | those of the job | the same job, in the same group |
 * | falsePositiveRate, guessProbability | of the job's policy | the same |
 * | leaseSeconds, deadlineAt | of the job | the same |
 * | segment id | a fresh UUID for each dispatch, re-runs too | a fresh UUID |
 * | fence | 1 for a new dispatch, counts leases of it | 1 |
 * | from, to | rows of the segment; re-runs repeat them | rows of a settled segment |
 * | nonce | 32 random bytes for each lease | 32 random bytes |
 *
 * Segments that come late in a job's order are no sign either, since re-dispatches, audits and retries come late too.
 * After the lease: a canary is renewed, expires, is answered, acknowledged (`committed`) and paid as any other result;
 * its price comes from the network's own account, and events of it are shown to nobody but the operator of the network.
 * What would give it away is a segment that the same operator has seen before, so no operator gets one twice
 * (`seen`); a job with a settled segment but nothing else left to lease, so it is drawn only beside other work; and
 * a draw that could be foreseen, so it is keyed with a secret of the coordinator, which is never published.
 */
import { u64be, utf8 } from 'assay/core/bytes'
import { type Digest, hashFields } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import type { NodeId } from 'assay/core/keys'
import { randomStream, uniformInteger } from 'assay/core/sampling'
import { fractionOf } from 'assay/method/redundancy/audit'
import { type Answer, compareAnswers } from 'assay/method/redundancy/verifier'

/** Which lease of which node: each is drawn once. */
export interface CanaryDraw {
  /** 32 bytes that only the coordinators know. */
  readonly secret: Uint8Array
  readonly nodeId: NodeId
  /** Leases that the node was given before this one. */
  readonly sequence: number
}

/** A segment whose answer is known. */
export interface Canary {
  /** Of the segment, not of a dispatch. */
  readonly segmentId: string
  readonly jobId: string
  /**
   * What was settled, and by one of whom: nobody is judged by an answer of its own operator. At least two operators
   * agreed on it, so that a node which differs is outvoted as it would be in an audit.
   */
  readonly settled: Answer
}

/** Whether this lease is a canary, at `rate` (0 … 1). 'trust/config' for another rate. */
export function isCanary({ rate, ...draw }: CanaryDraw & { readonly rate: number }): boolean {
  if (!(rate >= 0 && rate <= 1)) {
    throw new AssayError('trust/config', `expected a rate of canaries from 0 to 1, got ${rate}`)
  }
  return fractionOf(drawOf(draw)) < rate
}

export interface CanaryChoice {
  readonly candidates: readonly Canary[]
  /** Operator of the node. */
  readonly operator: string
  /** Jobs that the node is being given leases of now. */
  readonly jobIds: ReadonlySet<string>
  /** Segments that nodes of the operator were ever leased. */
  readonly seen: ReadonlySet<string>
}

/**
 * The canary for this lease; undefined where none fits, and then the node gets ordinary work. The choice does not depend
 * on the order of the candidates.
 */
export function chooseCanary(draw: CanaryDraw, choice: CanaryChoice): Canary | undefined {
  const fitting = choice.candidates
    .filter(
      ({ segmentId, jobId, settled }) =>
        choice.jobIds.has(jobId) && !choice.seen.has(segmentId) && settled.operator !== choice.operator,
    )
    .toSorted((a, b) => (a.segmentId < b.segmentId ? -1 : 1))
  if (fitting.length === 0) return undefined
  const stream = randomStream(drawOf(draw), 'canary')
  return fitting[uniformInteger(stream, fitting.length)]
}

export interface CanaryVerdict {
  readonly outcome: 'clean' | 'fault'
  readonly reason: string
}

/**
 * The node's answer beside the settled one. `tolerant` as in `compareAnswers`.
 *
 * @throws AssayError 'redundancy/answers' when both are of one operator, or malformed: the answer's digest was computed
 * here from what the node sent, so that is misuse.
 */
export function judgeCanary(
  canary: Canary,
  answer: Answer,
  options: Parameters<typeof compareAnswers>[1] = {},
): CanaryVerdict {
  const compared = compareAnswers([canary.settled, answer], options)
  if (!compared.ok) throw AssayError.fromJSON(compared)
  const { outcome, reason } = compared.value
  return outcome === 'agreed'
    ? { outcome: 'clean', reason: `gave the known answer of segment ${canary.segmentId}: ${reason}` }
    : { outcome: 'fault', reason: `did not give the known answer of segment ${canary.segmentId}: ${reason}` }
}

function drawOf({ secret, nodeId, sequence }: CanaryDraw): Digest {
  return hashFields('assay/canary/v1', [secret, utf8(nodeId), u64be(sequence)])
}
