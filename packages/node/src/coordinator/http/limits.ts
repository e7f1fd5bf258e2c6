/** How large the body of each operation may be: a full message of it, and nothing that costs more to read. */
import { MAX_BODY_BYTES, MAX_PART_BYTES, type Operation } from 'assay/wire/api'

export const LARGEST_BODY_BYTES = Math.max(MAX_BODY_BYTES, MAX_PART_BYTES)
/** Manifests, keys, deposits: names and figures. */
const SMALL = 65_536
const LARGE: { readonly [operation in Operation]?: number } = {
  // 16 KiB inline in base64, and a system prompt of as much.
  submitJob: 2 ** 18,
  // Ids and fences of 512 leases.
  renewLeases: 2 ** 17,
  // With 2 KiB of message each, which may be escaped.
  failures: 2 ** 22,
  results: MAX_BODY_BYTES,
  // With a receipt each.
  verdicts: MAX_BODY_BYTES,
  appendBlob: MAX_PART_BYTES,
  appendNodeBlob: MAX_PART_BYTES,
}

export function maxBodyBytes(operation: Operation): number {
  return LARGE[operation] ?? SMALL
}
