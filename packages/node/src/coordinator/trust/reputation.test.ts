import { AssayError } from 'assay/core/errors'
import { decision as wireDecision } from 'assay/wire/manifest'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { sprtStreaks } from './evidence.ts'
import { explainReputation } from './explain.ts'
import { mayWork, observe, pardon, quarantineMs, release } from './reputation.ts'
import {
  DEFAULT_REPUTATION,
  type Decision,
  NEW_REPUTATION,
  type Outcome,
  parseReputation,
  type Reputation,
} from './reputation-state.ts'

const config = DEFAULT_REPUTATION

function see(start: Reputation, outcomes: readonly Outcome[]) {
  let reputation = start
  const decisions: Decision[] = []
  for (const outcome of outcomes) {
    const { next, decision } = observe(reputation, outcome, config)
    reputation = next
    if (decision !== undefined) decisions.push(decision)
  }
  return { reputation, decisions, codes: decisions.map(({ code }) => code) }
}

const times = (count: number, outcome: Outcome): Outcome[] => Array.from({ length: count }, () => outcome)
const trusted = see(NEW_REPUTATION, times(92, 'clean')).reputation

describe('probation', () => {
  it.each([
    [0.001, 0.05, 92, 2],
    [0.001, 0.02, 240, 3],
    [0.01, 0.1, 49, 3],
  ])('p0 = %d, p1 = %d: ends after %i clean audits, or %i failures', (p0, p1, clean, faults) => {
    const other = { ...config, p0, p1 }
    const after = (outcome: Outcome, count: number) => {
      let reputation = NEW_REPUTATION
      for (let i = 0; i < count; i++) reputation = observe(reputation, outcome, other).next
      return reputation.standing
    }
    expect(sprtStreaks(other)).toEqual({ clean, faults })
    expect(after('clean', clean - 1)).toBe('probation')
    expect(after('clean', clean)).toBe('trusted')
    expect(after('fault', faults - 1)).toBe('probation')
    expect(after('fault', faults)).toBe('quarantined')
  })

  it('a malformed result is a failure, never neutral', () => {
    const { reputation, codes } = see(NEW_REPUTATION, ['malformed', 'malformed'])
    expect(codes).toEqual(['quarantined'])
    expect(reputation).toMatchObject({ standing: 'quarantined', failures: 2, malformed: 2, audits: 2 })
  })

  it('a failure makes it longer', () => {
    const { reputation } = see(NEW_REPUTATION, ['fault', ...times(92, 'clean')])
    expect(reputation.standing).toBe('probation')
    // ln 50 over ln(0.999/0.95): some 78 clean audits make up for one failure.
    expect(see(reputation, times(78, 'clean')).reputation.standing).toBe('trusted')
  })
})

describe('trust', () => {
  it('cannot be banked: a million clean audits leave what a hundred leave', () => {
    const long = see(trusted, times(5000, 'clean')).reputation
    for (const start of [trusted, long]) {
      const { codes, reputation } = see(start, ['fault', 'fault', 'fault'])
      expect(codes).toEqual(['suspected', 'quarantined'])
      expect(reputation.standing).toBe('quarantined')
    }
    expect(long.cusum).toBe(0)
  })

  it('is weakened by one failure, and comes back after many clean audits', () => {
    const once = see(trusted, ['fault'])
    expect(once.reputation).toMatchObject({ standing: 'trusted', failures: 1 })
    expect(once.decisions[0]?.detail).toMatchObject({ cleanNeeded: 255 })
    expect(see(once.reputation, times(254, 'clean')).codes).toEqual([])
    const cleared = see(once.reputation, times(255, 'clean'))
    expect(cleared.codes).toEqual(['cleared'])
    expect(cleared.reputation.cusum).toBe(0)
  })

  it('does not survive failures with some good conduct after each', () => {
    const round: Outcome[] = ['fault', ...times(78, 'clean')]
    const { codes } = see(trusted, [round, round, round, round].flat())
    expect(codes).toEqual(['suspected', 'quarantined'])
  })
})

describe('quarantine', () => {
  const out = see(NEW_REPUTATION, times(2, 'fault')).reputation

  it('gives no work, and what is still under way changes nothing', () => {
    expect(mayWork(out)).toBe(false)
    expect(see(out, ['clean', 'fault', 'clean'])).toMatchObject({
      reputation: { standing: 'quarantined', audits: 5, failures: 3 },
      codes: [],
    })
  })

  it('ends in probation from nothing; the third is for good', () => {
    let reputation = out
    const codes: string[] = []
    const lengths: number[] = []
    for (let round = 0; round < 2; round++) {
      lengths.push(quarantineMs(reputation, config))
      const released = release(reputation)
      expect(released.next).toMatchObject({ standing: 'probation', sprt: { clean: 0, faults: 0, llr: 0 } })
      codes.push(released.decision?.code ?? '')
      const again = see(released.next, times(2, 'fault'))
      codes.push(...again.codes)
      reputation = again.reputation
    }
    expect(codes).toEqual(['released', 'quarantined', 'released', 'banned'])
    expect(lengths).toEqual([3_600_000, 7_200_000])
    expect(release(reputation).next).toBe(reputation)
    expect(mayWork(reputation)).toBe(false)
  })
})

describe('being late', () => {
  it('pauses after four in a row, and touches no standing', () => {
    const { reputation, codes, decisions } = see(trusted, times(4, 'late'))
    expect(codes).toEqual(['paused'])
    expect(reputation).toMatchObject({ standing: 'trusted', pauses: 1, lateness: 0, late: 4, failures: 0 })
    expect(decisions[0]?.detail).toMatchObject({ pauseMs: config.quarantineMs })
  })

  it('now and then is made up for', () => {
    const outcomes = Array.from({ length: 50 }, () => ['late', ...times(9, 'delivered')] as Outcome[]).flat()
    expect(see(trusted, outcomes).codes).toEqual([])
  })
})

describe('a pardon', () => {
  it('undoes the quarantine that an incident led to, and no other', () => {
    const once = release(see(NEW_REPUTATION, times(2, 'fault')).reputation).next
    const again = see(see(once, times(92, 'clean')).reputation, times(3, 'fault')).reputation
    expect(again).toMatchObject({ standing: 'quarantined', quarantines: 2, demotedFrom: 'trusted' })
    const { next, decision } = pardon(again, { faults: 2 }, config)
    expect(next).toMatchObject({ standing: 'trusted', quarantines: 1, failures: 3, excused: 2, cusum: 0 })
    expect(decision?.code).toBe('pardoned')
  })

  it('brings back who was banned, and clears suspicion', () => {
    const banned = { ...see(NEW_REPUTATION, times(2, 'fault')).reputation, standing: 'banned' as const }
    expect(pardon(banned, { faults: 2 }, config).next.standing).toBe('probation')
    expect(pardon(see(trusted, ['fault']).reputation, { faults: 1 }, config).next).toMatchObject({
      standing: 'trusted',
      cusum: 0,
      failures: 0,
    })
    const probation = pardon(see(NEW_REPUTATION, ['clean', 'fault']).reputation, { faults: 1 }, config).next
    expect(probation.sprt).toEqual(see(NEW_REPUTATION, ['clean']).reputation.sprt)
  })
})

const outcomes = fc.array(
  fc.constantFrom<Outcome>(
    'clean',
    'clean',
    'clean',
    'fault',
    'malformed',
    'flagged',
    'excused',
    'late',
    'delivered',
  ),
  { maxLength: 200 },
)

describe('any history', () => {
  it('keeps the invariants, survives JSON, and is explained', () => {
    fc.assert(
      fc.property(outcomes, (history) => {
        const { reputation, decisions } = see(NEW_REPUTATION, history)
        expect(parseReputation(JSON.parse(JSON.stringify(reputation)))).toEqual(reputation)
        expect(reputation.failures).toBeLessThanOrEqual(reputation.audits)
        expect(reputation.cusum).toBeGreaterThanOrEqual(0)
        expect(reputation.cusum).toBeLessThan(2 * config.cusum.threshold)
        if (!history.includes('fault') && !history.includes('malformed')) {
          expect(mayWork(reputation)).toBe(true)
        }
        expect(explainReputation(reputation, config)).toMatch(/\d+ failures? in \d+ audits?/)
        for (const { code, reason, detail } of decisions) {
          expect(z.safeParse(wireDecision, { at: '2026-01-01T00:00:00Z', code, reason }).success).toBe(true)
          expect(reason).toMatch(/\d/)
          expect(JSON.parse(JSON.stringify(detail))).toEqual(detail)
        }
      }),
    )
  })

  it('is pure: the same outcome gives the same, and the argument stays as it was', () => {
    fc.assert(
      fc.property(outcomes, fc.constantFrom<Outcome>('clean', 'fault', 'late'), (history, outcome) => {
        const { reputation } = see(NEW_REPUTATION, history)
        const before = JSON.stringify(reputation)
        expect(observe(reputation, outcome, config)).toEqual(observe(reputation, outcome, config))
        expect(JSON.stringify(reputation)).toBe(before)
      }),
    )
  })
})

describe('words', () => {
  it('say what happened and why', () => {
    const [promoted] = see(NEW_REPUTATION, times(92, 'clean')).decisions
    expect(promoted?.reason).toBe(
      '92 clean audits and 0 failed ones since probation began: evidence of cheating -4.63, trusted at -4.60 or below. ' +
        'A node that fails 5 % of its audits gets here with a probability of at most 1 %',
    )
    const { decisions, reputation } = see(trusted, times(3, 'fault'))
    expect(decisions[0]?.reason).toBe(
      'failed an audit while trusted: evidence of cheating 2.30, quarantined at 5.84. Every result is audited now, and ' +
        'fewer as clean audits take the evidence away; 255 of them take all of it',
    )
    expect(decisions[1]?.reason).toBe(
      'failed too many audits while trusted: evidence of cheating 6.91, quarantined at 5.84; 3 failures in 95 audits ' +
        'in all. No work for 60 minutes; then probation again, with every result audited. Quarantine number 1',
    )
    expect(explainReputation(reputation, config)).toBe(
      'in quarantine number 1, gets no work; 3 failures in 95 audits',
    )
    expect(explainReputation(NEW_REPUTATION, config)).toBe(
      'on probation: evidence of cheating 0.00, trusted at -4.60 (92 clean audits to go), quarantined at 6.90; ' +
        '0 failures in 0 audits',
    )
  })
})

it.each([
  [null],
  ['trusted'],
  [{}],
  [{ ...NEW_REPUTATION, standing: 'saint' }],
  [{ ...NEW_REPUTATION, cusum: -1 }],
])('a stored %j is refused', (stored) => {
  expect(() => parseReputation(stored)).toThrow(AssayError)
  expect(() => parseReputation(stored)).toThrow(expect.objectContaining({ code: 'trust/reputation' }))
})
