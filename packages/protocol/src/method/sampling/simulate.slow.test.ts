import { expect, it } from 'vitest'
import { simulate } from './simulate.ts'
import { bytes32, solverKey } from './testing/fixtures.ts'

/** Share of faked states, samples, false positive rate, kind of proof. */
const GRID = [
  [0.5, 3, 0.01, 'bloom'],
  [0.5, 2, 0.25, 'fingerprint'],
  [0.1, 10, 0.01, 'fingerprint'],
  [0.1, 20, 0.1, 'bloom'],
  [0.1, 5, 0.4, 'bloom'],
  [0.05, 30, 0.01, 'bloom'],
  [0.05, 15, 0.05, 'fingerprint'],
  [0.02, 60, 0.01, 'fingerprint'],
  [0.02, 40, 0.2, 'bloom'],
  [0.01, 100, 0.01, 'bloom'],
  [0.01, 50, 0.001, 'fingerprint'],
  [0.005, 200, 0.01, 'fingerprint'],
] as const

it.each(GRID)(
  'faked %d, %d samples, rate %d, %s: measured within the interval of the formula',
  { timeout: 300_000 },
  async (share, samples, falsePositiveRate, proof) => {
    const states = 1000
    const result = await simulate({
      states,
      faked: share * states,
      samples,
      falsePositiveRate,
      proof,
      trials: 1000,
      seed: bytes32(`grid ${share} ${samples} ${falsePositiveRate}`),
      key: solverKey,
    })
    console.log(share, samples, falsePositiveRate, proof, result.measured, result.expected, result.interval)
    expect(result.agrees).toBe(true)
  },
)
