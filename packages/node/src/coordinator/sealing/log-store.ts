/**
 * The transparency log in the database: leaves, complete subtrees, and a signed checkpoint for each append.
 *
 * One writer at a time (`LOCK`); readers need no lock, as nothing that is there ever changes. The times of checkpoints
 * are made under the lock and never fall, since a smaller tree at a later time would convict the log (receipt/log).
 */
import { toBase64, toHex } from 'assay/core/bytes'
import type { Digest } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import type { KeyPair } from 'assay/core/keys'
import { leafHashes } from 'assay/core/merkle'
import { signCheckpoint } from 'assay/receipt/log/checkpoint'
import {
  appendLeaves,
  consistencyNodes,
  EMPTY_FRONTIER,
  type Frontier,
  foldPlan,
  frontierRoot,
  inclusionNodes,
  keyOf,
  type NodeRef,
  type Plan,
  planNodes,
  rootNodes,
} from 'assay/receipt/log/tree'
import { signNative } from '../../service/native-signature.ts'
import { type Database, type Queryable, statement, type Tx } from '../../store/database.ts'

/** pg_advisory_xact_lock: whoever has it writes to the log, until its transaction ends. */
const LOCK = 4702389004

export interface LogKeeper {
  /** First line of each checkpoint: a name for the log that no other has. */
  readonly origin: string
  readonly key: KeyPair
}

/** Whether this transaction may write to the log; another one does if not. */
export async function tryLog(tx: Tx): Promise<boolean> {
  const { rows } = await tx.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS mine', [LOCK])
  return rows[0]?.mine === true
}

/** As `tryLog`, and waits for its turn. */
export async function lockLog(tx: Tx): Promise<void> {
  await tx.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
}

const NEWEST = statement(
  'log_newest',
  'SELECT size, root, signed, at FROM log_checkpoint ORDER BY size DESC LIMIT 1',
)

interface CheckpointRow {
  readonly size: number
  readonly root: Uint8Array
  readonly signed: string
  readonly at: Date
}

async function newest(db: Queryable): Promise<CheckpointRow | undefined> {
  return (await db.query<CheckpointRow>(NEWEST)).rows[0]
}

const NODES = statement(
  'log_nodes',
  `SELECT log_node.level, log_node.index, hash FROM unnest($1::smallint[], $2::bigint[]) AS wanted (level, index)
   JOIN log_node ON log_node.level = wanted.level AND log_node.index = wanted.index`,
)

async function readRefs(
  db: Queryable,
  refs: readonly NodeRef[],
): Promise<(ref: NodeRef) => Uint8Array | undefined> {
  const { rows } = await db.query<NodeRef & { readonly hash: Uint8Array }>(NODES, [
    refs.map(({ level }) => level),
    refs.map(({ index }) => index),
  ])
  const found = new Map(rows.map((row) => [keyOf(row), row.hash]))
  return (ref) => found.get(keyOf(ref))
}

async function readPlans(db: Queryable, plans: readonly Plan[]): Promise<Digest[][]> {
  const read = await readRefs(db, planNodes(...plans))
  return plans.map((plan) => foldPlan(plan, read))
}

export interface LogHead {
  readonly size: number
  readonly root: Digest
  readonly checkpoint: string
}

/**
 * Appends leaves, in order, and signs the log with them; the first one's index is the size before. The transaction must
 * have `tryLog`. `now` in Unix milliseconds. The signature is made here, as its root is known no sooner.
 */
export async function appendToLog(
  tx: Tx,
  keeper: LogKeeper,
  { leaves, now }: { readonly leaves: readonly Uint8Array[]; readonly now: number },
): Promise<LogHead> {
  const last = await newest(tx)
  const before = last?.size ?? 0
  const [plan = []] = rootNodes(before)
  const read = await readRefs(tx, plan)
  // A missing node has no bytes, which `appendLeaves` refuses.
  const frontier = { size: before, nodes: plan.map((ref) => read(ref) ?? new Uint8Array(0)) }
  const { frontier: after, root, nodes } = appendLeaves(frontier, leafHashes(leaves))
  const { size } = after
  const timeSeconds = Math.max(Math.floor(now / 1000), (last?.at.getTime() ?? 0) / 1000)
  const { origin, key } = keeper
  const checkpoint = await signCheckpoint({ origin, size, root, timeSeconds }, key, { signer: signNative })
  await tx.query(INSERT_LEAVES, [before, leaves])
  await tx.query(INSERT_NODES, [
    nodes.map(({ level }) => level),
    nodes.map(({ index }) => index),
    nodes.map(({ hash }) => hash),
  ])
  await tx.query('INSERT INTO log_checkpoint (size, root, signed, at) VALUES ($1, $2, $3, $4)', [
    size,
    root,
    checkpoint,
    new Date(timeSeconds * 1000),
  ])
  return { size, root, checkpoint }
}

const INSERT_LEAVES = statement(
  'log_insert_leaves',
  `INSERT INTO log_leaf (index, entry)
   SELECT $1::bigint + place - 1, entry FROM unnest($2::bytea[]) WITH ORDINALITY AS given (entry, place)`,
)
const INSERT_NODES = statement(
  'log_insert_nodes',
  'INSERT INTO log_node (level, index, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])',
)

/** Signs the empty log, so that there is a checkpoint from the first moment on. */
export async function beginLog(db: Database, keeper: LogKeeper, now: number): Promise<void> {
  await db.tx(async (tx) => {
    await lockLog(tx)
    if ((await newest(tx)) === undefined) await appendToLog(tx, keeper, { leaves: [], now })
  })
}

/** The newest signed checkpoint. 'wire/unavailable' before the log has begun. */
export async function logHead(db: Queryable): Promise<LogHead> {
  const row = await newest(db)
  if (row === undefined) throw new AssayError('wire/unavailable', 'the log has not begun: try again')
  return { size: row.size, root: row.root as Digest, checkpoint: row.signed }
}

export interface InclusionProof {
  readonly index: number
  /** Of the log that the checkpoint signs. */
  readonly size: number
  /** In base64. */
  readonly leaf: string
  readonly path: readonly string[]
  readonly checkpoint: string
}

/** That the leaf at `index` is in the newest log. 'wire/not-found' where it is not. */
export async function logInclusion(db: Queryable, index: number): Promise<InclusionProof> {
  const { size, checkpoint } = await logHead(db)
  if (!(index >= 0 && index < size)) {
    throw new AssayError('wire/not-found', `the log has ${size} leaves, and none at ${index}`, {
      detail: { size },
    })
  }
  const [path = []] = await readPlans(db, [inclusionNodes(index, size)])
  const { rows } = await db.query<{ entry: Uint8Array }>('SELECT entry FROM log_leaf WHERE index = $1', [
    index,
  ])
  const leaf = toBase64(rows[0]?.entry ?? new Uint8Array(0))
  return { index, size, leaf, path: path.map(toHex), checkpoint }
}

export interface ConsistencyProof {
  readonly from: number
  readonly to: number
  /** What the log has at `from` now. */
  readonly fromRoot: string
  readonly path: readonly string[]
}

/** That the log of size `from` is the beginning of that of size `to`. 'wire/not-found' for sizes that it had not. */
export async function logConsistency(
  db: Queryable,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<ConsistencyProof> {
  const { size } = await logHead(db)
  if (!(from >= 0 && from <= to && to <= size)) {
    throw new AssayError('wire/not-found', `expected sizes in order, up to ${size}`, { detail: { size } })
  }
  const [path = [], [root] = []] = await readPlans(db, [consistencyNodes(from, to), rootNodes(from)])
  return { from, to, fromRoot: toHex(root ?? frontierRoot(EMPTY_FRONTIER)), path: path.map(toHex) }
}

/** Leaves in base64, in order. */
export async function logEntries(
  db: Queryable,
  { from, limit }: { readonly from: number; readonly limit: number },
): Promise<{ readonly from: number; readonly leaves: readonly string[] }> {
  const { rows } = await db.query<{ entry: Uint8Array }>(
    'SELECT entry FROM log_leaf WHERE index >= $1 ORDER BY index LIMIT $2',
    [from, limit],
  )
  return { from, leaves: rows.map(({ entry }) => toBase64(entry)) }
}

/** Leaves that are read at once where the whole log is. */
const CHUNK = 10_000

/** The log, computed again from its leaves alone: whether it is what the newest checkpoint says. */
export async function recomputeLog(
  db: Queryable,
): Promise<{ readonly size: number; readonly isSound: boolean; readonly fault: string | null }> {
  const head = await newest(db)
  if (head === undefined) return { size: 0, isSound: true, fault: null }
  let frontier: Frontier = EMPTY_FRONTIER
  while (frontier.size < head.size) {
    const { rows } = await db.query<{ index: number; entry: Uint8Array }>(
      'SELECT index, entry FROM log_leaf WHERE index >= $1 AND index < $2 ORDER BY index LIMIT $3',
      [frontier.size, head.size, CHUNK],
    )
    const gap = rows.findIndex(({ index }, i) => index !== frontier.size + i)
    if (rows.length === 0 || gap >= 0) {
      const at = frontier.size + Math.max(gap, 0)
      return { size: head.size, isSound: false, fault: `leaf ${at} of ${head.size} is missing` }
    }
    frontier = appendLeaves(frontier, leafHashes(rows.map(({ entry }) => entry))).frontier
  }
  const isSame = toHex(frontierRoot(frontier)) === toHex(head.root)
  const fault = isSame ? null : `the leaves give another root than the checkpoint of size ${head.size} signs`
  return { size: head.size, isSound: isSame, fault }
}
