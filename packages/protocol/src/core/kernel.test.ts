import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { equalBytes } from './bytes.ts'
import * as kernel from './kernel.ts'
import { loadKernel } from './kernel-load.ts'
import * as twin from './kernel-twin.ts'

/** Sizes around the lanes (4) and the chunk (1,024) of the kernel. */
const counts = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom(1023, 1024, 1025, 1030))
const words = (count: number, seed: bigint) =>
  BigInt64Array.from({ length: count }, (_, i) =>
    BigInt.asIntN(64, (BigInt(i) + 1n) * 0x9e3779b97f4a7c15n * seed),
  )
const seeds = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })
const bytesOf = (values: BigInt64Array) => new Uint8Array(values.buffer)
const items = (count: number, seed: bigint) => bytesOf(words(2 * count, seed))

function sha256Cut(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest().subarray(0, 16))
}

/** The walk as its definition has it, in whole 128-bit integers. */
function positions(item: Uint8Array, hashes: number, length: number): number[] {
  let state = BigInt(`0x${Buffer.from(item).toString('hex')}`)
  return Array.from({ length: hashes }, () => {
    state = (state * 47026247687942121848144207491837418733n + 1n) % 2n ** 128n
    return Number(((state >> 32n) % 2n ** 64n) % BigInt(length))
  })
}

it('runs in WebAssembly here, so that the tests below compare two implementations', () => {
  expect(loadKernel()).not.toBeNull()
})

describe('hashing', () => {
  it('of integers equals the twin and node:crypto', () => {
    const edges = [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 0x0102030405060708n]
    const check = (values: BigInt64Array) => {
      const hashed = kernel.hashIntegers(values)
      expect(hashed).toEqual(twin.hashIntegers(values))
      for (let i = 0; i < Math.min(values.length, 9); i++) {
        expect(hashed.subarray(16 * i, 16 * i + 16)).toEqual(sha256Cut(bytesOf(values.slice(i, i + 1))))
      }
    }
    check(BigInt64Array.from(edges))
    fc.assert(
      fc.property(counts, seeds, (count, seed) => check(words(count, seed))),
      { numRuns: 40 },
    )
  })

  it('of messages after a block equals the twin and node:crypto, at every length', () => {
    const block = items(4, 7n)
    for (let length = 1; length <= 55; length++) {
      const messages = items(40, BigInt(length)).subarray(0, 6 * length)
      const hashed = kernel.hashItems(block, messages, length)
      expect(hashed).toEqual(twin.hashItems(block, messages, length))
      expect(hashed.subarray(80)).toEqual(sha256Cut(block, messages.subarray(5 * length)))
    }
  })

  it('of messages equals the twin over random counts and lengths', () => {
    fc.assert(
      fc.property(counts, fc.integer({ min: 1, max: 55 }), seeds, (count, length, seed) => {
        const block = items(4, seed)
        const messages = items(count * 4, seed ^ 1n).subarray(0, count * length)
        expect(kernel.hashItems(block, messages, length)).toEqual(twin.hashItems(block, messages, length))
      }),
      { numRuns: 40 },
    )
  })

  it('of chunks after a prefix equals the twin and node:crypto, around the edges of blocks', () => {
    for (const size of [1, 54, 55, 56, 63, 64, 65, 119, 4096]) {
      for (const count of [0, 1, 3, 4, 5, 130]) {
        const [prefix, data] = [
          items(1, 3n).subarray(0, size % 10),
          items(count * size, 5n).subarray(0, count * size),
        ]
        const hashed = kernel.hashChunks(prefix, data, size)
        expect(equalBytes(hashed, twin.hashChunks(prefix, data, size))).toBe(true)
        const last = sha256Cut(prefix, data.subarray(Math.max(0, count - 1) * size))
        if (count > 0) expect(hashed.subarray(32 * count - 32, 32 * count - 16)).toEqual(last)
      }
    }
  })

  it('refuses blocks and messages of other sizes', () => {
    const block = new Uint8Array(64)
    for (const [b, messages, length] of [
      [new Uint8Array(63), new Uint8Array(8), 8],
      [block, new Uint8Array(9), 8],
      [block, new Uint8Array(56), 56],
      [block, new Uint8Array(0), 0],
      [block, new Uint8Array(3), 1.5],
    ] as const) {
      expect(() => kernel.hashItems(b, messages, length)).toThrow(RangeError)
    }
  })
})

describe('walks', () => {
  const hashes = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(63, 64, 65, 70))
  /** Small and large against the batch, so that bits are set on both sides of the boundary. */
  const lengths = fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1000, max: 200_000 }))
  const filter = (k: number, bytes: number) => ({ hashes: k, bits: new Uint8Array(bytes) })

  it('set the bits that the definition in whole integers names', () => {
    fc.assert(
      fc.property(hashes, lengths, seeds, (k, bytes, seed) => {
        const [item, expected, actual] = [items(1, seed), new Uint8Array(bytes), filter(k, bytes)]
        for (const i of positions(item, k, bytes * 8)) expected[i >> 3]! |= 1 << (i & 7)
        kernel.insertItems(actual, item)
        expect(equalBytes(actual.bits, expected)).toBe(true)
      }),
    )
  })

  it('equal the twin, for items and for integers, for hits and for misses', () => {
    fc.assert(
      fc.property(hashes, lengths, counts, seeds, (k, bytes, count, seed) => {
        const [mine, its] = [filter(k, bytes), filter(k, bytes)]
        const [inserted, probed] = [items(count, seed), items(count, seed ^ 5n)]
        kernel.insertItems(mine, inserted)
        twin.insertItems(its, inserted)
        expect(equalBytes(mine.bits, its.bits)).toBe(true)
        expect(equalBytes(kernel.hasItems(mine, probed), twin.hasItems(its, probed))).toBe(true)
        expect(kernel.hasItems(mine, inserted).every((hit) => hit === 1)).toBe(true)
        const values = words(count, seed)
        kernel.insertIntegers(mine, values)
        twin.insertItems(its, twin.hashIntegers(values))
        expect(equalBytes(mine.bits, its.bits)).toBe(true)
        const others = words(count, seed ^ 9n)
        expect(
          equalBytes(kernel.hasIntegers(mine, others), twin.hasItems(its, twin.hashIntegers(others))),
        ).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('leave the bytes around a view alone', () => {
    const whole = new Uint8Array(64).fill(0xff)
    const bits = whole.subarray(5, 42).fill(0)
    kernel.insertIntegers({ hashes: 7, bits }, words(1000, 3n))
    expect(whole.subarray(0, 5)).toEqual(new Uint8Array(5).fill(0xff))
    expect(whole.subarray(42)).toEqual(new Uint8Array(22).fill(0xff))
  })

  it('refuse items cut short, and a walk over no bits', () => {
    expect(() => kernel.insertItems(filter(6, 8), new Uint8Array(15))).toThrow(RangeError)
    expect(() => kernel.hasItems(filter(6, 0), new Uint8Array(16))).toThrow(RangeError)
    expect(kernel.hasItems(filter(0, 0), new Uint8Array(16))).toEqual(Uint8Array.of(1))
  })
})
