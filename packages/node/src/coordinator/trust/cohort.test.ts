import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CohortRecord, cohortProbability, DEFAULT_COHORT, judgeCohort, type Kind } from './cohort.ts'

const OLD: Kind = { engine: 'assay 1.0.0', runtime: 'native', tier: 3 }
const NEW: Kind = { ...OLD, engine: 'assay 1.1.0' }

let operators = 0
/** `failed` of `count` operators of a kind failed once in ten audits. */
function records(kind: Kind, count: number, failed: number): CohortRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    ...kind,
    operator: `operator ${operators++}`,
    audits: 10,
    faults: i < failed ? 1 : 0,
  }))
}

describe('an incident', () => {
  it('is a whole engine version that fails at once', () => {
    const verdict = judgeCohort(NEW, [...records(NEW, 6, 6), ...records(OLD, 40, 1)])
    expect(verdict).toMatchObject({ verdict: 'incident', cohort: { engine: 'assay 1.1.0' } })
    expect(verdict.reason).toMatch(
      /^6 of 6 operators with engine assay 1\.1\.0 failed, 1 of 40 others; by chance with a probability of 0\.0000052: an incident/,
    )
    expect(JSON.parse(JSON.stringify(verdict.detail))).toMatchObject({
      operators: 6,
      failed: 6,
      otherFailed: 1,
    })
  })

  it('of a processor is found across engines', () => {
    const slow = (engine: string): Kind => ({ engine, runtime: 'native', tier: 1 })
    const verdict = judgeCohort(slow('a'), [
      ...records(slow('a'), 4, 4),
      ...records(slow('b'), 4, 4),
      ...records({ ...slow('a'), tier: 3 }, 20, 0),
      ...records({ ...slow('b'), tier: 3 }, 20, 0),
    ])
    expect(verdict).toMatchObject({ verdict: 'incident', cohort: { tier: 1 } })
  })

  it('is found where nobody else is there to compare with', () => {
    expect(judgeCohort(NEW, records(NEW, 5, 5)).verdict).toBe('incident')
    // Two nodes of another version that lose against the many are too few to tell.
    expect(judgeCohort(OLD, [...records(OLD, 2, 2), ...records(NEW, 40, 0)]).verdict).toBe('fraud')
  })
})

describe('fraud', () => {
  it('is one node among many of its kind', () => {
    const verdict = judgeCohort(OLD, [...records(OLD, 30, 1), ...records(NEW, 30, 0)])
    expect(verdict).toMatchObject({ verdict: 'fraud' })
    expect(verdict.reason).toContain("the node's own fault (an incident takes 3 operators, 50 %")
  })

  it('is a third of the network that colludes, over all kinds', () => {
    expect(judgeCohort(OLD, [...records(OLD, 30, 10), ...records(NEW, 30, 10)]).verdict).toBe('fraud')
  })

  it('is one operator, however many nodes of a version it runs', () => {
    const nodes = Array.from({ length: 50 }, () => ({ ...NEW, operator: 'sybil', audits: 10, faults: 10 }))
    expect(judgeCohort(NEW, [...nodes, ...records(OLD, 40, 0)]).verdict).toBe('fraud')
  })

  it('is an engine that nobody published', () => {
    const all = [...records({ ...NEW, engine: 'mine' }, 6, 6), ...records(OLD, 40, 0)]
    const known = { ...DEFAULT_COHORT, knownEngines: [OLD.engine] }
    expect(judgeCohort({ ...NEW, engine: 'mine' }, all).verdict).toBe('incident')
    const verdict = judgeCohort({ ...NEW, engine: 'mine' }, all, known)
    expect(verdict.verdict).toBe('fraud')
    expect(verdict.reason).toContain('none that was published')
  })

  it('needs no records', () => {
    expect(judgeCohort(OLD, [])).toMatchObject({ verdict: 'fraud', probability: 1 })
  })
})

describe('the probability', () => {
  const options = { minOperators: 3, honestFailing: 0.01 }

  it('is that of Fisher', () => {
    // Tea tasting, 3 of 4: (C(4,3)·C(4,1) + C(4,4)·C(4,0)) / C(8,4) = 17/70.
    const counts = { inside: { operators: 4, failed: 3 }, outside: { operators: 4, failed: 1 } }
    expect(cohortProbability(counts, options)).toBeCloseTo(17 / 70, 12)
    const all = { inside: { operators: 4, failed: 4 }, outside: { operators: 4, failed: 0 } }
    expect(cohortProbability(all, options)).toBeCloseTo(1 / 70, 12)
  })

  it('is binomial without others', () => {
    const counts = { inside: { operators: 5, failed: 5 }, outside: { operators: 0, failed: 0 } }
    expect(cohortProbability(counts, options)).toBeCloseTo(1e-10, 18)
    const some = { inside: { operators: 3, failed: 2 }, outside: { operators: 2, failed: 0 } }
    expect(cohortProbability(some, options)).toBeCloseTo(3 * 0.01 ** 2 * 0.99 + 0.01 ** 3, 12)
  })

  it('falls as more fail inside, and rises as more fail outside', () => {
    const size = fc.integer({ min: 3, max: 60 })
    fc.assert(
      fc.property(size, size, fc.nat(59), fc.nat(59), (inside, outside, a, b) => {
        const p = (failed: number, others: number) =>
          cohortProbability(
            { inside: { operators: inside, failed }, outside: { operators: outside, failed: others } },
            options,
          )
        const failed = a % inside
        const others = b % outside
        expect(p(failed, others)).toBeGreaterThanOrEqual(0)
        expect(p(failed, others)).toBeLessThanOrEqual(1 + 1e-12)
        expect(p(failed + 1, others)).toBeLessThanOrEqual(p(failed, others) * (1 + 1e-9))
        expect(p(failed, others + 1)).toBeGreaterThanOrEqual(p(failed, others) * (1 - 1e-9))
      }),
    )
  })
})

it('honest noise is called an incident about as rarely as the significance says', () => {
  // 40 operators of two versions, each failing with one in ten: 2,000 networks, at most a handful of false incidents.
  let state = 7
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  let incidents = 0
  for (let network = 0; network < 2000; network++) {
    const noisy = (kind: Kind) => records(kind, 20, 0).map((r) => ({ ...r, faults: uniform() < 0.1 ? 1 : 0 }))
    if (judgeCohort(NEW, [...noisy(OLD), ...noisy(NEW)]).verdict === 'incident') incidents++
  }
  expect(incidents).toBeLessThanOrEqual(8)
})

it('a config out of range is refused', () => {
  for (const wrong of [{ minOperators: 1 }, { minShare: 0 }, { significance: 1 }, { honestFaultRate: 0 }]) {
    expect(() => judgeCohort(OLD, [], { ...DEFAULT_COHORT, ...wrong })).toThrow(
      expect.objectContaining({ code: 'trust/config' }),
    )
  }
})
