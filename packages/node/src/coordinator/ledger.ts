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
import { fromHex, toHex } from 'assay/core/bytes'
import { AssayError, reject, type Verdict } from 'assay/core/errors'
import { statement, type Tx } from '../store/database.ts'
import { storable } from './events.ts'

/** Moves whatever an account holds, together with `upTo`. */
export const ALL = Number.MAX_SAFE_INTEGER

export const ESCROW = 'escrow'
export const PENALTIES = 'penalties'
/** Pays for runs that the coordinator wants; in debt as long as nobody fills it, within bounds (`AuditFund`). */
export const AUDIT_FUND = 'audit-fund'
/** Where credits come from: minus all that was ever deposited. */
const ISSUED = 'issued'

export const submitterAccount = (name: string) => `submitter:${name}`
export const nodeAccount = (nodeId: string) => `node:${nodeId}`
export const heldAccount = (nodeId: string) => `held:${nodeId}`
export const stakeAccount = (nodeId: string) => `stake:${nodeId}`

type TransferKind =
  | 'deposit'
  | 'escrow'
  | 'refund'
  /** A run that was accepted, held until the next clean audit of its node. */
  | 'hold'
  /** To the account of a node. */
  | 'payout'
  | 'stake'
  | 'penalty'
  /** A penalty that was taken back. */
  | 'pardon'

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

/** Its rows are transfers; or one without a target: an account that does not cover them, and what it would hold. */
const POST = statement(
  'ledger_post',
  `SELECT source, target, size, name, once FROM ledger_post($1::text[], $2::text[], $3::bigint[], $4::boolean[],
     $5::text[], $6::uuid[], $7::bytea[], $8::text[], $9::text[])`,
)

interface PostedRow {
  readonly source: string
  readonly target: string | null
  readonly size: number
  readonly name: string
  readonly once: string | null
}

/**
 * Posts all transfers or none; those that were written come back. After 'ledger/insufficient', 'ledger/amount' and
 * 'ledger/account' nothing has moved, and the transaction can go on.
 */
export async function post(tx: Tx, transfers: readonly Transfer[]): Promise<Moved[]> {
  const list = distinct(transfers.filter(isSomething))
  if (list.length === 0) return []
  const { rows } = await tx.query<PostedRow>(POST, [
    list.map(({ from }) => from),
    list.map(({ to }) => to),
    list.map(({ amount }) => amount),
    list.map(({ upTo = false }) => upTo),
    list.map(({ kind }) => kind),
    list.map(({ jobId = null }) => jobId),
    list.map(({ nodeId }) => (nodeId === undefined ? null : fromHex(nodeId))),
    list.map(({ note = '' }) => storable(note)),
    list.map(({ once = null }) => once),
  ])
  return rows.map(({ source, target, size, name, once }) => {
    if (target === null) throw notCovered({ account: source, balance: size, after: Number(once) })
    return { from: source, to: target, amount: size, kind: name, once }
  })
}

function notCovered({ account, balance, after }: { account: string; balance: number; after: number }) {
  if (Number.isSafeInteger(after)) return insufficient({ account, balance, short: -after })
  return new AssayError('ledger/amount', `account ${account} would get too large to count in whole credits`, {
    detail: { account },
  })
}

const ACCOUNT =
  /^(?:escrow|penalties|audit-fund|issued|(?:node|held|stake):[0-9a-f]{64}|submitter:[^\p{Cc}\p{Cs}]{1,128})$/u

function isAccount(id: string): boolean {
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

interface Shortage {
  readonly account: string
  readonly balance: number
  readonly short: number
}

function insufficient({ account, balance, short }: Shortage): AssayError {
  const message = `account ${account} holds ${balance} credits, and ${short} more are needed: deposit them or ask for less`
  return new AssayError('ledger/insufficient', message, { detail: { account, balance, short } })
}

const BALANCES = statement('ledger_balances', 'SELECT name, held FROM ledger_balances($1::text[])')

/** Balances by account (none where it is missing), with the ledger held still until the end of the transaction. */
export async function lockBalances(tx: Tx, accounts: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await tx.query<{ name: string; held: number }>(BALANCES, [[...new Set(accounts)]])
  return new Map(rows.map(({ name, held }) => [name, held]))
}

export interface JobEscrow {
  readonly jobId: string
  readonly submitter: string
  readonly budget: number
}

/** What pays the budget of a job, taken off `balances`; or 'ledger/insufficient'. */
export function escrowTransfer(balances: Map<string, number>, job: JobEscrow): Verdict<Transfer> {
  const { jobId, submitter, budget: amount } = job
  const from = submitterAccount(submitter)
  const balance = balances.get(from) ?? 0
  if (amount > balance) {
    const { code, message, detail } = insufficient({ account: from, balance, short: amount - balance })
    return reject(code, message, detail)
  }
  balances.set(from, balance - amount)
  return { ok: true, value: { from, to: ESCROW, amount, kind: 'escrow', jobId, once: `escrow:${jobId}` } }
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
  const has = (await lockBalances(tx, [to])).get(to) ?? 0
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

/** Take a penalty, from the stake and from what is held. */
export function penaltyTransfers(nodeId: string, { amount, reason, once }: Penalty): Transfer[] {
  const common = { to: PENALTIES, upTo: true, kind: 'penalty', nodeId, note: reason } as const
  return [
    { ...common, from: stakeAccount(nodeId), amount, once: `penalty:${once}:stake` },
    { ...common, from: heldAccount(nodeId), amount: ALL, once: `penalty:${once}:held` },
  ]
}

/** Pay out what is held for nodes, at their clean audit. */
export function releaseTransfers(nodeIds: readonly string[]): Transfer[] {
  return [...new Set(nodeIds)].map((nodeId) => ({
    from: heldAccount(nodeId),
    to: nodeAccount(nodeId),
    amount: ALL,
    upTo: true,
    kind: 'payout',
    nodeId,
  }))
}

function total(moved: readonly Moved[]): number {
  return moved.reduce((sum, { amount }) => sum + amount, 0)
}

/**
 * What the audit fund may spend. Whose results are audited beyond what the job asked for may well be in league with the
 * auditor, and the submitter too: without bounds they would draw credits from the fund by a price of their own making.
 */
export interface AuditFund {
  /** How far it may go into debt; beyond that, auditors of runs that only the coordinator wanted get nothing. */
  readonly overdraft: number
  /** Most for one run, whatever the job pays. */
  readonly mostPerRun: number
}

export const DEFAULT_AUDIT_FUND: AuditFund = { overdraft: 1_000_000, mostPerRun: 100 }

/** What a job came to when it ended. */
export interface Settlement {
  readonly jobId: string
  /** Paid to nodes by the job. */
  readonly spent: number
  readonly refunded: number
  /** Paid by the audit fund for runs that only the coordinator wanted. */
  readonly fromFund: number
  /** What is to be posted for it. */
  readonly transfers: readonly Transfer[]
}

interface PaidRow {
  readonly id: string
  readonly submitter: string
  readonly budget: number
  readonly price: number
  readonly node_id: Uint8Array | null
  readonly asked: number | null
  readonly forced: number | null
  readonly at_once: boolean | null
}

const PAID_RUNS = statement(
  'settlement_runs',
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
)

const SPENT = statement(
  'settlement_spent',
  `UPDATE job SET spent = given.spent FROM unnest($1::uuid[], $2::bigint[]) AS given (id, spent)
   WHERE job.id = given.id AND given.spent > 0`,
)

/**
 * Settles jobs that end in this transaction, whichever way: each accepted run is paid, what is left of the budget goes
 * back, and `job.spent` says what it came to. Nothing has moved yet: the caller posts the transfers last, once for each
 * job. Of a segment's accepted runs the job pays those that it asked for, and one in any case. A trusted node with a
 * clean audit in the job is paid at once, others when they have one.
 */
export async function settleJobs(
  tx: Tx,
  jobIds: readonly string[],
  fund: AuditFund = DEFAULT_AUDIT_FUND,
): Promise<Settlement[]> {
  if (jobIds.length === 0) return []
  const { rows } = await tx.query<PaidRow>(PAID_RUNS, [jobIds])
  const byJob = new Map<string, PaidRow[]>()
  for (const row of rows) byJob.set(row.id, [...(byJob.get(row.id) ?? []), row])
  const settle = (fundHas: number) => {
    let left = fundHas
    return [...byJob.values()].map((paid) => {
      const one = settlement(paid, { left, most: fund.mostPerRun })
      left -= one.fromFund
      return one
    })
  }
  const asked = settle(Number.POSITIVE_INFINITY)
  // What a job has spent is its own, whatever the fund adds.
  await tx.query(SPENT, [asked.map(({ jobId }) => jobId), asked.map(({ spent }) => spent)])
  // Most jobs take nothing from the fund: only for the others is its balance looked at, and the ledger held.
  if (asked.every(({ fromFund }) => fromFund === 0)) return asked
  const has = (await lockBalances(tx, [AUDIT_FUND])).get(AUDIT_FUND) ?? 0
  return settle(Math.max(0, has + fund.overdraft))
}

/** Of one job, from its rows: one for each node that it pays. */
function settlement(
  rows: readonly PaidRow[],
  fund: { readonly left: number; readonly most: number },
): Settlement {
  const [{ id: jobId, submitter, budget, price }] = rows as [PaidRow]
  let left = budget
  let fromFund = 0
  const transfers: Transfer[] = []
  for (const { node_id: node, asked, forced, at_once: atOnce } of rows) {
    if (node === null) continue
    const nodeId = toHex(node)
    const to = atOnce === true ? nodeAccount(nodeId) : heldAccount(nodeId)
    const kind = atOnce === true ? 'payout' : 'hold'
    // A budget covers what its job may ask for; were it ever short, nodes would not be the ones to lose.
    const owed = price * (asked ?? 0)
    const paid = Math.min(owed, left)
    const wanted = owed - paid + Math.min(price, fund.most) * (forced ?? 0)
    const extra = Math.min(wanted, fund.left - fromFund)
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
