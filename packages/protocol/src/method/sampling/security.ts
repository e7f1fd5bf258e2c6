/**
 * What the sampling method is worth, and what it costs (the statistics are in core/statistics.ts).
 *
 * A faked state is one that the solver did not compute. It passes a check if one of the slots that should
 * miss is reported as present. A solver that fakes everything about a state but one slot is the worst case,
 * and the one computed here.
 */
import { bloomParameters } from '../../core/bloom.ts'
import { AssayError } from '../../core/errors.ts'
import { fingerprintBits } from '../../core/fingerprint.ts'
import { detectionProbability, fakedCount } from '../../core/statistics.ts'
import type { StateKind } from '../../state/kind.ts'
import type { JobShape, Method, Security } from '../interface.ts'
import { type Ask, samplesFor } from './config.ts'
import type { ItemSetSize, ProofKind } from './proof.ts'

/** The part of a state kind that security depends on. */
export type KindShape = Pick<StateKind<unknown>, 'slots' | 'quorum' | 'alternatives' | 'guessProbability'>

/** An exact state in one slot that cannot be guessed. */
export const EXACT: KindShape = { slots: 1, quorum: 1, alternatives: 1, guessProbability: 0 }

export interface SamplingConfig {
  readonly proof: ProofKind
  readonly falsePositiveRate: number
  readonly ask: Ask
  /** Smallest faked share that `detection` is stated for; taken from `ask` where it has one. */
  readonly faked?: number
  readonly state?: KindShape
}

/**
 * Probability that a faked state passes its look-ups by false positives alone, when every other slot is
 * right: one of the slots - quorum + 1 that must miss hits by one of its alternatives.
 */
export function passingRate(kind: KindShape, falsePositiveRate: number): number {
  const { slots, quorum, alternatives } = kind
  const exponent = alternatives * (slots - quorum + 1)
  return -Math.expm1(exponent * Math.log1p(-falsePositiveRate))
}

/** Bytes of a proof, without its envelope. */
export function proofBytes(kind: ProofKind, items: number, falsePositiveRate: number): number {
  if (kind === 'bloom') return 8 + bloomParameters(items, falsePositiveRate).bytes
  return Math.ceil((items * fingerprintBits(falsePositiveRate)) / 8)
}

/** Bytes of the largest proof that a rate allows: what a verifier must be ready to read. */
export function largestProofBytes({ items, falsePositiveRate }: ItemSetSize): number {
  // A fingerprint has at most 32 bits, and no filter is sized for a rate from 0.5.
  const kinds = [
    ...(falsePositiveRate >= 2 ** -32 ? (['fingerprint'] as const) : []),
    ...(falsePositiveRate < 0.5 ? (['bloom'] as const) : []),
  ]
  return Math.max(0, ...kinds.map((kind) => proofBytes(kind, items, falsePositiveRate)))
}

export const samplingMethod: Method<SamplingConfig> = {
  name: 'sampling',
  proves:
    'that at most the stated share of the states was not computed as specified, with the stated confidence, ' +
    'and that the output is the one that the handed-over states give',
  doesNotProve:
    'that every single state is right; a solver that fakes fewer states than the smallest share asked for is ' +
    'caught less often',
  security(config: SamplingConfig, job: JobShape): Security {
    // Taken apart in full, so that a new parameter cannot be left out of the analysis unnoticed.
    const { proof, falsePositiveRate, ask, faked = askedShare(ask), state = EXACT, ...rest } = config
    const exhaustive: Record<string, never> = rest
    void exhaustive
    const passing = {
      falsePositiveRate: passingRate(state, falsePositiveRate),
      guessProbability: state.guessProbability,
    }
    const samples = samplesFor(ask, { states: job.states, ...passing })
    const detection = detectionProbability({
      states: job.states,
      faked: fakedCount(job.states, faked),
      samples,
      ...passing,
    })
    const verifierShare = samples / job.states
    return {
      detection,
      samples,
      proverShare: 0,
      verifierShare,
      verifierCost: verifierShare * job.runCost,
      proofBytes: proofBytes(proof, job.states * state.slots, falsePositiveRate),
    }
  },
}

function askedShare(ask: Ask): number {
  if ('faked' in ask) return ask.faked
  throw new AssayError(
    'sampling/config',
    'expected the smallest faked share that detection is to be stated for: give `faked` beside the ask',
  )
}
