import { toBase64 } from 'assay/core/bytes'
import { encodeRows } from 'assay/task/rows'
import type { ResultsRequest, SegmentResult } from 'assay/wire/dispatch'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer } from './answers.ts'
import { openWorld, type World, type WorldNode } from './world.ts'

let world: World
let alice: WorldNode
let bob: WorldNode

beforeAll(async () => {
  world = await openWorld()
  await world.addSubmitter('sue', 1_000_000)
}, 60_000)
// Faults end in quarantine: each test has nodes of its own.
beforeEach(async () => {
  await world.reset()
  alice = await world.addNode('op-a')
  bob = await world.addNode('op-b')
  await world.sweep()
})
afterAll(() => world?.close())

async function conduct(node: WorldNode) {
  const { reputation } = await world.info(node)
  return reputation
}

/** The answer with its first result changed, and nothing signed anew. */
function altered(request: ResultsRequest, change: Partial<SegmentResult>): ResultsRequest {
  const [first, ...others] = request.results as [SegmentResult]
  return { ...request, results: [{ ...first, ...change }, ...others] }
}

function rows(...list: readonly (string | Uint8Array)[]) {
  return { inline: toBase64(encodeRows(list.map((row) => new Uint8Array(Buffer.from(row))))) }
}

describe('a result that does not hold', () => {
  const cases: readonly (readonly [string, string, Partial<SegmentResult>])[] = [
    ['another output than it commits to', 'poe/mismatch', { output: rows('other') }],
    ['too many rows', 'result/rows', { output: rows('a', 'b') }],
    ['no rows', 'result/rows', { output: rows() }],
    [
      'a row that is too large',
      'result/rows',
      { output: { inline: toBase64(new Uint8Array([0, 0, 0, 1, 255, 255, 255, 255])) } },
    ],
    [
      'rows that end early',
      'result/rows',
      { output: { inline: toBase64(new Uint8Array([0, 0, 0, 1, 0, 0, 0, 5, 1])) } },
    ],
    [
      'bytes behind its rows',
      'result/rows',
      { output: { inline: toBase64(new Uint8Array([0, 0, 0, 1, 0, 0, 0, 0, 1])) } },
    ],
    ['an empty output', 'result/rows', { output: { inline: '' } }],
    ['base64 that is none', 'result/rows', { output: { inline: 'AAA' } }],
    ['an address that is none', 'result/output', { output: { cid: `b${'a'.repeat(58)}` } }],
    [
      'a proof that nobody asked for',
      'result/proof',
      { sampling: { proof: { inline: 'AAAA' }, signature: 'AAAA' } },
    ],
  ]
  it.each(cases)('%s: refused with %s, and its segment goes elsewhere', async (_, code, change) => {
    const id = await world.submit('sue', { rows: 2 })
    const request = altered(await answer(alice, await world.lease(alice, 2)), change)
    const { outcomes } = await world.send(alice, request)
    expect(outcomes.map(({ state, code }) => [state, code])).toEqual([
      ['refused', code],
      ['accepted', null],
    ])
    expect(await world.job(id)).toMatchObject({ state: 'running', accepted: 1, faults: 1 })
    expect((await world.runs(id))[0]).toMatchObject({ state: 'queued', attempts: 1, reservedFor: 'any:op-b' })
    const { malformed, late } = await conduct(alice)
    expect(code === 'result/output' ? late : malformed).toBe(1)
    // Sent again, it is nobody's.
    expect((await world.send(alice, request)).outcomes.map(({ code }) => code)).toEqual(['wire/stale', null])
    expect((await conduct(alice)).failures).toBe(code === 'result/output' ? 0 : 1)
    expect(await world.work(alice)).toBe(0)
    expect(await world.work(bob)).toBe(1)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 20 })
    expect(await world.eventTypes(id)).toContain('segment.requeued')
    await world.assertBooks()
  })

  it.each([
    [
      'of somebody else',
      async (request: ResultsRequest) => ({ ...request, signature: toBase64(new Uint8Array(64).fill(9)) }),
    ],
    ['that is none', async (request: ResultsRequest) => ({ ...request, signature: 'AAAA' })],
    ['in no base64', async (request: ResultsRequest) => ({ ...request, signature: 'A' })],
    [
      'of other commitments',
      async (request: ResultsRequest) => altered(request, { commitment: '00'.repeat(32) }),
    ],
  ])('a signature %s fails the whole answer, once', async (_, forge) => {
    const id = await world.submit('sue', { rows: 3 })
    const request = await forge(await answer(alice, await world.lease(alice, 3)))
    const { outcomes } = await world.send(alice, request)
    expect(
      outcomes.every(({ state, code }) => state === 'refused' && /signature|bytes/.test(code ?? '')),
    ).toBe(true)
    expect((await conduct(alice)).malformed).toBe(1)
    expect(await world.work(bob)).toBe(3)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', faults: 3, spent: 30 })
  })

  it('without the proof that is asked for', async () => {
    const id = await world.submit('sue', {
      rows: 4,
      segmentRows: 4,
      validation: { sampling: { fakedShare: 1 } },
    })
    const request = await answer(alice, await world.lease(alice))
    const [{ sampling, ...result }] = request.results as [SegmentResult]
    const { outcomes } = await world.send(alice, { ...request, results: [result] })
    expect(outcomes[0]).toMatchObject({ state: 'refused', code: 'result/proof' })
    expect(sampling).toBeDefined()
    await world.life.cancelJob({ jobId: id, submitter: 'sue', now: world.now() })
  })

  it.each([
    ['a proof that does not decode', 'result/proof', { proof: { inline: 'AAAA' } }],
    ['a proof that is too large', 'result/proof', { proof: { inline: toBase64(new Uint8Array(20_000)) } }],
    ['a proof that is not there', 'result/output', { proof: { cid: `bafkrei${'a'.repeat(51)}a` } }],
    ['a signature of something else', 'signature/invalid', { signature: toBase64(new Uint8Array(64)) }],
  ])('with %s', async (_, code, change) => {
    const id = await world.submit('sue', {
      rows: 4,
      segmentRows: 4,
      validation: { sampling: { fakedShare: 1 } },
    })
    const request = await answer(alice, await world.lease(alice))
    const [{ sampling }] = request.results as [SegmentResult]
    const { outcomes } = await world.send(
      alice,
      altered(request, { sampling: { ...sampling, ...change } as never }),
    )
    expect(outcomes[0]).toMatchObject({ state: 'refused', code })
    await world.life.cancelJob({ jobId: id, submitter: 'sue', now: world.now() })
  })
})

describe('a lease that is not the node’s', () => {
  it('of another node is refused, and stays', async () => {
    const id = await world.submit('sue', { rows: 1 })
    const groups = await world.lease(alice)
    const stolen = await answer(bob, groups)
    expect((await world.send(bob, stolen)).outcomes[0]).toMatchObject({
      state: 'refused',
      code: 'wire/stale',
    })
    expect((await conduct(bob)).failures).toBe(0)
    expect((await world.send(alice, await answer(alice, groups))).outcomes[0]?.state).toBe('accepted')
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
    // Not even who knows the commitment learns what became of it.
    const asked = await world.send(bob, await answer(alice, groups))
    expect(asked.outcomes[0]).toMatchObject({ state: 'refused', code: 'wire/stale' })
  })

  it('of a fence that went on is refused', async () => {
    const id = await world.submit('sue', { rows: 1 })
    const groups = await world.lease(alice)
    await world.sweep(31_000)
    expect((await world.runs(id))[0]).toMatchObject({ state: 'queued', fence: 1, attempts: 1 })
    expect((await conduct(alice)).late).toBe(1)
    const late = await answer(alice, groups)
    expect((await world.send(alice, late)).outcomes[0]).toMatchObject({ code: 'wire/stale' })
    const again = await world.lease(bob)
    expect(again[0]?.segments[0]?.fence).toBe(2)
    expect((await world.send(alice, late)).outcomes[0]).toMatchObject({ code: 'wire/stale' })
    await world.send(bob, await answer(bob, again))
    expect((await world.send(alice, late)).outcomes[0]).toMatchObject({ code: 'wire/stale' })
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 10 })
    await world.assertBooks()
  })

  it('is known, but sent twice in one answer', async () => {
    const id = await world.submit('sue', { rows: 1 })
    const groups = await world.lease(alice)
    const [group] = groups
    const request = await answer(alice, [
      { ...group, segments: [...(group?.segments ?? []), ...(group?.segments ?? [])] } as never,
    ])
    const { outcomes } = await world.send(alice, request)
    expect(outcomes.map(({ state, code }) => [state, code])).toEqual([
      ['accepted', null],
      ['refused', 'wire/malformed'],
    ])
    expect(await world.job(id)).toMatchObject({ accepted: 1, spent: 10 })
  })

  it('is of nothing at all', async () => {
    const ghost: SegmentResult = {
      id: '00000000-0000-7000-8000-000000000000',
      fence: 1,
      commitment: '11'.repeat(32),
      output: { inline: '' },
      elapsedMs: 0,
    }
    const { outcomes } = await world.send(alice, { signature: 'AAAA', results: [ghost] })
    expect(outcomes).toEqual([
      { id: ghost.id, state: 'refused', code: 'wire/stale', message: expect.any(String) },
    ])
  })

  it('hides another result of the same lease', async () => {
    const id = await world.submit('sue', { rows: 1 })
    const groups = await world.lease(alice)
    await world.send(alice, await answer(alice, groups))
    const other = await answer(alice, groups, { row: () => Buffer.from('changed its mind') })
    expect((await world.send(alice, other)).outcomes[0]).toMatchObject({ code: 'wire/stale' })
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 10 })
  })
})

describe('nodes that get nothing', () => {
  it.each(['quarantined', 'banned'])('%s', async (standing) => {
    const id = await world.submit('sue', { rows: 1 })
    await world.db.query('UPDATE node SET standing = $1 WHERE id = $2', [
      standing,
      Buffer.from(alice.id, 'hex'),
    ])
    expect(await world.lease(alice)).toEqual([])
    expect(await world.work(bob)).toBe(1)
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
  })

  it('of another kind, and draining', async () => {
    await world.submit('sue', { rows: 1 })
    const chat = await world.addNode('op-e', { runtimes: ['chat'] })
    expect(await world.lease(chat)).toEqual([])
    await world.db.query(`UPDATE node SET state = 'draining' WHERE id = $1`, [Buffer.from(alice.id, 'hex')])
    expect(await world.lease(alice)).toEqual([])
    expect(await world.work(bob)).toBe(1)
  })

  it('beyond what they may hold', async () => {
    const id = await world.submit('sue', { rows: 200, budget: 2000 })
    const small = await world.addNode('op-s', { slots: 1, standing: 'probation' })
    const held = (await world.lease(small, 512)).flatMap(({ segments }) => segments)
    expect(held).toHaveLength(64)
    expect(await world.lease(small, 1)).toEqual([])
    await world.life.cancelJob({ jobId: id, submitter: 'sue', now: world.now() })
  })
})
