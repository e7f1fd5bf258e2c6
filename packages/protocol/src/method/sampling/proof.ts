/**
 * The proof: a Bloom filter (SPEX, section 5.4) or a fingerprint vector over the items of all states, with
 * an optional Merkle commitment to the states themselves for sequential tasks.
 *
 * Threat: its bytes are the solver's to choose. Kind, item count, size and hash count are recomputed from
 * task, input and rate and demanded to be equal before any look-up; a flooded filter is refused by its
 * number of ones. Neither kind has false negatives, so a miss is certain and a hit is statistical.
 */
import * as z from 'zod/mini'
import {
  type BloomFilter,
  bloomFalsePositiveRate,
  createBloom,
  hasItems,
  insertItems,
  loadBloom,
  saveBloom,
} from '../../core/bloom.ts'
import { defineObject } from '../../core/codec.ts'
import { type Digest, isDigest } from '../../core/digest.ts'
import { AssayError } from '../../core/errors.ts'
import {
  createFingerprint,
  type FingerprintVector,
  fingerprintBits,
  loadFingerprint,
  matchesFingerprint,
  saveFingerprint,
  setFingerprint,
} from '../../core/fingerprint.ts'
import type { StateKind } from '../../state/kind.ts'
import { ITEM_BYTES } from './items.ts'

export const PROOF_KINDS = ['bloom', 'fingerprint'] as const
export type ProofKind = (typeof PROOF_KINDS)[number]

/** Cap on an encoded proof unless the caller says otherwise: a filter of about 100 M states at 0.01. */
export const MAX_PROOF_BYTES = 2 ** 27

/** The proof as it travels. `items` is states times slots. */
export interface ProofObject {
  readonly kind: ProofKind
  readonly items: number
  readonly bytes: Uint8Array
  /** Root over the encoded states, where the solver can be asked to open them (sequential tasks). */
  readonly checkpointRoot: Uint8Array | null
}

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected bytes')

export const proofObject = defineObject<ProofObject>({
  type: 'assay/spex-proof',
  version: 1,
  maxBytes: MAX_PROOF_BYTES,
  schema: z.strictObject({
    kind: z.enum(PROOF_KINDS),
    items: z.int().check(z.minimum(1)),
    bytes,
    checkpointRoot: z.nullable(bytes.check(z.refine(isDigest, 'expected 32 bytes'))),
  }),
})

/** A proof that is being made or looked into; `start` is the number of an item in the whole proof. */
export interface ItemSet {
  readonly kind: ProofKind
  /** Probability that an item which is not in the set is reported as being there: exact for this set. */
  readonly falsePositiveRate: number
  insert(start: number, items: Uint8Array): void
  /** One byte for each item: 1 where the set has item `numbers[i]` with these 16 bytes. */
  has(numbers: readonly number[], items: Uint8Array): Uint8Array
  save(): Uint8Array
}

export interface ItemSetSize {
  readonly items: number
  readonly falsePositiveRate: number
}

export function createItemSet(kind: ProofKind, { items, falsePositiveRate }: ItemSetSize): ItemSet {
  return kind === 'bloom'
    ? bloomSet(createBloom(items, falsePositiveRate, { maxBytes: MAX_PROOF_BYTES }))
    : fingerprintSet(createFingerprint(items, fingerprintBits(falsePositiveRate)))
}

/** Loads the set of a decoded proof against what task, input and rate demand. Throws typed errors. */
export function loadItemSet(proof: ProofObject, { items, falsePositiveRate }: ItemSetSize): ItemSet {
  if (proof.items !== items) {
    throw new AssayError(
      'sampling/proof',
      `expected a proof over ${items} items, as task and input give, got one over ${proof.items}`,
      { detail: { expected: items, found: proof.items } },
    )
  }
  return proof.kind === 'bloom'
    ? bloomSet(loadBloom(proof.bytes, { count: items, falsePositiveRate, maxBytes: MAX_PROOF_BYTES }))
    : fingerprintSet(
        loadFingerprint(proof.bytes, {
          count: items,
          bits: fingerprintBits(falsePositiveRate),
          maxBytes: MAX_PROOF_BYTES,
        }),
      )
}

function bloomSet(filter: BloomFilter): ItemSet {
  return {
    kind: 'bloom',
    falsePositiveRate: bloomFalsePositiveRate(filter),
    insert: (_start, items) => insertItems(filter, items),
    has: (_numbers, items) => hasItems(filter, items),
    save: () => saveBloom(filter),
  }
}

function fingerprintSet(vector: FingerprintVector): ItemSet {
  const at = (items: Uint8Array, i: number) => items.subarray(i * ITEM_BYTES, (i + 1) * ITEM_BYTES)
  return {
    kind: 'fingerprint',
    falsePositiveRate: 2 ** -vector.bits,
    insert(start, items) {
      const count = items.length / ITEM_BYTES
      for (let i = 0; i < count; i++) setFingerprint(vector, start + i, at(items, i))
    },
    has: (numbers, items) =>
      Uint8Array.from(numbers, (number, i) => (matchesFingerprint(vector, number, at(items, i)) ? 1 : 0)),
    save: () => saveFingerprint(vector),
  }
}

/**
 * Refuses Bloom filters for states that can be guessed. A filter may hold a few more items than it should
 * before its number of ones shows it, and all guesses for a few faked states fit into that slack; a fingerprint
 * has room for one value a slot. Throws `sampling/proof`.
 */
export function assertProofKind(
  state: Pick<StateKind<unknown>, 'name' | 'guessProbability'>,
  kind: ProofKind,
): void {
  if (kind === 'bloom' && state.guessProbability > 0) {
    throw new AssayError(
      'sampling/proof',
      `expected a fingerprint proof for ${state.name} states, which can be guessed, got a Bloom filter`,
    )
  }
}

/** Digest by which a commitment names a proof. */
export function proofDigest(proof: ProofObject): Digest {
  return proofObject.digest(proof)
}
