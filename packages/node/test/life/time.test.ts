import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { submitterAccount } from '../../src/coordinator/ledger.ts'
import { MAX_LEASE_LENGTHS } from '../../src/coordinator/life/lease.ts'
import { openHeartbeats } from '../../src/coordinator/registry/heartbeats.ts'
import { honestRow } from './answers.ts'
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

describe('leases', () => {
  it('that are renewed stay, those that are not go elsewhere', async () => {
    const id = await world.submit('sue', { rows: 2 })
    const [first, second] = leasesOf(await world.lease(alice))
    for (let i = 0; i < 3; i++) {
      await world.sweep(20_000)
      expect(await world.life.renewLeases(alice.id, { leases: [first as never], now: world.now() })).toEqual(
        [],
      )
    }
    expect(await world.life.renewLeases(alice.id, { leases: [second as never], now: world.now() })).toEqual([
      second?.id,
    ])
    expect((await world.runs(id)).map(({ state }) => state).toSorted()).toEqual(['leased', 'queued'])
    expect(await world.work(bob)).toBe(1)
    expect(await world.eventTypes(id)).toEqual(['job.submitted', 'segment.requeued', 'job.progress'])
  })

  it('are lost to whoever does not hold them', async () => {
    await world.submit('sue', { rows: 1 })
    const [lease] = leasesOf(await world.lease(alice))
    const renew = (nodeId: string, over = {}) =>
      world.life.renewLeases(nodeId, {
        leases: [{ ...(lease as { id: string; fence: number }), ...over }],
        now: world.now(),
      })
    expect(await renew(bob.id)).toEqual([lease?.id])
    expect(await renew(alice.id, { fence: 2 })).toEqual([lease?.id])
    expect(await renew(alice.id)).toEqual([])
  })

  it('cannot be renewed for ever', async () => {
    const id = await world.submit('sue', { rows: 1, leaseSeconds: 10, deadlineSeconds: 1_000_000 })
    const leases = leasesOf(await world.lease(alice))
    for (let i = 0; i < MAX_LEASE_LENGTHS; i += 24) {
      expect(await world.life.renewLeases(alice.id, { leases, now: world.now() })).toEqual([])
      world.advance(240_000)
    }
    expect(await world.life.renewLeases(alice.id, { leases, now: world.now() })).toEqual([leases[0]?.id])
    await world.sweep()
    expect((await world.runs(id))[0]).toMatchObject({ state: 'queued' })
  })

  it('of a node that falls silent end before their time', async () => {
    const id = await world.submit('sue', { rows: 1, leaseSeconds: 3600 })
    await world.lease(alice)
    await world.db.query('UPDATE node SET last_seen_at = $1 WHERE id = $2', [
      world.now(),
      Buffer.from(alice.id, 'hex'),
    ])
    await world.sweep(20_000)
    expect((await world.runs(id))[0]).toMatchObject({ state: 'leased' })
    await world.sweep(20_000)
    expect((await world.runs(id))[0]).toMatchObject({ state: 'queued', attempts: 1 })
    expect(await world.work(bob)).toBe(1)
  })

  it('go to others first, and after a while to anybody', async () => {
    const id = await world.submit('sue', { rows: 1 })
    await world.lease(alice)
    await world.sweep(31_000)
    expect(await world.work(alice)).toBe(0)
    await world.sweep(6_000)
    expect(await world.work(alice)).toBe(1)
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
  })
})

describe('what is kept for a node', () => {
  /** For whom the second runs of a fresh job are kept, that the node did first. */
  const keptAfter = async (node: WorldNode) => {
    const id = await world.submit('sue', { rows: 40, budget: 1200, validation: { redundancy: { share: 1 } } })
    expect(await world.work(node)).toBeGreaterThanOrEqual(40)
    return async () => {
      const queued = (await world.runs(id)).filter(({ state }) => state === 'queued')
      return [...new Set(queued.map(({ reservedFor }) => reservedFor))].toSorted()
    }
  }
  const beat = async (node: WorldNode, isLeaving: boolean) => {
    const heartbeats = openHeartbeats(world.db)
    heartbeats.beat({ nodeId: node.id, running: 1, isLeaving })
    await heartbeats.close()
    // By the clock of the database, which is behind the one of this test.
    await world.db.query(`UPDATE node SET last_seen_at = '2031-01-01' WHERE id = $1`, [
      Buffer.from(node.id, 'hex'),
    ])
    await world.sweep()
  }

  it('is for others as soon as it says that it leaves', async () => {
    const carol = await world.addNode('op-c')
    await world.sweep()
    const kept = await keptAfter(alice)
    expect(await kept()).toEqual(['trusted:op-b', 'trusted:op-c'])
    const [lease] = leasesOf(await world.lease(bob, 1))
    await beat(bob, true)
    expect(await kept()).toEqual(['trusted:op-c'])
    // What it has it may finish.
    const renewed = { leases: [lease as never], now: world.now() }
    expect(await world.life.renewLeases(bob.id, renewed)).toEqual([])
    expect((await world.info(bob)).state).toBe('online')
    expect(await world.work(carol)).toBe(39)
  })

  it('is for others when it lets a lease run out, until it is heard of', async () => {
    await world.addNode('op-c')
    await world.submit('sue', { rows: 1 })
    await world.lease(bob, 1)
    await world.sweep(31_000)
    expect(await (await keptAfter(alice))()).toEqual(['trusted:op-c'])
    await beat(bob, false)
    expect(await (await keptAfter(alice))()).toEqual(['trusted:op-b', 'trusted:op-c'])
  })
})

describe('an incident', () => {
  it('keeps its cohort from new work of its kind until it is over', async () => {
    const carol = await world.addNode('op-c')
    await world.submit('sue', { rows: 1 })
    const [held] = leasesOf(await world.lease(alice))
    const id = await world.submit('sue', { rows: 40, budget: 1200, validation: { redundancy: { share: 1 } } })
    await world.db.query(
      'INSERT INTO incident (cohort, reason, until, is_pausing) VALUES ($1, $2, $3, true)',
      [
        JSON.stringify({ engine: 'engine of op-a', runtime: 'wasm' }),
        'of a test',
        new Date(world.now().getTime() + 3_600_000),
      ],
    )
    await world.sweep()
    expect(await world.lease(alice)).toEqual([])
    // What it has it may finish, and nothing is kept for it.
    const renewed = { leases: [held as never], now: world.now() }
    expect(await world.life.renewLeases(alice.id, renewed)).toEqual([])
    expect(await world.work(bob)).toBe(40)
    const queued = (await world.runs(id)).filter(({ state }) => state === 'queued')
    expect(new Set(queued.map(({ reservedFor }) => reservedFor))).toEqual(new Set(['trusted:op-c']))
    expect(await world.work(carol)).toBe(40)
    await world.submit('sue', { rows: 1, deadlineSeconds: 1_000_000 })
    await world.sweep(3_600_000)
    expect(await world.work(alice)).toBeGreaterThan(0)
  })
})

describe('attempts', () => {
  it('end, with the job that they belong to', async () => {
    const id = await world.submit('sue', { rows: 2, maxAttempts: 2 })
    const before = await world.balance(submitterAccount('sue'))
    await world.work(alice, { max: 1 })
    for (const node of [alice, bob]) {
      const [group] = await world.lease(node, 1)
      const failures = leasesOf([group as never]).map((lease) => ({
        ...lease,
        code: 'wasm/trap',
        message: 'unreachable \0 executed',
        retryElsewhere: false,
      }))
      await world.life.takeFailures(node.id, { request: { failures }, now: world.now() })
    }
    const job = await world.job(id)
    expect(job).toMatchObject({ state: 'failed', accepted: 1, spent: 10 })
    expect(job.reason).toContain('wasm/trap: unreachable \uFFFD executed')
    expect(await world.balance(submitterAccount('sue'))).toBe(before + 1000 - 10)
    await world.sweep()
    expect((await world.runs(id)).map(({ state }) => state).toSorted()).toEqual(['accepted', 'poisoned'])
    expect(await world.work(bob)).toBe(0)
    expect(await world.eventTypes(id)).toEqual([
      'job.submitted',
      'job.progress',
      'segment.requeued',
      'segment.poisoned',
      'segment.requeued',
      'job.failed',
    ])
    await world.assertBooks()
  })

  it('are not used up by nodes that lack something', async () => {
    const id = await world.submit('sue', { rows: 1, maxAttempts: 1 })
    for (let i = 0; i < 4; i++) {
      const node = i % 2 === 0 ? alice : bob
      const leases = leasesOf(await world.lease(node, 1))
      expect(leases).toHaveLength(1)
      const failures = leases.map((lease) => ({
        ...lease,
        code: 'node/drain',
        message: '',
        retryElsewhere: true,
      }))
      await world.life.takeFailures(node.id, { request: { failures }, now: world.now() })
      // Neither has it now: it waits for a moment.
      if (i > 0) await world.sweep(2_000)
    }
    expect((await world.runs(id))[0]).toMatchObject({ state: 'queued', attempts: 0, fence: 4 })
    await world.work(alice)
    await world.work(bob)
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
  })

  it('are not those of nodes that no longer hold the lease', async () => {
    const id = await world.submit('sue', { rows: 1 })
    const [lease] = leasesOf(await world.lease(alice))
    const failure = {
      ...(lease as { id: string; fence: number }),
      code: 'x',
      message: 'y',
      retryElsewhere: false,
    }
    for (const [nodeId, fence] of [
      [bob.id, 1],
      [alice.id, 2],
      [alice.id, 0],
    ] as const) {
      await world.life.takeFailures(nodeId, {
        request: { failures: [{ ...failure, fence }] },
        now: world.now(),
      })
    }
    expect((await world.runs(id))[0]).toMatchObject({ state: 'leased', attempts: 1 })
  })
})

describe('the verifier', () => {
  it('that does not come back, or hands a check back, is replaced', async () => {
    const [vera, viktor] = [
      await world.addNode('op-v', { role: 'verifier' }),
      await world.addNode('op-w', { role: 'verifier' }),
    ]
    const id = await world.submit('sue', {
      rows: 4,
      segmentRows: 4,
      validation: { sampling: { fakedShare: 1 } },
    })
    await world.work(alice)
    const take = async (node: WorldNode) =>
      world.life.leaseVerifications(await world.info(node), { max: 1, now: world.now() })
    const [first] = await take(vera)
    expect(await take(viktor)).toEqual([])
    await world.sweep(121_000)
    const [second] = await take(viktor)
    expect([first?.fence, second?.fence]).toEqual([1, 2])
    const held = { id: second?.id as string, fence: second?.fence as number, message: 'no memory' }
    const hand = async (node: WorldNode, retry: (typeof held)[]) =>
      world.life.takeVerdicts(await world.info(node), { request: { verdicts: [], retry }, now: world.now() })
    await hand(vera, [held])
    expect(await take(vera)).toEqual([])
    await hand(viktor, [held])
    expect(await take(vera)).toEqual([])
    world.advance(40_000)
    expect(await world.verify(vera)).toBe(1)
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
  })

  it('is believed only with a receipt of its own, of this result', async () => {
    const [vera, viktor] = [
      await world.addNode('op-v', { role: 'verifier' }),
      await world.addNode('op-w', { role: 'verifier' }),
    ]
    const { verdictOf } = await import('./answers.ts')
    const id = await world.submit('sue', {
      rows: 4,
      segmentRows: 4,
      validation: { sampling: { fakedShare: 1 } },
    })
    await world.work(alice)
    const [lease] = await world.life.leaseVerifications(await world.info(vera), { max: 1, now: world.now() })
    const options = { blobs: world.blobs, at: world.now() }
    const good = await verdictOf(vera, lease as never, options)
    const foreign = await verdictOf(viktor, lease as never, options)
    const give = async (node: WorldNode, verdict: typeof good) =>
      world.life.takeVerdicts(await world.info(node), {
        request: { verdicts: [verdict], retry: [] },
        now: world.now(),
      })
    for (const [node, verdict] of [
      [vera, { ...good, receipt: null }],
      [vera, { ...good, receipt: foreign.receipt }],
      [vera, { ...good, receipt: { payload: 'AAAA' } }],
      [vera, { ...good, isVerified: false }],
      [vera, { ...good, samples: good.samples + 1 }],
      [vera, { ...good, fence: 7 }],
      [viktor, foreign],
    ] as const) {
      expect(await give(node, verdict)).toEqual([good.id])
    }
    expect(await world.job(id)).toMatchObject({ state: 'running' })
    expect(await give(vera, good)).toEqual([])
    await world.life.idle()
    expect(await give(vera, good)).toEqual([good.id])
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 10 })
  })

  it('that cannot open an answer rejects it without a receipt', async () => {
    const vera = await world.addNode('op-v', { role: 'verifier' })
    const id = await world.submit('sue', {
      rows: 4,
      segmentRows: 4,
      validation: { sampling: { fakedShare: 1 } },
    })
    await world.work(alice, { row: honestRow })
    const [lease] = await world.life.leaseVerifications(await world.info(vera), { max: 1, now: world.now() })
    const { id: checkId, fence } = lease as { id: string; fence: number }
    const verdict = {
      id: checkId,
      fence,
      isVerified: false,
      receipt: null,
      code: 'a/b',
      message: 'c\0',
      samples: 0,
    }
    const stale = await world.life.takeVerdicts(await world.info(vera), {
      request: { verdicts: [verdict], retry: [] },
      now: world.now(),
    })
    expect(stale).toEqual([])
    await world.life.idle()
    expect((await world.runs(id)).map(({ state }) => state)).toEqual(['rejected', 'queued'])
    expect(await world.job(id)).toMatchObject({ faults: 1 })
  })
})
