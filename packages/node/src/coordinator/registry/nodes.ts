/**
 * Nodes as hot paths need them: who may sign requests, who may work, how often somebody is audited. Read in batches,
 * and kept for a moment.
 *
 * The key of a node id never changes, as the id is made from it; standing, stake and the rest may be as old as
 * `CACHE_MS`. Whatever decides over money reads the row itself.
 */
import { fromHex, toHex } from 'assay/core/bytes'
import type { KeyType, PublicKey } from 'assay/core/keys'
import type { Manifest } from 'assay/wire/manifest'
import { type Queryable, statement } from '../../store/database.ts'
import { auditRate } from '../trust/audit.ts'
import { parseReputation, type Reputation, type Standing } from '../trust/reputation-state.ts'
import { KEPT_FROM, runtimesLeft } from './incidents.ts'
import type { NodePolicy } from './policy.ts'

const CACHE_MS = 2_000
/** Twice the nodes of the largest network that is measured. */
const MAX_CACHED = 20_000

export interface NodeInfo {
  readonly nodeId: string
  readonly publicKey: PublicKey
  readonly role: Manifest['role']
  /** Without the runtimes that an incident keeps it from. */
  readonly manifest: Manifest
  readonly operator: string
  readonly state: 'online' | 'offline' | 'draining'
  readonly standing: Standing
  readonly reputation: Reputation
  /** No work before, in Unix milliseconds. */
  readonly restingUntil: number | null
  readonly stake: number
}

interface NodeRow {
  readonly id: Uint8Array
  readonly role: Manifest['role']
  readonly public_key: { readonly type: KeyType; readonly bytes: string }
  readonly manifest: Manifest
  readonly operator: string
  readonly state: NodeInfo['state']
  readonly standing: Standing
  readonly reputation: unknown
  readonly resting_until: Date | null
  readonly stake: number | null
  readonly kept_from: readonly string[]
}

const READ = statement(
  'nodes_read',
  `SELECT node.id, role, public_key, manifest, operator, state, standing, reputation, resting_until,
     account.balance AS stake, ${KEPT_FROM} AS kept_from
   FROM node LEFT JOIN account ON account.id = 'stake:' || encode(node.id, 'hex') WHERE node.id = ANY ($1::bytea[])`,
)

/** Straight from the database. */
export async function readNodes(db: Queryable, nodeIds: readonly string[]): Promise<Map<string, NodeInfo>> {
  const { rows } = await db.query<NodeRow>(READ, [nodeIds.map(fromHex)])
  return new Map(rows.map((row) => [toHex(row.id), infoOf(row)]))
}

function infoOf(row: NodeRow): NodeInfo {
  const { role, operator, state, standing } = row
  const manifest = { ...row.manifest, runtimes: runtimesLeft(row.manifest.runtimes, row.kept_from) }
  return {
    nodeId: toHex(row.id),
    publicKey: { type: row.public_key.type, bytes: fromHex(row.public_key.bytes) },
    role,
    manifest,
    operator,
    state,
    standing,
    reputation: parseReputation(row.reputation),
    restingUntil: row.resting_until?.getTime() ?? null,
    stake: row.stake ?? 0,
  }
}

export interface NodeCache {
  /** By id; those that are not registered are left out. `now` in Unix milliseconds. */
  get(nodeIds: readonly string[], now: number): Promise<ReadonlyMap<string, NodeInfo>>
  /** After a change that must be seen at once. */
  forget(nodeId: string): void
}

export function openNodes(db: Queryable): NodeCache {
  const cache = new Map<string, { readonly info: NodeInfo; readonly readAt: number }>()
  return {
    async get(nodeIds, now) {
      const found = new Map<string, NodeInfo>()
      const missing: string[] = []
      for (const nodeId of nodeIds) {
        const known = cache.get(nodeId)
        if (known !== undefined && Math.abs(now - known.readAt) < CACHE_MS) found.set(nodeId, known.info)
        else missing.push(nodeId)
      }
      if (missing.length === 0) return found
      for (const [nodeId, info] of await readNodes(db, missing)) {
        cache.delete(nodeId)
        cache.set(nodeId, { info, readAt: now })
        found.set(nodeId, info)
      }
      while (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value as string)
      return found
    },
    forget(nodeId) {
      cache.delete(nodeId)
    },
  }
}

/** Whether a node gets work now. */
export function mayWorkNow({ state, standing, restingUntil }: NodeInfo, now: number): boolean {
  const isGood = standing === 'probation' || standing === 'trusted'
  return state === 'online' && isGood && (restingUntil === null || restingUntil <= now)
}

/** Share of a node's results that is audited, on a job that asks for `jobShare` and pays `price` a segment. */
export function auditRateOf(
  { reputation, stake }: Pick<NodeInfo, 'reputation' | 'stake'>,
  {
    jobShare,
    price,
    policy,
  }: { readonly jobShare: number; readonly price: number; readonly policy: NodePolicy },
): number {
  const terms = {
    reputation,
    jobShare,
    // A fault costs the penalty, not all that is staked.
    stake: Math.min(stake, policy.penalty),
    reward: price,
    computeCost: price,
  }
  return auditRate(terms, policy)
}
