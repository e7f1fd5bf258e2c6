/**
 * Watching a log: what a client concludes from the checkpoint that it kept and the one that it is shown now.
 *
 * - `ok`: the log grew, or stands still, and what was there is there.
 * - `stale`: an older view of the same log, from before the one kept; a slow replica. Ask again.
 * - `fork`: the log signed two histories. Evidence: two checkpoints of one size with different roots; or two of
 *   different sizes, with the root that the larger tree itself has at the smaller size, proven (RFC 9162, section
 *   2.1.4), which is another than the one signed.
 * - `rollback`: the log signed a smaller tree at a later time. Evidence: the two checkpoints.
 * - `unproven`: the log did not show that one continues the other, nor what else it has there. A log that withholds
 *   this convicts itself to the client; a third party asks it again, with the two checkpoints in hand.
 * - `refused`: what was shown is no checkpoint of this log, and says nothing of it.
 *
 * So a log should answer each question for consistency with the root that it now has at the older size, beside the
 * proof: an honest one costs that nothing, and one whose records were rewritten convicts itself.
 *
 * Threat: the log, which may sign anything; and accusers, whose evidence anybody checks again with
 * `verifyLogEvidence`.
 */
import { equalBytes } from '../../core/bytes.ts'
import { AssayError, type Rejection, reject, type Verdict } from '../../core/errors.ts'
import { verifyConsistency } from '../../core/merkle-consistency.ts'
import { type Checkpoint, type LogIdentity, type VerifyLogOptions, verifyCheckpoint } from './checkpoint.ts'

/** What a log says of two of its sizes. */
export interface ConsistencyAnswer {
  /** Root that its tree has at the smaller size, now. */
  readonly fromRoot: Uint8Array
  /** That the first leaves of the larger tree give this root. */
  readonly proof: readonly Uint8Array[]
}

/** Two checkpoints of one log that cannot both be true, and what shows it where their sizes differ. */
export interface LogEvidence {
  readonly kind: 'fork' | 'rollback'
  /** The one that was kept. */
  readonly first: string
  readonly second: string
  readonly consistency: ConsistencyAnswer | null
}

export type LogJudgement =
  | {
      readonly outcome: 'ok' | 'stale'
      /** The checkpoint to keep from now on, as it was signed. */
      readonly keep: string
      readonly checkpoint: Checkpoint
      readonly reason: string
    }
  | { readonly outcome: 'fork' | 'rollback'; readonly evidence: LogEvidence; readonly reason: string }
  | {
      readonly outcome: 'unproven'
      readonly first: string
      readonly second: string
      readonly reason: string
    }
  | { readonly outcome: 'refused'; readonly rejection: Rejection; readonly reason: string }

export interface LogView {
  /** The newest checkpoint that this client trusts, as it was signed; null at the first visit. */
  readonly kept: string | null
  /** What the log shows now. */
  readonly shown: string
  /** Its answer for the sizes of the two; null where it gave none. Not needed where the sizes are equal. */
  readonly consistency: ConsistencyAnswer | null
}

/** Throws 'log/…' when `kept` itself is no checkpoint of the log: the client's own records are broken. */
export async function judgeLog(
  { kept, shown, consistency }: LogView,
  log: LogIdentity,
  options: VerifyLogOptions = {},
): Promise<LogJudgement> {
  const now = await verifyCheckpoint(shown, log, options)
  if (!now.ok) return { outcome: 'refused', rejection: now, reason: now.message }
  if (kept === null) {
    return { outcome: 'ok', keep: shown, checkpoint: now.value, reason: 'the first checkpoint of this log' }
  }
  const before = await verifyCheckpoint(kept, log, options)
  if (!before.ok) {
    throw new AssayError(before.code, `the checkpoint that was kept: ${before.message}`, before)
  }
  const pair = { first: kept, second: shown }
  const relation = relate(before.value, now.value, consistency)
  if (relation === 'fork' || relation === 'rollback') {
    const evidence = { kind: relation, ...pair, consistency: relation === 'fork' ? consistency : null }
    return { outcome: relation, evidence, reason: explain(relation, before.value, now.value) }
  }
  if (relation === 'unproven') {
    return { outcome: relation, ...pair, reason: explain(relation, before.value, now.value) }
  }
  const isOlder = now.value.size < before.value.size
  return {
    outcome: isOlder ? 'stale' : 'ok',
    keep: isOlder ? kept : shown,
    checkpoint: isOlder ? before.value : now.value,
    reason: explain(isOlder ? 'stale' : 'ok', before.value, now.value),
  }
}

/** What evidence shows, checked by anybody. Rejects with 'log/…'; never throws. */
export async function verifyLogEvidence(
  evidence: LogEvidence,
  log: LogIdentity,
  options: VerifyLogOptions = {},
): Promise<
  Verdict<{ readonly kind: LogEvidence['kind']; readonly first: Checkpoint; readonly second: Checkpoint }>
> {
  const { kind, consistency } = (evidence ?? {}) as Partial<LogEvidence>
  const first = await verifyCheckpoint(evidence?.first, log, options)
  if (!first.ok) return first
  const second = await verifyCheckpoint(evidence.second, log, options)
  if (!second.ok) return second
  if (kind !== undefined && relate(first.value, second.value, consistency ?? null) === kind) {
    return {
      ok: true,
      value: { kind: kind as LogEvidence['kind'], first: first.value, second: second.value },
    }
  }
  return reject('log/evidence', `the two checkpoints do not show a ${kind === 'rollback' ? kind : 'fork'}`, {
    firstSize: first.value.size,
    secondSize: second.value.size,
  })
}

/** Symmetric in the two, as evidence must be: only sizes, times and roots count. */
function relate(
  a: Checkpoint,
  b: Checkpoint,
  consistency: ConsistencyAnswer | null,
): 'consistent' | 'fork' | 'rollback' | 'unproven' {
  if (a.size === b.size) return equalBytes(a.root, b.root) ? 'consistent' : 'fork'
  const [small, large] = a.size < b.size ? [a, b] : [b, a]
  const own = rootWithin(small.size, large, consistency)
  if (own !== undefined && !equalBytes(own, small.root)) return 'fork'
  if (small.timeSeconds > large.timeSeconds) return 'rollback'
  return own === undefined ? 'unproven' : 'consistent'
}

/** The root that the tree of `large` has at `size`, where the log's answer proves one. */
function rootWithin(
  size: number,
  large: Checkpoint,
  consistency: ConsistencyAnswer | null,
): Uint8Array | undefined {
  const { fromRoot, proof } = (consistency ?? {}) as Partial<ConsistencyAnswer>
  const proven = verifyConsistency({
    oldRoot: fromRoot as Uint8Array,
    oldSize: size,
    newRoot: large.root,
    newSize: large.size,
    proof: proof as Uint8Array[],
  })
  return proven.ok ? fromRoot : undefined
}

function explain(
  outcome: LogJudgement['outcome'],
  { size: before, timeSeconds: then }: Checkpoint,
  { size: now, timeSeconds }: Checkpoint,
): string {
  switch (outcome) {
    case 'ok':
      return now === before
        ? `the log stands at ${now} entries`
        : `the log grew from ${before} to ${now} entries`
    case 'stale':
      return `shown ${now} entries as of ${timeSeconds}, and ${before} are known as of ${then}: an older view`
    case 'fork':
      return `the log signed two histories: its first ${Math.min(before, now)} entries have two roots`
    case 'rollback':
      return `the log signed ${Math.max(before, now)} entries, and ${Math.min(before, now)} at a later time`
    default:
      return `the log did not show that ${Math.max(before, now)} entries continue ${Math.min(before, now)}`
  }
}
