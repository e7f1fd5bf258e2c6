/**
 * Semantic states: embeddings that pass when they are similar enough (the paper's section 5.4.4).
 *
 * One slot a comparison, so that a code counts in its own place only (in the published sets, any solver may
 * insert both codes of every comparison), and as many hits required as the similarity asks.
 *
 * Threat: a cheat needs no right point, only one that is similar enough. Unrelated points share a Jaccard index
 * of 0.34 where vantage points and data have one length, 0.4 to 0.5 where both are Gaussian, and 0.93 where unit
 * embeddings meet Gaussian vantage points (384 dimensions): then everything passes. A point chosen to be typical
 * shares more. embedding-calibrate.ts estimates how often that passes, and the kind carries the estimate as its
 * guess probability. And similar is not right: an embedding of "pay Alice" lies close to one of "pay Bob".
 */
import { assertPoint } from './distance.ts'
import {
  assertSimilarity,
  type EmbeddingHashOptions,
  embeddingHash,
  encodePoint,
  requiredMatches,
} from './embedding.ts'
import { estimateGuess } from './embedding-calibrate.ts'
import { assertProbability } from './exact.ts'
import type { StateKind } from './kind.ts'
import { decodeTensor } from './tensor.ts'

/** Of a tensor of rank 1. */
const HEADER_BYTES = 24

export type EmbeddingStateOptions = EmbeddingHashOptions & {
  /** Smallest Jaccard index that passes, above 0 and up to 1. See `calibrateSimilarity` for what it must exceed. */
  readonly similarity: number
  /** Overrides the estimate. Take it from `estimateGuess` on embeddings of your own: real ones crowd together. */
  readonly guessProbability?: number
}

/**
 * Semantic states: one slot a comparison, and the quorum that the similarity asks.
 *
 * Without `guessProbability` the kind estimates one when it is made, from Gaussian points and a fixed seed
 * (`estimateGuess`; bounded, up to about a second).
 *
 * @throws AssayError `state/parameters` for the options; the kind itself throws what `assertPoint` throws, and
 * `state/malformed`.
 */
export function embeddingState(options: EmbeddingStateOptions): StateKind<Float64Array> {
  const { similarity } = options
  const hash = embeddingHash(options)
  assertSimilarity(similarity)
  const guessProbability = options.guessProbability ?? estimateGuess(hash, { similarity }).guessProbability
  assertProbability(guessProbability, 'guessProbability')

  const { dimensions, comparisons } = hash
  const check: (value: unknown) => asserts value is Float64Array = (value) =>
    assertPoint(value, { dimensions, name: 'the state' })
  const commit = (state: Float64Array): readonly Uint8Array[] => {
    check(state)
    return Array.from(hash.bits(state), (bit) => Uint8Array.of(bit))
  }
  return {
    name: 'embedding',
    parameters: { ...hash.parameters, similarity },
    slots: comparisons,
    quorum: requiredMatches(comparisons, similarity),
    alternatives: 1,
    guessProbability,
    assert: check,
    encode(state) {
      check(state)
      return encodePoint(state)
    },
    decode(bytes) {
      const { data } = decodeTensor(bytes, { maxBytes: 8 * dimensions + HEADER_BYTES })
      check(data)
      return data
    },
    commit,
    accept: (state) => commit(state).map((encoding) => [encoding]),
  }
}
