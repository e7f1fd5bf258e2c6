/**
 * Embeddings as states: solver and verifier may run on different machines, whose numbers differ a little, so a
 * state passes when it is similar enough, not when it is equal.
 */
import { sha256 } from 'assay/core/digest'
import { embeddingHash } from 'assay/state/embedding'
import { estimateGuess } from 'assay/state/embedding-calibrate'
import { randomVantagePoints } from 'assay/state/embedding-points'
import { embeddingState } from 'assay/state/embedding-state'
import { valueCodec } from 'assay/state/value'
import { defineTask } from 'assay/task/define'
import * as z from 'zod/mini'
import { DIMENSIONS, embed, machineNoise } from './embedder.mjs'
import { reviews, unrelated } from './texts.mjs'

const seed = sha256(new TextEncoder().encode('embedding example, vantage points 1'))
const points = {
  dimensions: DIMENSIONS,
  vantagePoints: randomVantagePoints(seed, { count: 24, dimensions: DIMENSIONS }),
}

/** Two machines agree to a Jaccard index of 0.99 or better on these texts, two reviews of one thing to 0.85. */
export const SIMILARITY = 0.95

/** How often one text passes for another: estimated on texts, since embeddings crowd closer than random points. */
export const { guessProbability } = estimateGuess(embeddingHash(points), {
  similarity: SIMILARITY,
  unrelated: [...unrelated, ...reviews].map(embed),
})

/** The task as it runs on one kind of machine. The id is the same for all of them. */
export function embeddingTask(machine) {
  return defineTask({
    name: 'text-embedding',
    version: '1',
    shape: 'parallel',
    parameters: { model: 'trigram embedder 1' },
    input: valueCodec({ name: 'texts', schema: z.array(z.string()).check(z.maxLength(10_000)) }),
    state: embeddingState({ ...points, similarity: SIMILARITY, guessProbability }),
    count: (texts) => texts.length,
    compute: (texts, i) => machineNoise(embed(texts[i]), machine),
  })
}
