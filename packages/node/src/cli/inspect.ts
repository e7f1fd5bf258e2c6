/**
 * `assay inspect`: what a model is, what it costs, and what each method can do with it.
 */
import { openGraph } from 'assay/onnx/graph'
import { countParameters } from 'assay/onnx/parameters'
import { untraceableNodes } from 'assay/onnx/trace-refusal'
import { InvalidArgumentError, Option } from 'commander'
import { countFrom } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { generationUse, samplingUse, traceUse } from './inspect-methods.ts'
import { inferredShapes, inspectNodes, measuredShapes } from './inspect-shapes.ts'
import { concentrationOf, describeModel, type ModelReport } from './inspect-text.ts'
import { readInputs, readModel } from './onnx-job.ts'
import { openRuntime, RUNTIMES, type RuntimeName } from './onnx-runtime.ts'

interface Options {
  readonly input?: readonly string[]
  readonly size?: ReadonlyMap<string, number>
  readonly runtime: RuntimeName
  readonly all?: boolean
}

export const inspectCommand: AddCommand = (perform) =>
  describedCommand('inspect', {
    summary: 'what a model is, what it costs, what can be checked of it',
    description:
      'Shows inputs and outputs, weights, and each node with its shapes and its cost in multiply-accumulates; and ' +
      'what sampling, traces and text generation can do with the model. Runs it only where --input is given.',
    examples: [
      ['the digits model, from the sizes that it declares', 'assay inspect examples/digits/model.onnx'],
      ['from a run over your own data', 'assay inspect model.onnx --input x.npy --all'],
      [
        'a language model, for a prompt of 32 tokens',
        'assay inspect examples/byte-lm/model.onnx --size seq=32 --size past=0',
      ],
    ],
    exits: [[0, 'inspected'], USAGE_EXIT],
  })
    .argument('<model>', 'the ONNX model')
    .option(
      '--input <[name=]file>',
      'input data as .npy, .npz, .pb (TensorProto) or .json, to run the model on; repeat it for several inputs',
      (text: string, before: readonly string[] = []) => [...before, text],
    )
    .addOption(
      new Option('--size <name=n>', 'a size that the model leaves open; repeat it for several')
        .argParser(namedSize)
        .conflicts('input'),
    )
    .addOption(new Option('--runtime <name>', 'whose shapes to ask for').choices(RUNTIMES).default('wasm'))
    .option('--all', 'show every node')
    .action(perform(inspect))

function namedSize(text: string, before: ReadonlyMap<string, number> = new Map()): Map<string, number> {
  const equals = text.lastIndexOf('=')
  if (equals <= 0) throw new InvalidArgumentError(`Expected a name and a size, such as seq=32, got ${text}.`)
  return new Map([...before, [text.slice(0, equals), countFrom(0)(text.slice(equals + 1))]])
}

async function inspect(options: Options, session: Session, [path]: readonly string[]): Promise<Outcome> {
  const model = await readModel(path as string)
  const graph = openGraph(model)
  const runtime = await openRuntime(options.runtime)
  const inputs = options.input === undefined ? null : await readInputs(options.input, model)
  const run = { graph, runtime }
  // Where a trace is impossible there is nothing to measure, but sizes can still be inferred.
  const isMeasured = inputs !== null && untraceableNodes(graph).length === 0
  const known = isMeasured
    ? await measuredShapes(run, inputs, session)
    : await inferredShapes(run, options.size ?? new Map())
  const nodes = inspectNodes(graph, known)
  const report: ModelReport = {
    model: model.cid,
    bytes: model.bytes.length,
    irVersion: model.irVersion,
    opsets: Object.fromEntries([...model.opsets].map(([domain, version]) => [domain || 'ai.onnx', version])),
    inputs: model.inputs.map(({ name, dtype, dims }) => ({ name, dtype, dims })),
    outputs: model.outputs.map(({ name, dtype, dims }) => ({ name, dtype, dims })),
    parameters: countParameters(graph),
    operators: Object.fromEntries([...model.operators].sort(([, a], [, b]) => b - a)),
    shapes: { from: known.from, note: known.note },
    cost: nodes.some(({ cost }) => cost !== null)
      ? nodes.reduce((sum, { cost }) => sum + (cost ?? 0), 0)
      : null,
    concentration: concentrationOf(nodes),
    nodes,
    methods: {
      sampling: await samplingUse(run, inputs),
      trace: await traceUse(run, nodes),
      generation: await generationUse(model, runtime),
    },
  }
  return {
    exitCode: 0,
    json: JSON.parse(JSON.stringify(report)),
    text: (style) => describeModel(report, { style, all: options.all ?? false }),
  }
}
