import fc from 'fast-check'
import { expect, it } from 'vitest'
import { assignPositions, laneKey, type TurnAsk } from './turns.ts'

const lane = { queue: 'wasm', priority: 5 }
const ask = (submitter: string, segments: number): TurnAsk => ({ ...lane, submitter, segments })
const positionsOf = (entries: { readonly [submitter: string]: number }) =>
  Object.entries(entries).map(([submitter, position]) => ({ ...lane, submitter, position }))

it('puts a submitter behind itself, and not behind others', () => {
  const positions = positionsOf({ anna: 1000, ben: 0, '': 1000 })
  const served = new Map([[laneKey(lane), 160]])
  expect(assignPositions([ask('anna', 5), ask('ben', 3), ask('ben', 2)], { positions, served })).toEqual([
    1000, 160, 163,
  ])
})

it('begins behind all that was served where nothing is queued', () => {
  const positions = positionsOf({ ben: 0, '': 1000 })
  expect(assignPositions([ask('ben', 3)], { positions, served: new Map() })).toEqual([1000])
})

it('property: gives each segment of a submitter a position of its own, none before what is served', () => {
  const asks = fc.array(
    fc.record({
      submitter: fc.constantFrom('anna', 'ben', 'cleo'),
      segments: fc.integer({ min: 1, max: 50 }),
    }),
    { maxLength: 30 },
  )
  fc.assert(
    fc.property(asks, fc.option(fc.nat({ max: 500 })), (list, head) => {
      const positions = positionsOf({ anna: 40, ben: 0, cleo: 700, '': 700 })
      const served = new Map(head === null ? [] : [[laneKey(lane), head] as const])
      const firsts = assignPositions(
        list.map(({ submitter, segments }) => ask(submitter, segments)),
        { positions, served },
      )
      for (const name of ['anna', 'ben', 'cleo']) {
        let end = 0
        for (const [i, { submitter, segments }] of list.entries()) {
          if (submitter !== name) continue
          const first = firsts[i] as number
          expect(first).toBeGreaterThanOrEqual(Math.max(end, head ?? 700))
          end = first + segments
        }
      }
    }),
  )
})
