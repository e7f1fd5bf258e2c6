import fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '../core/bytes.ts'
import { formatCid } from '../core/cid.ts'
import type { Digest } from '../core/digest.ts'
import { inputDigest } from '../method/sampling/commitment.ts'
import { segmentRequestId, segmentTask, withoutRows } from './segment.ts'
import { segmentInputDigests, segmentRequestIds } from './segment-digests.ts'

const module = formatCid(new Uint8Array(32) as Digest, 'raw')
const task = segmentTask(
  { kind: 'wasm', module, memoryPages: 1, timeLimitMs: 1, maxOutputBytes: 1 },
  withoutRows,
)
const bounds = fc.oneof(
  fc.nat(30),
  fc.nat(300),
  fc.nat(70_000),
  fc.integer({ min: 2 ** 31 - 2, max: 2 ** 33 }),
  fc.maxSafeNat(),
)
const input = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((digest) => formatCid(digest as Digest, 'raw') as string)

it('gives the input digests of the codec', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ input, from: bounds, to: bounds }), { maxLength: 20 }), (segments) => {
      const expected = segments.map((segment) => toHex(inputDigest(task, segment)))
      expect(segmentInputDigests(segments).map(toHex)).toEqual(expected)
    }),
  )
})

it('gives the request ids of dispatches', () => {
  fc.assert(
    fc.property(fc.array(fc.uuid(), { maxLength: 20 }), (ids) => {
      expect(segmentRequestIds(ids).map(toHex)).toEqual(ids.map((id) => toHex(segmentRequestId(id))))
    }),
  )
})
