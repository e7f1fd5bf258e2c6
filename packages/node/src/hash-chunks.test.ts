import { hashChunks } from 'assay/core/kernel'
import { tensor } from 'assay/state/tensor'
import { tensorRoot } from 'assay/state/tensor-root'
import { expect, test } from 'vitest'
import { hashChunksNatively } from './hash-chunks.ts'

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 2654435761) >>> 11)

test('gives the digests of the kernel, for short and long chunks', () => {
  for (const [size, count] of [
    [64, 5],
    [1024, 3],
    [4096, 9],
    [4096, 0],
  ] as const) {
    const data = bytes(size * count)
    const prefix = Uint8Array.of(count)
    expect(hashChunksNatively(prefix, data, size)).toEqual(hashChunks(prefix, data, size))
  }
})

test('gives the same roots of tensors', () => {
  const value = tensor('float32', [5000], new Float32Array(bytes(20000).buffer))
  expect(tensorRoot(value, { hasher: hashChunksNatively })).toEqual(tensorRoot(value))
})

test('refuses a length that is no whole number of chunks', () => {
  expect(() => hashChunksNatively(new Uint8Array(), bytes(5000), 4096)).toThrow(RangeError)
})
