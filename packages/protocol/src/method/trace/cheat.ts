/**
 * Dishonest provers of traces, for demonstrations, measurements and tests: the cheats that a challenge must
 * catch, made with the real prover.
 */
import { cutNode } from '../../onnx/cut.ts'
import type { Graph, GraphNode } from '../../onnx/graph.ts'
import type { Runtime } from '../../onnx/runtime.ts'
import type { Tensor } from '../../state/tensor.ts'
import type { NamedTensors } from '../../state/tensors.ts'
import { type ManifestEntry, manifestEntry, tracedOutputs } from './proof.ts'
import { memoryStore, type TensorStore } from './prover.ts'

/** A run before it is signed. */
export interface UnsignedTrace {
  readonly inputs: NamedTensors
  readonly output: NamedTensors
  readonly manifest: readonly ManifestEntry[]
  readonly store: TensorStore
}

/**
 * Runs node by node, and lets `alter` replace what a node gave; later nodes go on from there, so that the trace
 * is consistent but for the altered nodes. This is the cheat that is hardest to see: one locally wrong node.
 */
export async function runAltered(
  graph: Graph,
  { runtime, inputs }: { readonly runtime: Runtime; readonly inputs: NamedTensors },
  alter: (node: GraphNode, name: string, tensor: Tensor) => Tensor,
): Promise<UnsignedTrace> {
  const store = memoryStore()
  const manifest: ManifestEntry[] = []
  const known = new Map<string, Tensor>()
  const keep = async (name: string, tensor: Tensor) => {
    known.set(name, tensor)
    await store.put(manifest.length, tensor)
    manifest.push(manifestEntry(name, tensor))
  }
  for (const { name } of graph.model.inputs) await keep(name, inputs[name] as Tensor)
  for (const node of graph.nodes) {
    if (node.isConstant) continue
    const needs = Object.fromEntries(node.needs.map((name) => [name, known.get(name) as Tensor]))
    const session = await runtime.open(cutNode(graph, node.index, needs))
    const outputs = await session.run(needs)
    await session.close()
    for (const name of node.outputs) {
      if (name !== '') await keep(name, alter(node, name, outputs[name] as Tensor))
    }
  }
  const output = Object.fromEntries(tracedOutputs(graph).map((name) => [name, known.get(name) as Tensor]))
  return { inputs, output, manifest, store }
}
