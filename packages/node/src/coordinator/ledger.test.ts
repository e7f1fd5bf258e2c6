import { AssayError } from 'assay/core/errors'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestNetwork, type TestNetwork } from '../../test/support/network.ts'
import { nodeIdOf } from '../../test/support/rows.ts'
import type { Tx } from '../store/database.ts'
import {
  ALL,
  deposit,
  ESCROW,
  heldAccount,
  PENALTIES,
  post,
  submitterAccount,
  type Transfer,
} from './ledger.ts'
import { accountsPage, balances, checkBooks, transfersPage } from './ledger-read.ts'

let network: TestNetwork
beforeAll(async () => {
  network = await openTestNetwork()
}, 60_000)
afterAll(() => network?.close())

const tx = <T>(work: (tx: Tx) => Promise<T>) => network.db.tx(work)
const balance = async (account: string) => (await balances(network.db, [account])).get(account)
const give = (name: string, amount: number) =>
  tx((tx) => deposit(tx, { account: submitterAccount(name), amount }))

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'resolved',
    (error: unknown) => (error instanceof AssayError ? error.code : String(error)),
  )
}

describe('post', () => {
  test('moves credits and keeps the sum', async () => {
    await give('ann', 100)
    const moved = await tx((tx) =>
      post(tx, [{ from: 'submitter:ann', to: ESCROW, amount: 30, kind: 'escrow' }]),
    )
    expect(moved).toEqual([{ from: 'submitter:ann', to: ESCROW, amount: 30, kind: 'escrow', once: null }])
    expect(await balance('submitter:ann')).toBe(70)
    expect((await checkBooks(network.db)).faults).toEqual([])
  })

  test('a second time with the same name moves nothing, in one post and in two', async () => {
    const transfer: Transfer = {
      from: 'issued',
      to: 'submitter:twice',
      amount: 5,
      kind: 'deposit',
      once: 'gift:1',
    }
    await tx((tx) => post(tx, [transfer, transfer]))
    expect(await tx((tx) => post(tx, [transfer]))).toEqual([])
    expect(await balance('submitter:twice')).toBe(5)
  })

  test('refuses what an account does not hold, whole, and the transaction goes on', async () => {
    await give('poor', 10)
    const code = await tx(async (tx) => {
      const refused = await codeOf(
        post(tx, [
          { from: 'submitter:poor', to: ESCROW, amount: 4, kind: 'escrow' },
          { from: 'submitter:poor', to: PENALTIES, amount: 7, kind: 'penalty' },
        ]),
      )
      await post(tx, [{ from: 'submitter:poor', to: ESCROW, amount: 10, kind: 'escrow' }])
      return refused
    })
    expect(code).toBe('ledger/insufficient')
    expect(await balance('submitter:poor')).toBe(0)
    expect(await balance(PENALTIES)).toBe(0)
  })

  test('credits that come in by the same post cover what goes out by it', async () => {
    await tx((tx) =>
      post(tx, [
        { from: 'submitter:flow', to: ESCROW, amount: 9, kind: 'escrow' },
        { from: 'issued', to: 'submitter:flow', amount: 9, kind: 'deposit' },
      ]),
    )
    expect(await balance('submitter:flow')).toBe(0)
  })

  test('upTo moves what is there, in order, and is remembered even when that is nothing', async () => {
    const node = nodeIdOf('up-to')
    const account = heldAccount(node)
    await tx((tx) => post(tx, [{ from: 'issued', to: account, amount: 10, kind: 'deposit' }]))
    const moved = await tx((tx) =>
      post(tx, [
        { from: account, to: PENALTIES, amount: 7, upTo: true, kind: 'penalty', once: 'a' },
        { from: account, to: PENALTIES, amount: ALL, upTo: true, kind: 'penalty', once: 'b' },
        { from: account, to: PENALTIES, amount: ALL, upTo: true, kind: 'penalty', once: 'c' },
      ]),
    )
    expect(moved.map(({ amount }) => amount)).toEqual([7, 3, 0])
    await tx((tx) => post(tx, [{ from: 'issued', to: account, amount: 8, kind: 'deposit' }]))
    await tx((tx) =>
      post(tx, [{ from: account, to: PENALTIES, amount: ALL, upTo: true, kind: 'penalty', once: 'c' }]),
    )
    expect(await balance(account)).toBe(8)
  })

  test('amounts that are not whole, not finite or negative', async () => {
    for (const amount of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      const transfer: Transfer = { from: 'issued', to: ESCROW, amount, kind: 'deposit' }
      expect(await codeOf(tx((tx) => post(tx, [transfer])))).toBe('ledger/amount')
    }
  })

  test('a balance that a number cannot tell exactly', async () => {
    expect(await codeOf(give('rich', Number.MAX_SAFE_INTEGER))).toBe('ledger/amount')
    expect(await balance('submitter:rich')).toBe(0)
  })

  test('names that are none', async () => {
    const bad = [
      '',
      'bank',
      'node:1',
      `node:${'g'.repeat(64)}`,
      'submitter:',
      'submitter:a\0b',
      'submitter:a\nb',
    ]
    for (const to of [...bad, 'issued']) {
      const transfer: Transfer = { from: 'issued', to, amount: 1, kind: 'deposit' }
      expect(await codeOf(tx((tx) => post(tx, [transfer])))).toBe('ledger/account')
    }
  })

  test('SQL, quotes, braces and half characters in every text are only text', async () => {
    const texts = [
      `'); DROP TABLE transfer; --`,
      '{"a",NULL}',
      '\\x00"\\',
      "it's",
      'ü€😀',
      'a,b',
      'NULL',
      '{}',
    ]
    for (const [i, text] of texts.entries()) {
      const to = submitterAccount(text)
      await tx((tx) =>
        post(tx, [
          {
            from: 'issued',
            to,
            amount: i + 1,
            kind: 'deposit',
            note: `${text}\0\uD800`,
            once: `${text}-${i}`,
          },
        ]),
      )
      expect(await balance(to)).toBe(i + 1)
      const { items } = await transfersPage(network.db, { account: to, limit: 10 })
      expect(items.map(({ note }) => note)).toEqual([`${text}\uFFFD\uFFFD`])
    }
  })
})

test('random transfers keep the sum, and each balance is what a model says', async () => {
  const names = ['model-a', 'model-b', 'model-c'].map(submitterAccount)
  const account = fc.constantFrom('issued', ...names)
  const transfer = fc.record({
    from: account,
    to: account,
    amount: fc.integer({ min: 0, max: 50 }),
    upTo: fc.boolean(),
    once: fc.option(fc.integer({ min: 0, max: 30 }), { nil: undefined }),
  })
  const model = new Map<string, number>()
  const known = new Set<string>()
  await fc.assert(
    fc.asyncProperty(fc.array(transfer, { maxLength: 12 }), async (drawn) => {
      const list = drawn
        .filter(({ from, to }) => from !== to)
        // The one account without a bottom has nothing that could run out.
        .map(({ once, upTo, ...rest }) => ({
          ...rest,
          kind: 'deposit' as const,
          upTo: upTo && rest.from !== 'issued',
          ...(once === undefined ? {} : { once: `model:${once}` }),
        }))
      const expected = applyModel(list, { model, known })
      const code = await codeOf(tx((tx) => post(tx, list)))
      expect(code).toBe(expected === null ? 'ledger/insufficient' : 'resolved')
      if (expected !== null) {
        for (const [name, amount] of expected.model) model.set(name, amount)
        for (const name of expected.known) known.add(name)
      }
      const now = await balances(network.db, names)
      for (const name of names) expect(now.get(name)).toBe(model.get(name) ?? 0)
    }),
    { numRuns: 150 },
  )
  expect((await checkBooks(network.db)).faults).toEqual([])
})

/** The rules of `post` in a few lines of arithmetic; null where it must refuse. */
function applyModel(
  transfers: readonly Transfer[],
  before: { readonly model: ReadonlyMap<string, number>; readonly known: ReadonlySet<string> },
) {
  const model = new Map(before.model)
  const known = new Set(before.known)
  const asked = new Map<string, number>()
  for (const { from, to, amount, upTo = false, once } of transfers) {
    if (amount === 0) continue
    if (once !== undefined && known.has(once)) continue
    const earlier = asked.get(from) ?? 0
    const size = upTo ? Math.max(0, Math.min(amount, (before.model.get(from) ?? 0) - earlier)) : amount
    if (upTo) asked.set(from, earlier + amount)
    if (once !== undefined && (size > 0 || upTo)) known.add(once)
    model.set(from, (model.get(from) ?? 0) - size)
    model.set(to, (model.get(to) ?? 0) + size)
  }
  for (const [name, amount] of model) if (name !== 'issued' && amount < 0) return null
  return { model, known }
}

test('many connections at once: no deadlock, exact sums, no credit spent twice', async () => {
  const names = Array.from({ length: 6 }, (_, i) => `crowd-${i}`)
  for (const name of names) await give(name, 200)
  const replicas = [network.db, network.open(), network.open()]
  let refused = 0
  await Promise.all(
    Array.from({ length: 24 }, async (_, worker) => {
      const db = replicas[worker % replicas.length] ?? network.db
      for (let round = 0; round < 12; round++) {
        const from = names[(worker * 7 + round) % names.length] as string
        const to = names[(worker * 5 + round * 3 + 1) % names.length] as string
        if (from === to) continue
        // Two posts a transaction, in either order of accounts: what would meet in a circle without turns.
        const move = (a: string, b: string, amount: number): Transfer => ({
          from: submitterAccount(a),
          to: submitterAccount(b),
          amount,
          kind: 'deposit',
        })
        const code = await codeOf(
          db.tx(async (tx) => {
            await post(tx, [move(from, to, 40)])
            await post(tx, [move(to, from, 15)])
          }),
        )
        if (code === 'ledger/insufficient') refused++
        else expect(code).toBe('resolved')
      }
    }),
  )
  const after = await balances(network.db, names.map(submitterAccount))
  expect([...after.values()].reduce((sum, amount) => sum + amount, 0)).toBe(1200)
  expect(Math.min(...after.values())).toBeGreaterThanOrEqual(0)
  expect((await checkBooks(network.db)).faults).toEqual([])
  expect(refused).toBeGreaterThanOrEqual(0)
})

describe('reading', () => {
  test('pages of transfers and accounts hold each once, in order', async () => {
    const seen: number[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await transfersPage(network.db, { account: ESCROW, cursor, limit: 7 })
      seen.push(...page.items.map(({ id }) => id))
      if (page.nextCursor === null) break
      cursor = page.nextCursor
    }
    const { rows } = await network.db.query<{ id: number }>(
      `SELECT id FROM transfer WHERE 'escrow' IN (from_account, to_account) ORDER BY id DESC`,
    )
    expect(seen).toEqual(rows.map(({ id }) => id))
    const accounts = new Set<string>()
    let count = 0
    for (let cursor: string | undefined; ; ) {
      const page = await accountsPage(network.db, { cursor, limit: 7 })
      for (const { account } of page.items) accounts.add(account)
      count += page.items.length
      if (page.nextCursor === null) break
      cursor = page.nextCursor
    }
    expect(accounts.size).toBe(count)
    expect(accounts).toContain('issued')
  })

  test('a cursor that is none', async () => {
    for (const cursor of ['x', '-1', '1e3', "1' OR '1'='1", '99999999999999999']) {
      expect(await codeOf(transfersPage(network.db, { cursor, limit: 1 }))).toBe('wire/malformed')
    }
  })

  test('the check finds books that were cooked', async () => {
    const { db } = network
    await db.query("UPDATE account SET balance = balance + 5 WHERE id = 'escrow'")
    const { faults, isSound } = await checkBooks(db)
    expect(isSound).toBe(false)
    expect(faults).toHaveLength(2)
    expect(faults.join()).toContain('the sum over all accounts is 5')
    await db.query("UPDATE account SET balance = balance - 5 WHERE id = 'escrow'")
    expect((await checkBooks(db)).faults).toEqual([])
  })
})
