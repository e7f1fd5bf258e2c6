/**
 * The nodes of a simulated network: what they do, and who is there to work and to audit.
 *
 * Sets are arrays with positions, so that joining, leaving and drawing take constant time; how many of each behaviour a
 * set holds is kept along, because the formulas need it at every audit.
 */
import type { Digest } from 'assay/core/digest'
import type { NodeId } from 'assay/core/keys'
import { mayAudit } from '../audit.ts'
import { mayWork, observe } from '../reputation.ts'
import { NEW_REPUTATION, type Reputation, type ReputationConfig } from '../reputation-state.ts'
import { OWN, RIGHT } from './formulas.ts'

export interface Behaviour {
  readonly name: string
  /** Of all nodes, 0 … 1. */
  readonly share: number
  /** Share of its results that are wrong while it cheats; of an honest node, the false alarms (phi). */
  readonly wrongRate: number
  /** Wrong results: each node its own, or all of the behaviour the same on the same jobs. */
  readonly answers: 'own' | 'shared'
  /** From the start; once trusted; only while trusted and without any evidence against it. */
  readonly cheats: 'never' | 'always' | 'trusted' | 'unsuspected'
  /** One operator a node, or one for all. */
  readonly operators: 'each' | 'one'
  /** Whether the network knows it already: begins trusted, by as many clean audits as that takes. */
  readonly isEstablished: boolean
}

/** Nodes to draw from, with the number of them in each group (behaviour, and whether it cheats now). */
export interface NodeSet {
  readonly members: Int32Array
  readonly positions: Int32Array
  readonly byGroup: Int32Array
  size: number
}

export interface Population {
  readonly behaviours: readonly Behaviour[]
  readonly behaviourOf: Uint8Array
  readonly operatorOf: Int32Array
  readonly reputations: Reputation[]
  readonly ids: readonly NodeId[]
  readonly operatorNames: readonly string[]
  /** The answer of its own of every node, then the right one, then those of the rings. */
  readonly digests: readonly Digest[]
  readonly workers: NodeSet
  readonly auditors: NodeSet
  /** Group that each node counts in now. */
  readonly groupOf: Uint8Array
}

export function populate(
  nodes: number,
  behaviours: readonly Behaviour[],
  config: ReputationConfig,
): Population {
  const behaviourOf = new Uint8Array(nodes)
  const operatorOf = new Int32Array(nodes)
  const trusted = establish(config)
  const reputations: Reputation[] = []
  let from = 0
  behaviours.forEach(({ share, operators, isEstablished }, index) => {
    const to = index === behaviours.length - 1 ? nodes : Math.min(nodes, from + Math.round(share * nodes))
    for (let node = from; node < to; node++) {
      behaviourOf[node] = index
      operatorOf[node] = operators === 'one' ? from : node
      reputations.push(isEstablished ? trusted : NEW_REPUTATION)
    }
    from = to
  })
  const population: Population = {
    behaviours,
    behaviourOf,
    operatorOf,
    reputations,
    ids: Array.from({ length: nodes }, (_, node) => node.toString(16).padStart(64, '0') as NodeId),
    operatorNames: Array.from(operatorOf, (operator) => `operator ${operator}`),
    digests: digestsOf(nodes + 1 + behaviours.length),
    workers: emptySet(nodes, behaviours.length),
    auditors: emptySet(nodes, behaviours.length),
    groupOf: new Uint8Array(nodes),
  }
  for (let node = 0; node < nodes; node++) place(population, node)
  return population
}

/** Puts a node where its reputation says, after that has changed. */
export function place(population: Population, node: number): void {
  const reputation = population.reputations[node] as Reputation
  const before = population.groupOf[node] as number
  const group = 2 * (population.behaviourOf[node] as number) + (isCheating(population, node) ? 1 : 0)
  population.groupOf[node] = group
  const { workers, auditors } = population
  put(workers, node, { isMember: mayWork(reputation), before, group })
  put(auditors, node, { isMember: mayAudit(reputation), before, group })
}

/** Whether the node cheats now, at its rate. */
export function isCheating({ behaviours, behaviourOf, reputations }: Population, node: number): boolean {
  const { standing, cusum } = reputations[node] as Reputation
  switch ((behaviours[behaviourOf[node] as number] as Behaviour).cheats) {
    case 'never':
      return false
    case 'always':
      return true
    case 'trusted':
      return standing === 'trusted'
    case 'unsuspected':
      return standing === 'trusted' && cusum === 0
  }
}

/** The digest that a node with this answer commits to. */
export function digestOf({ digests, ids }: Population, node: number, answer: number): Digest {
  return digests[answer === OWN ? node : ids.length + answer - RIGHT] as Digest
}

function establish(config: ReputationConfig): Reputation {
  let reputation = NEW_REPUTATION
  while (reputation.standing === 'probation') reputation = observe(reputation, 'clean', config).next
  return reputation
}

function digestsOf(count: number): Digest[] {
  return Array.from({ length: count }, (_, i) => {
    const bytes = new Uint8Array(32)
    new DataView(bytes.buffer).setUint32(0, i)
    return bytes as Digest
  })
}

function emptySet(nodes: number, behaviours: number): NodeSet {
  return {
    members: new Int32Array(nodes),
    positions: new Int32Array(nodes).fill(-1),
    byGroup: new Int32Array(2 * behaviours),
    size: 0,
  }
}

function put(
  set: NodeSet,
  node: number,
  {
    isMember,
    before,
    group,
  }: { readonly isMember: boolean; readonly before: number; readonly group: number },
): void {
  const position = set.positions[node] as number
  if (position >= 0) set.byGroup[before] = (set.byGroup[before] as number) - 1
  if (isMember) set.byGroup[group] = (set.byGroup[group] as number) + 1
  if (isMember === position >= 0) return
  if (isMember) {
    set.members[set.size] = node
    set.positions[node] = set.size++
    return
  }
  const last = set.members[--set.size] as number
  set.members[position] = last
  set.positions[last] = position
  set.positions[node] = -1
}
