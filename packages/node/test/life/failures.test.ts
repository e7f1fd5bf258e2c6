/** Nodes that fail or hold what they get: who answers for it, and what becomes of the job. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MAX_FREE_RETURNS } from '../../src/coordinator/life/give-back.ts'
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

/** Leases what there is, and fails all of it. */
const fail = async (node: WorldNode, retryElsewhere = false) => {
  const leases = leasesOf(await world.lease(node))
  if (leases.length === 0) return 0
  const failures = leases.map((lease) => ({ ...lease, code: 'work/crashed', message: '', retryElsewhere }))
  await world.life.takeFailures(node.id, { request: { failures }, now: world.now() })
  return leases.length
}
const lateOf = async (node: WorldNode) => (await world.info(node)).reputation.late
const leave = (node: WorldNode) =>
  world.db.query(`UPDATE node SET state = 'offline' WHERE id = $1`, [Buffer.from(node.id, 'hex')])

describe('a node that fails everything', () => {
  it('cannot end a job that others can do, and counts as late when they did it', async () => {
    const id = await world.submit('sue', { rows: 3, maxAttempts: 1 })
    expect(await fail(alice)).toBe(3)
    expect(await lateOf(alice)).toBe(0)
    // However long the others take, it does not get its failures back.
    for (let i = 0; i < 3; i++) {
      expect(await fail(alice)).toBe(0)
      await world.sweep(6_000)
    }
    expect(await world.job(id)).toMatchObject({ state: 'running' })
    expect(await world.work(bob)).toBe(3)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 30 })
    expect([await lateOf(alice), await lateOf(bob)]).toEqual([1, 0])
  })

  it('comes to rest', async () => {
    for (let i = 0; i < 4; i++) {
      await world.submit('sue', { rows: 1 })
      expect(await fail(alice)).toBe(1)
      await world.work(bob)
    }
    expect((await world.info(alice)).reputation).toMatchObject({
      standing: 'trusted',
      pauses: 1,
      failures: 0,
    })
    await world.submit('sue', { rows: 1 })
    expect(await world.lease(alice)).toEqual([])
  })

  it('counts as late where runs are compared, too', async () => {
    const carol = await world.addNode('op-c')
    await world.sweep()
    const id = await world.submit('sue', { rows: 1, validation: { redundancy: { share: 1 } } })
    expect(await fail(alice)).toBe(1)
    // What is kept for alice is drawn again until it is kept for another.
    for (let i = 0; i < 40 && (await world.job(id)).state === 'running'; i++) {
      await world.work(bob)
      await world.work(carol)
      await world.sweep(6_000)
    }
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
    expect(await Promise.all([alice, bob, carol].map(lateOf))).toEqual([1, 0, 0])
  })

  it('ends the job where there is no other', async () => {
    await leave(bob)
    await world.sweep()
    const id = await world.submit('sue', { rows: 1, maxAttempts: 2 })
    expect(await fail(alice)).toBe(1)
    expect(await fail(alice)).toBe(1)
    expect(await world.job(id)).toMatchObject({ state: 'failed' })
  })
})

describe('work that nobody can do', () => {
  it('is held against nobody', async () => {
    for (let i = 0; i < 8; i++) {
      const id = await world.submit('sue', { rows: 2, maxAttempts: 2 })
      expect(await fail(alice)).toBe(2)
      expect(await fail(bob)).toBe(2)
      expect(await world.job(id)).toMatchObject({ state: 'failed', spent: 0 })
    }
    for (const node of [alice, bob]) {
      expect((await world.info(node)).reputation).toMatchObject({ late: 0, failures: 0, pauses: 0 })
    }
  })
})

describe('what is given back for nothing', () => {
  it('counts when it was too often', async () => {
    const id = await world.submit('sue', { rows: 1, maxAttempts: 1 })
    await world.db.query('UPDATE dispatch SET free_returns = $2 WHERE job_id = $1', [
      id,
      MAX_FREE_RETURNS - 1,
    ])
    expect(await fail(alice, true)).toBe(1)
    expect((await world.runs(id))[0]).toMatchObject({ state: 'queued', attempts: 0 })
    expect(await fail(bob, true)).toBe(1)
    expect((await world.runs(id))[0]).toMatchObject({ state: 'queued', attempts: 1 })
    // Now it is for another operator, who gives it back for nothing, too.
    expect(await fail(bob, true)).toBe(0)
    expect(await fail(alice, true)).toBe(1)
    expect(await world.job(id)).toMatchObject({ state: 'failed' })
  })
})

describe('a lease that is renewed and renewed', () => {
  const LEASE = { rows: 1, leaseSeconds: 10, deadlineSeconds: 1_000 }
  /** Until it is not renewed any more; how long that was. */
  const hold = async (node: WorldNode, leases: { id: string; fence: number }[]) => {
    const since = world.now().getTime()
    const renew = () => world.life.renewLeases(node.id, { leases, now: world.now() })
    while ((await renew()).length === 0) await world.sweep(9_000)
    return (world.now().getTime() - since) / 1000
  }

  it('leaves half of the time to others, and its node counts as late when they delivered', async () => {
    const id = await world.submit('sue', LEASE)
    const held = await hold(alice, leasesOf(await world.lease(alice)))
    expect(held).toBeGreaterThanOrEqual(500)
    expect(held).toBeLessThan(520)
    await world.sweep(20_000)
    expect((await world.runs(id))[0]).toMatchObject({ state: 'queued' })
    expect(await lateOf(alice)).toBe(0)
    expect(await world.work(bob)).toBe(1)
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
    expect(await lateOf(alice)).toBe(1)
  })

  it('is held against nobody where it was too much for all', async () => {
    const id = await world.submit('sue', LEASE)
    for (const node of [alice, bob]) {
      await hold(node, leasesOf(await world.lease(node)))
      await world.sweep(20_000)
    }
    await world.sweep(1_000_000)
    expect(await world.job(id)).toMatchObject({ state: 'expired' })
    expect([await lateOf(alice), await lateOf(bob)]).toEqual([0, 0])
  })

  it.each([
    ['counts as late at the deadline, when others were much faster', 2, 1],
    ['is held against nobody at the deadline, when nothing was delivered', 0, 0],
  ])('%s', async (_, delivered, late) => {
    const id = await world.submit('sue', { rows: 3, leaseSeconds: 30, deadlineSeconds: 60 })
    const leases = leasesOf(await world.lease(alice, 1))
    if (delivered > 0) expect(await world.work(bob)).toBe(delivered)
    for (let i = 0; i < 3; i++) {
      expect(await world.life.renewLeases(alice.id, { leases, now: world.now() })).toEqual([])
      await world.sweep(19_000)
    }
    await world.sweep(4_000)
    expect(await world.job(id)).toMatchObject({ state: 'expired', accepted: delivered })
    expect([await lateOf(alice), await lateOf(bob)]).toEqual([late, 0])
    await world.assertBooks()
  })
})
