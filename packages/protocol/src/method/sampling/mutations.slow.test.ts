import { expect, it } from 'vitest'
import { runMutations } from './testing/mutations.ts'

it('rejects 100,000 mutations of valid responses with a code', { timeout: 1_200_000 }, async () => {
  const { accepted, thrown, codes } = await runMutations(100_000, 'slow')
  console.log(Object.fromEntries(codes))
  expect(thrown).toEqual([])
  expect(accepted).toEqual([])
})
