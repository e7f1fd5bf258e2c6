/**
 * Items: what a state puts into a proof, bound to everything that it must not be moved away from.
 *
 * In the published protocol an item is the hash of a bare value: states can be permuted, guessed ahead,
 * precomputed, and copied from another solver. Here
 *
 *     item = first 16 bytes of SHA-256( SHA-256("assay/spex-item/v1") ‖ salt ‖ message )
 *     message = state index (u64) ‖ slot (u32) ‖ marker (u8) ‖ 32 bytes          integers most significant first
 *
 * where the marker is the length of a slot's encoding that has at most 32 bytes, which then follows padded
 * with zeros, or 255 before the SHA-256 of a longer one. The salt binds request, task, input, solver and
 * nonce. The prefix is exactly one block, so its compression is done once for a whole proof.
 */
import { concatBytes, fromHex, utf8 } from '../../core/bytes.ts'
import { type Digest, hashFields, sha256 } from '../../core/digest.ts'
import { hashItems } from '../../core/kernel.ts'
import type { NodeId } from '../../core/keys.ts'
import type { TaskId } from '../../task/task.ts'

export const ITEM_BYTES = 16
const INLINE_BYTES = 32
const DIGEST_MARKER = 255
const MESSAGE_BYTES = 8 + 4 + 1 + INLINE_BYTES

/** What a proof is about, and who made it. All digests and ids have 32 bytes. */
export interface ProofBinding {
  readonly requestId: Uint8Array
  readonly nonce: Uint8Array
  readonly taskId: TaskId
  readonly inputDigest: Digest
  readonly falsePositiveRate: number
  /** Of the solver. */
  readonly nodeId: NodeId
}

export function proofSalt(binding: ProofBinding): Digest {
  const rate = new Uint8Array(8)
  new DataView(rate.buffer).setFloat64(0, binding.falsePositiveRate)
  return hashFields('assay/spex-salt/v1', [
    binding.requestId,
    binding.nonce,
    fromHex(binding.taskId),
    binding.inputDigest,
    rate,
    fromHex(binding.nodeId),
  ])
}

const ITEM_TAG = sha256(utf8('assay/spex-item/v1'))

/** The 64-byte block that opens the hash of every item of one proof. */
export function itemBlock(salt: Digest): Uint8Array {
  return concatBytes(ITEM_TAG, salt)
}

/** Collects the encodings of slots, and hashes them all at once. */
export interface ItemBatch {
  add(stateIndex: number, slot: number, encoding: Uint8Array): void
  /** 16 bytes for each encoding that was added, in order. */
  hash(block: Uint8Array): Uint8Array
}

export function itemBatch(capacity = 64): ItemBatch {
  let messages = new Uint8Array(capacity * MESSAGE_BYTES)
  let view = new DataView(messages.buffer)
  let used = 0
  return {
    add(stateIndex, slot, encoding) {
      if (used + MESSAGE_BYTES > messages.length) {
        const grown = new Uint8Array(messages.length * 2)
        grown.set(messages)
        messages = grown
        view = new DataView(messages.buffer)
      }
      view.setUint32(used, Math.floor(stateIndex / 2 ** 32))
      view.setUint32(used + 4, stateIndex >>> 0)
      view.setUint32(used + 8, slot)
      const inline = encoding.length <= INLINE_BYTES
      messages[used + 12] = inline ? encoding.length : DIGEST_MARKER
      messages.set(inline ? encoding : sha256(encoding), used + 13)
      used += MESSAGE_BYTES
    },
    hash: (block) => hashItems(block, messages.subarray(0, used), MESSAGE_BYTES),
  }
}
