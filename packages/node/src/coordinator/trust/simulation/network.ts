/**
 * A network that runs jobs, with the decisions of the real one: the draw of audits, the comparison of answers, canaries,
 * reputation and audit rates are the functions that the coordinator calls. What is simulated is only who answers what.
 *
 * Each job goes to a node drawn evenly; its result is audited at the rate that the policy gives for that node; two or
 * three answers are compared; what differs three times runs again. Rewards are held until the node's next clean audit
 * and lost with a fault, on top of the stake. Time is counted in jobs.
 */
import { u64be } from 'assay/core/bytes'
import { type Digest, hashFields } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import type { NodeId } from 'assay/core/keys'
import { isAudited } from 'assay/method/redundancy/audit'
import { type Answer, compareAnswers } from 'assay/method/redundancy/verifier'
import { auditRate, type TrustPolicy } from '../audit.ts'
import { isCanary, judgeCanary } from '../canary.ts'
import { observe, quarantineMs, release } from '../reputation.ts'
import type { Outcome, Reputation } from '../reputation-state.ts'
import { auditOdds, type Group, OWN, RIGHT } from './formulas.ts'
import {
  type Behaviour,
  digestOf,
  isCheating,
  type NodeSet,
  type Population,
  place,
  populate,
} from './population.ts'
import { type Random, simulationRandom } from './random.ts'
import { emptyNodeTally, emptyTally, type NodeTally, type Tally } from './tally.ts'

/** Runs of one job before it is set aside. */
const MAX_ATTEMPTS = 5
/** With fewer trusted nodes anybody audits, as at the start of a network. */
const FEWEST_AUDITORS = 20
/** Draws of a node of another operator before there is taken to be none. */
const MAX_DRAWS = 100
/** Jobs between two looks at who leaves quarantine. */
const RELEASE_EVERY = 64
const NETWORK_ID = 'f'.repeat(64) as NodeId

export interface NetworkOptions {
  readonly nodes: number
  readonly jobs: number
  readonly seed: number
  readonly behaviours: readonly Behaviour[]
  /** Quarantines last as many jobs as `reputation.quarantineMs` says milliseconds. */
  readonly policy: TrustPolicy
  readonly jobShare: number
  readonly canaryRate: number
  /** Whole credits. */
  readonly reward: number
  readonly computeCost: number
  readonly stake: number
  readonly auditedBy: 'anybody' | 'trusted'
  /** Whether nothing follows from what is seen: for comparing with formulas at a fixed rate. */
  readonly isFrozen: boolean
}

export interface Network extends NetworkOptions {
  readonly population: Population
  readonly tallies: readonly Tally[]
  readonly nodeTally: NodeTally
  /** Jobs run, and accepted with a wrong result; runs of any kind. */
  jobsDone: number
  wrongAccepted: number
  runs: number
}

interface Simulation extends Network {
  readonly random: Random
  readonly auditSeed: Digest
  readonly canarySecret: Digest
  readonly commitment: { readonly bytes: Digest; readonly view: DataView }
  readonly groups: readonly Group[]
  /** Whether the nodes of each behaviour give their shared wrong answer to the work at hand. */
  readonly ringCheats: Uint8Array
  readonly quarantinedUntil: Map<number, number>
  readonly leases: Int32Array
  now: number
}

/** A node and what it answers to the work at hand. */
interface Run {
  readonly node: number
  readonly answer: number
}

/** Runs the network. The same options give the same result. */
export function runNetwork(options: NetworkOptions): Network {
  const commitment = new Uint8Array(32)
  const { nodes, behaviours, policy, seed } = options
  const network: Simulation = {
    ...options,
    population: populate(nodes, behaviours, policy.reputation),
    tallies: behaviours.map(emptyTally),
    nodeTally: emptyNodeTally(nodes),
    jobsDone: 0,
    wrongAccepted: 0,
    runs: 0,
    random: simulationRandom(seed),
    auditSeed: hashFields('assay/simulated-seed/v1', [u64be(seed)]),
    canarySecret: hashFields('assay/simulated-secret/v1', [u64be(seed)]),
    commitment: { bytes: commitment as Digest, view: new DataView(commitment.buffer) },
    groups: behaviours.flatMap((behaviour) => [groupOf(behaviour), groupOf(behaviour)]),
    ringCheats: new Uint8Array(behaviours.length),
    quarantinedUntil: new Map(),
    leases: new Int32Array(nodes),
    now: 0,
  }
  for (; network.now < options.jobs; network.now++) {
    if (network.now % RELEASE_EVERY === 0) releaseNodes(network)
    runJob(network)
  }
  return network
}

function runJob(network: Simulation): void {
  const { workers } = network.population
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    // With nobody left to work or to compare with, the network stands still.
    if (workers.size < 3) return
    drawRings(network)
    const node = workers.members[network.random.below(workers.size)] as number
    if (runCanary(network, node)) {
      attempt--
      continue
    }
    const accepted = runResult(network, node, attempt)
    if (accepted === undefined) continue
    network.jobsDone++
    if (accepted !== RIGHT) network.wrongAccepted++
    return
  }
}

/** One result, audited or not: the answer that is accepted, or undefined where the job has to run again. */
function runResult(network: Simulation, node: number, attempt: number): number | undefined {
  const { nodeTally, population } = network
  const run = { node, answer: answerOf(network, node) }
  const tally = tallyOf(network, node)
  if (isCheating(population, node)) nodeTally.results[node] = (nodeTally.results[node] as number) + 1
  const rate = rateOf(network, node)
  const auditors = auditorsOf(network)
  expectOutcome(network, run, { rate, auditors })
  const { auditSeed: seed, commitment } = network
  // Each result commits to something else: all that the draw needs to know.
  commitment.view.setUint32(0, network.now)
  commitment.view.setUint32(4, attempt)
  if (isAudited({ seed, commitment: commitment.bytes, rate })) {
    return audit(network, run, auditors)
  }
  nodeTally.held[node] = (nodeTally.held[node] as number) + network.reward
  if (run.answer !== RIGHT) tally.kept++
  return run.answer
}

function audit(network: Simulation, first: Run, auditors: NodeSet): number | undefined {
  const second = drawOther(network, auditors, [first])
  if (second === undefined) {
    noteFirst(network, first, false)
    return first.answer
  }
  let runs: readonly Run[] = [first, second]
  let compared = compare(network, runs)
  if (compared.outcome === 'disagreed') {
    const third = drawOther(network, auditors, runs)
    if (third !== undefined) {
      runs = [first, second, third]
      compared = compare(network, runs)
    }
  }
  if (compared.outcome === 'disagreed' || compared.outcome === 'scattered') {
    for (const { node } of runs) see(network, node, 'flagged')
    return undefined
  }
  const { lost, resultOf } = compared
  const isLost = ({ node }: Run) => lost.includes(network.population.ids[node] as NodeId)
  noteFirst(network, first, isLost(first))
  for (const run of runs) settle(network, run.node, isLost(run) ? 'fault' : 'clean')
  return runs.find(({ node }) => network.population.ids[node] === resultOf)?.answer
}

/** A canary beside other work, if one is drawn: its answer is known to be right. */
function runCanary(network: Simulation, node: number): boolean {
  const { canaryRate: rate, canarySecret: secret, population, leases } = network
  const sequence = leases[node] as number
  leases[node] = sequence + 1
  if (rate === 0 || !isCanary({ secret, nodeId: population.ids[node] as NodeId, sequence, rate }))
    return false
  const answer = answerOf(network, node)
  const known: Answer = {
    nodeId: NETWORK_ID,
    operator: 'network',
    resultDigest: digestOf(population, node, RIGHT),
  }
  const canary = { segmentId: 'segment', jobId: 'job', settled: known }
  const { outcome } = judgeCanary(canary, signedAnswer(network, { node, answer }))
  const tally = tallyOf(network, node)
  tally.canaries++
  if (outcome === 'fault') tally.canariesFailed++
  settle(network, node, outcome)
  return true
}

/** What a clean audit pays out, and what a fault costs; and what follows for the reputation. */
function settle(network: Simulation, node: number, outcome: 'clean' | 'fault'): void {
  const { balance, held } = network.nodeTally
  balance[node] =
    (balance[node] as number) +
    (outcome === 'clean' ? (held[node] as number) + network.reward : -network.stake)
  held[node] = 0
  see(network, node, outcome)
}

function see(network: Simulation, node: number, outcome: Outcome): void {
  const { population, nodeTally, policy, isFrozen } = network
  const before = population.reputations[node] as Reputation
  const isCheat = isCheating(population, node)
  if (isCheat && outcome !== 'flagged') nodeTally.audits[node] = (nodeTally.audits[node] as number) + 1
  if (isFrozen) return
  const { next, decision } = observe(before, outcome, policy.reputation)
  population.reputations[node] = next
  if (next.standing === before.standing && (next.cusum === 0) === (before.cusum === 0)) return
  place(population, node)
  const tally = tallyOf(network, node)
  const isFirst = nodeTally.isDecided[node] === 0 && before.standing === 'probation'
  if (decision?.code === 'promoted' && isFirst) tally.promoted++
  if (next.standing === 'quarantined') {
    network.quarantinedUntil.set(node, network.now + quarantineMs(next, policy.reputation))
  }
  const isOut = next.standing !== before.standing && next.standing !== 'trusted'
  if (isOut && isFirst) tally.rejected++
  if (isOut && before.standing === 'trusted') tally.demoted++
  if (isOut && isCheat && nodeTally.auditsToQuarantine[node] === 0) {
    nodeTally.auditsToQuarantine[node] = nodeTally.audits[node] as number
  }
  if (before.standing === 'probation') nodeTally.isDecided[node] = 1
}

function noteFirst(network: Simulation, { node, answer }: Run, isLost: boolean): void {
  const { results, firstCaught } = network.nodeTally
  const tally = tallyOf(network, node)
  if (answer === RIGHT) {
    if (isLost) tally.accused++
    return
  }
  if (!isLost) {
    tally.kept++
    return
  }
  tally.caught++
  if (firstCaught[node] === 0) firstCaught[node] = results[node] as number
}

/** Adds what the formulas expect of a result, before anything of it is drawn. */
function expectOutcome(
  network: Simulation,
  { node, answer }: Run,
  { rate, auditors }: { readonly rate: number; readonly auditors: NodeSet },
): void {
  const tally = tallyOf(network, node)
  tally.results++
  if (answer === RIGHT) {
    tally.right++
    if (!network.ringCheats.includes(1)) return
    tally.accusedExpected += rate * oddsOf(network, { node, answer }, auditors).caught
    return
  }
  tally.wrong++
  tally.wrongAuditsExpected += rate
  const { caught, kept } = oddsOf(network, { node, answer }, auditors)
  tally.caughtExpected += rate * caught
  tally.keptExpected += 1 - rate + rate * kept
}

function oddsOf(network: Simulation, { node, answer }: Run, auditors: NodeSet) {
  const { groups, behaviours, population, ringCheats } = network
  const own = population.behaviourOf[node] as number
  groups.forEach((group, index) => {
    const behaviour = index >> 1
    const isAwake = index % 2 === 1
    group.nodes = auditors.byGroup[index] as number
    if (behaviour === own) {
      if (group.isOneOperator) group.nodes = 0
      else if (index === population.groupOf[node] && (auditors.positions[node] as number) >= 0) group.nodes--
    }
    group.answer = isAwake && ringCheats[behaviour] === 1 ? behaviour + 1 : RIGHT
    group.ownRate = ownRateOf(behaviours[behaviour] as Behaviour, isAwake)
  })
  return auditOdds(groups, answer, behaviours.length + 1)
}

/** Share of results that differ from what the group answers otherwise: lazy cheats, and false alarms. */
function ownRateOf({ cheats, answers, wrongRate }: Behaviour, isAwake: boolean): number {
  return cheats === 'never' || (isAwake && answers === 'own') ? wrongRate : 0
}

function answerOf(network: Simulation, node: number): number {
  const { population, behaviours, ringCheats, random, nodeTally, computeCost } = network
  const index = population.behaviourOf[node] as number
  const behaviour = behaviours[index] as Behaviour
  const isAwake = population.groupOf[node] === 2 * index + 1
  network.runs++
  tallyOf(network, node).runs++
  let answer = RIGHT
  if (isAwake && ringCheats[index] === 1) answer = index + 1
  else if (random.uniform() < ownRateOf(behaviour, isAwake)) answer = OWN
  // A false alarm was computed; a cheat saves the work.
  if (answer === RIGHT || behaviour.cheats === 'never') {
    nodeTally.balance[node] = (nodeTally.balance[node] as number) - computeCost
  }
  return answer
}

/** Decides for each ring whether it cheats on the work at hand: all of its members do, or none. */
function drawRings({ behaviours, ringCheats, random }: Simulation): void {
  behaviours.forEach(({ answers, wrongRate, cheats }, index) => {
    const isRing = answers === 'shared' && cheats !== 'never'
    ringCheats[index] = isRing && random.uniform() < wrongRate ? 1 : 0
  })
}

function rateOf(network: Simulation, node: number): number {
  const { population, policy, jobShare, stake, reward, computeCost, isFrozen } = network
  if (isFrozen) return jobShare
  const reputation = population.reputations[node] as Reputation
  return auditRate({ reputation, jobShare, stake, reward, computeCost }, policy)
}

function auditorsOf({ auditedBy, population }: Simulation): NodeSet {
  const { auditors, workers } = population
  return auditedBy === 'trusted' && auditors.size >= FEWEST_AUDITORS ? auditors : workers
}

/** A node of another operator than those of `runs`, and what it answers. */
function drawOther(network: Simulation, set: NodeSet, runs: readonly Run[]): Run | undefined {
  const { operatorOf } = network.population
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const node = set.members[network.random.below(set.size)] as number
    if (runs.some((run) => operatorOf[run.node] === operatorOf[node])) continue
    return { node, answer: answerOf(network, node) }
  }
  return undefined
}

function compare(network: Simulation, runs: readonly Run[]) {
  const compared = compareAnswers(runs.map((run) => signedAnswer(network, run)))
  if (!compared.ok) throw AssayError.fromJSON(compared)
  return compared.value
}

function signedAnswer({ population }: Simulation, { node, answer }: Run): Answer {
  return {
    nodeId: population.ids[node] as NodeId,
    operator: population.operatorNames[node] as string,
    resultDigest: digestOf(population, node, answer),
  }
}

function releaseNodes(network: Simulation): void {
  const { population, quarantinedUntil, now } = network
  for (const [node, until] of quarantinedUntil) {
    if (until > now) continue
    quarantinedUntil.delete(node)
    population.reputations[node] = release(population.reputations[node] as Reputation).next
    place(population, node)
  }
}

function tallyOf({ tallies, population }: Simulation, node: number): Tally {
  return tallies[population.behaviourOf[node] as number] as Tally
}

function groupOf({ operators }: Behaviour): Group {
  return { nodes: 0, isOneOperator: operators === 'one', answer: RIGHT, ownRate: 0 }
}
