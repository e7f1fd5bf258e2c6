/**
 * The nearest cheats, made from the model itself: what a dishonest prover would run because it is cheaper, and
 * what is hardest to tell from honest rounding. A profile is worth what it catches of these.
 */
import { randomStream, uniformInteger } from '../../../core/sampling.ts'
import { fromHalfBits, toHalfBits } from '../../../onnx/float16.ts'
import type { Graph, GraphNode } from '../../../onnx/graph.ts'
import type { Model } from '../../../onnx/model.ts'
import { nodeCost } from '../../../onnx/node-cost.ts'
import type { Tensor } from '../../../state/tensor.ts'
import type { NamedTensors } from '../../../state/tensors.ts'
import { floatsOf, isFloat } from './distances.ts'
import { editWeights, skipNode } from './edit-model.ts'
import { checkableNodes } from './traces.ts'

/** Runs `model` instead of the right one, or the right one on the next row's input. */
export interface Cheat {
  /** 'weights-int8' */
  readonly name: string
  readonly description: string
  /** Null for the cheat that runs the right model on another input. */
  readonly model: Model | null
}

export interface CheatOptions {
  /** A trace of the model, for the shapes of what is skipped. */
  readonly trace: NamedTensors
  /** Of the noise; 32 bytes. */
  readonly seed: Uint8Array
  /** Another model of the same inputs and outputs: another training seed, or an earlier checkpoint. */
  readonly otherModel?: Model
  /** Share of each weight matrix that pruning sets to 0; 0.3 unless told. */
  readonly pruned?: number
  /** Spread of the noise, in parts of the spread of each weight matrix; 0.01 unless told. */
  readonly noise?: number
}

/** Matrices and kernels; biases and scales, which nobody quantises, have one dimension. */
const WEIGHT_RANK = 2

/** All cheats that change anything of this model. */
export function nearestCheats(graph: Graph, options: CheatOptions): Cheat[] {
  const { pruned = 0.3, noise = 0.01, seed } = options
  const { model } = graph
  const stream = randomStream(seed, 'calibration noise')
  const weights = (
    name: string,
    description: string,
    change: (values: Float64Array) => Float64Array,
  ): Cheat[] => {
    const { model: made, edited } = editWeights(model, (weight) =>
      weight.shape.length < WEIGHT_RANK ? undefined : withValues(weight, change),
    )
    return edited === 0 || made.cid === model.cid ? [] : [{ name, description, model: made }]
  }
  const other: Cheat[] =
    options.otherModel === undefined
      ? weights(
          'weights-noise',
          `weights with noise of ${noise * 100} % of their spread: stands in for another training run`,
          (values) => addNoise(values, noise, stream),
        )
      : [{ name: 'other-model', description: 'the other model that was given', model: options.otherModel }]
  return [
    ...weights('weights-half', 'weights rounded to half precision', (values) =>
      values.map((value) => fromHalfBits(toHalfBits(value))),
    ),
    ...weights('weights-int8', 'weights rounded to 8 bits, one scale for each tensor', roundTo8Bits),
    ...weights('weights-pruned', `the smallest ${pruned * 100} % of each weight tensor set to 0`, (values) =>
      prune(values, pruned),
    ),
    ...other,
    ...skippedLayers(graph, options.trace),
    { name: 'other-input', description: 'the right model on another input', model: null },
  ]
}

/** float32 rounds again to what it can hold; float16 keeps its bits. */
function withValues(weight: Tensor, change: (values: Float64Array) => Float64Array): Tensor | undefined {
  const values = Float64Array.from(floatsOf(weight) ?? [])
  const changed = change(values)
  if (changed.every((value, i) => value === values[i])) return undefined
  if (weight.dtype === 'float16') return { ...weight, data: Uint16Array.from(changed, toHalfBits) }
  return { ...weight, data: weight.dtype === 'float64' ? changed : Float32Array.from(changed) }
}

/** Symmetric, the largest magnitude at 127. */
export function roundTo8Bits(values: Float64Array): Float64Array {
  const step = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127
  return step === 0 ? values : values.map((value) => Math.round(value / step) * step)
}

export function prune(values: Float64Array, share: number): Float64Array {
  const magnitudes = values.map(Math.abs).sort()
  const limit = magnitudes[Math.floor(share * magnitudes.length)] ?? 0
  return values.map((value) => (Math.abs(value) < limit ? 0 : value))
}

/** Gaussian, as the sum of twelve uniform numbers: enough for a cheat, and the same everywhere. */
function addNoise(
  values: Float64Array,
  share: number,
  stream: ReturnType<typeof randomStream>,
): Float64Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length)
  const spread = share * Math.sqrt(variance)
  return values.map((value) => {
    let sum = -6
    for (let i = 0; i < 12; i++) sum += uniformInteger(stream, 2 ** 24) / 2 ** 24
    return value + spread * sum
  })
}

/** The costliest node gives zeros (or its input), and the costliest one that can hand on its input does that. */
function skippedLayers(graph: Graph, trace: NamedTensors): Cheat[] {
  const candidates = byCost(graph, trace).filter(
    ({ outputs }) => outputs.length === 1 && isFloat(trace[outputs[0] as string] as Tensor),
  )
  const handsOn = ({ inputs, outputs }: GraphNode) =>
    inputs[0] !== undefined && sameType(trace[inputs[0]], trace[outputs[0] as string] as Tensor)
  const costliest = candidates[0]
  const through = candidates.find(handsOn)
  const cheats: Cheat[] = []
  const title = (node: GraphNode) => `node ${node.index} (${node.operator})`
  if (costliest !== undefined) {
    cheats.push({
      name: 'layer-zeros',
      description: `the costliest layer, ${title(costliest)}, gives zeros`,
      model: skipNode(graph, costliest.index, {
        kind: 'zeros',
        like: trace[costliest.outputs[0] as string] as Tensor,
      }),
    })
  }
  if (through !== undefined) {
    cheats.push({
      name: 'layer-skipped',
      description: `${title(through)} hands on its input`,
      model: skipNode(graph, through.index, { kind: 'input' }),
    })
  }
  return cheats
}

function byCost(graph: Graph, trace: NamedTensors): GraphNode[] {
  const shapes = new Map(Object.entries(trace).map(([name, { shape }]) => [name, shape]))
  const cost = new Map(checkableNodes(graph).map((node) => [node, nodeCost(graph, node, shapes)]))
  return [...cost.keys()].sort((a, b) => (cost.get(b) as number) - (cost.get(a) as number))
}

function sameType(a: Tensor | undefined, b: Tensor): boolean {
  return (
    a !== undefined &&
    a.dtype === b.dtype &&
    a.shape.length === b.shape.length &&
    a.shape.every((size, axis) => size === b.shape[axis])
  )
}
