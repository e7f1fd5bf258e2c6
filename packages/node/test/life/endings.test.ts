/** How jobs end before their last segment: deadlines and cancellation. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { submitterAccount } from '../../src/coordinator/ledger.ts'
import { answer } from './answers.ts'
import { freshNodes, leasesOf, openWorld, type World, type WorldNode } from './world.ts'

let world: World
let alice: WorldNode
let bob: WorldNode

beforeAll(async () => {
  world = await openWorld()
  await world.addSubmitter('sue', 1_000_000)
}, 60_000)
beforeEach(async () => {
  ;[alice, bob] = await freshNodes(world, 'op-a', 'op-b')
})
afterAll(() => world?.close())

describe('deadlines', () => {
  it('end a job: what is accepted is paid, the rest refunded, what comes late refused', async () => {
    const id = await world.submit('sue', { rows: 4, deadlineSeconds: 60 })
    await world.work(alice, { max: 2 })
    const held = await world.lease(bob, 1)
    await world.sweep(61_000)
    expect(await world.job(id)).toMatchObject({ state: 'expired', accepted: 2, spent: 20 })
    expect((await world.send(bob, await answer(bob, held))).outcomes[0]).toMatchObject({ code: 'wire/stale' })
    // Segments of one job are equal: which two came first is open.
    expect((await world.runs(id)).map(({ state }) => state).toSorted()).toEqual([
      'accepted',
      'accepted',
      'cancelled',
      'cancelled',
    ])
    expect(await world.job(id)).toMatchObject({ accepted: 2, spent: 20 })
    await world.assertBooks()
  })

  it('are looked at when work is given out, and the nearest goes first among equals', async () => {
    const late = await world.submit('sue', { rows: 1, priority: 7, deadlineSeconds: 5000 })
    const soon = await world.submit('sue', { rows: 1, priority: 7, deadlineSeconds: 50 })
    const gone = await world.submit('sue', { rows: 1, priority: 7, deadlineSeconds: 5 })
    world.advance(10_000)
    const groups = await world.lease(alice)
    expect(groups.map(({ jobId }) => jobId).toSorted()).toEqual([late, soon].toSorted())
    await world.sweep()
    expect(await world.job(gone)).toMatchObject({ state: 'expired' })
    await world.life.takeFailures(alice.id, {
      request: {
        failures: leasesOf(groups).map((lease) => ({
          ...lease,
          code: 'x',
          message: '',
          retryElsewhere: true,
        })),
      },
      now: world.now(),
    })
    expect((await world.lease(bob, 1))[0]?.jobId).toBe(soon)
  })
})

describe('cancellation', () => {
  const cancel = (jobId: string, submitter: string | null = 'sue') =>
    world.life.cancelJob({ jobId, submitter, now: world.now() })
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'done',
      ({ code }) => code,
    )

  it.each([
    ['queued', async () => {}],
    ['leased', async () => world.lease(alice)],
    ['partly accepted', async () => world.work(alice, { max: 1 })],
  ])('of a job that is %s', async (step, reach) => {
    const before = await world.balance(submitterAccount('sue'))
    const id = await world.submit('sue', { rows: 3 })
    await reach()
    await cancel(id)
    const spent = step === 'partly accepted' ? 10 : 0
    expect(await world.job(id)).toMatchObject({
      state: 'cancelled',
      spent,
      reason: 'cancelled by its submitter',
    })
    expect(await world.balance(submitterAccount('sue'))).toBe(before - spent)
    expect(await world.lease(bob)).toEqual([])
    await cancel(id)
    await world.sweep()
    const states = (await world.runs(id)).map(({ state }) => state)
    expect(states.filter((state) => state !== 'cancelled')).toEqual(spent > 0 ? ['accepted'] : [])
    await world.assertBooks()
  })

  it('is told to who holds a lease, and its result is not taken', async () => {
    const id = await world.submit('sue', { rows: 1 })
    const groups = await world.lease(alice)
    await cancel(id)
    const [lease] = leasesOf(groups)
    expect(await world.life.renewLeases(alice.id, { leases: [lease as never], now: world.now() })).toEqual([
      lease?.id,
    ])
    expect((await world.send(alice, await answer(alice, groups))).outcomes[0]).toMatchObject({
      code: 'wire/stale',
    })
    expect(await world.job(id)).toMatchObject({ state: 'cancelled', spent: 0 })
    expect((await world.info(alice)).reputation).toMatchObject({ failures: 0, late: 0 })
  })

  it('of a job whose results wait for a verifier', async () => {
    const verifier = await world.addNode('op-v', { role: 'verifier' })
    const id = await world.submit('sue', {
      rows: 4,
      segmentRows: 4,
      validation: { sampling: { fakedShare: 1 } },
    })
    await world.work(alice)
    await cancel(id)
    expect(await world.verify(verifier)).toBe(0)
    await world.sweep()
    expect((await world.runs(id))[0]).toMatchObject({ state: 'cancelled' })
    await world.assertBooks()
  })

  it('is for its submitter, and not for ever', async () => {
    const id = await world.submit('sue', { rows: 1 })
    expect(await codeOf(cancel(id, 'eve'))).toBe('wire/not-found')
    expect(await codeOf(cancel('00000000-0000-7000-8000-000000000000', null))).toBe('wire/not-found')
    await world.work(alice)
    expect(await codeOf(cancel(id, null))).toBe('wire/conflict')
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
  })
})
