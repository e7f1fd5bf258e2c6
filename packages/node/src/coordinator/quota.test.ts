import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestNetwork, type TestNetwork } from '../../test/support/network.ts'
import { addJob, settleNow, takeNow } from '../../test/support/rows.ts'
import type { Tx } from '../store/database.ts'
import { ensureSubmitter } from './accounts.ts'
import { deposit, post, submitterAccount } from './ledger.ts'
import { balances } from './ledger-read.ts'
import {
  admit,
  admitJobs,
  blobBytes,
  claimBlob,
  type NewJob,
  ownsBlob,
  takeBudgets,
  type Usage,
} from './quota.ts'

let network: TestNetwork
beforeAll(async () => {
  network = await openTestNetwork()
}, 60_000)
afterAll(() => network?.close())

const NOW = Date.parse('2030-01-01T00:00:00Z')

async function account(
  name: string,
  quota: Partial<Usage & { blobBytes: number }>,
  credits = 1000,
): Promise<void> {
  const { jobsPerMinute = 100, queuedSegments = 100, blobBytes = 100 } = quota
  await network.tx(async (tx) => {
    await ensureSubmitter(tx, { name, quota: { jobsPerMinute, queuedSegments, blobBytes } })
    await deposit(tx, { account: submitterAccount(name), amount: credits })
  })
}

const newJob = (submitter: string, rest: Partial<NewJob> = {}): NewJob => ({
  jobId: randomUUID(),
  submitter,
  budget: 10,
  segments: 1,
  ...rest,
})
const addEnded = (tx: Tx, { jobId: id, submitter, budget, segments }: NewJob) =>
  addJob(tx, { id, submitter, budget, segments, price: 1, state: 'failed' })
const admitted = (jobs: readonly NewJob[], now = NOW) => network.tx((tx) => takeNow(tx, jobs, now))

describe('admission', () => {
  test('jobs a minute: as many at once, and one more for each share of a minute that passed', async () => {
    await account('minute', { jobsPerMinute: 3 })
    const refused = await admitted(Array.from({ length: 5 }, () => newJob('minute')))
    expect(refused.size).toBe(2)
    const [error] = refused.values()
    expect(error?.code).toBe('wire/quota')
    expect(error?.detail).toMatchObject({ quota: 'jobsPerMinute', limit: 3, retryAfterSeconds: 20 })
    expect((await admitted([newJob('minute')], NOW + 19_000)).size).toBe(1)
    expect((await admitted([newJob('minute'), newJob('minute')], NOW + 20_000)).size).toBe(1)
  })

  test('segments that are open count until the job is settled', async () => {
    await account('open', { queuedSegments: 10 })
    const job = newJob('open', { segments: 8 })
    expect((await admitted([job])).size).toBe(0)
    const [error] = (await admitted([newJob('open', { segments: 3 })])).values()
    expect(error?.detail).toMatchObject({ quota: 'queuedSegments' })
    await network.tx(async (tx) => {
      await addEnded(tx, job)
      await settleNow(tx, [job.jobId])
    })
    expect((await admitted([newJob('open', { segments: 10 })])).size).toBe(0)
  })

  test('what is refused uses nothing up', async () => {
    await account('broke', { jobsPerMinute: 1 }, 5)
    const refused = await admitted([newJob('broke', { budget: 6 }), newJob('broke', { budget: 5 })])
    expect([...refused.values()].map(({ code }) => code)).toEqual(['ledger/insufficient'])
    expect((await balances(network.db, ['submitter:broke'])).get('submitter:broke')).toBe(0)
  })

  test('an account that is not there', async () => {
    const [error] = (await admitted([newJob(`nobody'; --`)])).values()
    expect(error?.code).toBe('wire/not-found')
  })

  test('two replicas cannot both admit the last job', async () => {
    await account('race', { jobsPerMinute: 4, queuedSegments: 1000 })
    const replicas = [network.db, network.open(), network.open()]
    const outcomes = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        (replicas[i % 3] ?? network.db).tx((tx) => takeNow(tx, [newJob('race')], NOW)),
      ),
    )
    expect(outcomes.filter((refused) => refused.size === 0)).toHaveLength(4)
  })

  test('settlements go on beside it, and what they free is counted', async () => {
    await account('beside', { queuedSegments: 10 })
    const ended = newJob('beside', { segments: 8 })
    await admitted([ended])
    await network.tx(async (tx) => {
      const fresh = newJob('beside', { segments: 2 })
      const admission = await admitJobs(tx, [fresh], { now: NOW })
      await network.open().tx(async (other) => {
        await addEnded(other, ended)
        await settleNow(other, [ended.jobId])
      })
      await takeBudgets(tx, admission)
    })
    expect((await admitted([newJob('beside', { segments: 9 })])).size).toBe(1)
    expect((await admitted([newJob('beside', { segments: 8 })])).size).toBe(0)
  })

  test('a balance that was spent meanwhile takes no job', async () => {
    await account('spent', {}, 15)
    const taken = network.tx(async (tx) => {
      const admission = await admitJobs(tx, [newJob('spent')], { now: NOW })
      expect(admission.refused.size).toBe(0)
      const spending = { from: submitterAccount('spent'), to: 'stake:'.padEnd(70, '0'), amount: 6 }
      await network.open().tx((other) => post(other, [{ ...spending, kind: 'stake' }]))
      await takeBudgets(tx, admission)
    })
    await expect(taken).rejects.toMatchObject({ code: 'ledger/insufficient' })
    expect((await balances(network.db, ['submitter:spent'])).get('submitter:spent')).toBe(9)
    // Nothing of it counts.
    expect((await admitted([newJob('spent', { segments: 100, budget: 9 })])).size).toBe(0)
  })
})

test('the level never lets more than the quota through in any minute', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 200 }),
      (jobsPerMinute, gaps) => {
        let usage: Usage = { jobsPerMinute, queuedSegments: 1e9, openSegments: 0, jobLevel: 0, levelAt: 0 }
        let now = 0
        const times: number[] = []
        for (const gap of gaps) {
          now += gap
          const verdict = admit(usage, newJob('any'), now)
          if (!verdict.ok) continue
          usage = verdict.value
          times.push(now)
        }
        for (const start of times) {
          const within = times.filter((time) => time >= start && time < start + 60_000).length
          // A full level, and what sinks away within the minute.
          expect(within).toBeLessThanOrEqual(2 * jobsPerMinute)
        }
      },
    ),
  )
})

test('a clock that is behind admits no more', () => {
  const usage: Usage = { jobsPerMinute: 1, queuedSegments: 1, openSegments: 0, jobLevel: 1, levelAt: NOW }
  expect(admit(usage, newJob('any'), NOW - 1e9).ok).toBe(false)
})

test('an account without jobs may submit none', () => {
  const usage: Usage = { jobsPerMinute: 0, queuedSegments: 1, openSegments: 0, jobLevel: 0, levelAt: 0 }
  expect(admit(usage, newJob('any'), NOW)).toMatchObject({ ok: false, detail: { retryAfterSeconds: 60 } })
})

describe('blobs', () => {
  const claim = (submitter: string, cid: string, sizeBytes: number) =>
    network.tx((tx) => claimBlob(tx, { cid, submitter, sizeBytes }))

  test('belong to those who claimed them, within their quota', async () => {
    await account('blobs', { blobBytes: 100 })
    expect((await claim('blobs', 'b1', 60)).ok).toBe(true)
    expect(await claim('blobs', 'b2', 41)).toMatchObject({ ok: false, code: 'wire/quota' })
    expect((await claim('blobs', 'b1', 60)).ok).toBe(true)
    expect((await claim('blobs', 'b3', 40)).ok).toBe(true)
    expect(await blobBytes(network.db, 'blobs')).toBe(100)
    expect(await ownsBlob(network.db, { cid: 'b1', submitter: 'blobs' })).toBe(true)
    expect(await ownsBlob(network.db, { cid: 'b1', submitter: 'minute' })).toBe(false)
    expect(await ownsBlob(network.db, { cid: "b1' OR 'a'='a", submitter: 'minute' })).toBe(false)
  })

  test('two claims at once do not go beyond the quota', async () => {
    await account('claims', { blobBytes: 100 })
    const other = network.open()
    const claims = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        (i % 2 === 0 ? network.db : other).tx((tx) =>
          claimBlob(tx, { cid: `c${i}`, submitter: 'claims', sizeBytes: 30 }),
        ),
      ),
    )
    expect(claims.filter(({ ok }) => ok)).toHaveLength(3)
  })

  test('an account that is not there claims nothing', async () => {
    expect((await claim('ghost', 'b1', 1)).ok).toBe(false)
  })
})
