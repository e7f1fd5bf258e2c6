import { describe, expect, it } from 'vitest'
import { auditRateToDeter, cheatingLoses, largestHonestStake } from './deterrence.ts'

const terms = { computeCost: 0.9, reward: 1, colludingShare: 0.1, detection: 1, falseAlarmRate: 0 }

describe('the worked example: C = 0.9, R = 1, r = 0.1', () => {
  it.each([
    [10, '9.1'],
    [100, '0.99'],
    [1000, '0.10'],
  ])('a stake of %i deters above %s %%', (stake, percent) => {
    const rate = auditRateToDeter({ ...terms, stake })
    expect((100 * rate).toFixed(percent.split('.')[1]!.length)).toBe(percent)
    expect(cheatingLoses({ ...terms, stake, auditRate: rate * 1.001 })).toBe(true)
    expect(cheatingLoses({ ...terms, stake, auditRate: rate * 0.999 })).toBe(false)
  })

  it('no audit rate deters without a stake', () => {
    expect(() => auditRateToDeter({ ...terms, stake: 0 })).toThrow(
      expect.objectContaining({ code: 'statistics/unreachable' }),
    )
    expect(cheatingLoses({ ...terms, stake: 0, auditRate: 1 })).toBe(false)
  })
})

describe('false alarms', () => {
  it('cap the stake that honest nodes accept', () => {
    const audit = { ...terms, falseAlarmRate: 0.001, auditRate: 0.1 }
    // (R - C)/(p·phi) - R = 0.1 / 0.0001 - 1
    expect(largestHonestStake(audit)).toBeCloseTo(999, 9)
    expect(largestHonestStake({ ...audit, falseAlarmRate: 0.01 })).toBeCloseTo(99, 9)
    expect(largestHonestStake({ ...audit, falseAlarmRate: 0 })).toBe(Number.POSITIVE_INFINITY)
    expect(largestHonestStake({ ...audit, falseAlarmRate: 0, computeCost: 2 })).toBe(Number.NEGATIVE_INFINITY)
  })

  it('weaken deterrence, down to none', () => {
    const stake = 100
    expect(auditRateToDeter({ ...terms, stake, falseAlarmRate: 0.4 })).toBeCloseTo(0.9 / (101 * 0.5), 12)
    expect(() => auditRateToDeter({ ...terms, stake, falseAlarmRate: 0.9 })).toThrow(
      expect.objectContaining({ code: 'statistics/unreachable' }),
    )
  })
})

it.each([
  { stake: -1 },
  { stake: Number.POSITIVE_INFINITY },
  { computeCost: Number.NaN },
  { reward: -1 },
  { colludingShare: 1.1 },
  { detection: -0.1 },
  { falseAlarmRate: 2 },
  { auditRate: 1.5 },
])('refuses %o', (wrong) => {
  expect(() => cheatingLoses({ ...terms, stake: 10, auditRate: 0.1, ...wrong })).toThrow(
    expect.objectContaining({ code: 'statistics/parameters' }),
  )
})
