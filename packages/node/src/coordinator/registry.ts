/**
 * Nodes come, say that they live, drain, and are missed.
 *
 * A node's id is made from its key; whoever asks must have signed with it (checked where requests come in, by the strict
 * check of the core for each key that is new). Who runs it is not what it says, but the account of the API key that it
 * enrols with. Verifiers decide over others, and take a scope of their own.
 *
 * Threat: anybody who has a key to enrol with. Another operator's node cannot be taken over, and a node that was banned
 * comes back banned.
 */
import { fromHex, toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { type NodeId, nodeId as nodeIdOf, type PublicKey } from 'assay/core/keys'
import type { Manifest } from 'assay/wire/manifest'
import type { Database, Tx } from '../store/database.ts'
import { mayUse, type Principal } from './accounts.ts'
import { append } from './events.ts'
import { stake } from './ledger.ts'
import { settleIncidents } from './registry/incidents.ts'
import { lockNodes, writeNodes } from './registry/node-record.ts'
import type { NodePolicy } from './registry/policy.ts'
import { release } from './trust/reputation.ts'
import { NEW_REPUTATION } from './trust/reputation-state.ts'

/** Nodes that one step of a sweep changes. */
const SWEEP_BATCH = 500

export interface Registration {
  /** Its key signed the request. */
  readonly manifest: Manifest
  /** Of the API key that the node enrols with. */
  readonly principal: Principal
  readonly policy: NodePolicy
}

/** Registers a node, or renews what it says of itself. 'wire/forbidden' where the key does not allow it. */
export async function registerNode(tx: Tx, { manifest, principal, policy }: Registration): Promise<NodeId> {
  const enrols = mayUse(principal, manifest.role === 'verifier' ? 'verifiers:enrol' : 'nodes:enrol')
  if (!enrols.ok) throw AssayError.fromJSON(enrols)
  const { type, bytes } = manifest.publicKey
  const key: PublicKey = { type, bytes: fromHex(bytes) }
  const nodeId = nodeIdOf(key)
  const { account: operator } = principal
  const { rows } = await tx.query<{ operator: string; role: string; is_new: boolean }>(
    `INSERT INTO node (id, role, public_key, manifest, operator, state, reputation)
     VALUES ($1, $2, $3, $4, $5, 'online', $6)
     ON CONFLICT (id) DO UPDATE SET last_seen_at = now(),
       manifest = CASE WHEN node.operator = $5 AND node.role = $2 THEN excluded.manifest ELSE node.manifest END,
       state = CASE WHEN node.state = 'offline' THEN 'online' ELSE node.state END, away = false
     RETURNING operator, role, xmax = 0 AS is_new`,
    [
      fromHex(nodeId),
      manifest.role,
      JSON.stringify(manifest.publicKey),
      JSON.stringify({ ...manifest, operator }),
      operator,
      JSON.stringify(NEW_REPUTATION),
    ],
  )
  const [row] = rows as [(typeof rows)[number]]
  if (row.operator !== operator) {
    throw new AssayError('wire/forbidden', 'the node of this key belongs to another operator')
  }
  if (row.role !== manifest.role) {
    throw new AssayError('wire/forbidden', `the node of this key is a ${row.role}: make another key`)
  }
  const amount =
    manifest.role === 'solver' ? await stake(tx, { nodeId, operator, amount: policy.minStake }) : 0
  const said = row.is_new ? 'registered' : 'registered again'
  const reason = `${said} by ${operator}, as ${manifest.role}, with a stake of ${amount} credits`
  await append(tx, [{ type: 'node.registered', nodeId, data: { reason, operator, stake: amount } }])
  return nodeId
}

/** Gives a node no more work, or work again. 'wire/not-found' where there is none. */
export async function drainNode(
  tx: Tx,
  { nodeId, drain }: { readonly nodeId: string; readonly drain: boolean },
): Promise<void> {
  const { rows } = await tx.query<{ before: string }>(
    `UPDATE node SET state = CASE WHEN $2 THEN 'draining' WHEN node.state = 'draining' THEN 'online' ELSE node.state END
     FROM (SELECT id, state AS before FROM node WHERE id = $1 FOR NO KEY UPDATE) AS old
     WHERE node.id = old.id RETURNING before`,
    [fromHex(nodeId), drain],
  )
  if (rows[0] === undefined) throw new AssayError('wire/not-found', 'there is no node of this id')
  if ((rows[0].before === 'draining') === drain) return
  const reason = drain ? 'an administrator gives it no more work' : 'an administrator gives it work again'
  await append(tx, [{ type: drain ? 'node.drained' : 'node.undrained', nodeId, data: { reason } }])
}

/**
 * Nodes that are not heard from go offline, quarantines end, incidents are settled. Any replica may do it at any time.
 * `now` in Unix milliseconds.
 */
export async function sweepNodes(
  db: Database,
  { policy, now }: { readonly policy: NodePolicy; readonly now: number },
): Promise<void> {
  while (await missNodes(db, { policy, now }));
  while (await endQuarantines(db, now));
  await settleIncidents(db, { policy, now })
}

/** Whether there may be more. */
async function missNodes(
  db: Database,
  { policy, now }: { policy: NodePolicy; now: number },
): Promise<boolean> {
  return db.tx(async (tx) => {
    const { rows } = await tx.query<{ id: Uint8Array; last_seen_at: Date }>(
      `UPDATE node SET state = 'offline' FROM (
         SELECT id FROM node WHERE state = 'online' AND last_seen_at < $1
         ORDER BY id LIMIT ${SWEEP_BATCH} FOR NO KEY UPDATE SKIP LOCKED
       ) AS missed WHERE node.id = missed.id RETURNING node.id, node.last_seen_at`,
      [new Date(now - policy.offlineAfterMs)],
    )
    await append(
      tx,
      rows.map(({ id, last_seen_at: at }) => ({
        type: 'node.offline',
        nodeId: toHex(id),
        data: { reason: `not heard from since ${at.toISOString()}` },
      })),
    )
    return rows.length === SWEEP_BATCH
  })
}

async function endQuarantines(db: Database, now: number): Promise<boolean> {
  return db.tx(async (tx) => {
    const { rows } = await tx.query<{ id: Uint8Array }>(
      `SELECT id FROM node WHERE standing = 'quarantined' AND resting_until <= $1
       ORDER BY id LIMIT ${SWEEP_BATCH} FOR NO KEY UPDATE SKIP LOCKED`,
      [new Date(now)],
    )
    const nodes = await lockNodes(
      tx,
      rows.map(({ id }) => toHex(id)),
    )
    const released = [...nodes.values()].map((node) => ({ node, ...release(node.reputation) }))
    await writeNodes(
      tx,
      released.map(({ node, next }) => ({
        node: { ...node, reputation: next, restingUntil: null },
        accepted: 0,
        faults: 0,
      })),
    )
    await append(
      tx,
      released.flatMap(({ node: { nodeId }, decision }) =>
        decision === undefined
          ? []
          : [
              {
                type: `node.${decision.code}`,
                nodeId,
                data: { reason: decision.reason, ...decision.detail },
              },
            ],
      ),
    )
    return rows.length === SWEEP_BATCH
  })
}
