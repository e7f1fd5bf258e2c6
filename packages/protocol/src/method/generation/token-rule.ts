/**
 * How the next token follows from logits: greedily, or by a public number from 0 to 1.
 *
 * Sampling inverts the distribution function: with weights exp((logit - largest) / temperature), in 64-bit
 * floats and summed in ascending order of tokens, the token is the first whose running sum exceeds the number
 * times the whole sum. So solver and verifier who share the number draw the same token, and where their
 * logits differ a little they differ only for numbers near the edge of a token's share. How near is the
 * distance that `tokenDistance` gives; who judges it allows a margin. `Math.exp` may differ between engines in
 * its last bit, which the margin covers too.
 *
 * Equal logits: the lower token comes first, in greedy choice and in the selection of the `topk`.
 */
import { AssayError } from '../../core/errors.ts'
import { type RandomStream, randomStream } from '../../core/sampling.ts'

export type TokenRule =
  | { readonly kind: 'greedy' }
  | {
      readonly kind: 'sample'
      /** Above 0. */
      readonly temperature: number
      /** Draw from the so many most likely tokens; null for all. */
      readonly topk: number | null
    }

const LABEL = 'generation'
/** Of a token that the rule cannot give at all: outside the topk, or too unlikely for a weight above 0. */
export const IMPOSSIBLE = Number.POSITIVE_INFINITY

/** Numbers in [0, 1), one a token, from the request's seed: the upper 53 bits of each word of the stream, over 2^53. */
export function uniformNumbers(seed: Uint8Array): () => number {
  const stream: RandomStream = randomStream(seed, LABEL)
  return () => {
    const { high, low } = stream.next()
    return (high * 2 ** 21 + (low >>> 11)) / 2 ** 53
  }
}

/** The token that `rule` gives. `uniform` lies in [0, 1); greedy choice does not look at it. */
export function chooseToken(
  logits: Float32Array,
  { rule, uniform }: { readonly rule: TokenRule; readonly uniform: number },
): number {
  const best = firstLargest(logits)
  if (rule.kind === 'greedy') return best
  const weights = weightsOf(logits, { ...rule, largest: logits[best]! })
  let whole = 0
  for (const weight of weights) whole += weight
  const target = uniform * whole
  let sum = 0
  let last = best
  for (let token = 0; token < weights.length; token++) {
    if (weights[token] === 0) continue
    sum += weights[token]!
    if (sum > target) return token
    last = token
  }
  // A number so near to 1 that its product with the sum is the sum.
  return last
}

/**
 * How far `token` is from being the rule's choice: 0 where it is the choice; else, for greedy choice, by how
 * much its logit is below the largest; for sampling, by how much the number misses the token's share of
 * [0, 1); `IMPOSSIBLE` for a token without a share. Of equal logits each counts as
 * the greedy choice.
 */
export function tokenDistance(
  logits: Float32Array,
  { rule, uniform, token }: { readonly rule: TokenRule; readonly uniform: number; readonly token: number },
): number {
  const largest = logits[firstLargest(logits)]!
  if (rule.kind === 'greedy') return largest - logits[token]!
  const { below, own, sum } = sharesAround(logits, { ...rule, largest, token })
  if (own === 0) return IMPOSSIBLE
  const above = below + own
  const target = uniform * sum
  if (target < below) return (below - target) / sum
  return target < above || above === sum ? 0 : (target - above) / sum
}

function firstLargest(logits: Float32Array): number {
  let best = 0
  let zero = 0
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i]!
    // Stays 0 for finite logits, and NaN from the first other one on.
    zero += logit * 0
    if (logit > logits[best]!) best = i
  }
  if (zero === 0) return best
  throw new AssayError('generation/model', 'expected finite logits; the model gave others')
}

interface Weighing {
  readonly temperature: number
  readonly topk: number | null
  readonly largest: number
}

/** Weights by token; 0 outside the most likely ones. */
function weightsOf(logits: Float32Array, { temperature, topk, largest }: Weighing): Float64Array {
  const weights = new Float64Array(logits.length)
  let { threshold, equals } = cutAt(logits, topk)
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!
    if (logit > threshold || (logit === threshold && equals-- > 0)) {
      weights[token] = Math.exp((logit - largest) / temperature)
    }
  }
  return weights
}

/**
 * The sum of the weights before `token`, its own, and the whole sum, added in the same order as for a choice.
 * Nothing is kept: a verifier does this for every token, and arrays by the thousand cost it more than the sums.
 */
function sharesAround(logits: Float32Array, weighing: Weighing & { readonly token: number }) {
  const { temperature, topk, largest } = weighing
  let { threshold, equals } = cutAt(logits, topk)
  let sum = 0
  let below = 0
  let own = 0
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!
    const isKept = logit > threshold || (logit === threshold && equals-- > 0)
    const weight = isKept ? Math.exp((logit - largest) / temperature) : 0
    if (token === weighing.token) {
      below = sum
      own = weight
    }
    sum += weight
  }
  return { below, own, sum }
}

/** The most likely `topk` are those above a threshold, and the first so many that equal it. */
function cutAt(logits: Float32Array, topk: number | null): { threshold: number; equals: number } {
  if (topk === null || topk >= logits.length) return { threshold: Number.NEGATIVE_INFINITY, equals: 0 }
  const threshold = logits.slice().sort()[logits.length - topk]!
  let above = 0
  for (const logit of logits) if (logit > threshold) above++
  return { threshold, equals: topk - above }
}
