import { expect, it } from 'vitest'
import { simulateTrust } from './simulate.ts'

it('ten thousand nodes and a million jobs agree with the formulas, and cheating pays only where they say so', () => {
  const { fixed, living, checks } = simulateTrust({ nodes: 10_000, jobs: 1_000_000, seed: 1 })
  const disagreeing = checks.filter(({ agrees }) => !agrees)
  console.log(`${checks.length - disagreeing.length} of ${checks.length} formulas within the 99.9 % interval`)
  expect(disagreeing).toEqual([])
  expect(fixed.filter(({ pays }) => pays.observed !== pays.expected)).toEqual([])
  const [mixed] = living
  expect(mixed?.jobsDone).toBe(1_000_000)
  for (const { name, credits, honestCredits, tally } of mixed?.results ?? []) {
    if (name.startsWith('honest')) {
      // One honest node in a thousand may be quarantined.
      expect(tally.demoted + tally.rejected, name).toBeLessThanOrEqual(7)
    } else {
      expect(credits, name).toBeLessThan(honestCredits)
    }
  }
})
