/**
 * A decoder model with a key and value cache, behind one function: tokens in, logits and hidden states out.
 *
 * Read from the model's own names, as exporters write them: `input_ids`; optionally `position_ids` and
 * `attention_mask`; `past_…` with `present_…` among the outputs (`past_key_values.0.key` becomes
 * `present.0.key`); `logits`; optionally the last hidden state. One sequence at a time, without padding. The
 * same model serves many tokens at once (prefill) and one more (a step): what differs is the cache.
 *
 * Numbers of the two differ in the last bits even in the reproducible runtime, because a product of one row is
 * summed in another order than one of many; see config.ts for the margins that cover it.
 */
import { AssayError } from '../../core/errors.ts'
import type { Model, ValueInfo } from '../../onnx/model.ts'
import type { Runtime, Session } from '../../onnx/runtime.ts'
import { type Tensor, tensor } from '../../state/tensor.ts'
import type { NamedTensors } from '../../state/tensors.ts'

/** Keys and values of the positions so far. Immutable: a step gives a new one. */
export interface Cache {
  readonly length: number
  readonly tensors: NamedTensors
}

export interface Step {
  /** [tokens, vocabulary], row by row: row i is about the token that follows token i. */
  readonly logits: Float32Array
  /** [tokens, width]; null where the model does not give it. */
  readonly hidden: Float32Array | null
  readonly cache: Cache
}

export interface Decoder {
  readonly model: Model
  readonly runtime: Pick<Runtime, 'name' | 'version' | 'tier'>
  /** Tokens are 0 … vocabulary - 1. */
  readonly vocabulary: number
  /** Of the hidden state; null where the model does not give it. */
  readonly width: number | null
  /** Before the first token. */
  readonly empty: Cache
  /**
   * Runs at least one token after what `cache` holds.
   *
   * @throws AssayError `generation/tokens` for what is no token of this model, `onnx/...` of the runtime (a
   * position beyond the model's context, for one).
   */
  run(tokens: readonly number[], cache: Cache): Promise<Step>
  close(): Promise<void>
}

export interface DecoderOptions {
  /** Name of the output that holds the last hidden state; the usual names are found without. */
  readonly hidden?: string
}

const IDS = 'input_ids'
const POSITIONS = 'position_ids'
const MASK = 'attention_mask'
const LOGITS = 'logits'
const HIDDEN = ['hidden', 'last_hidden_state', 'hidden_states']
const PAST = /^past(?:_key_values)?(?=[._])/

interface CacheSlot {
  readonly past: string
  readonly present: string
  /** Of an empty cache: one sequence, no positions. */
  readonly shape: readonly number[]
}

interface Layout {
  readonly ids: ValueInfo
  readonly positions: ValueInfo | undefined
  readonly mask: ValueInfo | undefined
  readonly slots: readonly CacheSlot[]
  readonly vocabulary: number
  readonly hidden: { readonly name: string; readonly width: number } | null
}

/** @throws AssayError `generation/model` for a model of another form, and what the runtime throws. */
export async function openDecoder(
  model: Model,
  runtime: Runtime,
  options: DecoderOptions = {},
): Promise<Decoder> {
  const layout = layoutOf(model, options)
  const session = await runtime.open(model)
  const tensors = Object.fromEntries(
    layout.slots.map(({ past, shape }) => [past, tensor('float32', shape, new Float32Array(0))]),
  )
  return {
    model,
    runtime: { name: runtime.name, version: runtime.version, tier: runtime.tier },
    vocabulary: layout.vocabulary,
    width: layout.hidden?.width ?? null,
    empty: { length: 0, tensors },
    run: (tokens, cache) => runTokens({ layout, session }, tokens, cache),
    close: () => session.close(),
  }
}

interface Opened {
  readonly layout: Layout
  readonly session: Session
}

async function runTokens(
  { layout, session }: Opened,
  tokens: readonly number[],
  cache: Cache,
): Promise<Step> {
  assertTokens(tokens, layout.vocabulary)
  if (tokens.length === 0) throw new AssayError('generation/tokens', 'expected at least one token to run')
  const { ids, positions, mask, slots, hidden } = layout
  const length = cache.length + tokens.length
  const outputs = await session.run({
    ...cache.tensors,
    [ids.name]: integers(ids, tokens),
    ...(positions && {
      [POSITIONS]: integers(
        positions,
        tokens.map((_, i) => cache.length + i),
      ),
    }),
    ...(mask && { [MASK]: integers(mask, new Array<number>(length).fill(1)) }),
  })
  const next = Object.fromEntries(slots.map(({ past, present }) => [past, outputs[present] as Tensor]))
  return {
    logits: rows(outputs[LOGITS], tokens.length * layout.vocabulary),
    hidden: hidden && rows(outputs[hidden.name], tokens.length * hidden.width),
    cache: { length, tensors: next },
  }
}

/** A declared shape is a claim of the model: what it gave is measured. */
function rows(given: Tensor | undefined, size: number): Float32Array {
  if (given?.data instanceof Float32Array && given.data.length === size) return given.data
  throw unfit(`the model gave ${given?.data.length ?? 'no'} values where ${size} were expected`)
}

function integers({ dtype }: ValueInfo, values: readonly number[]): Tensor {
  const data = dtype === 'int64' ? BigInt64Array.from(values, BigInt) : Int32Array.from(values)
  return tensor(dtype, [1, values.length], data)
}

/** Throws `generation/tokens` unless every token is one of the vocabulary. */
export function assertTokens(tokens: readonly number[], vocabulary: number): void {
  const at = tokens.findIndex((token) => !Number.isInteger(token) || token < 0 || token >= vocabulary)
  if (at < 0) return
  throw new AssayError(
    'generation/tokens',
    `expected tokens from 0 to ${vocabulary - 1}, got ${tokens[at]} at ${at}`,
    { detail: { position: at } },
  )
}

function layoutOf(model: Model, options: DecoderOptions): Layout {
  const inputs = new Map(model.inputs.map((info) => [info.name, info]))
  const outputs = new Map(model.outputs.map((info) => [info.name, info]))
  const ids = integerInput(inputs.get(IDS))
  if (ids === undefined) throw unfit(`it has no input ${IDS}`)
  const logits = outputs.get(LOGITS)
  if (logits === undefined) throw unfit(`it has no output ${LOGITS}`)
  const slots = model.inputs.filter(({ name }) => PAST.test(name)).map((info) => slotOf(info, outputs))
  if (slots.length === 0) throw unfit('it has no inputs past_…')
  const known = new Set([IDS, POSITIONS, MASK, ...slots.map(({ past }) => past)])
  const stray = model.inputs.find(({ name }) => !known.has(name))
  if (stray !== undefined) throw unfit(`it has an input ${JSON.stringify(stray.name)} of unknown use`)
  return {
    ids,
    positions: integerInput(inputs.get(POSITIONS)),
    mask: integerInput(inputs.get(MASK)),
    slots,
    vocabulary: lastDim(logits),
    hidden: hiddenOf(outputs, options),
  }
}

function integerInput(info: ValueInfo | undefined): ValueInfo | undefined {
  if (info === undefined || info.dtype === 'int64' || info.dtype === 'int32') return info
  throw unfit(`its input ${info.name} is ${info.dtype}, not int64 or int32`)
}

/** […, batch, heads, positions, features]: positions are empty at first, batch is one, the rest is fixed. */
function slotOf({ name, dtype, dims }: ValueInfo, outputs: ReadonlyMap<string, ValueInfo>): CacheSlot {
  const present = name.replace(PAST, 'present')
  if (outputs.get(present)?.dtype !== 'float32' || dtype !== 'float32') {
    throw unfit(`its input ${name} and output ${present} are not both float32`)
  }
  if (dims === null || dims.length < 4) throw unfit(`its input ${name} has no shape of a cache`)
  const shape = dims.map((dim, axis) => {
    if (axis === dims.length - 2) return 0
    if (axis === dims.length - 4) return 1
    if (typeof dim !== 'number') throw unfit(`axis ${axis} of its input ${name} has no fixed size`)
    return dim
  })
  return { past: name, present, shape }
}

function hiddenOf(outputs: ReadonlyMap<string, ValueInfo>, { hidden }: DecoderOptions): Layout['hidden'] {
  const name = hidden ?? HIDDEN.find((candidate) => outputs.has(candidate))
  if (name === undefined) return null
  const info = outputs.get(name)
  if (info === undefined) throw unfit(`it has no output ${JSON.stringify(name)} for the hidden state`)
  return { name, width: lastDim(info) }
}

function lastDim({ name, dtype, dims }: ValueInfo): number {
  const dim = dims?.at(-1)
  if (dtype !== 'float32' || dims?.length !== 3 || typeof dim !== 'number') {
    throw unfit(`its output ${name} is not float32 of [batch, sequence, a fixed size]`)
  }
  return dim
}

function unfit(why: string): AssayError {
  return new AssayError('generation/model', `expected a decoder with a cache; ${why}`)
}
