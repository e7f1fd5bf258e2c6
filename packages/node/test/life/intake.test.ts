import type { JobSpecInput } from 'assay/wire/job'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { submitterAccount } from '../../src/coordinator/ledger.ts'
import { segmentChunk } from '../../src/coordinator/life/segmentation.ts'
import { openWorld, specOf, type World, type WorldNode } from './world.ts'

let world: World
let alice: WorldNode

beforeAll(async () => {
  world = await openWorld()
  await world.addSubmitter('sue', 1_000_000)
  alice = await world.addNode('op-a')
}, 60_000)
afterAll(() => world?.close())

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'taken',
    ({ code }) => code,
  )

describe('what is refused', () => {
  const sampling = { confidence: 0.99, fakedShare: 0.01 }
  it.each<readonly [string, string, Partial<JobSpecInput>]>([
    ['a budget that is too small', 'job/budget', { rows: 101, budget: 1009 }],
    [
      'one that does not cover second runs',
      'job/budget',
      { rows: 34, budget: 1019, validation: { redundancy: {} } },
    ],
    ['more segments than a job may have', 'job/segments', { rows: 1_000_001, pricePerSegment: 0 }],
    ['an input that is not there', 'job/content', { input: { cid: `bafkrei${'a'.repeat(52)}` } }],
    [
      'a module that is not there',
      'job/content',
      {
        work: {
          kind: 'wasm',
          module: `bafkrei${'b'.repeat(52)}`,
          memoryPages: 1,
          timeLimitMs: 1,
          maxOutputBytes: 1,
        },
      },
    ],
    [
      'confidence that a segment cannot give',
      'job/unverifiable',
      { rows: 10, segmentRows: 5, validation: { sampling: { ...sampling, guessProbability: 0.5 } } },
    ],
    [
      'samples of chat work, which no verifier can compute',
      'job/unverifiable',
      {
        work: { kind: 'chat', model: 'm', temperature: 0, seed: 1, maxTokens: 1, compare: 'text' },
        validation: { sampling: {} },
      },
    ],
    ['no confidence at all', 'job/unverifiable', { validation: { sampling: { confidence: 0 } } }],
    [
      'a tolerance without elements',
      'job/unverifiable',
      {
        work: {
          kind: 'onnx',
          model: `bafkrei${'a'.repeat(52)}`,
          runtime: 'native',
          batch: 'whole',
          tolerance: 0.1,
        },
      },
    ],
  ])('%s', async (_, code, over) => {
    const before = await world.balance(submitterAccount('sue'))
    expect(await codeOf(world.submit('sue', over))).toBe(code)
    expect(await world.balance(submitterAccount('sue'))).toBe(before)
  })

  it('who cannot pay, one by one', async () => {
    await world.addSubmitter('poor', 25)
    const spec = { rows: 1, budget: 10 }
    const codes = await Promise.all(Array.from({ length: 5 }, () => codeOf(world.submit('poor', spec))))
    expect(codes.filter((code) => code === 'taken')).toHaveLength(2)
    expect(codes.filter((code) => code === 'ledger/insufficient')).toHaveLength(3)
    expect(await world.balance(submitterAccount('poor'))).toBe(5)
    await world.assertBooks()
  })

  it('who is over its quota, until jobs end', async () => {
    await world.addSubmitter('busy', 1000, { queuedSegments: 3 })
    const spec = { rows: 2, budget: 20 }
    const id = await world.submit('busy', spec)
    expect(await codeOf(world.submit('busy', spec))).toBe('wire/quota')
    await world.life.cancelJob({ jobId: id, submitter: 'busy', now: world.now() })
    expect(await codeOf(world.submit('busy', spec))).toBe('taken')
  })

  it('the same id twice', async () => {
    const submission = {
      submitter: 'sue',
      spec: specOf(),
      id: '01900000-0000-7000-8000-000000000001',
      now: world.now(),
    }
    await world.life.submitJob(submission)
    const again = [world.life.submitJob(submission), world.submit('sue')]
    expect(await Promise.all(again.map(codeOf))).toEqual(['store/constraint', 'taken'])
    await world.assertBooks()
  })

  it('nothing, once it is closed', async () => {
    const replica = world.replica()
    await replica.close()
    expect(await codeOf(replica.submitJob({ submitter: 'sue', spec: specOf(), now: world.now() }))).toBe(
      'store/closed',
    )
  })
})

describe('a job of many segments', () => {
  it('is cut in chunks, by whoever finds it', async () => {
    await world.addSubmitter('large', 1e9)
    const id = await world.submit('large', { rows: 45_001, pricePerSegment: 1, budget: 45_001 })
    // Others help; each chunk is one transaction.
    const parts = { db: world.db, onWork: () => {} }
    while (await segmentChunk(parts));
    await world.life.idle()
    const { rows } = await world.db.query(
      `SELECT count(*) AS runs, count(DISTINCT segment) AS segments, min(segment) AS first, max(segment) AS last,
         count(DISTINCT left(id::text, 13)) AS times, count(DISTINCT id) AS ids
       FROM dispatch WHERE job_id = $1`,
      [id],
    )
    expect(rows[0]).toEqual({ runs: 45_001, segments: 45_001, first: 0, last: 45_000, times: 1, ids: 45_001 })
    expect((await world.runs(id, 0))[0]?.id.slice(0, 13)).toBe(id.slice(0, 13))
    await world.life.cancelJob({ jobId: id, submitter: null, now: world.now() })
    await world.sweep()
    const left = await world.db.query(`SELECT FROM dispatch WHERE job_id = $1 AND state <> 'cancelled'`, [id])
    expect(left.count).toBe(0)
  })

  it('can be cancelled before it is cut', async () => {
    const spec = specOf({ rows: 30_000, pricePerSegment: 1, budget: 30_000 })
    const id = await world.submit('large', spec)
    await world.life.cancelJob({ jobId: id, submitter: 'large', now: world.now() })
    await world.life.idle()
    await world.sweep()
    expect(await world.job(id)).toMatchObject({ state: 'cancelled', spent: 0 })
    expect((await world.lease(alice)).map(({ jobId }) => jobId)).not.toContain(id)
    await world.assertBooks()
  })
})

describe('whose turn it is', () => {
  const next = async (max = 1) => {
    const groups = await world.lease(alice, max)
    return groups.flatMap(({ jobId, segments }) => segments.map(() => jobId))
  }
  beforeAll(async () => {
    await world.sweep()
    for (const name of ['anna', 'ben', 'cleo']) await world.addSubmitter(name, 1_000_000)
  })

  it('nobody waits behind all that another sent', async () => {
    const many = await world.submit('anna', { rows: 600, budget: 6000 })
    const few = await world.submit('ben', { rows: 16, budget: 160 })
    const order = await next(64)
    expect(order.filter((id) => id === few)).toHaveLength(16)
    expect(order.filter((id) => id === many)).toHaveLength(48)
    // Who comes later begins where the queue is, and is not behind what was sent before.
    const later = await world.submit('cleo', { rows: 16, budget: 160 })
    expect((await next(64)).filter((id) => id === later)).toHaveLength(16)
    for (const jobId of [many, few, later])
      await world.life.cancelJob({ jobId, submitter: null, now: world.now() })
    await world.sweep()
  })

  it('who was idle has saved nothing up', async () => {
    const first = await world.submit('anna', { rows: 600, budget: 6000 })
    const second = await world.submit('ben', { rows: 600, budget: 6000 })
    const order = await next(128)
    const share = order.filter((id) => id === second).length
    expect(share).toBeGreaterThanOrEqual(48)
    expect(share).toBeLessThanOrEqual(80)
    for (const jobId of [first, second])
      await world.life.cancelJob({ jobId, submitter: null, now: world.now() })
    await world.sweep()
  })

  it('higher priorities go first', async () => {
    const low = await world.submit('anna', { rows: 2, priority: 1 })
    const high = await world.submit('ben', { rows: 2, priority: 9 })
    expect(await next(3)).toEqual(expect.arrayContaining([high, high, low]))
    expect(await next(3)).toEqual([low])
  })

  it('higher priorities go first, of whatever kind', async () => {
    const work = { kind: 'chat', model: 'm', temperature: 0, seed: 1, maxTokens: 1, compare: 'text' } as const
    const both = await world.addNode('op-both', { runtimes: ['chat', 'wasm'] })
    await world.db.query(
      `UPDATE node SET manifest = jsonb_set(manifest, '{chatModels}', '["m"]') WHERE operator = 'op-both'`,
    )
    const low = await world.submit('anna', { rows: 3, priority: 1 })
    const high = await world.submit('ben', { rows: 1, priority: 2, work })
    const higher = await world.submit('cleo', { rows: 1, priority: 3 })
    const groups = await world.lease(both, 3)
    const ids = groups.flatMap(({ jobId, segments }) => segments.map(() => jobId))
    expect(ids.toSorted()).toEqual([low, high, higher].toSorted())
  })
})
