/**
 * What each method can do with a model, for `assay inspect`: asked of the methods themselves.
 */
import { AssayError } from 'assay/core/errors'
import { openDecoder } from 'assay/method/generation/decoder'
import { drawsOf } from 'assay/method/trace/config'
import { expectedCost } from 'assay/method/trace/security'
import { countRows } from 'assay/onnx/batch'
import type { Graph } from 'assay/onnx/graph'
import type { Model } from 'assay/onnx/model'
import type { Runtime } from 'assay/onnx/runtime'
import { openExposed } from 'assay/onnx/trace-plan'
import { RANDOM_OPERATORS, untraceableNodes } from 'assay/onnx/trace-refusal'
import type { NamedTensors } from 'assay/state/tensors'
import type { InspectedNode } from './inspect-shapes.ts'

/** What the draws are given for: a prover that skips a tenth of the work is caught with 99 %. */
const CATCH = { confidence: 0.99, skipped: 0.1 } as const

interface Run {
  readonly graph: Graph
  readonly runtime: Runtime
}

/** Why not, in words; null where it can. */
type Obstacle = string | null

export interface SamplingUse {
  readonly obstacle: Obstacle
  /** Each row of the first axis is a state, or the whole inference is one. */
  readonly batch: 'first-axis' | 'whole'
  /** Of the inputs given; null without any. */
  readonly rows: number | null
}

export async function samplingUse(
  { graph, runtime }: Run,
  inputs: NamedTensors | null,
): Promise<SamplingUse> {
  const { model } = graph
  const random = [...model.operators.keys()].find((operator) => RANDOM_OPERATORS.has(operator))
  const hasRows = model.inputs.some(
    ({ dims }) => dims === null || (dims.length > 0 && (typeof dims[0] !== 'number' || dims[0] === 1)),
  )
  return {
    obstacle:
      random === undefined ? await obstacleTo(() => runtime.open(model)) : `${random} draws values at random`,
    batch: hasRows ? 'first-axis' : 'whole',
    rows: inputs === null ? null : countRows(model, inputs),
  }
}

export interface TraceUse {
  readonly obstacle: Obstacle
  readonly untraceable: readonly {
    readonly position: number
    readonly name: string
    readonly operator: string
    readonly reason: string
  }[]
  /** Draws that catch a prover which skipped a tenth of the work with 99 %. */
  readonly draws: number
  /** Share of the run that checking so many draws repeats; null where costs are not known. */
  readonly recheckedShare: number | null
}

export async function traceUse({ graph, runtime }: Run, nodes: readonly InspectedNode[]): Promise<TraceUse> {
  const untraceable = untraceableNodes(graph).map(({ node, reason }) => ({
    position: node.index,
    name: node.name,
    operator: node.operator,
    reason,
  }))
  const draws = drawsOf(CATCH)
  const checkable = nodes.filter(({ position }) => graph.nodes[position]?.isConstant === false)
  const shares = checkable.flatMap(({ share }) => (share === null ? [] : [share]))
  return {
    obstacle: await obstacleToTrace({ graph, runtime }, { count: checkable.length, untraceable }),
    untraceable,
    draws,
    recheckedShare:
      shares.length > 0 && shares.length === checkable.length ? expectedCost(shares, draws) : null,
  }
}

async function obstacleToTrace(
  run: Run,
  { count, untraceable }: { readonly count: number; readonly untraceable: readonly unknown[] },
): Promise<Obstacle> {
  if (untraceable.length > 0) return 'it has nodes that cannot be traced'
  if (count === 0) return 'it computes nothing'
  return obstacleTo(() => openExposed(run, { from: 0, to: run.graph.nodes.length }))
}

export interface GenerationUse {
  readonly obstacle: Obstacle
  readonly vocabulary: number | null
  /** Values of the hidden state that is fingerprinted; null where the model does not give it. */
  readonly hiddenWidth: number | null
}

export async function generationUse(model: Model, runtime: Runtime): Promise<GenerationUse> {
  let found: Pick<GenerationUse, 'vocabulary' | 'hiddenWidth'> = { vocabulary: null, hiddenWidth: null }
  const obstacle = await obstacleTo(async () => {
    const decoder = await openDecoder(model, runtime)
    found = { vocabulary: decoder.vocabulary, hiddenWidth: decoder.width }
    return decoder
  })
  return { obstacle, ...found }
}

/** Opens something and closes it again. */
async function obstacleTo(open: () => Promise<{ close(): Promise<void> }>): Promise<Obstacle> {
  try {
    await (await open()).close()
    return null
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    return error.message
  }
}
