import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { heldAccount, nodeAccount, submitterAccount } from '../../src/coordinator/ledger.ts'
import { answer, honestRow } from './answers.ts'
import { openWorld, type World, type WorldNode } from './world.ts'

let world: World
let alice: WorldNode
let bob: WorldNode

beforeAll(async () => {
  world = await openWorld()
  await world.addSubmitter('sue', 1_000_000)
  alice = await world.addNode('op-a')
  bob = await world.addNode('op-b')
}, 60_000)
afterAll(() => world?.close())

describe('a job that nobody disputes', () => {
  it('goes from intake to settlement', async () => {
    const before = await world.balance(submitterAccount('sue'))
    const id = await world.submit('sue', { rows: 10, segmentRows: 4 })
    expect(await world.balance(submitterAccount('sue'))).toBe(before - 1000)
    expect(await world.job(id)).toMatchObject({ state: 'running', segments: 3, accepted: 0 })

    const groups = await world.lease(alice)
    expect(groups).toHaveLength(1)
    expect(groups[0]?.segments.map(({ from, to, fence }) => [from, to, fence])).toEqual([
      [0, 4, 1],
      [4, 8, 1],
      [8, 10, 1],
    ])
    const request = await answer(alice, groups)
    const { outcomes } = await world.send(alice, request)
    expect(outcomes.map(({ state }) => state)).toEqual(['accepted', 'accepted', 'accepted'])

    expect(await world.job(id)).toEqual({
      state: 'accepted',
      accepted: 3,
      segments: 3,
      audits: 0,
      faults: 0,
      spent: 30,
      reason: null,
      receipt: 'pending',
    })
    expect(await world.balance(submitterAccount('sue'))).toBe(before - 30)
    expect(await world.balance(heldAccount(alice.id))).toBe(30)
    expect(await world.eventTypes(id)).toEqual(['job.submitted', 'job.accepted'])
    await world.assertBooks()
  })

  it('gives the same outcomes to the same answer again', async () => {
    const id = await world.submit('sue')
    const request = await answer(alice, await world.lease(alice))
    const [first, ...others] = await Promise.all([1, 2, 3].map(() => world.send(alice, request)))
    for (const other of others) expect(other).toEqual(first)
    expect(await world.send(alice, request)).toEqual(first)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', accepted: 4, spent: 40 })
    await world.assertBooks()
  })

  it('keeps what nodes with disjoint answers did, in any order', async () => {
    const id = await world.submit('sue', { rows: 6 })
    const first = await world.lease(alice, 3)
    const second = await world.lease(bob, 3)
    const answers = [await answer(bob, second), await answer(alice, first)] as const
    const reordered = { ...answers[1], results: answers[1].results }
    await world.send(bob, answers[0])
    expect(await world.job(id)).toMatchObject({ state: 'running', accepted: 3 })
    await world.send(alice, reordered)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 60 })
    const runs = await world.runs(id)
    expect(runs.map(({ operator }) => operator)).toEqual(['op-a', 'op-a', 'op-a', 'op-b', 'op-b', 'op-b'])
    expect(runs.every(({ isResult }) => isResult)).toBe(true)
  })

  it('takes outputs by address', async () => {
    const row = () => new Uint8Array(17_000).fill(7)
    const id = await world.submit('sue', { rows: 1, budget: 10 })
    await world.work(alice, { row })
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 10 })
    const { rows } = await world.db.query<{ output_cid: string | null }>(
      'SELECT output_cid FROM dispatch WHERE job_id = $1',
      [id],
    )
    expect(world.blobs.get(rows[0]?.output_cid ?? '')?.length).toBe(17_008)
  })
})

describe('sampling', () => {
  const sampled = { rows: 40, segmentRows: 20, validation: { sampling: { fakedShare: 0.5 } } }
  let verifier: WorldNode
  beforeAll(async () => {
    verifier = await world.addNode('op-v', { role: 'verifier' })
  })

  it('accepts what the verifier finds right, and pays at once', async () => {
    const id = await world.submit('sue', sampled)
    const paid = await world.balance(nodeAccount(alice.id))
    await world.work(alice)
    expect(await world.job(id)).toMatchObject({ state: 'running', accepted: 0 })
    expect(await world.verify(verifier)).toBe(2)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', accepted: 2, spent: 20, faults: 0 })
    // A clean audit releases what was held before, too.
    expect(await world.balance(nodeAccount(alice.id))).toBeGreaterThanOrEqual(paid + 20)
    expect(await world.balance(heldAccount(alice.id))).toBe(0)
    expect(await world.eventTypes(id)).toEqual([
      'job.submitted',
      'segment.audited',
      'segment.audited',
      'job.accepted',
    ])
    await world.assertBooks()
  })

  it('rejects what it finds wrong, and another node does it again', async () => {
    const id = await world.submit('sue', sampled)
    // A lazy node: half of its rows are made up, and its proof is of what it says.
    const lazy = (input: Parameters<typeof honestRow>[0], index: number) =>
      index % 2 === 0 ? honestRow(input, index) : new Uint8Array(32)
    await world.work(alice, { row: lazy })
    await world.verify(verifier)
    expect(await world.job(id)).toMatchObject({ state: 'running', accepted: 0, faults: 2, audits: 2 })
    const runs = await world.runs(id)
    expect(runs.map(({ ordinal, state }) => [ordinal, state])).toEqual([
      [0, 'rejected'],
      [1, 'queued'],
      [0, 'rejected'],
      [1, 'queued'],
    ])
    expect(await world.work(alice)).toBe(0)
    expect(await world.work(bob)).toBe(2)
    await world.verify(verifier)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 20, faults: 2 })
    const { rows } = await world.db.query<{ faults: number }>('SELECT faults FROM node WHERE id = $1', [
      Buffer.from(alice.id, 'hex'),
    ])
    expect(rows[0]?.faults).toBe(2)
    await world.assertBooks()
  })
})
