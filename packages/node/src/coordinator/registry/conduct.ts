/**
 * What was seen of nodes, applied: reputations, decisions with their reasons, penalties and payouts.
 *
 * Decided by coordinator/trust/, from rows that are locked here; then written, in the same transaction. A fault is
 * first held against the cohort of its node (incidents.ts); only what is the node's own is penalised. A clean audit
 * pays out what is held for its node.
 *
 * Call it once in a transaction, with all that was seen, behind the locks of jobs and before `settleJobs`: it locks the
 * nodes by ascending id. What it moves is posted behind it, with whatever else the transaction posts.
 *
 * Threat: nodes that build up trust and then cheat, cheats that pass for an incident, and faults that are told twice
 * (`once`).
 */
import type { Tx } from '../../store/database.ts'
import { append, type NewEvent } from '../events.ts'
import { type Moved, penaltyTransfers, post, releaseTransfers, type Transfer } from '../ledger.ts'
import { observe, quarantineMs } from '../trust/reputation.ts'
import type { Decision, Reputation } from '../trust/reputation-state.ts'
import { excuseFaults } from './incidents.ts'
import { isFault, lockNodes, type NodeRecord, type Observation, writeNodes } from './node-record.ts'
import type { NodePolicy } from './policy.ts'

export interface RecordOptions {
  readonly policy: NodePolicy
  /** Unix milliseconds. */
  readonly now: number
  /** Results of nodes that were accepted in this transaction, for the count that people see. */
  readonly accepted?: ReadonlyMap<string, number>
}

export interface Recorded {
  readonly decisions: readonly { readonly nodeId: string; readonly decision: Decision }[]
  /** Faults that are an incident of a cohort: nobody was penalised. */
  readonly excused: readonly Observation[]
  /** Penalties and payouts, to be posted. */
  readonly transfers: readonly Transfer[]
  /** What there is to tell once they are: faults with what was taken for them, decisions, excuses. */
  readonly eventsOf: (moved: readonly Moved[]) => NewEvent[]
}

/** That nothing was seen. */
export const NOTHING_RECORDED: Recorded = { decisions: [], excused: [], transfers: [], eventsOf: () => [] }

/** Applies what was seen, in its order; what nodes that are not registered did counts for nothing. */
export async function record(
  tx: Tx,
  observations: readonly Observation[],
  { policy, now, accepted = new Map() }: RecordOptions,
): Promise<Recorded> {
  const nodes = await lockNodes(tx, [...observations.map(({ nodeId }) => nodeId), ...accepted.keys()])
  const known = observations.filter(({ nodeId }) => nodes.has(nodeId))
  const excused = await excuseFaults(tx, known, { nodes, policy, now })
  const changes = [...nodes.values()].map((node) => {
    const own = known.filter(({ nodeId }) => nodeId === node.nodeId)
    return applyTo(node, own, { policy, now, excused })
  })
  await writeNodes(
    tx,
    changes.map(({ node, faults }) => ({
      node,
      accepted: accepted.get(node.nodeId) ?? 0,
      faults: faults.length,
    })),
  )
  return {
    decisions: changes.flatMap(({ node, decisions }) =>
      decisions.map((decision) => ({ nodeId: node.nodeId, decision })),
    ),
    excused: [...excused],
    transfers: [
      ...changes.flatMap(({ faults }) => faults.flatMap((fault) => penaltyOf(fault, policy))),
      ...releaseTransfers(changes.filter(({ isPaid }) => isPaid).map(({ node }) => node.nodeId)),
    ],
    eventsOf: (moved) => [
      ...changes.flatMap((change) => eventsOf(change, moved)),
      ...[...excused].map(excusedEvent),
    ],
  }
}

/** Posts what was recorded, and tells of it: for a transaction that moves nothing else. */
export async function postRecorded(tx: Tx, { transfers, eventsOf }: Recorded): Promise<void> {
  await append(tx, eventsOf(await post(tx, transfers)))
}

interface Change {
  readonly node: NodeRecord
  readonly decisions: readonly Decision[]
  /** Those that the node answers for. */
  readonly faults: readonly Observation[]
  readonly isPaid: boolean
}

/** What all that was seen of one node makes of it: pure. */
function applyTo(
  node: NodeRecord,
  observations: readonly Observation[],
  { policy, now, excused }: { policy: NodePolicy; now: number; excused: ReadonlySet<Observation> },
): Change {
  let { reputation, restingUntil } = node
  const decisions: Decision[] = []
  const faults: Observation[] = []
  let isPaid = false
  for (const observation of observations) {
    const outcome = excused.has(observation) ? 'excused' : observation.outcome
    const { next, decision } = observe(reputation, outcome, policy.reputation)
    reputation = next
    if (isFault(outcome)) faults.push(observation)
    if (outcome === 'clean') isPaid = true
    if (decision === undefined) continue
    decisions.push(decision)
    const rest = restOf(decision, next, policy)
    if (rest !== null) restingUntil = Math.max(restingUntil ?? 0, now + rest)
  }
  return {
    node: { ...node, reputation, restingUntil },
    decisions,
    faults,
    isPaid: isPaid && faults.length === 0,
  }
}

function restOf(
  { code }: Decision,
  reputation: Reputation,
  { reputation: config }: NodePolicy,
): number | null {
  if (code === 'paused') return config.quarantineMs
  return code === 'quarantined' ? quarantineMs(reputation, config) : null
}

/** A fault without a name could be told twice: it costs no stake. */
function penaltyOf({ nodeId, once, code, reason }: Observation, { penalty }: NodePolicy): Transfer[] {
  if (once === undefined) return []
  return penaltyTransfers(nodeId, { amount: penalty, reason: reason ?? code ?? 'a proven fault', once })
}

function eventsOf({ node: { nodeId }, decisions, faults }: Change, moved: readonly Moved[]): NewEvent[] {
  return [
    ...faults.map(
      ({ jobId = null, segment = null, once = null, runtime, outcome, code, reason }): NewEvent => {
        const taken = moved.filter((transfer) => transfer.once?.startsWith(`penalty:${once}:`))
        const penalty = taken.reduce((sum, { amount }) => sum + amount, 0)
        const data = { code: code ?? outcome, reason: reason ?? '', penalty, runtime, once }
        return { type: 'node.fault', nodeId, jobId, segment, data }
      },
    ),
    ...decisions.map(
      ({ code, reason, detail }): NewEvent => ({ type: `node.${code}`, nodeId, data: { reason, ...detail } }),
    ),
  ]
}

function excusedEvent(observation: Observation): NewEvent {
  const { nodeId, jobId, segment, code, outcome, reason } = observation
  const data = { code: code ?? outcome, reason: `part of an incident, and not penalised: ${reason ?? ''}` }
  return { type: 'node.excused', nodeId, jobId: jobId ?? null, segment: segment ?? null, data }
}
