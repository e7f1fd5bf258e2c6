/**
 * What commitments to segments are made of, for many segments at once.
 *
 * The same digests as `inputDigest` of a segment's task and `segmentRequestId`, which take 30 µs and 6 µs a piece
 * where these take 1 µs each: a coordinator computes them for every result that it is sent, a node for every segment
 * that it runs. The encoding is written out here instead of made by the codec; a test compares the two.
 */
import { fromHex, utf8 } from '../core/bytes.ts'
import { type Digest, tagBlock } from '../core/digest.ts'
import { digestAt, hashFieldsMany, hashMany } from '../core/hash-many.ts'
import type { SegmentInput } from './segment.ts'

/** `inputDigest` of the task of each segment (method/sampling/commitment.ts). */
export function segmentInputDigests(segments: readonly SegmentInput[]): Digest[] {
  const digests = hashMany(tagBlock('assay/task-input/v1'), segments.map(encodeSegment))
  return segments.map((_, i) => digestAt(digests, i) as Digest)
}

/** `segmentRequestId` of each dispatch. */
export function segmentRequestIds(dispatchIds: readonly string[]): Digest[] {
  const fields = dispatchIds.map((id) => [fromHex(id.replaceAll('-', ''))])
  const digests = hashFieldsMany('assay/request-id/v1', fields)
  return dispatchIds.map((_, i) => digestAt(digests, i) as Digest)
}

/** Maps of three, keys by length and then by bytes: DAG-CBOR of {type, v: 1, body: {input, from, to}}. */
const HEAD = bytesOf(0xa3, 'v', 0x01, 'body', 0xa3)
const TO = bytesOf('to')
const FROM = bytesOf('from')
const INPUT = bytesOf('input')
const TAIL = bytesOf('type', 'assay/segment')

function encodeSegment({ input, from, to }: SegmentInput): Uint8Array {
  return Uint8Array.from([
    ...HEAD,
    ...TO,
    ...uint(to),
    ...FROM,
    ...uint(from),
    ...INPUT,
    ...text(input),
    ...TAIL,
  ])
}

function bytesOf(...parts: readonly (number | string)[]): number[] {
  return parts.flatMap((part) => (typeof part === 'string' ? text(part) : [part]))
}

function text(value: string): number[] {
  const bytes = utf8(value)
  return [...(bytes.length < 24 ? [0x60 + bytes.length] : [0x78, bytes.length]), ...bytes]
}

function uint(value: number): number[] {
  if (value < 24) return [value]
  if (value < 2 ** 8) return [0x18, value]
  if (value < 2 ** 16) return [0x19, value >>> 8, value & 255]
  const low = [24, 16, 8, 0].map((shift) => (value >>> shift) & 255)
  if (value < 2 ** 32) return [0x1a, ...low]
  const high = Math.floor(value / 2 ** 32)
  return [0x1b, ...[24, 16, 8, 0].map((shift) => (high >>> shift) & 255), ...low]
}
