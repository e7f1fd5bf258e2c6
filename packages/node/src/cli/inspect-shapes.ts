/**
 * Shapes and costs of a model for `assay inspect`: measured by a traced run where inputs are given, else
 * inferred by the runtime from the sizes that the model declares. Open sizes are filled in by name; an open
 * first axis counts one row.
 */
import { AssayError } from 'assay/core/errors'
import { rowInputs } from 'assay/onnx/batch'
import type { TensorType } from 'assay/onnx/cut'
import { assertInputs } from 'assay/onnx/feed'
import type { Graph, GraphNode } from 'assay/onnx/graph'
import type { Dim, ValueInfo } from 'assay/onnx/model'
import { nodeCost } from 'assay/onnx/node-cost'
import type { Runtime } from 'assay/onnx/runtime'
import { inferShapes } from 'assay/onnx/trace-plan'
import { traceRun } from 'assay/onnx/traced-run'
import type { NamedTensors } from 'assay/state/tensors'
import type { Session } from './command.ts'

export interface KnownShapes {
  /** `open`: sizes are missing, so that nothing could be inferred; `failed`: the runtime refused. */
  readonly from: 'run' | 'inference' | 'open' | 'failed'
  readonly shapes: ReadonlyMap<string, readonly number[]>
  /** What a person should know about them. */
  readonly note: string | null
}

interface Run {
  readonly graph: Graph
  readonly runtime: Runtime
}

/** What every tensor measures in one run over `inputs`; over their first row where the model takes no more. */
export async function measuredShapes(run: Run, inputs: NamedTensors, session: Session): Promise<KnownShapes> {
  const { graph, runtime } = run
  const shapes = new Map<string, readonly number[]>()
  const { feeds, note } = fitting(graph, inputs)
  for await (const { name, tensor } of traceRun(graph, runtime, feeds)) {
    session.signal.throwIfAborted()
    shapes.set(name, tensor.shape)
    session.progress('running', shapes.size, graph.traced.length)
  }
  return { from: 'run', shapes, note }
}

function fitting({ model }: Graph, inputs: NamedTensors): { feeds: NamedTensors; note: string | null } {
  try {
    assertInputs(inputs, model.inputs)
    return { feeds: inputs, note: null }
  } catch (error) {
    if (!(error instanceof AssayError) || error.code !== 'input/shape') throw error
    const feeds = rowInputs(model, inputs, { index: 0 })
    assertInputs(feeds, model.inputs)
    return { feeds, note: 'The model takes one row at a time: shapes and costs are those of the first row.' }
  }
}

/** What the runtime infers from declared sizes and from `sizes`; nothing is run. */
export async function inferredShapes(run: Run, sizes: ReadonlyMap<string, number>): Promise<KnownShapes> {
  const { model } = run.graph
  assertOpenSizes(model.inputs, sizes)
  const known = new Map(sizes)
  for (const { dims } of model.inputs) {
    const leading = dims?.[0]
    if (typeof leading === 'string' && !known.has(leading)) known.set(leading, 1)
  }
  const types: { [name: string]: TensorType } = {}
  for (const info of model.inputs) {
    const shape = filled(info, known)
    if (shape === null) return { from: 'open', shapes: new Map(), note: openNote(model.inputs, known) }
    types[info.name] = { dtype: info.dtype, shape }
  }
  const given = Object.entries(types).map(([name, { shape }]) => [name, shape] as const)
  const isAssumed = model.inputs.some(({ dims }) => typeof dims?.[0] !== 'number' && dims?.length !== 0)
  const note = isAssumed ? 'An open first axis counts one row, unless --size says otherwise.' : null
  try {
    return { from: 'inference', shapes: new Map([...given, ...(await inferShapes(run, types))]), note }
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    return { from: 'failed', shapes: new Map(given), note: `No shapes: ${error.message}` }
  }
}

function assertOpenSizes(inputs: readonly ValueInfo[], sizes: ReadonlyMap<string, number>): void {
  const open = new Set(inputs.flatMap(({ dims }) => dims ?? []).filter((dim) => typeof dim === 'string'))
  const stray = [...sizes.keys()].find((name) => !open.has(name))
  if (stray === undefined) return
  const names = [...open].join(', ') || 'none'
  throw new AssayError(
    'cli/usage',
    `--size ${stray}: the inputs of the model have no size of that name; open are ${names}`,
  )
}

function filled({ dims }: ValueInfo, known: ReadonlyMap<string, number>): readonly number[] | null {
  const shape = dims?.map((dim, axis) => sizeOf(dim, axis, known))
  return shape?.every((size) => size !== undefined) ? (shape as number[]) : null
}

function sizeOf(dim: Dim, axis: number, known: ReadonlyMap<string, number>): number | undefined {
  if (typeof dim === 'number') return dim
  if (dim !== null) return known.get(dim)
  return axis === 0 ? 1 : undefined
}

function openNote(inputs: readonly ValueInfo[], known: ReadonlyMap<string, number>): string {
  const dims = inputs.flatMap((info) => info.dims ?? [null])
  const names = [...new Set(dims.filter((dim) => typeof dim === 'string' && !known.has(dim)))]
  const nameless = inputs.some(({ dims: own }) => own === null || own.slice(1).includes(null))
  if (nameless) return 'No shapes or costs: the model leaves sizes of its inputs open. Give --input.'
  const options = names.map((name) => `--size ${name}=N`).join(' ')
  return `No shapes or costs: the model leaves sizes of its inputs open. Give --input, or ${options}.`
}

export interface InspectedNode {
  readonly position: number
  readonly name: string
  readonly operator: string
  readonly outputs: readonly { readonly name: string; readonly shape: readonly number[] | null }[]
  /** Multiply-accumulates; null for constants, and where shapes are not known. */
  readonly cost: number | null
  /** Of the whole known cost. */
  readonly share: number | null
}

export function inspectNodes(graph: Graph, { shapes }: KnownShapes): InspectedNode[] {
  const costs = graph.nodes.map((node) => (hasKnownCost(node, shapes) ? nodeCost(graph, node, shapes) : null))
  const total = costs.reduce<number>((sum, cost) => sum + (cost ?? 0), 0)
  return graph.nodes.map((node, at) => {
    const cost = costs[at] ?? null
    return {
      position: node.index,
      name: node.name,
      operator: node.operator,
      outputs: node.outputs
        .filter((name) => name !== '')
        .map((name) => ({ name, shape: shapes.get(name) ?? null })),
      cost,
      share: cost === null ? null : cost / total,
    }
  })
}

function hasKnownCost(
  { isConstant, needs, outputs }: GraphNode,
  shapes: ReadonlyMap<string, unknown>,
): boolean {
  return !isConstant && [...needs, ...outputs].every((name) => name === '' || shapes.has(name))
}
