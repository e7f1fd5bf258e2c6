import { describe, expect, it } from 'vitest'
import { simulateTrust } from './simulate.ts'
import { auditOdds, type Group, OWN, RIGHT } from './simulation/formulas.ts'
import { LIVING_CASES, runLiving } from './simulation/living.ts'
import { simulationRandom } from './simulation/random.ts'

const group = (nodes: number, other: Partial<Group> = {}): Group => ({
  nodes,
  isOneOperator: false,
  answer: RIGHT,
  ownRate: 0,
  ...other,
})

describe('the odds of an audit', () => {
  it('with a ring among many are (1 - r)², and drawn without replacement', () => {
    // One of the ring answers first: 99 of its 100 are left among 999.
    const { caught, kept } = auditOdds([group(900), group(99, { answer: 1 })], 1, 2)
    expect(caught).toBeCloseTo((900 / 999) * (899 / 998), 12)
    expect(kept).toBeCloseTo(1 - caught, 12)
  })

  it('with sybils of one operator are certain: they cannot vouch for one another', () => {
    expect(auditOdds([group(900), group(0, { isOneOperator: true, answer: 1 })], 1, 2)).toEqual({
      caught: 1,
      kept: 0,
    })
    // Against an honest node one of them may sit, and never two.
    const sybils = group(100, { isOneOperator: true, answer: 1 })
    expect(auditOdds([group(899), sybils], RIGHT, 2).caught).toBe(0)
  })

  it('with answers of their own scatter: the wrong one is never kept', () => {
    const { caught, kept } = auditOdds([group(999, { ownRate: 0.1 })], OWN, 1)
    expect(caught).toBeCloseTo(0.81, 12)
    expect(kept).toBe(0)
    const right = auditOdds([group(999, { ownRate: 0.1 })], RIGHT, 1)
    expect(right.caught).toBe(0)
    expect(right.kept).toBeCloseTo(0.9 + 0.1 * 0.9, 12)
  })

  it('of two rings add up', () => {
    const groups = [group(50), group(30, { answer: 1 }), group(20, { answer: 2 })]
    const { caught, kept } = auditOdds(groups, 1, 3)
    const pair = (n: number) => (n / 100) * ((n - 1) / 99)
    expect(caught).toBeCloseTo(pair(50) + pair(20), 12)
    expect(kept).toBeCloseTo(0.3 + 0.7 * (30 / 99), 12)
  })

  it('without anybody to ask keep the answer', () => {
    expect(auditOdds([group(0)], OWN, 1)).toEqual({ caught: 0, kept: 1 })
  })
})

describe('the random numbers', () => {
  it('are even, and repeat with the seed', () => {
    const { below, uniform } = simulationRandom(1)
    const counts = new Float64Array(10)
    for (let i = 0; i < 100_000; i++) {
      const drawn = below(10)
      counts[drawn] = (counts[drawn] as number) + 1
    }
    const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0)
    // 99.9 % of a chi-square with nine degrees of freedom.
    expect(chiSquare).toBeLessThan(27.9)
    const again = simulationRandom(1)
    for (let i = 0; i < 100_000; i++) again.below(10)
    expect(again.uniform()).toBe(uniform())
    expect(simulationRandom(2).uniform()).not.toBe(simulationRandom(1).uniform())
  })
})

describe('a small network', () => {
  const { fixed, living, checks } = simulateTrust({ nodes: 200, jobs: 20_000, seed: 2 })

  it('agrees with the formulas', () => {
    expect(checks.length).toBeGreaterThan(50)
    expect(checks.filter(({ agrees }) => !agrees)).toEqual([])
    expect(fixed.every(({ wrong }) => wrong > 30)).toBe(true)
  })

  it('does its jobs, and ends with cheats worse off than honest nodes', () => {
    const [mixed] = living
    expect(mixed?.jobsDone).toBe(20_000)
    for (const { name, credits, honestCredits } of mixed?.results ?? []) {
      if (!name.startsWith('honest')) expect(credits, name).toBeLessThan(honestCredits)
    }
  })

  it('gives the same for the same seed, and another for another', () => {
    const small = (seed: number) => runLiving(LIVING_CASES[0]!, { nodes: 60, jobs: 1000, seed })
    expect(small(5)).toEqual(small(5))
    expect(small(5)).not.toEqual(small(6))
  })

  it('is refused where nothing could be counted', () => {
    const refused = expect.objectContaining({ code: 'trust/config' })
    expect(() => simulateTrust({ nodes: 100, jobs: 20_000, seed: 1 })).toThrow(refused)
    expect(() => simulateTrust({ nodes: 200, jobs: Number.NaN, seed: 1 })).toThrow(refused)
  })
})
