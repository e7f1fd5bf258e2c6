/** Reading the ledger: balances, transfers in pages, and the check that the books are in order. */

import { toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import type { accountView, transferView } from 'assay/wire/account'
import type * as z from 'zod/mini'
import type { Queryable } from '../store/database.ts'
import { ESCROW } from './ledger.ts'

export type AccountView = z.infer<typeof accountView>
export type TransferView = z.infer<typeof transferView>

export interface Page<T> {
  readonly items: readonly T[]
  readonly nextCursor: string | null
}

export interface PageOptions {
  /** `nextCursor` of the page before. */
  readonly cursor?: string | undefined
  readonly limit: number
}

/** A number that pages go by, from the cursor that came; 'wire/malformed' where it is none of ours. */
export function cursorNumber({ cursor }: PageOptions): number | null {
  if (cursor === undefined) return null
  const number = Number(cursor)
  if (/^[0-9]{1,16}$/.test(cursor) && Number.isSafeInteger(number)) return number
  throw new AssayError('wire/malformed', 'expected the cursor that the page before gave')
}

/** One item more than the page has was asked for: whether it came says whether there is another page. */
export function pageFrom<Row, Item>(
  rows: readonly Row[],
  { limit, cursor, item }: { limit: number; cursor: (row: Row) => string; item: (row: Row) => Item },
): Page<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return {
    items: shown.map(item),
    nextCursor: rows.length > limit && last !== undefined ? cursor(last) : null,
  }
}

/** Of each account asked for, zero where there is none. */
export async function balances(db: Queryable, accounts: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await db.query<{ id: string; balance: number }>(
    'SELECT id, balance FROM account WHERE id = ANY ($1::text[])',
    [accounts],
  )
  const found = new Map(rows.map(({ id, balance }) => [id, balance]))
  return new Map(accounts.map((account) => [account, found.get(account) ?? 0]))
}

/** All accounts, in the order in which they were made. */
export async function accountsPage(db: Queryable, options: PageOptions): Promise<Page<AccountView>> {
  const { rows } = await db.query<{ id: string; number: number; balance: number }>(
    'SELECT id, number, balance FROM account WHERE number > $1 ORDER BY number LIMIT $2',
    [cursorNumber(options) ?? 0, options.limit + 1],
  )
  return pageFrom(rows, {
    limit: options.limit,
    cursor: ({ number }) => String(number),
    item: ({ id, balance }) => ({ account: id, balance }),
  })
}

interface TransferRow {
  readonly id: number
  readonly at: Date
  readonly from_account: string
  readonly to_account: string
  readonly amount: number
  readonly kind: string
  readonly job_id: string | null
  readonly node_id: Uint8Array | null
  readonly note: string
}

const COLUMNS = 'id, at, from_account, to_account, amount, kind, job_id, node_id, note'

/** Newest first: of one account, or of all. */
export async function transfersPage(
  db: Queryable,
  { account, ...page }: PageOptions & { readonly account?: string | undefined },
): Promise<Page<TransferView>> {
  const before = cursorNumber(page) ?? Number.MAX_SAFE_INTEGER
  const limit = page.limit + 1
  // One index for each side, merged: an OR would read the whole table.
  const { rows } =
    account === undefined
      ? await db.query<TransferRow>(
          `SELECT ${COLUMNS} FROM transfer WHERE id < $1 ORDER BY id DESC LIMIT $2`,
          [before, limit],
        )
      : await db.query<TransferRow>(
          `SELECT * FROM (
             (SELECT ${COLUMNS} FROM transfer WHERE from_account = $3 AND id < $1 ORDER BY id DESC LIMIT $2)
             UNION ALL
             (SELECT ${COLUMNS} FROM transfer WHERE to_account = $3 AND id < $1 ORDER BY id DESC LIMIT $2)
           ) AS both_sides ORDER BY id DESC LIMIT $2`,
          [before, limit, account],
        )
  return pageFrom(rows, { limit: page.limit, cursor: ({ id }) => String(id), item: transferOf })
}

function transferOf(row: TransferRow): TransferView {
  return {
    id: row.id,
    at: row.at.toISOString(),
    from: row.from_account,
    to: row.to_account,
    amount: row.amount,
    kind: row.kind,
    jobId: row.job_id,
    nodeId: row.node_id === null ? null : toHex(row.node_id),
    note: row.note,
  }
}

export interface BooksCheck {
  readonly isSound: boolean
  readonly accounts: number
  readonly transfers: number
  /** In words, at most a hundred. */
  readonly faults: readonly string[]
}

interface Fault {
  readonly fault: string
}

/** Faults that are told; where there are more, the books need more than a list. */
const MAX_FAULTS = 100

/**
 * Whether the sum is zero, every balance is what its transfers give, no account is below zero that may not be, and
 * each open job has its budget in escrow and each ended one nothing. Reads everything, in one snapshot.
 */
export async function checkBooks(db: Queryable): Promise<BooksCheck> {
  const { rows } = await db.query<{ accounts: number; transfers: number; faults: Fault[] | null }>(
    `WITH side AS (
       SELECT from_account AS id, -amount AS change FROM transfer UNION ALL SELECT to_account, amount FROM transfer
     ), told AS (
       SELECT id, sum(change) AS balance FROM side GROUP BY id
     ), escrowed AS (
       SELECT job_id, sum(CASE WHEN to_account = $1 THEN amount ELSE -amount END) AS held FROM transfer
       WHERE job_id IS NOT NULL AND $1 IN (from_account, to_account) GROUP BY job_id
     ), fault AS (
       SELECT 'the sum over all accounts is ' || sum(balance) || ', not 0' AS fault FROM account HAVING sum(balance) <> 0
       UNION ALL
       SELECT 'account ' || coalesce(account.id, told.id) || ' has ' || coalesce(account.balance, 0)
         || ', and its transfers give ' || coalesce(told.balance, 0)
       FROM account FULL JOIN told ON told.id = account.id
       WHERE account.id IS NULL OR account.balance <> coalesce(told.balance, 0)
       UNION ALL
       SELECT 'account ' || id || ' is at ' || balance || ', and may not be below zero'
       FROM account WHERE balance < 0 AND NOT may_be_negative
       UNION ALL
       SELECT 'job ' || coalesce(job.id, job_id) || ' (' || coalesce(job.state, 'unknown') || ') has '
         || coalesce(held, 0) || ' credits in escrow'
       FROM escrowed FULL JOIN job ON job.id = job_id
       WHERE coalesce(held, 0) <> CASE WHEN job.state IN ('submitted', 'running') THEN job.budget ELSE 0 END
     )
     SELECT (SELECT count(*) FROM account) AS accounts, (SELECT count(*) FROM transfer) AS transfers,
       (SELECT json_agg(few) FROM (SELECT fault FROM fault LIMIT $2) AS few) AS faults`,
    [ESCROW, MAX_FAULTS],
  )
  const [{ accounts, transfers, faults }] = rows as [(typeof rows)[number]]
  const list = (faults ?? []).map(({ fault }) => fault)
  return {
    isSound: list.length === 0,
    accounts,
    transfers,
    faults: list,
  }
}
