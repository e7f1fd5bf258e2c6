import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chunkTree } from './chunk-tree.ts'
import { sha256 } from './digest.ts'
import { hashChunks } from './kernel.ts'
import * as twin from './kernel-twin.ts'
import { leafHash, merkleTree, proveInclusion, verifyInclusion } from './merkle.ts'

const bytes = (length: number, seed = 1) =>
  Uint8Array.from({ length }, (_, i) => (i * 2654435761 * seed) >>> 13)

function chunksOf(data: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(data.length / size) }, (_, i) =>
    data.subarray(i * size, (i + 1) * size),
  )
}

describe('hashing chunks in bulk', () => {
  test('equals the twin for every length around the blocks, and any count', () => {
    for (const size of [1, 7, 54, 55, 56, 57, 62, 63, 64, 65, 118, 119, 120, 4095, 4096]) {
      for (const prefix of [new Uint8Array(), Uint8Array.of(0), bytes(9)]) {
        for (const count of [0, 1, 3, 4, 5, 65]) {
          const data = bytes(size * count, size)
          expect(hashChunks(prefix, data, size)).toEqual(twin.hashChunks(prefix, data, size))
        }
      }
    }
  })

  test('of more than one batch, of chunks too long for the kernel, and after another length', () => {
    for (const [size, count] of [
      [64, 1100],
      [4096, 130],
      [100_000, 3],
      [64, 5],
    ] as const) {
      const data = bytes(size * count)
      expect(hashChunks(Uint8Array.of(1), data, size)).toEqual(twin.hashChunks(Uint8Array.of(1), data, size))
    }
  })

  test('refuses lengths that do not fit', () => {
    expect(() => hashChunks(new Uint8Array(), bytes(10), 4)).toThrow(RangeError)
    expect(() => hashChunks(new Uint8Array(), bytes(10), 0)).toThrow(RangeError)
  })
})

describe('trees over chunks', () => {
  test('are the trees of merkle.ts, level by level', () => {
    fc.assert(
      fc.property(fc.nat(40 * 64), fc.constantFrom(32, 64, 100), (length, size) => {
        const data = bytes(length, length + 1)
        const tree = chunkTree(data, size)
        const plain = merkleTree(chunksOf(data, size).map(leafHash))
        expect(tree.size).toBe(plain.size)
        expect(tree.root).toEqual(plain.root)
        expect(tree.levels).toEqual(plain.levels)
      }),
      { numRuns: 60 },
    )
  })

  test('open with the proofs of merkle.ts; a tree of nothing is the empty tree', () => {
    const data = bytes(5 * 4096 + 17)
    const tree = chunkTree(data, 4096)
    for (const [index, leaf] of chunksOf(data, 4096).entries()) {
      const claim = { root: tree.root, size: tree.size, index, leaf, proof: proveInclusion(tree, index) }
      expect(verifyInclusion(claim).ok).toBe(true)
    }
    expect(chunkTree(new Uint8Array(), 4096).root).toEqual(sha256(new Uint8Array()))
  })

  test('a hasher that is given makes the same tree', () => {
    const data = bytes(9 * 4096 + 1)
    expect(chunkTree(data, 4096, { hasher: twin.hashChunks }).root).toEqual(chunkTree(data, 4096).root)
  })
})
