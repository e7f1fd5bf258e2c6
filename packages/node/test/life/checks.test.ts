/** Checks of the verifier that fail: they wait, are given up, and never stop those of others. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MAX_CHECK_ATTEMPTS } from '../../src/coordinator/life/check-attempts.ts'
import { freeVerifications } from '../../src/coordinator/life/verifications.ts'
import { openWorld, specOf, type World, type WorldNode } from './world.ts'

const SAMPLED = { rows: 4, segmentRows: 4, validation: { sampling: { fakedShare: 1 } } }
/** Beyond the longest pause. */
const LONG_MS = 3_600_000

let world: World
let alice: WorldNode
let bob: WorldNode
let vera: WorldNode

beforeAll(async () => {
  world = await openWorld()
  await world.addSubmitter('sue', 1_000_000)
}, 60_000)
beforeEach(async () => {
  await world.reset()
  alice = await world.addNode('op-a')
  bob = await world.addNode('op-b')
  vera = await world.addNode('op-v', { role: 'verifier' })
  await world.sweep()
})
afterAll(() => world?.close())

const take = async (max = 64) =>
  world.life.leaseVerifications(await world.info(vera), { max, now: world.now() })
const handBack = async (checks: Awaited<ReturnType<typeof take>>) => {
  const retry = checks.map(({ id, fence }) => ({ id, fence, message: 'no memory' }))
  await world.life.takeVerdicts(await world.info(vera), {
    request: { verdicts: [], retry },
    now: world.now(),
  })
}
/** Tries what there is to check until it is given up. */
const exhaust = async () => {
  for (let i = 0; i < MAX_CHECK_ATTEMPTS; i++) {
    await handBack(await take())
    await world.sweep(LONG_MS)
  }
  await world.sweep(3_000)
}
const submit = (over = {}) => world.submit('sue', { ...SAMPLED, deadlineSeconds: 1_000_000, ...over })

describe('a check that fails', () => {
  it('stands behind those of others, and waits longer each time', async () => {
    const bad = await submit()
    await world.work(alice)
    await handBack(await take())
    world.advance(1_000)
    const good = await submit()
    await world.work(alice)
    world.advance(1_000)
    // One attempt is repeated in its turn; what failed twice lets all others pass.
    await handBack(await take(1))
    world.advance(1_000)
    expect((await take()).map(({ jobId }) => jobId)).toEqual([good])
    world.advance(39_000)
    const again = await take()
    expect(again.map(({ jobId }) => jobId)).toEqual([bad])
    await handBack(again)
    world.advance(159_000)
    expect(await take()).toEqual([])
    world.advance(2_000)
    expect((await take()).map(({ jobId }) => jobId)).toEqual([bad])
  })

  it('is given up: nobody is blamed, another operator computes the segment, nothing is accepted unchecked', async () => {
    const id = await submit()
    await world.work(alice)
    await exhaust()
    expect(await take()).toEqual([])
    expect((await world.runs(id)).map(({ state }) => state)).toEqual(['rejected', 'queued'])
    expect((await world.info(alice)).reputation).toMatchObject({ failures: 0, flagged: 0, late: 0 })
    expect(await world.job(id)).toMatchObject({ state: 'running', faults: 0, accepted: 0 })
    expect(await world.work(bob)).toBe(1)
    expect(await world.job(id)).toMatchObject({ state: 'running', accepted: 0 })
    expect(await world.verify(vera)).toBe(1)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 10 })
    await world.assertBooks()
  })

  it('ends its job when those of two operators were given up', async () => {
    const id = await submit()
    for (const node of [alice, bob]) {
      expect(await world.work(node)).toBe(1)
      await exhaust()
    }
    const job = await world.job(id)
    expect(job).toMatchObject({ state: 'failed', spent: 0, faults: 0 })
    expect(job.reason).toContain('no verifier could check it: no memory')
    const { rows } = await world.db.query<{ code: string }>(
      `SELECT data->>'code' AS code FROM event WHERE job_id = $1 AND type = 'job.failed'`,
      [id],
    )
    expect(rows).toEqual([{ code: 'job/unchecked' }])
    expect((await world.runs(id)).filter(({ state }) => state === 'accepted')).toEqual([])
    await world.assertBooks()
  })

  it('counts each time that its verifier is started again', async () => {
    const id = await submit()
    await world.work(alice)
    for (let i = 0; i < MAX_CHECK_ATTEMPTS; i++) {
      expect(await take()).toHaveLength(1)
      expect(await freeVerifications(world, vera.id)).toBe(true)
    }
    expect(await take()).toEqual([])
    await world.sweep()
    await world.sweep(3_000)
    expect((await world.runs(id)).map(({ state }) => state)).toEqual(['rejected', 'queued'])
  })
})

describe('the lease of a check', () => {
  const work = { ...(specOf().work as Extract<ReturnType<typeof specOf>['work'], { kind: 'wasm' }>) }

  it('is as long as its samples may take', async () => {
    await submit()
    await submit({ work: { ...work, timeLimitMs: 100_000 } })
    await submit({ rows: 100, segmentRows: 100, work: { ...work, timeLimitMs: 600_000 } })
    await world.work(alice)
    const checks = await take()
    const seconds = checks.map(({ leaseSeconds }) => leaseSeconds).toSorted((a, b) => a - b)
    expect(seconds).toEqual([120, 160, 660])
    await world.sweep(121_000)
    expect(await take()).toHaveLength(1)
    await world.sweep(40_000)
    expect(await take()).toHaveLength(1)
  })

  it('ends with its verifier', async () => {
    await submit({ work: { ...work, timeLimitMs: 600_000 } })
    await world.work(alice)
    expect(await take()).toHaveLength(1)
    await world.db.query(`UPDATE node SET state = 'offline' WHERE id = $1`, [Buffer.from(vera.id, 'hex')])
    await world.sweep(1_000)
    vera = await world.addNode('op-w', { role: 'verifier' })
    expect(await take()).toHaveLength(1)
  })
})
