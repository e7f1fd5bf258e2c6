import { expect, it } from 'vitest'
import { runMutations } from './testing/mutations.ts'

it('rejects 1,500 mutations of valid responses with a code, and throws nothing untyped', async () => {
  const { accepted, thrown, codes } = await runMutations(1500, 'quick')
  expect(thrown).toEqual([])
  expect(accepted).toEqual([])
  expect([...codes.keys()].length).toBeGreaterThan(6)
})
