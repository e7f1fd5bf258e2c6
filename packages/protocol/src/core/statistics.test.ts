import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AssayError } from './errors.ts'
import {
  confidenceReached,
  detectionProbability,
  fakedCount,
  logMissProbability,
  missProbability,
  sampleSize,
  smallestFaked,
} from './statistics.ts'

const plain = { falsePositiveRate: 0.01, guessProbability: 0 }

describe('the published table', () => {
  const rows: [share: number, states: number, sizes: [number, number, number]][] = [
    [0.5, 1_000, [5, 7, 11]],
    [0.1, 1_000, [29, 44, 65]],
    [0.01, 1_000, [261, 372, 502]],
    [0.01, 1_000_000, [302, 463, 695]],
    [0.001, 1_000_000, [3020, 4639, 6951]],
  ]
  it.each(rows)('share %f of %i states', (fakedShare, states, sizes) => {
    const found = [0.95, 0.99, 0.999].map((confidence) =>
      sampleSize({ states, fakedShare, confidence, ...plain }),
    )
    expect(found).toEqual(sizes)
  })

  it('gives 453 for 1 % of 10,000 at 99 %', () => {
    expect(sampleSize({ states: 10_000, fakedShare: 0.01, confidence: 0.99, ...plain })).toBe(453)
  })
})
