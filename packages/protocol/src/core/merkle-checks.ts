/**
 * What the three Merkle verifiers check before they hash: shapes, ranges, and the number of nodes, which
 * always follows from the claim and is compared before any node is looked at.
 */
import { DIGEST_BYTES } from './digest.ts'
import { type Rejection, reject } from './errors.ts'
import { describeValue } from './inspect.ts'

export function treeFault(root: unknown, size: unknown): Rejection | undefined {
  if (!isNode(root)) return malformed(`root: expected ${DIGEST_BYTES} bytes, got ${describeValue(root)}`)
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    return malformed(`size: expected an integer from 0 to 2^53 - 1, got ${describeValue(size)}`)
  }
  return undefined
}

export function leafFault(opening: {
  readonly leaf: unknown
  readonly index: unknown
  readonly size: number
}): Rejection | undefined {
  const { leaf, index, size } = opening
  if (!isIndex(index, size)) return reject('merkle/out-of-range', outOfRange(index, size), { size })
  if (!(leaf instanceof Uint8Array)) return malformed(`leaf: expected bytes, got ${describeValue(leaf)}`)
  return undefined
}

export function nodesFault(proof: unknown, expected: number): Rejection | undefined {
  if (!Array.isArray(proof))
    return malformed(`proof: expected an array of digests, got ${describeValue(proof)}`)
  if (proof.length !== expected) {
    const got = proof.length
    return reject('merkle/malformed', `proof: expected ${expected} nodes, got ${got}`, { expected, got })
  }
  for (let i = 0; i < expected; i++) {
    if (!isNode(proof[i])) {
      return malformed(`proof[${i}]: expected ${DIGEST_BYTES} bytes, got ${describeValue(proof[i])}`)
    }
  }
  return undefined
}

export function malformed(message: string): Rejection {
  return reject('merkle/malformed', message)
}

export function mismatch(what: string): Rejection {
  return reject('merkle/mismatch', `${what}: the proof leads to another root than the one committed`)
}

export function isNode(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === DIGEST_BYTES
}

export function isIndex(index: unknown, size: number): index is number {
  return Number.isSafeInteger(index) && (index as number) >= 0 && (index as number) < size
}

export function outOfRange(index: unknown, size: number): string {
  return size === 0
    ? `index: the tree is empty, got ${describeValue(index)}`
    : `index: expected an integer from 0 to ${size - 1}, got ${describeValue(index)}`
}

/** Sizes go to 2^53 - 1, so no shifts. */
export function half(value: number): number {
  return Math.floor(value / 2)
}
