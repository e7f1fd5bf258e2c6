import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { goneFrom, OPEN_PLACE, placeAudit, placeRetry, type RosterNodes, rosterOf } from './roster.ts'

const node = (operator: string, isTrusted = true): RosterNodes => ({ operator, isTrusted, queues: ['wasm'] })
const ask = { queue: 'wasm', excluded: [] as string[], avoided: [] as string[], ticket: 0.5 }
const tickets = Array.from({ length: 1000 }, (_, i) => i / 1000)

describe('a second run', () => {
  it('goes to each other operator in proportion to its nodes', () => {
    const roster = rosterOf([node('a'), node('a'), node('b'), node('c'), node('c'), node('c')])
    const drawn = tickets.map((ticket) => placeAudit(roster, { ...ask, excluded: ['a'], ticket }).reservedFor)
    const share = (name: string) => drawn.filter((of) => of === `trusted:${name}`).length
    expect([share('a'), share('b'), share('c')]).toEqual([0, 250, 750])
  })

  it('goes to trusted nodes, and to others where there are none', () => {
    const roster = rosterOf([node('a'), node('b', false), node('c')])
    expect(placeAudit(roster, { ...ask, excluded: ['a'] }).reservedFor).toBe('trusted:c')
    expect(placeAudit(roster, { ...ask, excluded: ['a', 'c'] }).reservedFor).toBe('any:b')
  })

  it('goes to whom it avoids before it waits, and waits where nobody may have it', () => {
    const roster = rosterOf([node('a', false), node('b', false)])
    expect(placeAudit(roster, { ...ask, excluded: ['a'], avoided: ['b'] }).reservedFor).toBe('any:b')
    expect(placeAudit(roster, { ...ask, excluded: ['a', 'b'] })).toMatchObject({ reservedFor: null })
    expect(placeAudit(rosterOf([]), ask)).toMatchObject({ reservedFor: null })
    expect(placeAudit(roster, { ...ask, queue: 'chat/m' })).toMatchObject({ reservedFor: null })
  })
})

describe('a retry', () => {
  it('goes to others first, and to anybody where there are none', () => {
    const roster = rosterOf([node('a'), node('b')])
    expect(placeRetry(roster, { ...ask, avoided: ['a'] }).reservedFor).toBe('any:b')
    expect(placeRetry(roster, { ...ask, avoided: ['a', 'b'] })).toEqual(OPEN_PLACE)
    const delayed = placeRetry(roster, { ...ask, avoided: ['a', 'b'], isDelayed: true })
    expect(delayed).toMatchObject({ reservedFor: null })
  })
})

it('tells what was kept for those who are gone', () => {
  const before = rosterOf([node('a'), node('b'), node('c', false)])
  const after = rosterOf([node('a'), node('b', false)])
  expect(goneFrom(before, after)).toEqual([
    { queue: 'wasm', reservedFor: 'any:c' },
    { queue: 'wasm', reservedFor: 'trusted:b' },
  ])
  expect(goneFrom(after, before)).toEqual([])
})

it('property: nobody gets what is kept from them', () => {
  const names = fc.constantFrom('a', 'b', 'c', 'd', 'e')
  const nodes = fc.array(fc.record({ operator: names, isTrusted: fc.boolean() }), { maxLength: 12 })
  const ticket = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  fc.assert(
    fc.property(nodes, fc.array(names), fc.array(names), ticket, (list, excluded, avoided, at) => {
      const roster = rosterOf(list.map((of) => ({ ...of, queues: ['wasm'] })))
      const { reservedFor } = placeAudit(roster, { ...ask, excluded, avoided, ticket: at })
      const free = list.filter(({ operator }) => !excluded.includes(operator))
      expect(reservedFor === null).toBe(free.length === 0)
      if (reservedFor === null) return
      const [who, operator] = reservedFor.split(':') as [string, string]
      expect(free.some((of) => of.operator === operator && (who === 'any' || of.isTrusted))).toBe(true)
    }),
  )
})

it('nodes that are alike count as many', () => {
  const one = rosterOf([node('a'), node('b', false), node('a'), node('a'), node('b', false)])
  expect(
    rosterOf([
      { ...node('a'), count: 3 },
      { ...node('b', false), count: 2 },
    ]),
  ).toEqual(one)
})
