/**
 * The ONNX job of a command line: model, inputs, runtime and task from the files and options given.
 */
import { basename } from 'node:path'
import { AssayError } from 'assay/core/errors'
import { type Batch, type BatchMode, openBatch } from 'assay/onnx/batch'
import { assertFinite, decodeInputs } from 'assay/onnx/inputs'
import { MAX_INPUT_BYTES, MAX_MODEL_BYTES } from 'assay/onnx/limits'
import { loadModel, type Model } from 'assay/onnx/model'
import { type OnnxBatchOptions, type OnnxTask, onnxBatch } from 'assay/onnx/onnx-task'
import type { NamedTensors } from 'assay/state/tensors'
import type { Command } from 'commander'
import { Option } from 'commander'
import { countFrom, finitePositive } from './arguments.ts'
import { isFile, readCapped } from './files.ts'
import { openRuntime, RUNTIMES, type RuntimeName } from './onnx-runtime.ts'
import type { OnnxTaskParts } from './onnx-worker.ts'

const BATCH_MODES = ['first-axis', 'whole'] as const satisfies readonly BatchMode[]

/** Options that both sides of an ONNX job take. */
export interface OnnxOptions {
  readonly model: string
  readonly input: readonly string[]
  readonly runtime: RuntimeName
  readonly tolerance?: number
  readonly batch: BatchMode
  readonly workers: number
}

export interface OnnxJob {
  readonly model: Model
  readonly inputs: NamedTensors
  readonly task: OnnxTask
  readonly batch: Batch
  /** What a worker makes the same task from. */
  readonly parts: OnnxTaskParts
}

/** `isRequired` is false where the command has something to do without a model. */
export function addOnnxOptions(command: Command, { isRequired = true } = {}): Command {
  const model = new Option('--model <file>', 'the ONNX model')
  const input = new Option(
    '--input <[name=]file>',
    'input data as .npy, .npz, .pb (TensorProto) or .json; repeat it for several inputs',
  ).argParser((text: string, before: readonly string[] = []) => [...before, text])
  return command
    .addOption(model.makeOptionMandatory(isRequired))
    .addOption(input.makeOptionMandatory(isRequired))
    .addOption(
      new Option('--runtime <name>', 'wasm: the same bits on any machine; native: faster')
        .choices(RUNTIMES)
        .default('wasm'),
    )
    .option(
      '--tolerance <eps>',
      'largest difference of a float output between honest machines; wanted with the native runtime',
      finitePositive,
    )
    .addOption(
      new Option('--batch <mode>', 'first-axis: each row is one inference; whole: one inference in all')
        .choices(BATCH_MODES)
        .default('first-axis'),
    )
    .option('--workers <n>', 'threads to spread the rows over; 0 is none beside this one', countFrom(0), 0)
}

export async function openOnnxJob(options: OnnxOptions): Promise<OnnxJob> {
  const model = await readModel(options.model)
  const inputs = await readInputs(options.input, model)
  const batch = await openBatch(model, await openRuntime(options.runtime), { batch: options.batch })
  batch.count(inputs)
  const terms = await taskOptions(batch, inputs, options.tolerance)
  const parts = { model: model.bytes, runtime: options.runtime, batch: options.batch, options: terms }
  return { model, inputs, task: onnxBatch(batch, terms), batch, parts }
}

export async function readModel(path: string): Promise<Model> {
  const bytes = await readCapped(path, { maxBytes: MAX_MODEL_BYTES, what: 'the model' })
  return naming(path, () => loadModel(bytes))
}

/** A refusal of what a file holds says which file. */
function naming<T>(path: string, decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    throw new AssayError(error.code, `${path}: ${error.message}`, { detail: error.detail, cause: error })
  }
}

/** How many floats a row has is seen on the first one: a model may leave the sizes of its outputs open. */
async function taskOptions(
  batch: Batch,
  inputs: NamedTensors,
  tolerance: number | undefined,
): Promise<OnnxBatchOptions> {
  if (tolerance === undefined) return {}
  let elements = 0
  for (const { dtype, data } of Object.values(await batch.row(inputs, 0))) {
    if (dtype.startsWith('float')) elements += data.length
  }
  if (elements === 0) {
    throw new AssayError(
      'cli/usage',
      'a tolerance is for float outputs, and this model has none: leave --tolerance out',
    )
  }
  return { tolerance, elements }
}

export async function readInputs(given: readonly string[], model: Model): Promise<NamedTensors> {
  const inputs: { [name: string]: NamedTensors[string] } = {}
  for (const text of given) {
    const { name, path } = await splitInput(text)
    const bytes = await readCapped(path, { maxBytes: MAX_INPUT_BYTES, what: 'the input' })
    const named = name === undefined ? {} : { name }
    const decoded = naming(path, () =>
      decodeInputs(bytes, basename(path), { expect: model.inputs, ...named }),
    )
    for (const [key, tensor] of Object.entries(decoded)) {
      if (Object.hasOwn(inputs, key)) {
        throw new AssayError(
          'cli/usage',
          `input ${JSON.stringify(key)} is given twice, the second time in ${path}`,
        )
      }
      inputs[key] = tensor
    }
  }
  assertFinite(inputs)
  return inputs
}

/** `name=file`; a file whose own name has an equals sign is taken as it is. */
async function splitInput(text: string): Promise<{ readonly name?: string; readonly path: string }> {
  const equals = text.indexOf('=')
  if (equals <= 0 || (await isFile(text))) return { path: text }
  return { name: text.slice(0, equals), path: text.slice(equals + 1) }
}
