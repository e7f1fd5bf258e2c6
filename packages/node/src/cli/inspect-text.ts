/**
 * What `assay inspect` says to people: tables of a model, cut where they are long.
 */
import type { Dim } from 'assay/onnx/model'
import type { Parameters } from 'assay/onnx/parameters'
import type { GenerationUse, SamplingUse, TraceUse } from './inspect-methods.ts'
import type { InspectedNode, KnownShapes } from './inspect-shapes.ts'
import { formatBytes, formatCount, formatPercent, type Style, table } from './style.ts'

interface Value {
  readonly name: string
  readonly dtype: string
  /** Null where not even the rank is declared. */
  readonly dims: readonly Dim[] | null
}

export interface ModelReport {
  readonly model: string
  readonly bytes: number
  readonly irVersion: number
  readonly opsets: { readonly [domain: string]: number }
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly parameters: Parameters
  readonly operators: { readonly [operator: string]: number }
  readonly shapes: Pick<KnownShapes, 'from' | 'note'>
  /** Multiply-accumulates of all nodes whose cost is known. */
  readonly cost: number | null
  readonly concentration: readonly Concentration[]
  readonly nodes: readonly InspectedNode[]
  readonly methods: {
    readonly sampling: SamplingUse
    readonly trace: TraceUse
    readonly generation: GenerationUse
  }
}

export interface Concentration {
  /** So many nodes, the dearest ones, … */
  readonly nodes: number
  /** … hold this share of the work. */
  readonly share: number
}

/** Rows of a table before it is cut. */
const MAX_ROWS = 20
const DEAREST = [1, 3, 10] as const
const MAX_NAME = 32

/** The work in the dearest nodes. */
export function concentrationOf(nodes: readonly InspectedNode[]): Concentration[] {
  const shares = nodes.flatMap(({ share }) => (share === null ? [] : [share])).sort((a, b) => b - a)
  return DEAREST.filter((count) => count < shares.length).map((count) => ({
    nodes: count,
    share: shares.slice(0, count).reduce((sum, share) => sum + share, 0),
  }))
}

export function describeModel(
  report: ModelReport,
  { style, all }: { readonly style: Style; readonly all: boolean },
): string {
  const { parameters, shapes } = report
  const opsets = Object.entries(report.opsets).map(([domain, version]) => `${domain} ${version}`)
  return [
    table([
      ['model', report.model],
      [
        'file',
        `${formatBytes(report.bytes)}, IR version ${report.irVersion}, operators of ${opsets.join(', ')}`,
      ],
      [
        'weights',
        `${formatCount(parameters.elements)} in ${formatCount(parameters.tensors)} tensors, ${formatBytes(parameters.bytes)}`,
      ],
      ...report.inputs.map((value) => ['input', describeValue(value)]),
      ...report.outputs.map((value) => ['output', describeValue(value)]),
      ['cost', describeCost(report)],
    ]),
    ...(shapes.note === null ? [] : [style.faint(`  ${shapes.note}`)]),
    '',
    style.strong('Operators'),
    describeOperators(report.operators),
    '',
    ...describeNodes(report.nodes, { style, all }),
    '',
    style.strong('What can be checked'),
    ...describeMethods(report, style),
  ].join('\n')
}

function describeCost({ cost, nodes }: ModelReport): string {
  if (cost === null) return 'not known'
  const unknown = nodes.filter((node) => node.cost === null && node.operator !== 'Constant').length
  const rest = unknown === 0 ? '' : `, without ${countOf(unknown, 'node')} whose shapes are not known ahead`
  return `${formatCount(cost)} multiply-accumulates${rest}`
}

function countOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`
}

function describeValue({ name, dtype, dims }: Value): string {
  return `${name}  ${dtype} ${dims === null ? 'of unknown rank' : shapeText(dims)}`
}

function shapeText(dims: readonly Dim[]): string {
  return `[${dims.map((dim) => dim ?? '?').join(', ')}]`
}

function describeOperators(operators: ModelReport['operators']): string {
  const all = Object.entries(operators).map(([name, count]) => `${name} ${formatCount(count)}`)
  return `  ${all.join(', ')}`
}

/** All nodes, or where they are many the dearest ones in their order. */
function describeNodes(
  nodes: readonly InspectedNode[],
  { style, all }: { readonly style: Style; readonly all: boolean },
): string[] {
  const isCut = !all && nodes.length > MAX_ROWS
  const dearest = [...nodes].sort((a, b) => (b.cost ?? 0) - (a.cost ?? 0)).slice(0, MAX_ROWS)
  const shown = isCut ? dearest.sort((a, b) => a.position - b.position) : nodes
  const which = nodes.some(({ cost }) => cost !== null) ? 'the dearest' : 'the first'
  const rows = shown.map(({ position, name, operator, outputs, cost, share }) => [
    `${position}`,
    operator,
    shorten(name || (outputs[0]?.name ?? '')),
    outputs.map(({ shape }) => (shape === null ? '?' : shapeText(shape))).join(' '),
    cost === null ? '' : formatCount(cost),
    share === null ? '' : formatPercent(share),
  ])
  return [
    style.strong(
      isCut ? `Nodes: ${which} ${MAX_ROWS} of ${formatCount(nodes.length)}; --all shows all` : 'Nodes',
    ),
    table([['', 'operator', 'name', 'gives', 'cost', 'share'].map(style.faint), ...rows]),
  ]
}

function shorten(name: string): string {
  return name.length <= MAX_NAME ? name : `…${name.slice(1 - MAX_NAME)}`
}

function describeMethods({ methods, concentration, nodes }: ModelReport, style: Style): string[] {
  const { sampling, trace, generation } = methods
  const mark = (obstacle: string | null) => (obstacle === null ? style.good('✔') : style.faint('–'))
  const rows = sampling.rows === null ? '' : `: ${formatCount(sampling.rows)} here`
  const what =
    sampling.batch === 'first-axis'
      ? `each row of the first axis is a state of its own${rows} (assay solve onnx)`
      : 'one inference is one state: to check it is to run it again (--batch whole)'
  const lines = [
    `  ${mark(sampling.obstacle)} sampling    ${sampling.obstacle ?? what}`,
    `  ${mark(trace.obstacle)} trace       ${trace.obstacle ?? describeTrace(trace, nodes)} (assay trace)`,
    ...concentration.map(
      ({ nodes: count, share }) =>
        `                the dearest ${count === 1 ? 'node holds' : `${count} nodes hold`} ${formatPercent(share)} of the work`,
    ),
    ...trace.untraceable
      .slice(0, MAX_ROWS)
      .map(
        ({ position, name, operator, reason }) =>
          `                node ${position} ${JSON.stringify(name)} (${operator}): ${reason}`,
      ),
    `  ${mark(generation.obstacle)} generation  ${generation.obstacle ?? describeGeneration(generation)}`,
  ]
  return lines
}

function describeTrace({ draws, recheckedShare }: TraceUse, nodes: readonly InspectedNode[]): string {
  const repeated = recheckedShare === null ? '' : `, which repeats ${formatPercent(recheckedShare)} of a run`
  return `${countOf(nodes.length, 'node')}; ${formatCount(draws)} draws catch 10 % of the work skipped with 99 %${repeated}`
}

function describeGeneration({ vocabulary, hiddenWidth }: GenerationUse): string {
  const prints =
    hiddenWidth === null ? 'no hidden state to fingerprint' : `hidden state of ${hiddenWidth} values`
  return `a decoder with a cache, ${formatCount(vocabulary ?? 0)} tokens, ${prints} (assay generate)`
}
