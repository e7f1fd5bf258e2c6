/** Nodes as decisions see and change them: rows that are locked by ascending id, and written back at once. */
import { fromHex, toHex } from 'assay/core/bytes'
import { statement, type Tx } from '../../store/database.ts'
import { type Outcome, parseReputation, type Reputation } from '../trust/reputation-state.ts'

export interface Observation {
  readonly nodeId: string
  readonly outcome: Outcome
  /** `reproducible`, `native`, `wasm` or `chat`: what the work ran on. */
  readonly runtime: string
  /** Names a fault, among all faults ever: the dispatch. */
  readonly once?: string
  readonly jobId?: string
  readonly segment?: number
  /** Of a fault: which check failed, and how, in words. */
  readonly code?: string
  readonly reason?: string
}

/** A node as it is locked for a decision. */
export interface NodeRecord {
  readonly nodeId: string
  readonly operator: string
  readonly engine: string
  readonly tier: number
  readonly reputation: Reputation
  readonly restingUntil: number | null
}

export function isFault(outcome: Outcome): boolean {
  return outcome === 'fault' || outcome === 'malformed'
}

const LOCK = statement(
  'nodes_lock',
  `SELECT id, operator, manifest->>'engine' AS engine, (manifest->'hardware'->>'tier')::integer AS tier, reputation,
     resting_until FROM node WHERE id = ANY ($1::bytea[]) ORDER BY id FOR NO KEY UPDATE`,
)
const WRITE = statement(
  'nodes_write',
  `UPDATE node SET standing = given.standing, reputation = given.reputation, resting_until = given.resting_until,
     accepted = node.accepted + given.accepted, faults = node.faults + given.faults
   FROM unnest($1::bytea[], $2::text[], $3::jsonb[], $4::timestamptz[], $5::bigint[], $6::bigint[])
     AS given (id, standing, reputation, resting_until, accepted, faults)
   WHERE node.id = given.id`,
)

interface LockedRow {
  readonly id: Uint8Array
  readonly operator: string
  readonly engine: string
  readonly tier: number
  readonly reputation: unknown
  readonly resting_until: Date | null
}

/** The nodes, locked by ascending id until the end of the transaction. */
export async function lockNodes(tx: Tx, nodeIds: readonly string[]): Promise<Map<string, NodeRecord>> {
  const ids = [...new Set(nodeIds)].map(fromHex)
  const { rows } = await tx.query<LockedRow>(LOCK, [ids])
  return new Map(
    rows.map((row) => {
      const nodeId = toHex(row.id)
      const { operator, engine, tier } = row
      const restingUntil = row.resting_until?.getTime() ?? null
      return [
        nodeId,
        { nodeId, operator, engine, tier, reputation: parseReputation(row.reputation), restingUntil },
      ]
    }),
  )
}

export interface NodeChange {
  readonly node: NodeRecord
  /** Added to what the node has. */
  readonly accepted: number
  readonly faults: number
}

/** Writes nodes that this transaction has locked. */
export async function writeNodes(tx: Tx, changes: readonly NodeChange[]): Promise<void> {
  if (changes.length === 0) return
  await tx.query(WRITE, [
    changes.map(({ node }) => fromHex(node.nodeId)),
    changes.map(({ node }) => node.reputation.standing),
    changes.map(({ node }) => JSON.stringify(node.reputation)),
    changes.map(({ node }) => (node.restingUntil === null ? null : new Date(node.restingUntil))),
    changes.map(({ accepted }) => accepted),
    changes.map(({ faults }) => faults),
  ])
}
