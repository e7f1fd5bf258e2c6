/**
 * Batches over the first axis: a large input as rows, each of them one inference and one state.
 *
 * An input is **batched** when the model leaves its leading dimension open or fixes it to 1, and the array's
 * leading dimension is the number of rows. Each row is run with a leading dimension of 1, so that a verifier
 * can repeat one row alone; nothing depends on its neighbours. An input is **shared**, that is given whole
 * to each row, when its leading dimension in the model is another number, when it is a scalar, or when its
 * array has a leading dimension of 1 in a batch of several rows. So arrays of n rows and of one row may be
 * mixed; two different counts above 1 are refused. Where that is not what the first axis means (time steps,
 * tokens), run with `batch: 'whole'`: one inference, one state.
 *
 * Outputs of rows are put together over the first axis as well: where a row's output has a leading dimension
 * of 1 the rows are joined along it, else along a new axis in front. The model's declared rank tells which,
 * so that an output can be taken apart into its rows again.
 */
import { AssayError } from '../core/errors.ts'
import { rangeOfFirstAxis, sliceFirstAxis, stackFirstAxis, type Tensor } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { assertDtype, assertInputNames } from './feed.ts'
import type { Model, ValueInfo } from './model.ts'
import type { Runtime } from './runtime.ts'

export type BatchMode = 'first-axis' | 'whole'

export interface BatchOptions {
  /** 'first-axis' by default. */
  readonly batch?: BatchMode
}

/** A model opened for running rows. */
export interface Batch {
  readonly model: Model
  readonly runtime: Runtime
  readonly mode: BatchMode
  /** Rows in `inputs`; reads shapes only. */
  count(inputs: NamedTensors): number
  /** Runs row `index` alone. */
  row(inputs: NamedTensors, index: number): Promise<NamedTensors>
  /** The outputs of all rows, in order, as one. */
  stack(rows: readonly NamedTensors[]): NamedTensors
  /** Row `index` of stacked outputs: what `row` gave. */
  unstack(outputs: NamedTensors, index: number): NamedTensors
  close(): Promise<void>
}

export async function openBatch(model: Model, runtime: Runtime, options: BatchOptions = {}): Promise<Batch> {
  const { batch: mode = 'first-axis' } = options
  const session = await runtime.open(model)
  return {
    model,
    runtime,
    mode,
    count: (inputs) => countRows(model, inputs, options),
    row: async (inputs, index) => session.run(rowInputs(model, inputs, { index, batch: mode })),
    stack: (rows) => stackRows(model, rows, options),
    unstack: (outputs, index) => rowOutputs(model, outputs, { index, batch: mode }),
    close: () => session.close(),
  }
}

/**
 * @throws AssayError `input/missing`, `input/unknown-name`, `input/dtype`, `input/shape` (rank), and
 * `input/batch` where inputs disagree or there is no row at all.
 */
export function countRows(model: BatchInputs, inputs: NamedTensors, options: BatchOptions = {}): number {
  return planOf(model, inputs, options.batch ?? 'first-axis').count
}

/** The inputs of row `index`, with leading dimensions of 1. Views of the data, no copies. */
export function rowInputs(
  model: Model,
  inputs: NamedTensors,
  options: BatchOptions & { readonly index: number },
): NamedTensors {
  const { index, batch = 'first-axis' } = options
  const { count, batched } = planOf(model, inputs, batch)
  assertIndex(index, count)
  if (batched.size === 0) return inputs
  const row: [string, Tensor][] = []
  for (const { name } of model.inputs) {
    row.push([name, batched.has(name) ? sliceFirstAxis(inputs[name]!, index) : inputs[name]!])
  }
  return Object.fromEntries(row)
}

/** What a batch reads of a model to know rows from what they share. */
export type BatchInputs = Pick<Model, 'inputs'>

/**
 * The inputs of rows `from` to before `to`, as a smaller batch: row i of it is row `from` + i. Views, no copies. So
 * that a part of a large input can be sent to where it is run.
 */
export function rangeInputs(
  model: BatchInputs,
  inputs: NamedTensors,
  options: BatchOptions & { readonly from: number; readonly to: number },
): NamedTensors {
  const { from, to, batch = 'first-axis' } = options
  const { count, batched } = planOf(model, inputs, batch)
  assertIndex(from, count)
  assertIndex(to - 1, count)
  if (batched.size === 0) return inputs
  return Object.fromEntries(
    model.inputs.map(({ name }) => {
      const whole = inputs[name]!
      return [name, batched.has(name) ? rangeOfFirstAxis(whole, { from, to }) : whole]
    }),
  )
}

/** Joins the outputs of all rows. Throws `input/batch` where the rows' shapes differ: run such a model whole. */
export function stackRows(
  model: Model,
  rows: readonly NamedTensors[],
  options: BatchOptions = {},
): NamedTensors {
  const [first] = rows
  if (first === undefined) throw new AssayError('input/batch', 'expected the outputs of at least one row')
  if (options.batch === 'whole') return first
  const outputs: [string, Tensor][] = []
  for (const info of model.outputs) {
    const parts = rows.map((row, index) => rowPart(row[info.name], { info, first: first[info.name]!, index }))
    outputs.push([info.name, stackFirstAxis(parts)])
  }
  return Object.fromEntries(outputs)
}

/** Row `index` of stacked outputs; the inverse of `stackRows`. Throws `input/batch` for outputs that are no stack. */
export function rowOutputs(
  model: Model,
  outputs: NamedTensors,
  options: BatchOptions & { readonly index: number },
): NamedTensors {
  const { index, batch = 'first-axis' } = options
  if (batch === 'whole') {
    assertIndex(index, 1)
    return outputs
  }
  const row: [string, Tensor][] = []
  for (const info of model.outputs) {
    const whole = Object.hasOwn(outputs, info.name) ? outputs[info.name]! : undefined
    const rank = whole?.shape.length
    const added = info.dims !== null && rank === info.dims.length + 1
    if (whole === undefined || rank === 0 || (info.dims !== null && rank !== info.dims.length && !added)) {
      throw new AssayError(
        'input/batch',
        `output ${JSON.stringify(info.name)} is missing, or has another rank than a stack of rows`,
        { detail: { output: info.name, rank: rank ?? null } },
      )
    }
    assertIndex(index, whole.shape[0]!)
    const slice = sliceFirstAxis(whole, index)
    row.push([info.name, added ? { ...slice, shape: slice.shape.slice(1) } : slice])
  }
  return Object.fromEntries(row)
}

interface RowPart {
  readonly info: ValueInfo
  readonly first: Tensor
  readonly index: number
}

/** One row's output with a leading dimension of 1. */
function rowPart(part: Tensor | undefined, { info, first, index }: RowPart): Tensor {
  const rank = info.dims?.length ?? first.shape.length
  const agrees =
    part !== undefined &&
    part.dtype === first.dtype &&
    part.shape.length === rank &&
    part.shape.every((dim, axis) => dim === first.shape[axis])
  if (!agrees) {
    throw new AssayError(
      'input/batch',
      `output ${JSON.stringify(info.name)} of row ${index} has shape [${part?.shape}], row 0 has [${first.shape}], declared rank ${rank}: rows cannot be joined, use batch 'whole'`,
      { detail: { output: info.name, index } },
    )
  }
  if (part.shape[0] === 1) return part
  if (info.dims === null) {
    throw new AssayError(
      'input/batch',
      `output ${JSON.stringify(info.name)} has no declared rank and rows of shape [${part.shape}]: use batch 'whole'`,
      { detail: { output: info.name, index } },
    )
  }
  return { ...part, shape: [1, ...part.shape] }
}

interface Plan {
  readonly mode: BatchMode
  readonly model: BatchInputs
  readonly count: number
  readonly batched: ReadonlySet<string>
}

/** Plans by inputs, so that asking row after row does not plan again. Tensors are immutable. */
const plans = new WeakMap<NamedTensors, Plan>()

function planOf(model: BatchInputs, inputs: NamedTensors, mode: BatchMode): Plan {
  const known = plans.get(inputs)
  if (known !== undefined && known.model === model && known.mode === mode) return known
  const made = mode === 'whole' ? wholePlan(model, inputs) : firstAxisPlan(model, inputs)
  plans.set(inputs, made)
  return made
}

function wholePlan(model: BatchInputs, inputs: NamedTensors): Plan {
  assertInputNames(inputs, model.inputs)
  return { mode: 'whole', model, count: 1, batched: new Set() }
}

function firstAxisPlan(model: BatchInputs, inputs: NamedTensors): Plan {
  assertInputNames(inputs, model.inputs)
  const candidates = model.inputs.filter((info) => isBatchable(inputs[info.name]!, info))
  for (const info of model.inputs) assertDtype(inputs[info.name]!, info)
  let count = 1
  let counted = candidates[0]?.name
  for (const { name } of candidates) {
    const rows = inputs[name]!.shape[0]!
    if (rows === 0)
      throw new AssayError('input/batch', `input ${JSON.stringify(name)} has no rows: give at least one`)
    if (rows === 1 || rows === count) continue
    if (count > 1) {
      throw new AssayError(
        'input/batch',
        `inputs ${JSON.stringify(counted)} and ${JSON.stringify(name)} have ${count} and ${rows} rows: give as many rows to each, or use batch 'whole'`,
        { detail: { first: counted ?? '', second: name, rows: [count, rows] } },
      )
    }
    count = rows
    counted = name
  }
  const batched = candidates.filter(({ name }) => inputs[name]!.shape[0] === count).map(({ name }) => name)
  return { mode: 'first-axis', model, count, batched: new Set(count === 1 ? [] : batched) }
}

function isBatchable({ shape }: Tensor, { name, dims }: ValueInfo): boolean {
  if (dims !== null && shape.length !== dims.length) {
    throw new AssayError(
      'input/shape',
      `input ${JSON.stringify(name)} must have ${dims.length} dimensions [${dims.map((dim) => dim ?? '?').join(', ')}], got [${shape.join(', ')}]`,
      { detail: { input: name, expected: dims.map((dim) => dim ?? '?'), got: [...shape] } },
    )
  }
  if (shape.length === 0) return false
  const leading = dims === null ? null : dims[0]!
  return typeof leading !== 'number' || leading === 1
}

function assertIndex(index: number, count: number): void {
  if (!Number.isSafeInteger(index) || index < 0 || index >= count) {
    throw new AssayError('input/out-of-range', `expected a row from 0 to ${count - 1}, got ${index}`, {
      detail: { count },
    })
  }
}
