/**
 * Agentic plans as states (the paper's section 5.4.5): exact, with tolerant numbers, or with similar texts.
 *
 * - `exact`: one slot, the whole plan.
 * - `numeric`: slot 0 is the structure (calls, names, and every argument that is no number), exact; then a slot
 *   for each number, in the order of the plan, as a bucket (bucket.ts). A plan with fewer numbers fills up with
 *   slots that say so. Every slot must hit.
 * - `semantic`: every text of several words is a group of slots, one for each comparison of its embedding
 *   (embedding.ts). All else is structure, and single words and numbers with it: an account, an asset, an amount
 *   must not be merely similar.
 *
 * In semantic plans every encoding carries the digest of the structure, since hits are counted over all slots:
 * a plan with another structure misses everywhere, however similar its texts. For the same reason all texts of
 * a plan share the misses that the similarity grants to one. So each text of an accepted plan reaches the
 * similarity by itself, whatever the others do; the price is that honest plans with several reworded texts are
 * refused sooner. Texts that a plan does not have always hit, and earn nothing.
 *
 * Threat: similar texts can say opposite things ("with approval", "without approval"). Use `semantic` for texts
 * that explain, and `exact` or `numeric` for plans whose texts are acted on. And a plan is easily guessed where
 * the prompt nearly dictates it: tell the guess probability.
 */
import { concatBytes } from '../core/bytes.ts'
import { encodeCanonical } from '../core/codec.ts'
import { tagged } from '../core/digest.ts'
import { AssayError, type Json } from '../core/errors.ts'
import { MAX_SLOTS } from './array.ts'
import { BUCKET_ALTERNATIVES, bucketWidth, findBucket, neighbours } from './bucket.ts'
import { assertPoint } from './distance.ts'
import {
  assertSimilarity,
  type EmbeddingHash,
  type EmbeddingHashOptions,
  embeddingHash,
  requiredMatches,
} from './embedding.ts'
import { estimateGuess } from './embedding-calibrate.ts'
import { assertInteger, assertProbability, exactKind } from './exact.ts'
import { encodeInt64 } from './integer.ts'
import type { StateKind } from './kind.ts'
import {
  assertPlan,
  compareText,
  decodePlan,
  encodePlan,
  isDictionary,
  isNestedCall,
  MAX_CALLS,
  numericValue,
  type Plan,
  type PlanCall,
  type PlanValue,
  planTooLarge,
} from './plan.ts'

const STRUCTURE_TAG = 'assay/state/plan-structure/v1'
const ABSENT = Uint8Array.of(0)
const PRESENT = Uint8Array.of(1)
const SEVERAL_WORDS = /\S\s+\S/

export interface NumericArguments {
  /** Absolute tolerance of every number of the plan. */
  readonly epsilon: number
  /** Most numbers in one plan; each is a slot. */
  readonly maxNumbers: number
}

export type SemanticArguments = EmbeddingHashOptions & {
  /** Names model and version of `embed`; part of the task id. */
  readonly embedder: string
  /** A point of `dimensions` for a text. Must give solver and verifier nearly the same point. */
  readonly embed: (text: string) => Float64Array
  /** Smallest Jaccard index at which one text passes. */
  readonly similarity: number
  /** Most texts of several words in one plan; each is a slot for every comparison. */
  readonly maxTexts: number
}

export interface PlanStateOptions {
  /** Most calls in one plan. */
  readonly maxCalls: number
  /** `exact` unless told. */
  readonly arguments?:
    | 'exact'
    | { readonly numeric: NumericArguments }
    | { readonly semantic: SemanticArguments }
  /** Of guessing a whole plan; 0 unless told, and for semantic plans the estimate for one text. */
  readonly guessProbability?: number
}

/**
 * States that are plans in normal form, as `parsePlan` makes them.
 *
 * @throws AssayError `state/parameters` for the options; the kind itself throws `state/type`,
 * `state/plan-too-large`, any code of `codec/`, and what `assertPoint` throws for a point that `embed` gave.
 */
export function planState(options: PlanStateOptions): StateKind<Plan> {
  const { maxCalls, arguments: mode = 'exact' } = options
  assertInteger(maxCalls, { name: 'maxCalls', min: 1, max: MAX_CALLS })
  if (mode === 'exact') return exactPlan(options)
  if (typeof mode === 'object' && mode !== null) {
    if ('numeric' in mode) return numericPlan(options, mode.numeric)
    if ('semantic' in mode) return semanticPlan(options, mode.semantic)
  }
  throw new AssayError('state/parameters', 'expected arguments to be "exact", { numeric } or { semantic }')
}

function exactPlan(options: PlanStateOptions): StateKind<Plan> {
  return exactKind<Plan>({
    name: 'plan',
    parameters: { maxCalls: options.maxCalls },
    guessProbability: options.guessProbability ?? 0,
    ...planCodec((plan) => assertCalls(plan, options.maxCalls)),
  })
}

function numericPlan(options: PlanStateOptions, numeric: NumericArguments): StateKind<Plan> {
  const { epsilon, maxNumbers } = numeric
  const { maxCalls, guessProbability = 0 } = options
  assertInteger(maxNumbers, { name: 'maxNumbers', min: 1, max: MAX_SLOTS - 1 })
  assertProbability(guessProbability, 'guessProbability')
  const width = bucketWidth(epsilon)
  const read = (plan: Plan): Extracted<number> => {
    assertCalls(plan, maxCalls)
    const extracted = extract(plan, {
      // What no bucket holds stays in the structure, and is exact.
      pick: (value) => {
        const number = numericValue(value)
        return number === undefined ? undefined : findBucket(number, width)
      },
      placeholder: { $number: '' },
    })
    if (extracted.leaves.length > maxNumbers)
      throw planTooLarge(`${maxNumbers} numbers`, extracted.leaves.length)
    return extracted
  }
  const encodeBucket = (bucket: number): Uint8Array => concatBytes(PRESENT, encodeInt64(bucket))
  const padding = ({ leaves }: Extracted<number>): readonly Uint8Array[] =>
    new Array<Uint8Array>(maxNumbers - leaves.length).fill(ABSENT)
  return {
    name: 'plan-numeric',
    parameters: { maxCalls, epsilon, maxNumbers },
    slots: maxNumbers + 1,
    quorum: maxNumbers + 1,
    alternatives: BUCKET_ALTERNATIVES,
    guessProbability,
    ...planCodec(read),
    commit(plan) {
      const extracted = read(plan)
      return [extracted.structure, ...extracted.leaves.map(encodeBucket), ...padding(extracted)]
    },
    accept(plan) {
      const extracted = read(plan)
      return [
        [extracted.structure],
        ...extracted.leaves.map((bucket) => neighbours(bucket).map(encodeBucket)),
        ...padding(extracted).map((absent) => [absent]),
      ]
    },
  }
}

function semanticPlan(options: PlanStateOptions, semantic: SemanticArguments): StateKind<Plan> {
  const { similarity, maxTexts, embedder, embed } = semantic
  const { maxCalls } = options
  const hash = embeddingHash(semantic)
  assertSimilarity(similarity)
  assertInteger(maxTexts, { name: 'maxTexts', min: 1, max: MAX_SLOTS })
  const slots = maxTexts * hash.comparisons
  assertInteger(slots, { name: 'maxTexts times comparisons', min: 1, max: MAX_SLOTS })
  if (typeof embedder !== 'string' || embedder === '' || typeof embed !== 'function') {
    throw new AssayError('state/parameters', 'expected embed to be a function, and embedder to name it')
  }
  const guessProbability = options.guessProbability ?? estimateGuess(hash, { similarity }).guessProbability
  assertProbability(guessProbability, 'guessProbability')
  const read = (plan: Plan): Extracted<string> => {
    assertCalls(plan, maxCalls)
    const extracted = extract(plan, {
      pick: (value) => (typeof value === 'string' && SEVERAL_WORDS.test(value) ? value : undefined),
      placeholder: { $text: '' },
    })
    if (extracted.leaves.length > maxTexts) throw planTooLarge(`${maxTexts} texts`, extracted.leaves.length)
    return extracted
  }
  const commit = (plan: Plan): readonly Uint8Array[] => {
    const { structure, leaves } = read(plan)
    const encodings = leaves.flatMap((text) =>
      Array.from(textBits(text, { hash, embed }), (bit) =>
        concatBytes(structure, PRESENT, Uint8Array.of(bit)),
      ),
    )
    const absent = concatBytes(structure, ABSENT)
    return [...encodings, ...new Array<Uint8Array>(slots - encodings.length).fill(absent)]
  }
  const parameters: { readonly [key: string]: Json } = {
    ...hash.parameters,
    maxCalls,
    maxTexts,
    similarity,
    embedder,
  }
  return {
    name: 'plan-semantic',
    parameters,
    slots,
    quorum: slots - (hash.comparisons - requiredMatches(hash.comparisons, similarity)),
    alternatives: 1,
    guessProbability,
    ...planCodec(read),
    commit,
    accept: (plan) => commit(plan).map((encoding) => [encoding]),
  }
}

function textBits(
  text: string,
  { hash, embed }: { readonly hash: EmbeddingHash; readonly embed: (text: string) => Float64Array },
): Uint8Array {
  const point: unknown = embed(text)
  assertPoint(point, { dimensions: hash.dimensions, name: 'the embedding of a text' })
  return hash.bits(point)
}

/** The codec of plans that also pass `check`. */
function planCodec(check: (plan: Plan) => unknown): Pick<StateKind<Plan>, 'assert' | 'encode' | 'decode'> {
  return {
    assert(value): asserts value is Plan {
      assertPlan(value)
      check(value)
    },
    encode(plan) {
      check(plan)
      return encodePlan(plan)
    },
    decode(bytes) {
      const plan = decodePlan(bytes)
      check(plan)
      return plan
    },
  }
}

function assertCalls({ calls }: Plan, maxCalls: number): void {
  if (calls.length > maxCalls) throw planTooLarge(`${maxCalls} calls`, calls.length)
}

/** A plan taken apart: some of its values in order, and the digest of the rest. */
interface Extracted<T> {
  readonly leaves: readonly T[]
  readonly structure: Uint8Array
}

interface Extraction<T> {
  /** What a value becomes as a leaf; undefined leaves it in the structure. */
  readonly pick: (value: PlanValue) => T | undefined
  /** Stands in the structure for a leaf; no plan in normal form holds it. */
  readonly placeholder: PlanValue
}

function extract<T>(plan: Plan, { pick, placeholder }: Extraction<T>): Extracted<T> {
  const leaves: T[] = []
  const walkCall = ({ args, ...rest }: PlanCall): PlanValue => ({
    ...rest,
    args: args.map((argument) => ({ ...argument, value: walk(argument.value) })),
  })
  const walk = (value: PlanValue): PlanValue => {
    const leaf = pick(value)
    if (leaf !== undefined) {
      leaves.push(leaf)
      return placeholder
    }
    if (Array.isArray(value)) return value.map(walk)
    if (!isDictionary(value)) return value
    if (isNestedCall(value)) return { $call: walkCall(value.$call) }
    const fields = Object.entries(value).sort(([a], [b]) => compareText(a, b))
    return Object.fromEntries(fields.map(([key, field]) => [key, walk(field)]))
  }
  const structure = tagged(STRUCTURE_TAG, encodeCanonical(plan.calls.map(walkCall)))
  return { leaves, structure }
}
