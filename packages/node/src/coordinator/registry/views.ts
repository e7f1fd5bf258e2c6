/** Nodes as people see them: where they stand, and why. */
import { fromHex, toHex } from 'assay/core/bytes'
import { AssayError, type Json } from 'assay/core/errors'
import type { Manifest, NodeView } from 'assay/wire/manifest'
import type { Queryable } from '../../store/database.ts'
import { type Page, type PageOptions, pageFrom } from '../ledger-read.ts'
import { parseReputation, type Standing } from '../trust/reputation-state.ts'
import { auditRateOf } from './nodes.ts'
import type { NodePolicy } from './policy.ts'

/** Decisions that one node is shown with, and each node of a page. */
const DECISIONS = 50
const PAGE_DECISIONS = 1
const NODE_ID = /^[0-9a-f]{64}$/

interface ViewRow {
  readonly id: Uint8Array
  readonly manifest: Manifest
  readonly state: NodeView['state']
  readonly standing: Standing
  readonly reputation: unknown
  readonly stake: number
  readonly balance: number
  readonly held: number
  readonly leases: number
  readonly accepted: number
  readonly faults: number
  readonly registered_at: Date
  readonly last_seen_at: Date
  readonly decisions: readonly DecisionRow[] | null
}

interface DecisionRow {
  readonly at: string
  readonly type: string
  readonly data: { readonly [key: string]: Json }
}

const balanceOf = (account: string) =>
  `coalesce((SELECT balance FROM account WHERE account.id = '${account}:' || encode(node.id, 'hex')), 0) AS ${
    account === 'node' ? 'balance' : account
  }`

/** $1: how many decisions. */
const VIEWS = `SELECT id, manifest, state, standing, reputation, accepted, faults, registered_at, last_seen_at,
    ${balanceOf('stake')}, ${balanceOf('node')}, ${balanceOf('held')},
    (SELECT count(*) FROM dispatch WHERE dispatch.node_id = node.id AND dispatch.state = 'leased') AS leases,
    (SELECT json_agg(newest) FROM (
       SELECT at, type, data FROM event WHERE event.node_id = node.id AND type LIKE 'node.%'
       ORDER BY event.id DESC LIMIT $1
     ) AS newest) AS decisions
  FROM node`

/** Nodes in the order of their ids, each with its newest decision. */
export async function nodesPage(
  db: Queryable,
  { cursor, limit, policy }: PageOptions & { readonly policy: NodePolicy },
): Promise<Page<NodeView>> {
  if (cursor !== undefined && !NODE_ID.test(cursor)) {
    throw new AssayError('wire/malformed', 'expected the cursor that the page before gave')
  }
  const { rows } = await db.query<ViewRow>(`${VIEWS} WHERE id > $2 ORDER BY id LIMIT $3`, [
    PAGE_DECISIONS,
    fromHex(cursor ?? ''),
    limit + 1,
  ])
  return pageFrom(rows, { limit, cursor: ({ id }) => toHex(id), item: (row) => viewOf(row, policy) })
}

/** One node, with its last decisions; 'wire/not-found' where there is none. */
export async function nodeView(
  db: Queryable,
  { nodeId, policy }: { readonly nodeId: string; readonly policy: NodePolicy },
): Promise<NodeView> {
  const { rows } = await db.query<ViewRow>(`${VIEWS} WHERE id = $2`, [DECISIONS, fromHex(nodeId)])
  if (rows[0] !== undefined) return viewOf(rows[0], policy)
  throw new AssayError('wire/not-found', 'there is no node of this id')
}

function viewOf(row: ViewRow, policy: NodePolicy): NodeView {
  const { manifest, state, standing, stake, balance, held, leases, accepted, faults } = row
  const reputation = parseReputation(row.reputation)
  return {
    id: toHex(row.id),
    manifest,
    state,
    standing,
    // On a job that asks for no audits and pays nothing: what its conduct alone asks for.
    auditRate: auditRateOf({ reputation, stake }, { jobShare: 0, price: 0, policy }),
    stake,
    balance,
    held,
    leases,
    accepted,
    faults,
    registeredAt: row.registered_at.toISOString(),
    lastSeenAt: row.last_seen_at.toISOString(),
    decisions: (row.decisions ?? []).map(({ at, type, data }) => ({
      at: new Date(at).toISOString(),
      code: type.slice('node.'.length),
      reason: String(data.reason ?? ''),
    })),
  }
}
