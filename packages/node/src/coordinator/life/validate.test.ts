import { createHash } from 'node:crypto'
import type { Digest } from 'assay/core/digest'
import type { NodeId } from 'assay/core/keys'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decideSegment, type Run } from './validate.ts'

const digest = (text: string) => new Uint8Array(createHash('sha256').update(text).digest()) as Digest
const idOf = (text: string) => createHash('sha256').update(text).digest('hex') as NodeId
const EXACT = { tolerant: () => false }

/** A committed run of an operator with an output; `over` for the rest. */
function run(ordinal: number, output: string, over: Partial<Run> = {}): Run {
  const operator = `op-${ordinal}`
  return {
    id: `run-${ordinal}`,
    ordinal,
    state: 'committed',
    nodeId: idOf(operator),
    operator,
    outputDigest: digest(output),
    isCompared: true,
    isForced: false,
    attempts: 1,
    check: 'none',
    checkReason: null,
    ...over,
  }
}

const open = (ordinal: number, state: 'queued' | 'leased' = 'queued') =>
  run(ordinal, '', { state, nodeId: null, operator: null, outputDigest: null })

describe('a run that is not compared', () => {
  it('is accepted when it waits for nothing', () => {
    const alone = run(0, 'a', { isCompared: false })
    expect(decideSegment([alone], EXACT)).toMatchObject({ accepted: ['run-0'], isAudited: false })
    const verified = { ...alone, check: 'verified' as const }
    expect(decideSegment([verified], EXACT)).toMatchObject({ accepted: ['run-0'], isAudited: true })
    const waiting = { ...alone, check: 'waiting' as const }
    expect(decideSegment([waiting], EXACT)).toMatchObject({ accepted: [], rejected: [], further: null })
  })

  it('is replaced when a verifier found it wrong, by others first', () => {
    const wrong = run(0, 'a', { isCompared: false, check: 'rejected', attempts: 2 })
    const { accepted, rejected, further } = decideSegment([wrong], EXACT)
    expect(accepted).toEqual([])
    expect(rejected).toMatchObject([{ id: 'run-0', isFault: true, code: 'sampling/rejected' }])
    expect(further).toEqual({
      why: 'replace',
      excluded: [],
      avoided: ['op-0'],
      isCompared: false,
      isForced: false,
      attempts: 2,
    })
  })
})

describe('a run that no verifier could check', () => {
  it('is never accepted, and nobody is to blame', () => {
    const alone = run(0, 'a', { isCompared: false, check: 'abandoned' })
    const decision = decideSegment([alone], EXACT)
    expect(decision).toMatchObject({
      accepted: [],
      rejected: [{ id: 'run-0', isFault: false, code: 'sampling/unchecked' }],
      further: { why: 'replace', avoided: ['op-0'] },
    })
    const agreeing = [run(0, 'a', { check: 'abandoned' }), run(1, 'a')]
    expect(decideSegment(agreeing, EXACT)).toMatchObject({ accepted: [], rejected: [{ id: 'run-0' }] })
  })
})

describe('runs that are compared', () => {
  it('wait while one is under way', () => {
    for (const state of ['queued', 'leased'] as const) {
      expect(decideSegment([run(0, 'a'), open(1, state)], EXACT)).toMatchObject({
        accepted: [],
        further: null,
      })
    }
  })

  it('need a second, of another operator', () => {
    expect(decideSegment([run(0, 'a')], EXACT).further).toMatchObject({ why: 'compare', excluded: ['op-0'] })
  })

  it('are decided by a third', () => {
    const two = [run(0, 'a'), run(1, 'b', { isForced: true })]
    const { further } = decideSegment(two, EXACT)
    expect(further).toMatchObject({ why: 'decide', excluded: ['op-0', 'op-1'], isForced: true })
    const { accepted, rejected } = decideSegment([...two, run(2, 'b')], EXACT)
    expect(accepted.toSorted()).toEqual(['run-1', 'run-2'])
    expect(rejected).toMatchObject([{ id: 'run-0', isFault: true, code: 'redundancy/outvoted' }])
  })

  it('begin again, with nobody to blame, when all differ', () => {
    const { accepted, rejected, further } = decideSegment([run(0, 'a'), run(1, 'b'), run(2, 'c')], EXACT)
    expect(accepted).toEqual([])
    expect(rejected.map(({ isFault, code }) => [isFault, code])).toEqual(
      Array.from({ length: 3 }, () => [false, 'redundancy/scattered']),
    )
    expect(further).toMatchObject({
      why: 'replace',
      excluded: [],
      avoided: ['op-0', 'op-1', 'op-2'],
      attempts: 1,
    })
  })

  it('are not accepted before their verifier', () => {
    const runs = [run(0, 'a', { check: 'waiting' }), run(1, 'a')]
    expect(decideSegment(runs, EXACT)).toMatchObject({ accepted: [], rejected: [], further: null })
  })

  it('leave the one that counts when a verifier takes the other away', () => {
    const { rejected, further } = decideSegment([run(0, 'a', { check: 'rejected' }), run(1, 'a')], EXACT)
    expect(rejected.map(({ id }) => id)).toEqual(['run-0'])
    expect(further).toMatchObject({ why: 'replace', excluded: ['op-1'], avoided: ['op-0'] })
  })

  it('agree within a tolerance', () => {
    const two = [run(0, 'a'), run(1, 'b')]
    expect(decideSegment(two, { tolerant: () => true })).toMatchObject({ isAudited: true, rejected: [] })
  })
})

it('is settled once', () => {
  const settled = [run(0, 'a', { state: 'accepted' }), run(1, 'b')]
  expect(decideSegment(settled, EXACT)).toMatchObject({ accepted: [], rejected: [], further: null })
})

const anyRun = (ordinal: number): fc.Arbitrary<Run> =>
  fc
    .record({
      output: fc.constantFrom('a', 'b', 'c'),
      state: fc.constantFrom(
        'queued',
        'leased',
        'committed',
        'committed',
        'committed',
        'rejected',
        'cancelled',
      ),
      check: fc.constantFrom('none', 'none', 'waiting', 'verified', 'rejected'),
      attempts: fc.integer({ min: 0, max: 5 }),
    })
    .map(({ output, state, check, attempts }): Run => {
      if (state === 'queued' || state === 'leased') return { ...open(ordinal, state), attempts }
      return run(ordinal, output, { state, check, attempts } as Partial<Run>)
    })

it('property: does not depend on the order of the runs, and never does two things with one run', () => {
  const runs = fc
    .integer({ min: 1, max: 3 })
    .chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => anyRun(i))))
  fc.assert(
    fc.property(runs, fc.compareBooleanFunc(), (list, order) => {
      const decision = decideSegment(list, EXACT)
      const other = decideSegment(
        list.toSorted((a, b) => (order(a, b) ? 1 : -1)),
        EXACT,
      )
      const sorted = (value: typeof decision) => ({
        accepted: value.accepted.toSorted(),
        rejected: value.rejected.map(({ id, isFault }) => `${id} ${isFault}`).toSorted(),
        excluded: value.further?.excluded.toSorted(),
        avoided: value.further?.avoided.toSorted(),
      })
      expect(sorted(other)).toEqual(sorted(decision))
      const touched = [...decision.accepted, ...decision.rejected.map(({ id }) => id)]
      expect(new Set(touched).size).toBe(touched.length)
      const states = new Map(list.map(({ id, state }) => [id, state]))
      expect(touched.every((id) => states.get(id) === 'committed')).toBe(true)
      // What was accepted here was compared: two of different operators gave it.
      expect([0, 2, 3]).toContain(decision.accepted.length)
      if (decision.accepted.length > 0) expect(decision.further).toBeNull()
    }),
    { numRuns: 500 },
  )
})
