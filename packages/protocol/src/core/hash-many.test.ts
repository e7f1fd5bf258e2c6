import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { concatBytes, toHex } from './bytes.ts'
import { hashFields } from './digest.ts'
import { digestAt, hashFieldsMany, hashMany } from './hash-many.ts'

const sha256 = (...parts: Uint8Array[]) =>
  createHash('sha256')
    .update(concatBytes(...parts))
    .digest('hex')
const filled = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 255)

function check(prefix: Uint8Array, messages: readonly Uint8Array[]): void {
  const digests = hashMany(prefix, messages)
  expect(digests).toHaveLength(32 * messages.length)
  messages.forEach((message, i) => {
    expect(toHex(digestAt(digests, i))).toBe(sha256(prefix, message))
  })
}

it('equals node:crypto at every length around the edges of blocks', () => {
  const lengths = [0, 1, 54, 55, 56, 63, 64, 65, 118, 119, 120, 128, 1000, 4096]
  for (const prefix of [0, 1, 63, 64, 65]) {
    check(
      filled(prefix, 3),
      lengths.map((length) => filled(length, prefix)),
    )
  }
})

it('equals node:crypto for batches beyond what the kernel takes at once, and for messages beyond its memory', () => {
  check(
    new Uint8Array(),
    Array.from({ length: 1030 }, (_, i) => filled(i % 130, i)),
  )
  check(filled(64, 1), [filled(60_000, 1), filled(70_000, 2), filled(3, 3), filled(300_000, 4)])
})

it('property: equals node:crypto, whatever the lengths', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 70 }), messages, check))
})

it('property: lists of fields hash as one by one', () => {
  const fields = fc.array(fc.uint8Array({ maxLength: 90 }), { maxLength: 8 })
  fc.assert(
    fc.property(fc.array(fields, { maxLength: 9 }), (lists) => {
      const digests = hashFieldsMany('assay/test/v1', lists)
      lists.forEach((list, i) => {
        expect(digestAt(digests, i)).toEqual(hashFields('assay/test/v1', list))
      })
    }),
  )
})

it('a field longer than 65,535 bytes has its length in full', () => {
  const fields = [new Uint8Array(70_000), Uint8Array.of(1)]
  expect(digestAt(hashFieldsMany('x', [fields]), 0)).toEqual(hashFields('x', fields))
})
