/**
 * Many runs of one model: sessions stay open from row to row, which is what makes hundreds of traced rows and
 * thousands of single nodes affordable.
 */
import { cutNode, exposeAll } from '../../../onnx/cut.ts'
import type { Graph, GraphNode } from '../../../onnx/graph.ts'
import type { Model } from '../../../onnx/model.ts'
import type { Runtime, Session } from '../../../onnx/runtime.ts'
import { isHalf } from '../../../onnx/trace-plan.ts'
import { assertTraceable } from '../../../onnx/trace-refusal.ts'
import { traceRun } from '../../../onnx/traced-run.ts'
import type { Tensor } from '../../../state/tensor.ts'
import type { NamedTensors } from '../../../state/tensors.ts'

export interface Tracer {
  /** All tensors of one run, inputs included. */
  trace(inputs: NamedTensors): Promise<NamedTensors>
  close(): Promise<void>
}

/** Models of half floats are traced node by node, as traced-run.ts explains. */
export async function openTracer(graph: Graph, runtime: Runtime): Promise<Tracer> {
  assertTraceable(graph)
  const session = await runtime.open(exposeAll(graph))
  const names = graph.traced.filter(({ node }) => node >= 0).map(({ name }) => name)
  if (session.outputs.some(isHalf)) {
    await session.close()
    return { trace: (inputs) => collect(graph, runtime, inputs), close: async () => {} }
  }
  return {
    trace: async (inputs) => {
      const outputs = await session.run(inputs)
      const computed = names.map((name) => [name, outputs[name] as Tensor] as const)
      return { ...inputs, ...Object.fromEntries(computed) }
    },
    close: () => session.close(),
  }
}

async function collect(graph: Graph, runtime: Runtime, inputs: NamedTensors): Promise<NamedTensors> {
  const tensors: { [name: string]: Tensor } = {}
  for await (const { name, tensor } of traceRun(graph, runtime, inputs)) tensors[name] = tensor
  return tensors
}

export interface NodeRunner {
  /** What a node gives on the tensors of a trace. Throws what the runtime throws. */
  run(node: GraphNode, tensors: NamedTensors): Promise<NamedTensors>
  close(): Promise<void>
}

/** Open sessions at most; models of variable shapes would open one for each shape of each node. */
const MAX_SESSIONS = 2048

export function nodeRunner(graph: Graph, runtime: Runtime): NodeRunner {
  const sessions = new Map<string, Session>()
  const close = async () => {
    for (const session of sessions.values()) await session.close()
    sessions.clear()
  }
  return {
    run: async (node, tensors) => {
      const inputs = Object.fromEntries(node.needs.map((name) => [name, tensors[name] as Tensor]))
      const types = node.needs.map((name) => `${inputs[name]?.dtype}[${inputs[name]?.shape}]`)
      const key = `${node.index} ${types.join(' ')}`
      let session = sessions.get(key)
      if (session === undefined) {
        if (sessions.size >= MAX_SESSIONS) await close()
        session = await runtime.open(cutNode(graph, node.index, inputs))
        sessions.set(key, session)
      }
      return session.run(inputs)
    },
    close,
  }
}

/** Nodes that a verifier can run again: those that give something which does not follow from the model alone. */
export function checkableNodes(graph: Graph): GraphNode[] {
  return graph.nodes.filter(({ isConstant, outputs }) => !isConstant && outputs.some((name) => name !== ''))
}

/** The plain model, as a prover runs it that does not trace. */
export function openPlain(model: Model, runtime: Runtime): Promise<Session> {
  return runtime.open(model)
}
