/**
 * What follows for a segment from its runs: pure, over all of them, whatever order they came in.
 *
 * A run *counts* until it is found wrong. A segment whose run waits for nothing is accepted with it. One that is
 * compared needs two that count, of different operators: if they agree, both are accepted; if not, a third decides;
 * if all three differ, nobody is accused, none of them counts any more, and it begins again. A run that a verifier
 * found wrong is out at once, and its node is to blame: a miss in a signed proof is certain. One that no verifier could
 * check is out, too, and nobody is to blame: it was drawn, and must not count unchecked.
 *
 * Threat: nodes that collude get their wrong result accepted only where two of them, of different operators, are drawn
 * for one segment (method/redundancy/security.ts).
 */
import type { Digest } from 'assay/core/digest'
import type { NodeId } from 'assay/core/keys'
import { type Answer, compareAnswers, MAX_ANSWERS } from 'assay/method/redundancy/verifier'

/** What a verifier said of a run, if it was drawn for one; `abandoned` where none could say anything. */
export type CheckState = 'none' | 'waiting' | 'verified' | 'rejected' | 'abandoned'

export interface Run {
  readonly id: string
  readonly ordinal: number
  readonly state: 'queued' | 'leased' | 'committed' | 'accepted' | 'rejected' | 'poisoned' | 'cancelled'
  /** From commitment on. */
  readonly nodeId: NodeId | null
  readonly operator: string | null
  readonly outputDigest: Digest | null
  readonly isCompared: boolean
  readonly isForced: boolean
  readonly attempts: number
  readonly check: CheckState
  /** Of a rejected check, in words. */
  readonly checkReason: string | null
}

export interface Rejected {
  readonly id: string
  /** Whether its node is to blame; else it is only flagged. */
  readonly isFault: boolean
  readonly code: 'sampling/rejected' | 'sampling/unchecked' | 'redundancy/outvoted' | 'redundancy/scattered'
  readonly reason: string
}

export interface FurtherRun {
  /** It compares (a second), decides (a third), or takes the place of what was found wrong. */
  readonly why: 'compare' | 'decide' | 'replace'
  readonly excluded: readonly string[]
  readonly avoided: readonly string[]
  readonly isCompared: boolean
  readonly isForced: boolean
  /** Used up by runs that it takes the place of. */
  readonly attempts: number
}

export interface Decision {
  /** Ids; the first is the segment's result. Empty: not yet. */
  readonly accepted: readonly string[]
  /** Of those, the ones that were found right by a comparison or a verifier. */
  readonly isAudited: boolean
  readonly rejected: readonly Rejected[]
  readonly further: FurtherRun | null
  /** In words: how answers compared. */
  readonly reason: string | null
}

const NOTHING: Decision = { accepted: [], isAudited: false, rejected: [], further: null, reason: null }

export interface DecideOptions {
  /** Whether two different outputs are equal within the tolerance of the work. */
  readonly tolerant: (a: Run, b: Run) => boolean
}

/** What to do now; `NOTHING` while something is under way that decides. */
export function decideSegment(runs: readonly Run[], { tolerant }: DecideOptions): Decision {
  if (runs.some(({ state }) => state === 'accepted')) return NOTHING
  const rejected = runs
    .filter(({ state, check }) => state === 'committed' && (check === 'rejected' || check === 'abandoned'))
    .map(misfit)
  const out = new Set(rejected.map(({ id }) => id))
  const counting = runs.filter(({ id, state }) => !out.has(id) && COUNTING.has(state))
  const underWay = counting.some(({ state }) => state !== 'committed')
  if (underWay) return { ...NOTHING, rejected }
  if (!runs.some(({ isCompared }) => isCompared)) return decideAlone(runs, { counting, rejected })
  if (counting.length < 2) return { ...NOTHING, rejected, further: furtherRun(runs, { counting, rejected }) }
  return decideCompared(runs, { counting, rejected, tolerant })
}

const COUNTING: ReadonlySet<Run['state']> = new Set(['queued', 'leased', 'committed'])

interface Pool {
  readonly counting: readonly Run[]
  readonly rejected: readonly Rejected[]
}

function misfit({ id, check, checkReason }: Run): Rejected {
  if (check === 'abandoned') {
    const reason = `no verifier could check it: ${checkReason ?? 'none came back with a verdict'}`
    return { id, isFault: false, code: 'sampling/unchecked', reason }
  }
  const reason = checkReason ?? 'the verifier found it wrong'
  return { id, isFault: true, code: 'sampling/rejected', reason }
}

function decideAlone(runs: readonly Run[], { counting, rejected }: Pool): Decision {
  const [run] = counting
  if (run === undefined) return { ...NOTHING, rejected, further: furtherRun(runs, { counting, rejected }) }
  if (run.check === 'waiting') return { ...NOTHING, rejected }
  return { ...NOTHING, rejected, accepted: [run.id], isAudited: run.check === 'verified' }
}

function decideCompared(
  runs: readonly Run[],
  { counting, rejected, tolerant }: Pool & DecideOptions,
): Decision {
  const byNode = new Map(counting.map((run) => [run.nodeId as NodeId, run]))
  const runOf = ({ nodeId }: { readonly nodeId: NodeId }) => byNode.get(nodeId) as Run
  const compared = compareAnswers(counting.map(answerOf), {
    tolerant: (a, b) => tolerant(runOf(a), runOf(b)),
  })
  // Runs are of different nodes and operators by their making: anything else is a defect of ours.
  if (!compared.ok) throw new Error(`the runs of a segment cannot be compared: ${compared.message}`)
  const { value } = compared
  const { reason } = value
  if (value.outcome === 'disagreed') {
    return { ...NOTHING, rejected, further: furtherRun(runs, { counting, rejected }), reason }
  }
  if (value.outcome === 'scattered') {
    const all = counting.map(
      ({ id }) => ({ id, isFault: false, code: 'redundancy/scattered', reason }) as const,
    )
    const gone = [...rejected, ...all]
    return { ...NOTHING, rejected: gone, further: furtherRun(runs, { counting: [], rejected: gone }), reason }
  }
  const agreeing = value.agreeing.map((nodeId) => runOf({ nodeId }))
  const lost = value.lost.map((nodeId) => {
    const { id } = runOf({ nodeId })
    return { id, isFault: true, code: 'redundancy/outvoted', reason } as const
  })
  // What agrees and waits for a verifier may yet be out.
  if (agreeing.some(({ check }) => check === 'waiting')) return { ...NOTHING, rejected }
  const result = runOf({ nodeId: value.resultOf })
  const others = agreeing.filter(({ id }) => id !== result.id)
  const accepted = [result, ...others].map(({ id }) => id)
  return { accepted, isAudited: true, rejected: [...rejected, ...lost], further: null, reason }
}

/** A run of one more operator. Those that were out before are asked last. */
function furtherRun(runs: readonly Run[], { counting, rejected }: Pool): FurtherRun {
  const out = new Set(rejected.map(({ id }) => id))
  const operators = (of: readonly Run[]) => [...new Set(of.flatMap(({ operator }) => operator ?? []))]
  const isCompared = runs.some((run) => run.isCompared)
  const last = runs.reduce((a, b) => (b.ordinal > a.ordinal ? b : a))
  const replaces = rejected.length > 0 && counting.length < MAX_ANSWERS - 1
  return {
    why: replaces ? 'replace' : counting.length === 1 ? 'compare' : 'decide',
    excluded: operators(counting),
    avoided: operators(runs.filter(({ id, state }) => out.has(id) || state === 'rejected')),
    isCompared,
    isForced: isCompared && last.isForced,
    attempts: Math.max(0, ...runs.filter(({ id }) => out.has(id)).map(({ attempts }) => attempts)),
  }
}

function answerOf({ nodeId, operator, outputDigest }: Run): Answer {
  return { nodeId: nodeId as NodeId, operator: operator as string, resultDigest: outputDigest as Digest }
}
