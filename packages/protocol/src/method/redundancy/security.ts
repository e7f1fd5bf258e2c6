/**
 * What redundancy is worth, and what it costs.
 *
 * A wrong result is caught when it is audited and *both* other nodes are right: the second, which then differs,
 * and the third, which decides. Where the share r of the nodes gives the same wrong answer,
 *
 *     caught  = p·(1 - r)²                          the cheat loses
 *     passed  = 1 - p·(1 - r)²                      the wrong result is accepted
 *     accused = p·r²                                a right result is outvoted: an honest node loses
 *
 * So what core/deterrence.ts calls the detection d of an honest audit is 1 - r here, its colluding share is r, and its
 * false alarms phi are those of honest nodes and r² beside them: a ring does not only shield its own, it also costs
 * honest nodes their stakes (at most r² of audits, where it cheats on every piece of work).
 * Nodes that are wrong each in its own way (lazy ones) are weaker: their answers agree with nobody, so that no
 * audited wrong result passes, though three different answers name no loser.
 *
 * Auditors are taken as drawn evenly from the nodes of other operators; r counts what is left of them.
 */
import { AssayError } from '../../core/errors.ts'
import { fakedCount } from '../../core/statistics.ts'
import type { JobShape, Method, Security } from '../interface.ts'
import type { RedundancyConfig } from './config.ts'

/** Bytes of one signed commitment with an Ed25519 key and a request id of 32 bytes, as DAG-CBOR. */
export const COMMITMENT_BYTES = 474

export interface RedundancyTerms {
  /** p */
  readonly auditRate: number
  /** r */
  readonly colludingShare: number
}

/** Probability that one wrong result, shared by the colluding nodes, is caught. */
export function caughtRate({ auditRate, colludingShare }: RedundancyTerms): number {
  return assertShare('auditRate', auditRate) * (1 - assertShare('colludingShare', colludingShare)) ** 2
}

/** Probability that a right result is outvoted by colluding nodes, and its node accused. */
export function accusedRate({ auditRate, colludingShare }: RedundancyTerms): number {
  return assertShare('auditRate', auditRate) * assertShare('colludingShare', colludingShare) ** 2
}

/** Runs of one segment: 1 + p + p·P(mismatch), with a mismatch for each honest difference. */
export function expectedRuns({
  auditRate,
  mismatchRate,
}: {
  readonly auditRate: number
  readonly mismatchRate: number
}): number {
  return 1 + assertShare('auditRate', auditRate) * (1 + assertShare('mismatchRate', mismatchRate))
}

export const redundancyMethod: Method<RedundancyConfig> = {
  name: 'redundancy',
  proves:
    'that an audited result is the one that a majority of nodes of different operators gives, and that an ' +
    'unaudited one was as likely to be audited as the stated rate',
  doesNotProve:
    'that a result is right where a majority of the nodes that ran it collude, nor anything about a result that ' +
    'was not drawn',
  security(config: RedundancyConfig, job: JobShape): Security {
    // Taken apart in full, so that a new parameter cannot be left out of the analysis unnoticed.
    const { auditRate, colludingShare, wrongShare, mismatchRate, ...rest } = config
    const exhaustive: Record<string, never> = rest
    void exhaustive
    const wrong = fakedCount(job.states, wrongShare)
    const runs = expectedRuns({ auditRate, mismatchRate })
    return {
      detection: -Math.expm1(wrong * Math.log1p(-caughtRate({ auditRate, colludingShare }))),
      samples: auditRate * job.states,
      proverShare: 0,
      verifierShare: runs - 1,
      verifierCost: (runs - 1) * job.runCost,
      proofBytes: Math.ceil(job.states * runs) * COMMITMENT_BYTES,
    }
  },
}

function assertShare(name: string, value: number): number {
  if (value >= 0 && value <= 1) return value
  throw new AssayError('statistics/parameters', `${name} must be a share from 0 to 1, got ${value}`, {
    detail: { parameter: name, got: String(value) },
  })
}
