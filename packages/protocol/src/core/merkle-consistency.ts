/**
 * Consistency proofs of RFC 9162, sections 2.1.4.1 and 2.1.4.2: the first `oldSize` leaves of a tree are
 * all the leaves of an earlier one, so nothing that was committed then was changed since.
 *
 * Threat: a log or a solver that rewrites what it committed. Proofs have at most 54 nodes, and their length
 * follows from the two sizes.
 */
import { equalBytes } from './bytes.ts'
import { type Digest, sha256 } from './digest.ts'
import { AssayError, type Rejection, type Verdict } from './errors.ts'
import { describeValue } from './inspect.ts'
import { copyNode, type MerkleTree, nodeHash } from './merkle.ts'
import { half, malformed, mismatch, nodesFault, treeFault } from './merkle-checks.ts'

export interface ConsistencyClaim {
  readonly oldRoot: Uint8Array
  readonly oldSize: number
  readonly newRoot: Uint8Array
  readonly newSize: number
  readonly proof: readonly Uint8Array[]
}

/** A node of the new tree: the leaves from `start` to before `end`. */
export interface Range {
  readonly start: number
  readonly end: number
}

/**
 * That the first `oldSize` leaves of `tree` were the whole tree once. Empty for the sizes 0 and `tree.size`.
 * Throws `merkle/out-of-range`.
 */
export function proveConsistency(tree: MerkleTree, oldSize: number): Digest[] {
  if (!Number.isSafeInteger(oldSize) || oldSize < 0 || oldSize > tree.size) {
    const got = describeValue(oldSize)
    throw new AssayError(
      'merkle/out-of-range',
      `oldSize: expected an integer from 0 to ${tree.size}, got ${got}`,
    )
  }
  return consistencyRanges(oldSize, tree.size).map(({ start, end }) => {
    const height = levelOf(end - start)
    return copyNode(tree.levels[height] as Uint8Array, start / 2 ** height)
  })
}

/** Is the old tree a prefix of the new one? The value is the number of leaves added. */
export function verifyConsistency(claim: ConsistencyClaim): Verdict<number> {
  const { oldRoot, oldSize, newRoot, newSize, proof } = claim
  const shape = treeFault(oldRoot, oldSize) ?? treeFault(newRoot, newSize)
  if (shape !== undefined) return shape
  if (oldSize > newSize) return malformed(`oldSize: expected at most the new size ${newSize}, got ${oldSize}`)
  const fault = nodesFault(proof, consistencyRanges(oldSize, newSize).length)
  if (fault !== undefined) return fault
  return checkRoots(claim) ?? { ok: true, value: newSize - oldSize }
}

function checkRoots(claim: ConsistencyClaim): Rejection | undefined {
  const { oldRoot, oldSize, newRoot, newSize } = claim
  const empty = sha256(new Uint8Array())
  if (newSize === 0 && !equalBytes(newRoot, empty)) return mismatch('new tree of 0 leaves')
  if (oldSize === 0) return equalBytes(oldRoot, empty) ? undefined : mismatch('old tree of 0 leaves')
  if (oldSize === newSize)
    return equalBytes(oldRoot, newRoot) ? undefined : mismatch(`two trees of ${newSize} leaves`)
  const { old, current } = foldConsistency(claim)
  if (!equalBytes(old, oldRoot)) return mismatch(`old tree of ${oldSize} leaves`)
  if (!equalBytes(current, newRoot)) return mismatch(`new tree of ${newSize} leaves`)
  return undefined
}

/** Both roots, rebuilt upwards from the largest complete subtree that ends the old tree. 0 < oldSize < newSize. */
function foldConsistency(claim: ConsistencyClaim): {
  readonly old: Uint8Array
  readonly current: Uint8Array
} {
  const { oldRoot, oldSize, newSize, proof } = claim
  let position = oldSize - 1
  let last = newSize - 1
  while (position % 2 === 1) {
    position = half(position)
    last = half(last)
  }
  // A complete old tree is itself that subtree, and the proof leaves it out.
  let next = position === 0 ? 0 : 1
  let old = position === 0 ? oldRoot : (proof[0] as Uint8Array)
  let current = old
  for (; last > 0; position = half(position), last = half(last)) {
    if (position % 2 === 1) {
      const left = proof[next++] as Uint8Array
      old = nodeHash(left, old)
      current = nodeHash(left, current)
    } else if (position < last) {
      current = nodeHash(current, proof[next++] as Uint8Array)
    }
  }
  return { old, current }
}

/** The nodes of a proof, bottom up: SUBPROOF of the RFC, as a loop from the root down. */
export function consistencyRanges(oldSize: number, newSize: number): Range[] {
  const ranges: Range[] = []
  if (oldSize === 0) return ranges
  let start = 0
  let end = newSize
  while (oldSize < end) {
    const middle = start + largestPowerBelow(end - start)
    if (oldSize <= middle) {
      ranges.push({ start: middle, end })
      end = middle
    } else {
      ranges.push({ start, end: middle })
      start = middle
    }
  }
  if (start > 0) ranges.push({ start, end })
  return ranges.reverse()
}

/** The largest power of two smaller than `size`, which is at least 2. */
export function largestPowerBelow(size: number): number {
  return 2 ** (levelOf(size) - 1)
}

/** Level of the node that covers `count` leaves: ceil(log2(count)), exact up to 2^53 - 1. */
function levelOf(count: number): number {
  let level = 0
  for (let span = 1; span < count; span *= 2) level++
  return level
}
