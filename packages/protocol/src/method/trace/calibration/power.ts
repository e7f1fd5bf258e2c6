/**
 * What a profile is worth: how often it refuses honest runs that it was not made from, and how often it misses
 * each cheat. Rates are counted, with exact intervals.
 *
 * Three ways to look: `oneNode`, one node drawn by cost as a challenge draws it and run again on the committed
 * inputs; `allNodes`, every node so; `endToEnd`, the output of a whole run against the verifier's own. Inputs
 * are compared exactly and first, as `openTraceResponse` does.
 */

import { u64be, utf8 } from '../../../core/bytes.ts'
import { hashFields } from '../../../core/digest.ts'
import { AssayError } from '../../../core/errors.ts'
import { binomialInterval, type Interval } from '../../../core/interval.ts'
import type { Graph } from '../../../onnx/graph.ts'
import { nodeCost } from '../../../onnx/node-cost.ts'
import { equalTensors, type Tensor } from '../../../state/tensor.ts'
import type { NamedTensors } from '../../../state/tensors.ts'
import { drawNodes, type WeightedNode } from '../challenge.ts'
import { UNIFORM_SHARE } from '../security.ts'
import { agreeWithin, type CalibrationProfile, outputsAgree } from './profile.ts'
import { checkableNodes, type NodeRunner } from './traces.ts'

/** Of the intervals of rates. */
export const RATE_CONFIDENCE = 0.95

/** So many of `trials` runs passed (or failed: the field that holds it says which). */
export interface Rate {
  readonly count: number
  readonly trials: number
  readonly rate: number
  readonly interval: Interval
}

export function rateOf(count: number, trials: number): Rate {
  const interval = binomialInterval({ successes: count, trials, confidence: RATE_CONFIDENCE })
  return { count, trials, rate: count / trials, interval }
}

/** What a prover claims for one row. */
export interface Claim {
  readonly row: number
  readonly tensors: NamedTensors
  readonly output: NamedTensors
}

/** What the verifier knows of that row. */
export interface Truth {
  readonly inputs: NamedTensors
  readonly output: NamedTensors
}

export interface Findings {
  /** Whether the drawn node, any node, or the output was refused. */
  readonly oneNode: boolean
  readonly allNodes: boolean
  readonly endToEnd: boolean
  /** Probability that one draw hits a refused node; 1 where the inputs differ. */
  readonly hit: number
  /** Positions of the refused nodes. */
  readonly refused: readonly number[]
}

export interface Examiner {
  readonly graph: Graph
  readonly runner: NodeRunner
  readonly profile: CalibrationProfile
}

export async function examine(examiner: Examiner, claim: Claim, truth: Truth): Promise<Findings> {
  const { graph, runner, profile } = examiner
  const endToEnd = !outputsAgree(profile, truth.output, claim.output)
  const same = graph.model.inputs.every(({ name }) =>
    equalTensors(truth.inputs[name] as Tensor, claim.tensors[name] as Tensor),
  )
  if (!same) return { oneNode: true, allNodes: true, endToEnd, hit: 1, refused: [] }
  const agree = agreeWithin(profile)
  const refused: number[] = []
  for (const node of checkableNodes(graph)) {
    const computed = await runOrNothing(runner, node, claim.tensors)
    const fits = node.outputs.every((output) => {
      if (output === '') return true
      const ours = computed?.[output]
      return ours !== undefined && agree(ours, claim.tensors[output] as Tensor, { node, output })
    })
    if (!fits) refused.push(node.index)
  }
  const nodes = weighted(graph, claim.tensors)
  const seed = hashFields('assay/calibration-draw/v1', [utf8(graph.model.cid), u64be(claim.row)])
  const [drawn] = drawNodes(seed, { nodes, draws: 1 })
  const wrong = new Set(refused)
  const oneNode = wrong.has(drawn as number)
  return { oneNode, allNodes: refused.length > 0, endToEnd, hit: hitOf(nodes, wrong), refused }
}

/** A node that cannot be run on what was committed is refused, as in `checkNode`. */
async function runOrNothing(
  runner: NodeRunner,
  ...call: Parameters<NodeRunner['run']>
): Promise<NamedTensors | undefined> {
  try {
    return await runner.run(...call)
  } catch (error) {
    if (error instanceof AssayError) return undefined
    throw error
  }
}

function weighted(graph: Graph, tensors: NamedTensors): WeightedNode[] {
  const shapes = new Map(Object.entries(tensors).map(([name, { shape }]) => [name, shape]))
  return checkableNodes(graph).map((node) => ({ node: node.index, cost: nodeCost(graph, node, shapes) }))
}

function hitOf(nodes: readonly WeightedNode[], wrong: ReadonlySet<number>): number {
  const sum = (list: readonly WeightedNode[]) =>
    list.reduce((total, { cost }) => total + Math.max(1, cost), 0)
  const hit = nodes.filter(({ node }) => wrong.has(node))
  return (1 - UNIFORM_SHARE) * (sum(hit) / sum(nodes)) + (UNIFORM_SHARE * hit.length) / nodes.length
}

/** Rates over many rows. `refused` for honest runs are false alarms; `missed` of cheats is the rest. */
export interface PowerRates {
  readonly oneNode: Rate
  readonly allNodes: Rate
  readonly endToEnd: Rate
}

export function ratesOf(findings: readonly Findings[], count: 'refused' | 'missed'): PowerRates {
  const rate = (level: 'oneNode' | 'allNodes' | 'endToEnd') =>
    rateOf(findings.filter((found) => found[level] === (count === 'refused')).length, findings.length)
  return { oneNode: rate('oneNode'), allNodes: rate('allNodes'), endToEnd: rate('endToEnd') }
}

/** Most draws that are reported. */
const MAX_DRAWS = 2 ** 20

/**
 * The fewest draws that catch a run of these with the confidence, over rows and draws; null where the rows that no
 * draw ever catches are too many, or it takes more than a million.
 */
export function drawsToCatch(findings: readonly Findings[], confidence = 0.99): number | null {
  const caught = (draws: number) => {
    const missed = findings.reduce((sum, { hit }) => sum + Math.max(0, 1 - hit) ** draws, 0)
    return missed / findings.length <= 1 - confidence
  }
  if (!caught(MAX_DRAWS)) return null
  let [low, high] = [0, MAX_DRAWS]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (caught(middle)) high = middle
    else low = middle
  }
  return high
}
