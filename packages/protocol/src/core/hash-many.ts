/**
 * SHA-256 of many short messages at once, each of its own length.
 *
 * The kernel hashes four padded messages of equally many blocks side by side; here messages are sorted by their
 * number of blocks and given to it in batches. For a message of some hundred bytes that takes a tenth of the time of
 * hashing one by one (measured: 1.1 µs against 10 for the fields of an execution, 0.2 against 1.1 for a Merkle leaf).
 */
import { concatBytes } from './bytes.ts'
import { DIGEST_BYTES, sha256, tagBlock } from './digest.ts'
import { type Kernel, loadKernel } from './kernel-load.ts'

/** SHA-256 takes its input in blocks of 64 bytes. */
const BLOCK = 64
/** Padding is a byte 0x80, zeros, and the length in bits as eight bytes. */
const PADDING = 9
/** Bytes of the length of a field in `hashFields`. */
const LENGTH_BYTES = 8

/** SHA-256(prefix ‖ message) of each message; the digests of 32 bytes in a row. */
export function hashMany(prefix: Uint8Array, messages: readonly Uint8Array[]): Uint8Array {
  const digests = new Uint8Array(messages.length * DIGEST_BYTES)
  const kernel = loadKernel()
  for (const [blocks, indices] of byBlocks(prefix.length, messages)) {
    const room = kernel === null ? 0 : Math.floor(kernel.paddedBytes / (blocks * BLOCK))
    if (kernel === null || room < 4) {
      for (const i of indices) digests.set(sha256(concatBytes(prefix, messages[i]!)), i * DIGEST_BYTES)
    } else {
      const group = {
        prefix,
        messages,
        indices,
        blocks,
        batch: Math.min(room - (room % 4), kernel.chunk / 2),
      }
      hashGroup(kernel, group, digests)
    }
  }
  return digests
}

/** `hashFields(tag, fields)` (digest.ts) of each list of fields; the digests of 32 bytes in a row. */
export function hashFieldsMany(tag: string, lists: readonly (readonly Uint8Array[])[]): Uint8Array {
  return hashMany(tagBlock(tag), lists.map(withLengths))
}

/** The digest at `index` of digests in a row, as bytes of its own. */
export function digestAt(digests: Uint8Array, index: number): Uint8Array {
  return digests.slice(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES)
}

/** Indices of the messages, by how many blocks they fill with prefix and padding. */
function byBlocks(prefixBytes: number, messages: readonly Uint8Array[]): Map<number, number[]> {
  const groups = new Map<number, number[]>()
  for (let i = 0; i < messages.length; i++) {
    const blocks = Math.ceil((prefixBytes + messages[i]!.length + PADDING) / BLOCK)
    const group = groups.get(blocks)
    if (group === undefined) groups.set(blocks, [i])
    else group.push(i)
  }
  return groups
}

interface Group {
  readonly prefix: Uint8Array
  readonly messages: readonly Uint8Array[]
  readonly indices: readonly number[]
  /** Of each message, padded. */
  readonly blocks: number
  /** Messages that fit into the kernel at once. */
  readonly batch: number
}

function hashGroup(kernel: Kernel, group: Group, digests: Uint8Array): void {
  const { prefix, messages, indices, blocks, batch } = group
  const stride = blocks * BLOCK
  const { buffer } = kernel.memory
  const padded = new Uint8Array(buffer, kernel.padded, kernel.paddedBytes)
  const lengths = new DataView(buffer, kernel.padded, kernel.paddedBytes)
  for (let from = 0; from < indices.length; from += batch) {
    const part = Math.min(batch, indices.length - from)
    for (let i = 0, start = 0; i < part; i++, start += stride) {
      const message = messages[indices[from + i]!]!
      const size = prefix.length + message.length
      padded.set(prefix, start)
      padded.set(message, start + prefix.length)
      padded[start + size] = 0x80
      padded.fill(0, start + size + 1, start + stride - 4)
      // What fits into the kernel has far fewer than 2^32 bits.
      lengths.setUint32(start + stride - 4, size * 8)
    }
    kernel.hashPadded(part, blocks)
    const hashed = new Uint8Array(buffer, kernel.items, part * DIGEST_BYTES)
    for (let i = 0; i < part; i++) {
      digests.set(
        hashed.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES),
        indices[from + i]! * DIGEST_BYTES,
      )
    }
  }
}

/** Each field behind its length as eight bytes, most significant first. */
function withLengths(fields: readonly Uint8Array[]): Uint8Array {
  let size = 0
  for (const field of fields) size += LENGTH_BYTES + field.length
  const message = new Uint8Array(size)
  let at = 0
  for (const field of fields) {
    const { length } = field
    // Of a length below 2^32 the first four bytes are zero; no array of bytes here is longer.
    message[at + 4] = length >>> 24
    message[at + 5] = length >>> 16
    message[at + 6] = length >>> 8
    message[at + 7] = length
    message.set(field, at + LENGTH_BYTES)
    at += LENGTH_BYTES + length
  }
  return message
}
