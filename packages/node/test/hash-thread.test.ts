import { hashChunks } from 'assay/core/kernel'
import { tensor } from 'assay/state/tensor'
import { tensorRoot } from 'assay/state/tensor-root'
import { afterAll, expect, test, vi } from 'vitest'
// The built ones, as the thread's own file must be.
import { openHashThread, SHARED_BYTES } from '../dist/hash-thread.js'

const thread = openHashThread()
afterAll(() => thread.close())

const bytes = (length: number) => {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2654435761)
  return new Uint8Array(words.buffer, 0, length)
}

test('gives the digests of the kernel, before the thread has started and afterwards', async () => {
  const data = bytes(4096 * 601)
  const expected = hashChunks(Uint8Array.of(0), data, 4096)
  const isRight = () => Buffer.compare(thread.hasher(Uint8Array.of(0), data, 4096), expected) === 0
  await vi.waitUntil(() => {
    expect(isRight()).toBe(true)
    return thread.halves > 1
  })
})

test('does so for any length of chunks, and for data that take more than one turn', () => {
  for (const [size, count] of [
    [64, 9000],
    [1024, 2049],
    [4096, 0],
    [4096, 511],
    [4096, 512],
    [4096, 513],
    [4096, (2 * SHARED_BYTES) / 4096 + 1],
    [SHARED_BYTES, 3],
    [SHARED_BYTES + 1024, 2],
  ] as const) {
    const data = bytes(size * count)
    const prefix = Uint8Array.of(1, count & 255)
    const digests = thread.hasher(prefix, data, size)
    expect(Buffer.compare(digests, hashChunks(prefix, data, size)), `${count} of ${size}`).toBe(0)
  }
})

test('gives the same roots of tensors', () => {
  const value = tensor('uint8', [5_000_001], bytes(5_000_001))
  expect(tensorRoot(value, { hasher: thread.hasher })).toEqual(tensorRoot(value))
})

test('refuses a length that is no whole number of chunks', () => {
  expect(() => thread.hasher(new Uint8Array(), bytes(1_000_000), 4096)).toThrow(RangeError)
})

test('goes on alone when the thread is gone', async () => {
  const own = openHashThread()
  const data = bytes(4096 * 600)
  const hash = () => own.hasher(Uint8Array.of(0), data, 4096)
  await vi.waitUntil(() => {
    hash()
    return own.halves > 0
  })
  const before = own.halves
  await own.close()
  expect(Buffer.compare(hash(), hashChunks(Uint8Array.of(0), data, 4096))).toBe(0)
  expect(own.halves).toBe(before)
})
