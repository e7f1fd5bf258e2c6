/**
 * Checking what a transparency log says, offline: that an entry is in it, and that it only grew.
 *
 * Threat: proofs and checkpoints come from a log that may lie, or from whoever passes them on. What holds afterwards is
 * what the signature of the log and the hashes give, and no more: that everybody sees the same log needs clients that
 * compare checkpoints (monitor.ts).
 */
import { reject, type Verdict } from '../../core/errors.ts'
import { verifyInclusion } from '../../core/merkle.ts'
import { verifyConsistency } from '../../core/merkle-consistency.ts'
import { type Checkpoint, type LogIdentity, type VerifyLogOptions, verifyCheckpoint } from './checkpoint.ts'

export interface LogInclusion {
  readonly leafIndex: number
  /** Siblings from the leaf up to below the root, 32 bytes each. */
  readonly path: readonly Uint8Array[]
  /** As the log signed it. */
  readonly checkpoint: string
}

/** Is `leaf` (the bytes of an entry, entry.ts) in the log? Rejects with 'log/…'; never throws. */
export async function verifyLogInclusion(
  claim: LogInclusion & { readonly leaf: Uint8Array },
  log: LogIdentity,
  options: VerifyLogOptions = {},
): Promise<Verdict<Checkpoint>> {
  const { leaf, leafIndex, path, checkpoint } = claim
  const signed = await verifyCheckpoint(checkpoint, log, options)
  if (!signed.ok) return signed
  const { root, size } = signed.value
  const included = verifyInclusion({ root, size, index: leafIndex, leaf, proof: path })
  if (included.ok) return signed
  return reject('log/inclusion', `the entry is not shown to be in the log: ${included.message}`, {
    cause: included.code,
  })
}

export interface LogGrowth {
  readonly older: string
  readonly newer: string
  /** Consistency proof of RFC 9162, section 2.1.4, 32 bytes each. */
  readonly proof: readonly Uint8Array[]
}

export interface VerifiedGrowth {
  readonly older: Checkpoint
  readonly newer: Checkpoint
}

/**
 * Does the newer checkpoint continue the older one? Rejects with 'log/…'; never throws. Sizes decide which one is
 * newer: a log that signs a smaller one later is for monitor.ts to find.
 */
export async function verifyLogConsistency(
  claim: LogGrowth,
  log: LogIdentity,
  options: VerifyLogOptions = {},
): Promise<Verdict<VerifiedGrowth>> {
  const older = await verifyCheckpoint(claim.older, log, options)
  if (!older.ok) return older
  const newer = await verifyCheckpoint(claim.newer, log, options)
  if (!newer.ok) return newer
  const consistent = verifyConsistency({
    oldRoot: older.value.root,
    oldSize: older.value.size,
    newRoot: newer.value.root,
    newSize: newer.value.size,
    proof: claim.proof,
  })
  if (consistent.ok) return { ok: true, value: { older: older.value, newer: newer.value } }
  return reject(
    'log/consistency',
    `the newer checkpoint is not shown to continue the older one: ${consistent.message}`,
    {
      cause: consistent.code,
      olderSize: older.value.size,
      newerSize: newer.value.size,
    },
  )
}
