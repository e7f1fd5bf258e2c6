/**
 * How much of a model is weights: its initialisers and Constant nodes, those of subgraphs aside.
 */
import { constantShape, type Graph } from './graph.ts'

export interface Parameters {
  readonly tensors: number
  readonly elements: number
  /** Encoded, as they stand in the file. */
  readonly bytes: number
}

export function countParameters(graph: Graph): Parameters {
  let tensors = 0
  let elements = 0
  let bytes = 0
  for (const { name, kind, producer } of graph.values.values()) {
    if (kind !== 'constant') continue
    tensors++
    elements += (constantShape(graph, name) ?? []).reduce((product, size) => product * size, 1)
    bytes += (graph.parts.initialisers.get(name) ?? graph.nodes[producer]?.bytes)?.length ?? 0
  }
  return { tensors, elements, bytes }
}
