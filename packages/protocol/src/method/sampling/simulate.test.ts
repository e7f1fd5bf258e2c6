import { expect, it } from 'vitest'
import { simulate } from './simulate.ts'
import { bytes32, solverKey } from './testing/fixtures.ts'

it('catches a cheat as often as the formula says, and the same with the same seed', async () => {
  const options = {
    states: 200,
    faked: 10,
    samples: 15,
    falsePositiveRate: 0.05,
    trials: 120,
    seed: bytes32('simulate'),
    key: solverKey,
    proof: 'bloom',
  } as const
  const first = await simulate(options)
  expect(first.agrees).toBe(true)
  expect(first.expected).toBeGreaterThan(0.4)
  expect(first.expected).toBeLessThan(0.7)
  expect((await simulate(options)).caught).toBe(first.caught)
})
