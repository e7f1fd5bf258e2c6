/** Thresholds and figures from the distances of many rows. */
import { AssayError } from '../../../core/errors.ts'
import type { Graph } from '../../../onnx/graph.ts'
import { nodeCost } from '../../../onnx/node-cost.ts'
import type { NamedTensors } from '../../../state/tensors.ts'
import {
  type DistanceLog,
  isFloat,
  relativeDistance,
  rowDistances,
  scaleFloor,
  type TensorSamples,
} from './distances.ts'
import { MAX_FIGURE, orderStatistic, type Threshold } from './profile.ts'
import { checkableNodes } from './traces.ts'

/** Distances of one tensor between honest runs. All are relative but those of `byConfiguration.absolute`. */
export interface LayerReport {
  readonly name: string
  /** Position and operator of the node that makes it. */
  readonly node: number
  readonly operator: string
  /** Its share of the work. */
  readonly costShare: number
  /** Integers, bools and texts are compared exactly. */
  readonly kind: 'float' | 'exact'
  readonly median: number
  readonly max: number
  /** Null where none was chosen. */
  readonly threshold: number | null
  /** Of each row, the largest over the configurations; at most 64 of them, evenly taken from the sorted list. */
  readonly distances: readonly number[]
  readonly byConfiguration: readonly {
    readonly name: string
    readonly median: number
    readonly max: number
    readonly maxAbsolute: number
    /** Rows whose tensors were equal. */
    readonly equal: number
  }[]
}

const PLOTTED = 64

export interface ThresholdOptions {
  readonly alpha: number
  readonly safety: number
}

/** @throws AssayError `calibration/not-comparable` where an honest row is infinitely far. */
export function thresholdsOf(log: DistanceLog, { alpha, safety }: ThresholdOptions): Threshold[] {
  return Array.from(log.samples, ([name, samples]) => {
    const floor = Math.min(scaleFloor(samples), MAX_FIGURE)
    const threshold = safety * orderStatistic(rowDistances(samples, floor), alpha)
    if (!(threshold <= MAX_FIGURE)) {
      throw new AssayError(
        'calibration/not-comparable',
        `honest runs give tensors ${JSON.stringify(name)} that cannot be compared: other shapes, integers, NaN or ` +
          'infinities, or numbers where others have only zeros',
        { detail: { name } },
      )
    }
    return { name, threshold, floor }
  })
}

export function describeLayers(
  graph: Graph,
  {
    log,
    thresholds,
    trace,
  }: { readonly log: DistanceLog; readonly thresholds: readonly Threshold[]; readonly trace: NamedTensors },
): LayerReport[] {
  const shapes = new Map(Object.entries(trace).map(([name, { shape }]) => [name, shape]))
  const costs = new Map(checkableNodes(graph).map((node) => [node.index, nodeCost(graph, node, shapes)]))
  const total = [...costs.values()].reduce((sum, cost) => sum + cost, 0)
  const chosen = new Map(thresholds.map((threshold) => [threshold.name, threshold]))
  return Array.from(log.samples, ([name, samples]) => {
    const node = graph.values.get(name)?.producer ?? -1
    const tensor = trace[name]
    const floor = scaleFloor(samples)
    const rows = ascending(rowDistances(samples, floor))
    return {
      name,
      node,
      operator: graph.nodes[node]?.operator ?? '',
      costShare: (costs.get(node) ?? 0) / total,
      kind: tensor !== undefined && isFloat(tensor) ? 'float' : 'exact',
      median: at(rows, 0.5),
      max: at(rows, 1),
      threshold: chosen.get(name)?.threshold ?? null,
      distances: thinned(rows),
      byConfiguration: describeConfigurations(samples, floor),
    }
  })
}

function describeConfigurations(samples: TensorSamples, floor: number): LayerReport['byConfiguration'] {
  return Array.from(samples, ([name, list]) => {
    const relative = ascending(list.map((distance) => relativeDistance(distance, floor)))
    return {
      name,
      median: at(relative, 0.5),
      max: at(relative, 1),
      maxAbsolute: list.reduce((most, { absolute }) => Math.max(most, absolute), 0),
      equal: list.filter(({ absolute }) => absolute === 0).length,
    }
  })
}

function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b)
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.round(share * (sorted.length - 1))] ?? 0
}

function thinned(sorted: readonly number[]): number[] {
  if (sorted.length <= PLOTTED) return [...sorted]
  return Array.from({ length: PLOTTED }, (_, i) => at(sorted, i / (PLOTTED - 1)))
}
