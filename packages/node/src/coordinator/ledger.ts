/**
 * The ledger of credits: double entry, whole amounts, and the sum over all accounts is zero at all times.
 *
 *     submitter:NAME  escrow  held:NODE  node:NODE  stake:NODE  penalties  audit-fund  issued
 *
 * A job pays its whole budget into the escrow at intake. When it ends, each accepted run is paid out of it, to be held
 * until the node's next clean audit, and the rest goes back. Runs that the coordinator wanted beyond those that
 * the job asked for are its own cost (`audit-fund`). A transfer with `once` happens once, however often it is posted.
 *
 * All of it takes a transaction of the caller, at READ COMMITTED. Posting waits for every other transaction that
 * posted (`ledger_post` in the migration says why), so a transaction locks its other rows first and posts last.
 *
 * Threat: amounts and names come from submitters. Whoever cannot pay is refused before anything moves.
 */
import { AssayError } from 'assay/core/errors'
import type { Tx } from '../store/database.ts'

/** Moves whatever an account holds, together with `upTo`. */
export const ALL = Number.MAX_SAFE_INTEGER

export const ESCROW = 'escrow'
export const PENALTIES = 'penalties'
/** Pays for runs that the coordinator wants; in debt as long as nobody fills it. */
export const AUDIT_FUND = 'audit-fund'
/** Where credits come from: minus all that was ever deposited. */
export const ISSUED = 'issued'

export const submitterAccount = (name: string) => `submitter:${name}`
export const nodeAccount = (nodeId: string) => `node:${nodeId}`
export const heldAccount = (nodeId: string) => `held:${nodeId}`
export const stakeAccount = (nodeId: string) => `stake:${nodeId}`

export type TransferKind =
  | 'deposit'
  | 'escrow'
  | 'refund'
  /** A run that was accepted, held until the next clean audit of its node. */
  | 'hold'
  /** To the account of a node. */
  | 'payout'
  | 'stake'
  | 'penalty'

export interface Transfer {
  readonly from: string
  readonly to: string
  /** Whole credits; transfers of none are left out. */
  readonly amount: number
  /** Moves what `from` held before the post, where that is less. */
  readonly upTo?: boolean
  readonly kind: TransferKind
  readonly jobId?: string
  readonly nodeId?: string
  readonly note?: string
  /** Names what it is for, among all transfers ever. */
  readonly once?: string
}

export interface Moved {
  readonly from: string
  readonly to: string
  readonly amount: number
  readonly kind: string
  readonly once: string | null
}

/**
 * Posts all transfers or none; the ones that moved come back. 'ledger/insufficient' leaves the transaction to be
 * rolled back; 'ledger/amount' and 'ledger/account' are thrown before the database is asked.
 */
export async function post(tx: Tx, transfers: readonly Transfer[]): Promise<Moved[]> {
  const list = distinct(transfers.filter(isSomething))
  if (list.length === 0) return []
  try {
    const { rows } = await tx.query<MovedRow>(
      `SELECT from_account, to_account, amount, kind, once
       FROM ledger_post($1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::uuid[], $7::bytea[],
         $8::text[], $9::text[])`,
      [
        list.map(({ from }) => from),
        list.map(({ to }) => to),
        list.map(({ amount }) => amount),
        list.map(({ upTo = false }) => upTo),
        list.map(({ kind }) => kind),
        list.map(({ jobId = null }) => jobId),
        list.map(({ nodeId }) => (nodeId === undefined ? null : Buffer.from(nodeId, 'hex'))),
        list.map(({ note = '' }) => note),
        list.map(({ once = null }) => once),
      ],
    )
    return rows.map(({ from_account: from, to_account: to, amount, kind, once }) => ({
      from,
      to,
      amount: Number(amount),
      kind,
      once,
    }))
  } catch (error) {
    throw ledgerError(error)
  }
}

interface MovedRow {
  readonly from_account: string
  readonly to_account: string
  readonly amount: string
  readonly kind: string
  readonly once: string | null
}

const ACCOUNT =
  /^(?:escrow|penalties|audit-fund|issued|(?:node|held|stake):[0-9a-f]{64}|submitter:[^\p{Cc}\p{Cs}]{1,128})$/u

export function isAccount(id: string): boolean {
  return ACCOUNT.test(id)
}

function isSomething({ from, to, amount }: Transfer): boolean {
  if (!Number.isSafeInteger(amount) || amount < 0) {
    throw new AssayError('ledger/amount', `expected a whole amount from 0 on, got ${amount}`)
  }
  if (from === to || !isAccount(from) || !isAccount(to)) {
    throw new AssayError('ledger/account', 'expected two different accounts', { detail: { from, to } })
  }
  return amount > 0
}

/** Of the transfers that are the same by `once`, the first. */
function distinct(transfers: readonly Transfer[]): Transfer[] {
  const seen = new Set<string>()
  return transfers.filter(({ once }) => {
    if (once === undefined) return true
    if (seen.has(once)) return false
    seen.add(once)
    return true
  })
}

/** What `ledger_post` raises, and the bound of balances, as our errors. */
function ledgerError(error: unknown): unknown {
  const { code, constraint, detail } = databaseFault(error)
  if (constraint === 'account_exact') {
    return new AssayError('ledger/amount', 'a balance would get too large to count in whole credits', {
      cause: error,
    })
  }
  if (code !== 'AL001') return error
  const { account, balance, short } = JSON.parse(detail ?? '{}') as Shortage
  return insufficient({ account, balance, short }, error)
}

interface Shortage {
  readonly account: string
  readonly balance: number
  readonly short: number
}

export function insufficient({ account, balance, short }: Shortage, cause?: unknown): AssayError {
  const message = `account ${account} holds ${balance} credits, and ${short} more are needed: deposit them or ask for less`
  return new AssayError('ledger/insufficient', message, { detail: { account, balance, short }, cause })
}

/** The error of the database driver itself, which ours may wrap. */
function databaseFault(error: unknown): { code?: string; constraint?: string; detail?: string } {
  const wrapped = error instanceof AssayError ? error.cause : error
  return (wrapped ?? {}) as { code?: string; constraint?: string; detail?: string }
}

/** Balances by account, with the ledger held still until the end of the transaction. */
async function lockedBalances(tx: Tx, accounts: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await tx.query<{ name: string; held: string }>(
    'SELECT name, held FROM ledger_balances($1::text[])',
    [[...new Set(accounts)]],
  )
  return new Map(rows.map(({ name, held }) => [name, Number(held)]))
}

export interface JobEscrow {
  readonly jobId: string
  readonly submitter: string
  readonly budget: number
}

/**
 * Takes the budgets of jobs into escrow, as many of each submitter, in their order, as its balance covers. The
 * others come back with the error to answer them with; nothing was moved for those.
 */
export async function escrowJobs(
  tx: Tx,
  jobs: readonly JobEscrow[],
): Promise<ReadonlyMap<string, AssayError>> {
  const refused = new Map<string, AssayError>()
  if (jobs.length === 0) return refused
  const left = await lockedBalances(
    tx,
    jobs.map(({ submitter }) => submitterAccount(submitter)),
  )
  const transfers: Transfer[] = []
  for (const { jobId, submitter, budget } of jobs) {
    const account = submitterAccount(submitter)
    const balance = left.get(account) ?? 0
    if (budget > balance) {
      refused.set(jobId, insufficient({ account, balance, short: budget - balance }))
      continue
    }
    left.set(account, balance - budget)
    transfers.push({
      from: account,
      to: ESCROW,
      amount: budget,
      kind: 'escrow',
      jobId,
      once: `escrow:${jobId}`,
    })
  }
  await post(tx, transfers)
  return refused
}

/** Issues credits to an account, which is made when there is none. */
export async function deposit(
  tx: Tx,
  { account, amount, note = '', once }: { account: string; amount: number; note?: string; once?: string },
): Promise<void> {
  const name = once === undefined ? {} : { once }
  await post(tx, [{ from: ISSUED, to: account, amount, kind: 'deposit', note, ...name }])
}

/** Raises the stake of a node to `amount`, as far as its operator's balance goes; the stake that it has then. */
export async function stake(
  tx: Tx,
  { nodeId, operator, amount }: { nodeId: string; operator: string; amount: number },
): Promise<number> {
  const to = stakeAccount(nodeId)
  const has = (await lockedBalances(tx, [to])).get(to) ?? 0
  if (has >= amount) return has
  const moved = await post(tx, [
    { from: submitterAccount(operator), to, amount: amount - has, upTo: true, kind: 'stake', nodeId },
  ])
  return has + total(moved)
}

export interface Penalty {
  /** Taken from the stake, as far as it goes. What is held for the node is forfeited whole. */
  readonly amount: number
  readonly reason: string
  /** Names the fault. */
  readonly once: string
}

/** Takes a penalty; what it came to. */
export async function penalise(
  tx: Tx,
  nodeId: string,
  { amount, reason, once }: Penalty,
): Promise<{ readonly stake: number; readonly held: number }> {
  const from = { stake: stakeAccount(nodeId), held: heldAccount(nodeId) }
  const common = { to: PENALTIES, upTo: true, kind: 'penalty', nodeId, note: reason } as const
  const moved = await post(tx, [
    { ...common, from: from.stake, amount, once: `penalty:${once}:stake` },
    { ...common, from: from.held, amount: ALL, once: `penalty:${once}:held` },
  ])
  return {
    stake: total(moved.filter((transfer) => transfer.from === from.stake)),
    held: total(moved.filter((transfer) => transfer.from === from.held)),
  }
}

/** Pays out what is held for nodes, at their clean audit. */
export async function releaseHeld(tx: Tx, nodeIds: readonly string[]): Promise<void> {
  await post(
    tx,
    [...new Set(nodeIds)].map((nodeId) => ({
      from: heldAccount(nodeId),
      to: nodeAccount(nodeId),
      amount: ALL,
      upTo: true,
      kind: 'payout',
      nodeId,
    })),
  )
}

function total(moved: readonly Moved[]): number {
  return moved.reduce((sum, { amount }) => sum + amount, 0)
}

/** What a job came to when it ended. */
export interface Settlement {
  readonly jobId: string
  /** Paid to nodes by the job. */
  readonly spent: number
  readonly refunded: number
  /** Paid by the audit fund for runs that only the coordinator wanted. */
  readonly fromFund: number
}

interface PaidRow {
  readonly id: string
  readonly submitter: string
  readonly budget: string
  readonly price: string
  readonly node_id: Buffer | null
  readonly asked: string | null
  readonly forced: string | null
  readonly at_once: boolean | null
}

/**
 * Settles jobs that end in this transaction, whichever way: each accepted run is paid, what is left of the budget
 * goes back, `job.spent` says what it came to. Of a segment's accepted runs the job pays those that it asked for,
 * and one in any case. A trusted node with a clean audit in the job is paid at once, others when they have one.
 */
export async function settleJobs(tx: Tx, jobIds: readonly string[]): Promise<Settlement[]> {
  if (jobIds.length === 0) return []
  const { rows } = await tx.query<PaidRow>(
    `WITH run AS (
       SELECT job_id, node_id, audited, forced AND 1 < row_number() OVER (
         PARTITION BY job_id, segment ORDER BY forced, ordinal) AS is_ours
       FROM dispatch WHERE job_id = ANY ($1::uuid[]) AND state = 'accepted'
     ), paid AS (
       SELECT job_id, node_id, count(*) FILTER (WHERE NOT is_ours) AS asked, count(*) FILTER (WHERE is_ours) AS forced,
         bool_or(audited) AS audited
       FROM run GROUP BY job_id, node_id
     )
     SELECT job.id, job.submitter, job.budget, job.price_per_segment AS price, paid.node_id, paid.asked, paid.forced,
       paid.audited AND node.standing = 'trusted' AS at_once
     FROM job LEFT JOIN paid ON paid.job_id = job.id LEFT JOIN node ON node.id = paid.node_id
     WHERE job.id = ANY ($1::uuid[]) ORDER BY job.id, paid.node_id`,
    [jobIds],
  )
  const byJob = new Map<string, PaidRow[]>()
  for (const row of rows) byJob.set(row.id, [...(byJob.get(row.id) ?? []), row])
  const settled = [...byJob.values()].map(settlement)
  await tx.query(
    `UPDATE job SET spent = given.spent FROM unnest($1::uuid[], $2::bigint[]) AS given (id, spent)
     WHERE job.id = given.id AND given.spent > 0`,
    [settled.map(({ jobId }) => jobId), settled.map(({ spent }) => spent)],
  )
  await post(
    tx,
    settled.flatMap(({ transfers }) => transfers),
  )
  return settled.map(({ transfers: _, ...figures }) => figures)
}

/** Of one job, from its rows: one for each node that it pays. */
function settlement(rows: readonly PaidRow[]): Settlement & { readonly transfers: readonly Transfer[] } {
  const [{ id: jobId, submitter, ...job }] = rows as [PaidRow]
  const budget = Number(job.budget)
  const price = Number(job.price)
  let left = budget
  let fromFund = 0
  const transfers: Transfer[] = []
  for (const { node_id: node, asked, forced, at_once: atOnce } of rows) {
    if (node === null) continue
    const nodeId = node.toString('hex')
    const to = atOnce === true ? nodeAccount(nodeId) : heldAccount(nodeId)
    const kind = atOnce === true ? 'payout' : 'hold'
    // A budget covers what its job may ask for; were it ever short, nodes would not be the ones to lose.
    const owed = price * Number(asked)
    const paid = Math.min(owed, left)
    const extra = owed - paid + price * Number(forced)
    left -= paid
    fromFund += extra
    const common = { to, kind, jobId, nodeId } as const
    transfers.push({ ...common, from: ESCROW, amount: paid, once: `pay:${jobId}:${nodeId}` })
    transfers.push({ ...common, from: AUDIT_FUND, amount: extra, once: `fund:${jobId}:${nodeId}` })
  }
  const to = submitterAccount(submitter)
  transfers.push({ from: ESCROW, to, amount: left, kind: 'refund', jobId, once: `refund:${jobId}` })
  return { jobId, spent: budget - left, refunded: left, fromFund, transfers }
}
