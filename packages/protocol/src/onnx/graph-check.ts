/**
 * The rules of ONNX that a graph must keep before it is given to a runtime.
 *
 * ONNX specification ("IR.md"): static single assignment, every value with one producer, nodes without
 * cycles, subgraphs that see the names of the graphs around them. Only domains that both runtimes implement
 * are allowed, at versions that they know, and only what is in the model's own bytes: no data elsewhere, no
 * functions that give an operator another meaning.
 *
 * Threat: hostile models. Work is linear in the number of names; the scan before has bounded nesting.
 */
import type onnxProto from 'onnx-proto'
import { AssayError, type ErrorCode } from '../core/errors.ts'
import { assertTensorProto, toSafeInteger } from './tensor-proto.ts'

type IModelProto = onnxProto.onnx.IModelProto
type IGraphProto = onnxProto.onnx.IGraphProto
type INodeProto = onnxProto.onnx.INodeProto

/**
 * Operator domains and their versions that the runtimes of 1.30 open; '' is ai.onnx. Below version 7 of
 * ai.onnx they implement only the operators whose meaning has stayed the same since (Conv, Not, Relu ...), and
 * refuse the others by name (Add and Gemm, which broadcast in another way then).
 */
export const DOMAINS: { readonly [domain: string]: { readonly min: number; readonly max: number } } = {
  '': { min: 1, max: 26 },
  'ai.onnx.ml': { min: 1, max: 5 },
  'com.microsoft': { min: 1, max: 1 },
}
/** Versions of the file format that the runtimes of 1.30 open; below 3 models do not say their operator set. */
export const IR_VERSIONS = { min: 3, max: 13 } as const

/** ai.onnx is the default domain and has two spellings. */
function canonicalDomain(domain: string | null | undefined): string {
  return domain == null || domain === 'ai.onnx' ? '' : domain
}

/** 'Conv', or 'ai.onnx.ml::Scaler' outside the default domain. */
export function operatorName(node: INodeProto): string {
  const domain = canonicalDomain(node.domain)
  return domain === '' ? (node.opType ?? '') : `${domain}::${node.opType}`
}

/** The file version; throws `onnx/unsupported-opset` outside the known range. */
export function checkIrVersion(model: IModelProto): number {
  const version = toSafeInteger(model.irVersion ?? 0) ?? 0
  if (version < IR_VERSIONS.min || version > IR_VERSIONS.max) {
    throw new AssayError(
      'onnx/unsupported-opset',
      `the model has IR version ${version}; ${IR_VERSIONS.min} to ${IR_VERSIONS.max} are known`,
      { detail: { version } },
    )
  }
  return version
}

/** Versions of the allowed domains that the model imports. Imports of other domains matter only when a node uses them. */
export function checkOpsets(model: IModelProto): ReadonlyMap<string, number> {
  const opsets = new Map<string, number>()
  for (const { domain: spelled, version: wide } of model.opsetImport ?? []) {
    const domain = canonicalDomain(spelled)
    const version = toSafeInteger(wide ?? 0) ?? 0
    if (!Object.hasOwn(DOMAINS, domain)) continue
    if (opsets.has(domain) && opsets.get(domain) !== version) {
      throw invalid(`the operator set ${label(domain)} is imported in two versions`)
    }
    const { min, max } = DOMAINS[domain]!
    if (version < min || version > max) {
      throw new AssayError(
        'onnx/unsupported-opset',
        `the model uses version ${version} of ${label(domain)}; ${min} to ${max} are known: convert it`,
        { detail: { domain, version, min, max } },
      )
    }
    opsets.set(domain, version)
  }
  if ((model.opsetImport ?? []).length === 0) throw invalid('the model imports no operator set')
  return opsets
}

/** Refuses parts of a model that would change what its graph means, or that no runtime here runs. */
export function checkFeatures(model: IModelProto): void {
  const functions = model.functions ?? []
  if (functions.length > 0) {
    throw unsupported(
      `model-local functions (${JSON.stringify(functions[0]?.name)}): inline them when exporting`,
    )
  }
  if ((model.trainingInfo ?? []).length > 0) throw unsupported('training information: export for inference')
}

interface Scope {
  readonly names: ReadonlyMap<string, number>
  readonly outer: Scope | undefined
}

interface GraphContext {
  readonly opsets: ReadonlyMap<string, number>
  /** Counts by operator name; filled here. */
  readonly operators: Map<string, number>
  readonly outer?: Scope
}

const FROM_OUTSIDE = -1

/**
 * Checks a graph and the subgraphs within it, and counts their operators.
 *
 * @returns the names that it takes from the graphs around it.
 * @throws AssayError `onnx/invalid-graph`, `onnx/unsupported-domain`, `onnx/unsupported-feature`, `onnx/external-data`.
 */
export function checkGraph(graph: IGraphProto, context: GraphContext): ReadonlySet<string> {
  const names = declaredNames(graph)
  const scope: Scope = { names, outer: context.outer }
  const captured = new Set<string>()
  const dependencies = (graph.node ?? []).map((node) => checkNode(node, { ...context, scope, captured }))
  for (const { name } of graph.output ?? []) {
    if (!isVisible(name ?? '', scope)) throw invalid(`graph output ${JSON.stringify(name)} has no producer`)
  }
  checkAcyclic(graph, dependencies)
  return captured
}

/** Every name that the graph defines, with the index of the node that makes it. */
function declaredNames(graph: IGraphProto): ReadonlyMap<string, number> {
  const names = new Map<string, number>()
  for (const { name } of graph.input ?? [])
    declare(names, { name, producer: FROM_OUTSIDE, what: 'graph input' })
  if ((graph.sparseInitializer ?? []).length > 0) throw unsupported('sparse initialisers: store them densely')
  const initialisers = new Set<string>()
  for (const proto of graph.initializer ?? []) {
    const what = `initialiser ${JSON.stringify(proto.name)}`
    assertTensorProto(proto, { label: what, malformed: 'onnx/invalid-graph' })
    if (initialisers.has(proto.name ?? '')) throw invalid(`${what} comes twice`)
    initialisers.add(proto.name ?? '')
    // Up to IR version 3 an initialiser is also listed as an input.
    if (!names.has(proto.name ?? '')) {
      declare(names, { name: proto.name, producer: FROM_OUTSIDE, what: 'initialiser' })
    }
  }
  for (const [producer, node] of (graph.node ?? []).entries()) {
    for (const name of node.output ?? []) {
      if (name !== '') declare(names, { name, producer, what: `output of ${describe(node)}` })
    }
  }
  const outputs = new Set<string>()
  for (const { name } of graph.output ?? []) {
    if (outputs.has(name ?? '')) throw invalid(`graph output ${JSON.stringify(name)} comes twice`)
    outputs.add(name ?? '')
  }
  return names
}

function declare(
  names: Map<string, number>,
  {
    name,
    producer,
    what,
  }: { readonly name: string | null | undefined; readonly producer: number; readonly what: string },
): void {
  if (name == null || name === '') throw invalid(`a ${what} has no name`)
  if (names.has(name)) throw invalid(`the name ${JSON.stringify(name)} is defined twice, again as ${what}`)
  names.set(name, producer)
}

interface NodeContext extends GraphContext {
  readonly scope: Scope
  readonly captured: Set<string>
}

/** Checks one node; returns the names that it depends on, those that its subgraphs capture included. */
function checkNode(node: INodeProto, context: NodeContext): readonly string[] {
  const { opsets, operators, scope, captured } = context
  const domain = canonicalDomain(node.domain)
  if (!Object.hasOwn(DOMAINS, domain)) {
    throw new AssayError(
      'onnx/unsupported-domain',
      `${describe(node)} is of domain ${JSON.stringify(domain)}; allowed are ${Object.keys(DOMAINS).map(label).join(', ')}`,
      { detail: { domain, operator: node.opType ?? '' } },
    )
  }
  if (!opsets.has(domain))
    throw invalid(`${describe(node)} uses ${label(domain)}, which the model does not import`)
  if (node.opType == null || node.opType === '') throw invalid(`${describe(node)} names no operator`)
  const operator = operatorName(node)
  operators.set(operator, (operators.get(operator) ?? 0) + 1)
  const needed = (node.input ?? []).filter((name) => name !== '')
  for (const name of needed) {
    if (!isVisible(name, scope)) {
      throw invalid(`input ${JSON.stringify(name)} of ${describe(node)} has no producer`)
    }
    if (!scope.names.has(name)) captured.add(name)
  }
  for (const name of checkAttributes(node, context)) {
    if (scope.names.has(name)) needed.push(name)
    else captured.add(name)
  }
  return needed
}

/** Checks tensors and subgraphs in the attributes of a node; returns the names that the subgraphs capture. */
function checkAttributes(node: INodeProto, { opsets, operators, scope }: NodeContext): ReadonlySet<string> {
  const names = new Set<string>()
  for (const attribute of node.attribute ?? []) {
    const what = `attribute ${JSON.stringify(attribute.name)} of ${describe(node)}`
    for (const proto of [...(attribute.tensors ?? []), ...(attribute.t == null ? [] : [attribute.t])]) {
      assertTensorProto(proto, { label: what, malformed: 'onnx/invalid-graph' })
    }
    for (const graph of [...(attribute.graphs ?? []), ...(attribute.g == null ? [] : [attribute.g])]) {
      for (const name of checkGraph(graph, { opsets, operators, outer: scope })) names.add(name)
    }
  }
  return names
}

function isVisible(name: string, scope: Scope): boolean {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) if (at.names.has(name)) return true
  return false
}

/** Kahn's algorithm over the nodes; order in the file does not matter, as the runtimes sort as well. */
function checkAcyclic(graph: IGraphProto, dependencies: readonly (readonly string[])[]): void {
  const nodes = graph.node ?? []
  const consumers = new Map<string, number[]>()
  const waiting = dependencies.map((names) => names.length)
  for (const [consumer, names] of dependencies.entries()) {
    for (const name of names) {
      const list = consumers.get(name)
      if (list === undefined) consumers.set(name, [consumer])
      else list.push(consumer)
    }
  }
  const ready: number[] = []
  const release = (name: string): void => {
    for (const consumer of consumers.get(name) ?? []) if (--waiting[consumer]! === 0) ready.push(consumer)
  }
  const produced = new Set(nodes.flatMap(({ output }) => output ?? []))
  for (const [i, count] of waiting.entries()) if (count === 0) ready.push(i)
  for (const name of consumers.keys()) if (!produced.has(name)) release(name)
  let done = 0
  for (let node = ready.pop(); node !== undefined; node = ready.pop()) {
    done++
    for (const name of nodes[node]!.output ?? []) if (name !== '') release(name)
  }
  if (done < nodes.length) {
    const stuck = nodes[waiting.findIndex((count) => count > 0)]!
    throw invalid(`${describe(stuck)} depends on its own output: the graph has a cycle`)
  }
}

function describe(node: INodeProto): string {
  const name = node.name == null || node.name === '' ? (node.output ?? [])[0] : node.name
  return `node ${JSON.stringify(name ?? '')} (${node.opType || 'no operator'})`
}

function label(domain: string): string {
  return domain === '' ? 'ai.onnx' : domain
}

function invalid(message: string): AssayError {
  return new AssayError('onnx/invalid-graph' satisfies ErrorCode, `the model is not valid: ${message}`)
}

function unsupported(message: string): AssayError {
  return new AssayError('onnx/unsupported-feature', `the model uses ${message}`)
}
