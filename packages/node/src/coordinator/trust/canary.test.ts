import { toHex, utf8 } from 'assay/core/bytes'
import { sha256 } from 'assay/core/digest'
import { binomialInterval } from 'assay/core/interval'
import type { NodeId } from 'assay/core/keys'
import type { Answer } from 'assay/method/redundancy/verifier'
import { leaseGroup } from 'assay/wire/dispatch'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Canary, chooseCanary, isCanary, judgeCanary } from './canary.ts'

const digest = (text: string) => sha256(utf8(text))
const id = (text: string) => toHex(digest(text)) as NodeId
const answer = (node: string, result: string): Answer => ({
  nodeId: id(node),
  operator: `operator of ${node}`,
  resultDigest: digest(result),
})
const canary = (segmentId: string, jobId = 'job'): Canary => ({
  segmentId,
  jobId,
  settled: answer('settler', `result of ${segmentId}`),
})
const draw = (sequence: number, node = 'node') => ({ secret: digest('secret'), nodeId: id(node), sequence })
const choice = (candidates: readonly Canary[]) => ({
  candidates,
  operator: 'operator of node',
  jobIds: new Set(['job']),
  seen: new Set<string>(),
})

describe('the draw', () => {
  it('takes the stated share, and another one for each node and secret', () => {
    const leases = Array.from({ length: 20_000 }, (_, i) => i)
    const drawn = leases.filter((i) => isCanary({ ...draw(i), rate: 0.05 }))
    const { lower, upper } = binomialInterval({
      successes: drawn.length,
      trials: leases.length,
      confidence: 0.999,
    })
    expect(lower).toBeLessThan(0.05)
    expect(upper).toBeGreaterThan(0.05)
    expect(leases.filter((i) => isCanary({ ...draw(i, 'other'), rate: 0.05 }))).not.toEqual(drawn)
    const other = { secret: digest('another secret'), nodeId: id('node') }
    expect(leases.filter((i) => isCanary({ ...other, sequence: i, rate: 0.05 }))).not.toEqual(drawn)
  })

  it('is the same for every replica, and refuses other rates', () => {
    expect(isCanary({ ...draw(3), rate: 1 })).toBe(true)
    expect(isCanary({ ...draw(3), rate: 0 })).toBe(false)
    for (const rate of [-1, 2, Number.NaN]) {
      expect(() => isCanary({ ...draw(3), rate })).toThrow(expect.objectContaining({ code: 'trust/config' }))
    }
  })
})

describe('the choice', () => {
  const candidates = Array.from({ length: 8 }, (_, i) => canary(`segment ${i}`))

  it('does not depend on the order of the candidates, and takes each of them', () => {
    const taken = new Set<string>()
    fc.assert(
      fc.property(
        fc.nat(10_000),
        fc.shuffledSubarray(candidates, { minLength: 8, maxLength: 8 }),
        (sequence, shuffled) => {
          const chosen = chooseCanary(draw(sequence), choice(shuffled))
          expect(chosen).toEqual(chooseCanary(draw(sequence), choice(candidates)))
          taken.add(chosen?.segmentId ?? '')
        },
      ),
      { numRuns: 300 },
    )
    expect(taken.size).toBe(8)
  })

  it('never shows an operator a segment twice, its own answer, or another job', () => {
    const seen = new Set(candidates.slice(1).map(({ segmentId }) => segmentId))
    expect(chooseCanary(draw(1), { ...choice(candidates), seen })?.segmentId).toBe('segment 0')
    const all = new Set(candidates.map(({ segmentId }) => segmentId))
    expect(chooseCanary(draw(1), { ...choice(candidates), seen: all })).toBeUndefined()
    expect(chooseCanary(draw(1), { ...choice(candidates), operator: 'operator of settler' })).toBeUndefined()
    expect(chooseCanary(draw(1), choice([canary('a', 'another job')]))).toBeUndefined()
    expect(chooseCanary(draw(1), choice([]))).toBeUndefined()
  })
})

describe('the verdict', () => {
  it('is clean for the known answer, a fault for another', () => {
    expect(judgeCanary(canary('s'), answer('node', 'result of s'))).toMatchObject({ outcome: 'clean' })
    const wrong = judgeCanary(canary('s'), answer('node', 'made up'))
    expect(wrong.outcome).toBe('fault')
    expect(wrong.reason).toContain('did not give the known answer of segment s')
    const tolerant = () => true
    expect(judgeCanary(canary('s'), answer('node', 'nearly'), { tolerant }).outcome).toBe('clean')
  })

  it('is never by an answer of the own operator', () => {
    const own = { ...answer('node', 'x'), operator: 'operator of settler' }
    expect(() => judgeCanary(canary('s'), own)).toThrow(
      expect.objectContaining({ code: 'redundancy/answers' }),
    )
  })
})

it('a lease has no field beyond those that the docblock accounts for', () => {
  const { segments, ...group } = leaseGroup.shape
  expect(Object.keys(group).sort()).toEqual([
    'deadlineAt',
    'falsePositiveRate',
    'guessProbability',
    'input',
    'inputCid',
    'jobId',
    'leaseSeconds',
    'work',
  ])
  expect(Object.keys(segments.def.element.shape).sort()).toEqual(['fence', 'from', 'id', 'nonce', 'to'])
})
