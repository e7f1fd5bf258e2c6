import { expect, it } from 'vitest'
import { sampleIndices } from './sampling.ts'

it('draws', () => {
  const s = sampleIndices(new Uint8Array(32), { population: 1e9, size: 1000 })
  expect(new Set(s).size).toBe(1000)
  expect(s).toEqual([...s].sort((a, b) => a - b))
})
