import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestNetwork, type TestNetwork } from '../../test/support/network.ts'
import { acceptRun, addJob, addNode, nodeIdOf, settleNow, takeNow } from '../../test/support/rows.ts'
import type { Tx } from '../store/database.ts'
import { ensureSubmitter } from './accounts.ts'
import {
  deposit,
  heldAccount,
  type JobEscrow,
  nodeAccount,
  type Penalty,
  penaltyTransfers,
  post,
  releaseTransfers,
  stake,
  stakeAccount,
  submitterAccount,
} from './ledger.ts'
import { balances, checkBooks } from './ledger-read.ts'

let network: TestNetwork
beforeAll(async () => {
  network = await openTestNetwork()
}, 60_000)
afterAll(() => network?.close())

const tx = <T>(work: (tx: Tx) => Promise<T>) => network.db.tx(work)
const balance = async (account: string) => (await balances(network.db, [account])).get(account)
const give = (name: string, amount: number) =>
  tx((tx) => deposit(tx, { account: submitterAccount(name), amount }))

describe('jobs', () => {
  /** At admission, which is where budgets are taken; the quotas of these accounts are out of reach. */
  async function escrow(tx: Tx, jobs: readonly JobEscrow[]) {
    for (const { submitter } of jobs) await ensureSubmitter(tx, { name: submitter })
    return takeNow(
      tx,
      jobs.map((job) => ({ ...job, segments: 1 })),
      0,
    )
  }

  test('escrow covers as many budgets as there are credits, in their order', async () => {
    await give('buyer', 100)
    const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()]
    const refused = await tx((tx) =>
      escrow(tx, [
        { jobId: a, submitter: 'buyer', budget: 60 },
        { jobId: b, submitter: 'buyer', budget: 50 },
        { jobId: c, submitter: 'buyer', budget: 40 },
      ]),
    )
    expect([...refused.keys()]).toEqual([b])
    expect(refused.get(b)?.code).toBe('ledger/insufficient')
    expect(await balance('submitter:buyer')).toBe(0)
    // Those jobs are not in the database: the books say so.
    expect((await checkBooks(network.db)).faults).toHaveLength(2)
    await tx(async (tx) => {
      for (const [id, budget] of [
        [a, 60],
        [c, 40],
      ] as const) {
        await addJob(tx, { id, submitter: 'buyer', budget, price: 10, segments: 1, state: 'running' })
      }
    })
    expect((await checkBooks(network.db)).faults).toEqual([])
  })

  test('two replicas cannot both take the last credits', async () => {
    await give('last', 50)
    const other = network.open()
    const jobs = [randomUUID(), randomUUID()]
    const outcomes = await Promise.all(
      jobs.map((jobId, i) =>
        (i === 0 ? network.db : other).tx((tx) => escrow(tx, [{ jobId, submitter: 'last', budget: 50 }])),
      ),
    )
    expect(outcomes.reduce((sum, refused) => sum + refused.size, 0)).toBe(1)
    const kept = jobs.find((id) => !outcomes.some((refused) => refused.has(id))) as string
    await tx((tx) =>
      addJob(tx, { id: kept, submitter: 'last', budget: 50, price: 1, segments: 1, state: 'running' }),
    )
    expect((await checkBooks(network.db)).faults).toEqual([])
  })

  /** A job of three segments at 10 credits, with runs as told, that ends now. */
  async function endedJob(
    runs: readonly { segment: number; ordinal: number; node: string; forced?: boolean; audited?: boolean }[],
    budget = 90,
  ): Promise<string> {
    const id = randomUUID()
    const submitter = `owner-${id}`
    await give(submitter, budget)
    await tx(async (tx) => {
      await escrow(tx, [{ jobId: id, submitter, budget }])
      await addJob(tx, { id, submitter, budget, price: 10, segments: 3, state: 'accepted' })
      for (const run of runs) await acceptRun(tx, { jobId: id, ...run })
    })
    return id
  }

  test('pays accepted runs, and gives the rest back', async () => {
    const [a, b] = ['pay-a', 'pay-b'].map(nodeIdOf) as [string, string]
    const id = await endedJob([
      { segment: 0, ordinal: 0, node: a },
      { segment: 0, ordinal: 1, node: b },
      { segment: 1, ordinal: 0, node: a },
      { segment: 2, ordinal: 0, node: a },
    ])
    const [settled] = await tx((tx) => settleNow(tx, [id]))
    expect(settled).toEqual({ jobId: id, spent: 40, refunded: 50, fromFund: 0 })
    expect(await balance(heldAccount(a))).toBe(30)
    expect(await balance(heldAccount(b))).toBe(10)
    expect(await balance(submitterAccount(`owner-${id}`))).toBe(50)
    const { rows } = await network.db.query<{ spent: number }>('SELECT spent FROM job WHERE id = $1', [id])
    expect(rows[0]?.spent).toBe(40)
    // A second settlement of the same job is a mistake, and moves nothing.
    await tx((tx) => settleNow(tx, [id]))
    expect(await balance(heldAccount(a))).toBe(30)
    expect((await checkBooks(network.db)).faults).toEqual([])
  })

  test('runs that the coordinator wanted are its own cost, but for one of each segment', async () => {
    const [a, b, c] = ['fund-a', 'fund-b', 'fund-c'].map(nodeIdOf) as [string, string, string]
    const fund = (await balance('audit-fund')) ?? 0
    const id = await endedJob(
      [
        { segment: 0, ordinal: 0, node: a },
        { segment: 0, ordinal: 1, node: b, forced: true },
        // The first run was found wrong: the job pays one of those that replaced it.
        { segment: 1, ordinal: 1, node: b, forced: true },
        { segment: 1, ordinal: 2, node: c, forced: true },
        { segment: 2, ordinal: 0, node: a },
      ],
      30,
    )
    const [settled] = await tx((tx) => settleNow(tx, [id]))
    expect(settled).toEqual({ jobId: id, spent: 30, refunded: 0, fromFund: 20 })
    expect(await balance(heldAccount(a))).toBe(20)
    expect(await balance(heldAccount(b))).toBe(20)
    expect(await balance(heldAccount(c))).toBe(10)
    expect(await balance('audit-fund')).toBe(fund - 20)
  })

  test('the fund pays only so much for a run, and only so far into debt', async () => {
    const [a, b] = ['bound-a', 'bound-b'].map(nodeIdOf) as [string, string]
    const fund = (await balance('audit-fund')) ?? 0
    const forced = (segment: number) => [
      { segment, ordinal: 0, node: a },
      { segment, ordinal: 1, node: b, forced: true },
    ]
    const dear = await endedJob([...forced(0), ...forced(1)], 20)
    const [settled] = await tx((tx) => settleNow(tx, [dear], { overdraft: 1_000_000, mostPerRun: 3 }))
    expect(settled).toEqual({ jobId: dear, spent: 20, refunded: 0, fromFund: 6 })
    expect(await balance(heldAccount(b))).toBe(6)

    const ids = [await endedJob(forced(0), 10), await endedJob([...forced(0), ...forced(1)], 20)]
    const bounds = { overdraft: 6 - fund + 15, mostPerRun: 100 }
    const both = await tx((tx) => settleNow(tx, ids, bounds))
    expect(both.reduce((sum, { fromFund }) => sum + fromFund, 0)).toBe(15)
    expect(await balance('audit-fund')).toBe(fund - 6 - 15)
    expect(await balance(heldAccount(a))).toBe(50)
    const [later] = await tx(async (tx) => settleNow(tx, [await endedJob(forced(0), 10)], bounds))
    expect(later).toMatchObject({ spent: 10, fromFund: 0 })
    expect((await checkBooks(network.db)).faults).toEqual([])
  })

  test('nodes are paid even where a budget turned out too small', async () => {
    const node = nodeIdOf('short')
    const id = await endedJob(
      [0, 1, 2].map((segment) => ({ segment, ordinal: 0, node })),
      15,
    )
    const [settled] = await tx((tx) => settleNow(tx, [id]))
    expect(settled).toEqual({ jobId: id, spent: 15, refunded: 0, fromFund: 15 })
    expect(await balance(heldAccount(node))).toBe(30)
  })

  test('a trusted node with a clean audit in the job is paid at once', async () => {
    const trusted = await tx((tx) => addNode(tx, { name: 'trusted-audited', standing: 'trusted' }))
    const unaudited = await tx((tx) => addNode(tx, { name: 'trusted-unaudited', standing: 'trusted' }))
    const fresh = await tx((tx) => addNode(tx, { name: 'fresh-audited', standing: 'probation' }))
    const id = await endedJob([
      { segment: 0, ordinal: 0, node: trusted, audited: true },
      { segment: 1, ordinal: 0, node: unaudited },
      { segment: 2, ordinal: 0, node: fresh, audited: true },
    ])
    await tx((tx) => settleNow(tx, [id]))
    expect(await balance(nodeAccount(trusted))).toBe(10)
    expect(await balance(heldAccount(unaudited))).toBe(10)
    expect(await balance(heldAccount(fresh))).toBe(10)
  })

  test('a job without an accepted run is refunded whole', async () => {
    const id = await endedJob([])
    const [settled] = await tx((tx) => settleNow(tx, [id]))
    expect(settled).toEqual({ jobId: id, spent: 0, refunded: 90, fromFund: 0 })
  })

  test('many jobs in one transaction', async () => {
    const node = nodeIdOf('many')
    const ids: string[] = []
    for (let i = 0; i < 20; i++) ids.push(await endedJob([{ segment: 0, ordinal: 0, node }], 30))
    const settled = await tx((tx) => settleNow(tx, ids))
    expect(settled.map(({ spent }) => spent)).toEqual(ids.map(() => 10))
    expect(await balance(heldAccount(node))).toBe(200)
    expect((await checkBooks(network.db)).faults).toEqual([])
  })
})

describe('nodes', () => {
  test('a stake is raised as far as the balance goes, and not twice', async () => {
    const nodeId = nodeIdOf('staker')
    await give('staker', 70)
    expect(await tx((tx) => stake(tx, { nodeId, operator: 'staker', amount: 50 }))).toBe(50)
    expect(await tx((tx) => stake(tx, { nodeId, operator: 'staker', amount: 50 }))).toBe(50)
    expect(await tx((tx) => stake(tx, { nodeId, operator: 'staker', amount: 100 }))).toBe(70)
    expect(await balance('submitter:staker')).toBe(0)
  })

  const penalise = async (nodeId: string, penalty: Penalty) =>
    (await tx((tx) => post(tx, penaltyTransfers(nodeId, penalty)))).map(({ amount }) => amount)

  test('a penalty takes from the stake and all that is held, once', async () => {
    const nodeId = nodeIdOf('cheat')
    await give('cheat', 100)
    await tx(async (tx) => {
      await stake(tx, { nodeId, operator: 'cheat', amount: 100 })
      await post(tx, [{ from: 'issued', to: heldAccount(nodeId), amount: 33, kind: 'deposit' }])
    })
    const penalty = { amount: 60, reason: 'a wrong row', once: 'dispatch-1' }
    expect(await penalise(nodeId, penalty)).toEqual([60, 33])
    await tx((tx) => post(tx, [{ from: 'issued', to: heldAccount(nodeId), amount: 5, kind: 'deposit' }]))
    expect(await penalise(nodeId, penalty)).toEqual([])
    expect(await penalise(nodeId, { ...penalty, once: 'dispatch-2' })).toEqual([40, 5])
    expect(await balance(stakeAccount(nodeId))).toBe(0)
  })

  test('what is held is released whole', async () => {
    const [a, b] = ['held-a', 'held-b'].map(nodeIdOf) as [string, string]
    await tx((tx) => post(tx, [{ from: 'issued', to: heldAccount(a), amount: 12, kind: 'deposit' }]))
    await tx((tx) => post(tx, releaseTransfers([b, a, a])))
    expect(await balance(nodeAccount(a))).toBe(12)
    expect(await balance(heldAccount(a))).toBe(0)
  })
})
