/**
 * Faults of a cohort: whether what looks like many cheats is one broken engine (trust/cohort.ts).
 *
 * Audits are counted by kind of node in buckets of some minutes. A fault is judged against all of them within a window.
 * Where its cohort is to blame, an incident is opened: faults of the cohort are excused until it ends, and what its
 * nodes lost to faults within the window is given back: standing, stake, and what was held. Where enough operators
 * outside of the cohort do the same kind of thing right, it gets no new work of its kind meanwhile, since what is wrong
 * with all of its nodes would be found in the share of their results alone that is audited. Where all of a network are
 * of the cohort, they go on: a few operators could stop it otherwise, and nobody else could do the work.
 */
import { toHex } from 'assay/core/bytes'
import { type Database, type Queryable, statement, type Tx } from '../../store/database.ts'
import { append } from '../events.ts'
import { PENALTIES, post } from '../ledger.ts'
import { type CohortRecord, judgeCohort, type Kind } from '../trust/cohort.ts'
import { pardon } from '../trust/reputation.ts'
import { isFault, lockNodes, type NodeRecord, type Observation, writeNodes } from './node-record.ts'
import type { NodePolicy } from './policy.ts'

const BUCKET_MS = 300_000

const COUNT = statement(
  'conduct_count',
  `INSERT INTO conduct (since, operator, engine, runtime, tier, audits, faults)
   SELECT $1, operator, engine, runtime, tier, audits, faults
   FROM unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::bigint[])
     AS given (operator, engine, runtime, tier, audits, faults)
   ORDER BY operator, engine, runtime, tier
   ON CONFLICT (since, operator, engine, runtime, tier)
     DO UPDATE SET audits = conduct.audits + excluded.audits, faults = conduct.faults + excluded.faults`,
)

interface Options {
  readonly nodes: ReadonlyMap<string, NodeRecord>
  readonly policy: NodePolicy
  readonly now: number
}

/** Counts audits, and says which faults among them are an incident's; opens one where they show it. */
export async function excuseFaults(
  tx: Tx,
  observations: readonly Observation[],
  options: Options,
): Promise<ReadonlySet<Observation>> {
  const { nodes, policy, now } = options
  await count(tx, observations, options)
  const excused = new Set<Observation>()
  const faults = observations.filter(({ outcome }) => isFault(outcome))
  if (faults.length === 0) return excused
  const open = await openIncidents(tx, now)
  let records: readonly CohortRecord[] | undefined
  for (const fault of faults) {
    const kind = kindOf(nodes.get(fault.nodeId) as NodeRecord, fault.runtime)
    if (!open.some(({ cohort }) => isOf(kind, cohort))) {
      records ??= await recordsSince(tx, now - policy.cohortWindowMs)
      const { verdict, cohort, reason, detail } = judgeCohort(kind, records, policy.cohort)
      if (verdict === 'fraud') continue
      open.push({ cohort })
      const isPausing = hasOthers(cohort, Number(detail.otherOperators), policy)
      await openIncident(tx, { cohort, reason, isPausing, now, policy })
    }
    excused.add(fault)
  }
  return excused
}

async function count(tx: Tx, observations: readonly Observation[], { nodes, now }: Options): Promise<void> {
  const tallies = new Map<string, CohortRecord>()
  for (const { nodeId, runtime, outcome } of observations) {
    if (outcome !== 'clean' && !isFault(outcome)) continue
    const node = nodes.get(nodeId) as NodeRecord
    const kind = kindOf(node, runtime)
    const key = JSON.stringify([node.operator, kind])
    const { audits, faults } = tallies.get(key) ?? { audits: 0, faults: 0 }
    const tally = { audits: audits + 1, faults: faults + (isFault(outcome) ? 1 : 0) }
    tallies.set(key, { operator: node.operator, ...kind, ...tally })
  }
  if (tallies.size === 0) return
  const all = [...tallies.values()]
  await tx.query(COUNT, [
    new Date(now - (now % BUCKET_MS)),
    all.map(({ operator }) => operator),
    all.map(({ engine }) => engine),
    all.map(({ runtime }) => runtime),
    all.map(({ tier }) => tier),
    all.map(({ audits }) => audits),
    all.map(({ faults }) => faults),
  ])
}

async function recordsSince(db: Queryable, since: number): Promise<readonly CohortRecord[]> {
  const { rows } = await db.query<CohortRecord>(
    `SELECT operator, engine, runtime, tier, sum(audits)::int8 AS audits, sum(faults)::int8 AS faults
     FROM conduct WHERE since >= $1 GROUP BY operator, engine, runtime, tier`,
    [new Date(since)],
  )
  return rows
}

export interface Incident {
  /** What its nodes have in common. */
  readonly cohort: Partial<Kind>
}

/** Incidents that have not ended. */
export async function openIncidents(db: Queryable, now: number): Promise<Incident[]> {
  const { rows } = await db.query<Incident>('SELECT cohort FROM incident WHERE until > $1', [new Date(now)])
  return [...rows]
}

/**
 * Of a row of `node`: the runtimes that incidents keep it from, and '' for all of them. Mostly there are none, which is
 * seen once for all rows.
 */
export const KEPT_FROM = `CASE WHEN EXISTS (SELECT FROM incident WHERE NOT is_over AND is_pausing) THEN ARRAY(
    SELECT coalesce(cohort->>'runtime', '') FROM incident WHERE NOT is_over AND is_pausing
      AND (cohort->>'engine' IS NULL OR cohort->>'engine' = node.manifest->>'engine')
      AND (cohort->>'tier' IS NULL OR cohort->>'tier' = node.manifest->'hardware'->>'tier')
  ) ELSE '{}' END`

/** What a node may run now, of what it can run. */
export function runtimesLeft<Runtime extends string>(
  runtimes: readonly Runtime[],
  keptFrom: readonly string[],
): Runtime[] {
  return runtimes.filter((runtime) => !keptFrom.includes(runtime) && !keptFrom.includes(''))
}

/** Whether a kind of node is of a cohort. */
function isOf(kind: Kind, cohort: Partial<Kind>): boolean {
  return Object.entries(cohort).every(([field, value]) => kind[field as keyof Kind] === value)
}

function kindOf({ engine, tier }: Pick<NodeRecord, 'engine' | 'tier'>, runtime: string): Kind {
  return { engine, runtime, tier }
}

/** Whether the same kind of work can be done by nodes outside of the cohort. */
function hasOthers(cohort: Partial<Kind>, operators: number, policy: NodePolicy): boolean {
  const isAllOfRuntime = cohort.engine === undefined && cohort.tier === undefined
  return !isAllOfRuntime && operators >= policy.cohort.minOperators
}

async function openIncident(
  tx: Tx,
  {
    cohort,
    reason,
    isPausing,
    now,
    policy,
  }: { cohort: Partial<Kind>; reason: string; isPausing: boolean; now: number; policy: NodePolicy },
): Promise<void> {
  const until = new Date(now + policy.incidentMs)
  await tx.query('INSERT INTO incident (cohort, reason, until, is_pausing) VALUES ($1, $2, $3, $4)', [
    JSON.stringify(cohort),
    reason,
    until,
    isPausing,
  ])
  await append(tx, [
    { type: 'incident.opened', data: { cohort, reason, isPausing, until: until.toISOString() } },
  ])
}

/**
 * Pardons the nodes of incidents that were opened since the last time, each in a transaction of its own, ends those whose
 * time is over, and forgets conduct that no window reaches.
 */
export async function settleIncidents(
  db: Database,
  { policy, now }: { readonly policy: NodePolicy; readonly now: number },
): Promise<void> {
  const { rows } = await db.query<{ id: number }>('SELECT id FROM incident WHERE NOT is_pardoned ORDER BY id')
  for (const { id } of rows) await db.tx((tx) => pardonCohort(tx, id, policy))
  await db.tx((tx) => endIncidents(tx, now))
  await db.query('DELETE FROM conduct WHERE since < $1', [
    new Date(now - 2 * policy.cohortWindowMs - BUCKET_MS),
  ])
}

async function endIncidents(tx: Tx, now: number): Promise<void> {
  const { rows } = await tx.query<{ cohort: Partial<Kind> }>(
    `UPDATE incident SET is_over = true FROM (
       SELECT id FROM incident WHERE NOT is_over AND until <= $1 ORDER BY id FOR UPDATE SKIP LOCKED
     ) AS ended WHERE incident.id = ended.id RETURNING cohort`,
    [new Date(now)],
  )
  await append(
    tx,
    rows.map(({ cohort }) => {
      const reason = 'its time is over: nodes of the cohort get work, and their faults count'
      return { type: 'incident.ended', data: { cohort, reason } }
    }),
  )
}

interface Lost {
  readonly node_id: Uint8Array
  readonly faults: number
  readonly names: readonly string[]
}

async function pardonCohort(tx: Tx, id: number, policy: NodePolicy): Promise<void> {
  const { rows } = await tx.query<{ cohort: Partial<Kind>; opened_at: Date }>(
    'SELECT cohort, opened_at FROM incident WHERE id = $1 AND NOT is_pardoned FOR UPDATE',
    [id],
  )
  const [incident] = rows
  if (incident === undefined) return
  await tx.query('UPDATE incident SET is_pardoned = true WHERE id = $1', [id])
  const { engine = null, tier = null, runtime = null } = incident.cohort
  const { rows: lost } = await tx.query<Lost>(
    `SELECT event.node_id, count(*) AS faults, array_agg(event.data->>'once') FILTER (WHERE event.data ? 'once') AS names
     FROM node JOIN event ON event.node_id = node.id
     WHERE event.type = 'node.fault' AND event.at >= $1 AND event.id > coalesce(
         (SELECT max(id) FROM event AS past WHERE past.node_id = node.id AND past.type = 'node.pardoned'), 0)
       AND ($2::text IS NULL OR node.manifest->>'engine' = $2)
       AND ($3::integer IS NULL OR (node.manifest->'hardware'->>'tier')::integer = $3)
       AND ($4::text IS NULL OR event.data->>'runtime' = $4)
     GROUP BY event.node_id`,
    [new Date(incident.opened_at.getTime() - policy.cohortWindowMs), engine, tier, runtime],
  )
  const nodes = await lockNodes(
    tx,
    lost.map(({ node_id: node }) => toHex(node)),
  )
  const pardoned = lost.flatMap(({ node_id: node, faults, names }) => {
    const record = nodes.get(toHex(node))
    if (record === undefined) return []
    const { next, decision } = pardon(record.reputation, { faults }, policy.reputation)
    const isOut = next.standing === 'quarantined' || next.standing === 'banned'
    const restingUntil = isOut ? record.restingUntil : null
    return [{ node: { ...record, reputation: next, restingUntil }, faults, names: names ?? [], decision }]
  })
  await writeNodes(
    tx,
    pardoned.map(({ node, faults }) => ({ node, accepted: 0, faults: -faults })),
  )
  await giveBack(
    tx,
    pardoned.flatMap(({ names }) => names),
  )
  await append(
    tx,
    pardoned.flatMap(({ node: { nodeId }, decision }) =>
      decision === undefined
        ? []
        : [{ type: `node.${decision.code}`, nodeId, data: { reason: decision.reason, ...decision.detail } }],
    ),
  )
}

/** Penalties back to where they were taken from. */
async function giveBack(tx: Tx, names: readonly string[]): Promise<void> {
  const { rows } = await tx.query<{
    from_account: string
    amount: number
    node_id: Uint8Array
    once: string
  }>('SELECT from_account, amount, node_id, once FROM transfer WHERE once = ANY ($1::text[])', [
    names.flatMap((name) => [`penalty:${name}:stake`, `penalty:${name}:held`]),
  ])
  await post(
    tx,
    rows.map(({ from_account: to, amount, node_id: node, once }) => ({
      from: PENALTIES,
      to,
      amount,
      kind: 'pardon',
      nodeId: toHex(node),
      note: 'the fault was an incident',
      once: `pardon:${once}`,
    })),
  )
}
