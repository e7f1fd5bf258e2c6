import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type AuditPlan,
  type AuditTerms,
  auditPlan,
  auditRate,
  DEFAULT_AUDIT_POLICY,
  explainAuditPlan,
  mayAudit,
  type TrustPolicy,
} from './audit.ts'
import { DEFAULT_REPUTATION, NEW_REPUTATION, type Reputation } from './reputation-state.ts'

const policy: TrustPolicy = {
  reputation: DEFAULT_REPUTATION,
  audit: { ...DEFAULT_AUDIT_POLICY, falseAlarmRate: 0 },
}
const trusted: Reputation = { ...NEW_REPUTATION, standing: 'trusted' }
const terms: AuditTerms = { reputation: trusted, jobShare: 0, stake: 900, reward: 1, computeCost: 0.9 }
const plan = (other: Partial<AuditTerms>) => auditPlan({ ...terms, ...other }, policy)

describe('the rate', () => {
  it('of a trusted node is the floor, the share of the job, or what deters, whichever is more', () => {
    // 0.9 / (901·(0.9² - 0.1²)) = 0.12 %, below the floor of 1 %.
    expect(plan({})).toEqual({ rate: 0.01, because: 'floor', deters: true, honestPays: true })
    expect(plan({ jobShare: 0.2 })).toMatchObject({ rate: 0.2, because: 'job' })
    const deterring = plan({ stake: 10 })
    expect(deterring.rate).toBeCloseTo((1.1 * 0.9) / (11 * 0.8), 12)
    expect(deterring).toMatchObject({ because: 'deterrence', deters: true })
  })

  it('where no rate deters is what is left, and the plan says so', () => {
    const hopeless = plan({ stake: 0, jobShare: 0.05 })
    expect(hopeless).toMatchObject({ rate: 0.05, because: 'job', deters: false })
    expect(explainAuditPlan(hopeless)).toBe(
      '5 % of its results are audited: the job asks for it; cheating would pay: the stake is too small for any rate',
    )
  })

  it('on probation is the policy, and after a quarantine everything', () => {
    const lax = { ...policy, audit: { ...policy.audit, probationRate: 0.5 } }
    expect(auditPlan({ ...terms, reputation: NEW_REPUTATION }, lax)).toMatchObject({
      rate: 0.5,
      because: 'probation',
    })
    expect(auditPlan({ ...terms, reputation: { ...NEW_REPUTATION, quarantines: 1 } }, lax)).toMatchObject({
      rate: 1,
      because: 'returned',
    })
  })

  it('follows the evidence against a trusted node', () => {
    const rateAt = (cusum: number) => plan({ reputation: { ...trusted, cusum } }).rate
    expect(rateAt(Math.log(10))).toBe(1)
    expect(rateAt(5)).toBe(1)
    expect(rateAt(Math.log(10) / 2)).toBeCloseTo(0.5, 12)
    expect(rateAt(0.001)).toBe(0.01)
  })

  it('says when honest work no longer pays', () => {
    const alarming = { ...policy, audit: { ...policy.audit, falseAlarmRate: 0.01, colludingShare: 0 } }
    // (R - C)/(p·phi) - R = 0.1/(0.01·0.01) - 1 = 999
    expect(auditPlan({ ...terms, stake: 998 }, alarming).honestPays).toBe(true)
    expect(auditPlan({ ...terms, stake: 1000 }, alarming).honestPays).toBe(false)
    // Colluding nodes outvote honest ones: a tenth of them does as much.
    const colluding = { ...policy, audit: { ...policy.audit, colludingShare: 0.1 } }
    expect(auditPlan({ ...terms, stake: 998 }, colluding).honestPays).toBe(true)
    expect(auditPlan({ ...terms, stake: 1000 }, colluding).honestPays).toBe(false)
  })

  it('is a probability, and never below the floor or the share of the job', () => {
    const amount = fc.double({ min: 0, max: 1e6, noNaN: true })
    const share = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(
        fc.record({
          standing: fc.constantFrom('probation', 'trusted', 'quarantined', 'banned'),
          cusum: fc.double({ min: 0, max: 12, noNaN: true }),
          quarantines: fc.nat(3),
        }),
        fc.record({ jobShare: share, stake: amount, reward: amount, computeCost: amount }),
        fc.record({ floor: share, probationRate: share, colludingShare: share, falseAlarmRate: share }),
        (standing, money, audit) => {
          const reputation = { ...NEW_REPUTATION, ...standing } as Reputation
          const full = { ...policy, audit: { ...audit, margin: 1.1 } }
          const { rate, deters } = auditPlan({ reputation, ...money }, full)
          expect(rate).toBeGreaterThanOrEqual(Math.max(audit.floor, money.jobShare))
          expect(rate).toBeLessThanOrEqual(1)
          expect(auditRate({ reputation, ...money }, full)).toBe(rate)
          if (!deters)
            expect(explainAuditPlan({ rate, because: 'job', deters, honestPays: true })).toMatch(/pay/)
        },
      ),
    )
  })

  it('refuses a policy or a share out of range', () => {
    const refused = expect.objectContaining({ code: 'trust/config' })
    for (const wrong of [{ floor: -0.1 }, { probationRate: 2 }, { margin: 0.9 }, { margin: Number.NaN }]) {
      expect(() => auditPlan(terms, { ...policy, audit: { ...policy.audit, ...wrong } })).toThrow(refused)
    }
    expect(() => plan({ jobShare: 1.1 })).toThrow(refused)
    expect(() => plan({ stake: -1 })).toThrow(expect.objectContaining({ code: 'statistics/parameters' }))
  })
})

it('every reason is explained', () => {
  const reasons: AuditPlan['because'][] = ['probation', 'returned', 'suspicion', 'deterrence', 'job', 'floor']
  for (const because of reasons) {
    expect(explainAuditPlan({ rate: 0.123456, because, deters: true, honestPays: true })).toMatch(
      /^12\.3 % of its results are audited: .{10,}$/,
    )
  }
})

it('only trusted nodes audit', () => {
  expect(mayAudit(trusted)).toBe(true)
  expect(mayAudit(NEW_REPUTATION)).toBe(false)
})
