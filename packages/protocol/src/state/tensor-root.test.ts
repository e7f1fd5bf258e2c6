import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toHex } from '../core/bytes.ts'
import { type Dtype, type Tensor, tensor } from './tensor.ts'
import {
  CHUNK_BYTES,
  type ChunkOpening,
  openChunks,
  tensorRoot,
  tensorTree,
  verifyChunks,
} from './tensor-root.ts'

const floats = (count: number, seed = 1) => Float32Array.from({ length: count }, (_, i) => Math.sin(i * seed))
const large = tensor('float32', [5, 1000], floats(5000))

/** The definition, by another implementation. */
function plainRoot(dtype: string, shape: readonly number[], data: Buffer): string {
  const sha = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
  const u64 = (value: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(BigInt(value))
    return bytes
  }
  const tree = (leaves: Buffer[]): Buffer => {
    if (leaves.length === 0) return sha()
    if (leaves.length === 1) return sha(Buffer.of(0), leaves[0]!)
    const split = 2 ** Math.floor(Math.log2(leaves.length - 1))
    return sha(Buffer.of(1), tree(leaves.slice(0, split)), tree(leaves.slice(split)))
  }
  const chunks = Array.from({ length: Math.ceil(data.length / 4096) }, (_, i) =>
    data.subarray(i * 4096, (i + 1) * 4096),
  )
  const tag = sha(Buffer.from('assay/tensor/v1'))
  const fields = [Buffer.from(dtype), Buffer.concat(shape.map(u64)), u64(data.length), tree(chunks)]
  return sha(tag, tag, ...fields.flatMap((field) => [u64(field.length), field])).toString('hex')
}

describe('roots', () => {
  test('follow the definition', () => {
    const text = tensor('string', [2], ['é', 'ab'])
    const framed = Buffer.concat([
      Buffer.of(0, 0, 0, 2),
      Buffer.from('é'),
      Buffer.of(0, 0, 0, 2),
      Buffer.from('ab'),
    ])
    expect(toHex(tensorRoot(text))).toBe(plainRoot('string', [2], framed))
    for (const count of [0, 1, 1024, 1025, 5000, 9000]) {
      const data = floats(count)
      expect(toHex(tensorRoot(tensor('float32', [count], data)))).toBe(
        plainRoot('float32', [count], Buffer.from(data.buffer)),
      )
    }
    expect(toHex(tensorRoot(tensor('int64', [], BigInt64Array.of(-2n))))).toBe(
      plainRoot('int64', [], Buffer.from('feffffffffffffff', 'hex')),
    )
  })

  test('a known answer, which other implementations can use', () => {
    expect(toHex(tensorRoot(tensor('float32', [2, 2], Float32Array.of(1, -2, 0.5, 0))))).toBe(
      'af8cd8872cc40223dc41d2bdf09c824610012465852bd32151484c693f564514',
    )
  })

  test('tell dtype, shape, signs of zero and NaN payloads apart', () => {
    const bits = (...words: number[]) => new Float32Array(Uint32Array.from(words).buffer)
    const tensors: Tensor[] = [
      tensor('float32', [2], bits(0, 0)),
      tensor('float32', [2], bits(0x80000000, 0)),
      tensor('float32', [2], bits(0x7fc00000, 0)),
      tensor('float32', [2], bits(0x7fc00001, 0)),
      tensor('float32', [1, 2], bits(0, 0)),
      tensor('float32', [2, 1], bits(0, 0)),
      tensor('int32', [2], Int32Array.of(0, 0)),
      tensor('float64', [1], Float64Array.of(0)),
      tensor('uint8', [8], new Uint8Array(8)),
      tensor('bool', [8], new Uint8Array(8)),
      tensor('float32', [0], bits()),
      tensor('float32', [0, 2], bits()),
    ]
    const roots = tensors.map((value) => toHex(tensorRoot(value)))
    expect(new Set(roots).size).toBe(tensors.length)
  })
})

describe('openings', () => {
  const tree = tensorTree(large)
  const last = Math.ceil(20000 / CHUNK_BYTES) - 1

  test('of any set of chunks are accepted, and hold the bytes', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(last), { minLength: 1 }), (indices) => {
        const sorted = indices.sort((a, b) => a - b)
        const verdict = verifyChunks(tree.root, openChunks(tree, sorted))
        expect(verdict.ok).toBe(true)
        if (!verdict.ok) return
        for (const { index, leaf } of verdict.value.chunks) {
          expect(leaf).toEqual(tree.data.slice(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES))
        }
      }),
      { numRuns: 40 },
    )
  })

  const opening = openChunks(tree, [1, last])
  const [first, second] = opening.chunks as [ChunkOpening['chunks'][0], ChunkOpening['chunks'][0]]
  const changed = (patch: Partial<Record<keyof ChunkOpening, unknown>>) =>
    ({ ...opening, ...patch }) as unknown as ChunkOpening
  const cut = (leaf: Uint8Array) => leaf.subarray(0, leaf.length - 1)

  test.each<[string, ChunkOpening]>([
    ['another dtype of the same width', changed({ dtype: 'int32' })],
    ['another shape of the same size', changed({ shape: [1000, 5] })],
    ['a shape that lies', changed({ shape: [5, 1001] })],
    ['another length', changed({ byteLength: 20004 })],
    ['a longer last chunk', changed({ chunks: [first, { ...second, leaf: new Uint8Array(CHUNK_BYTES) }] })],
    ['a shorter chunk', changed({ chunks: [{ ...first, leaf: cut(first.leaf) }, second] })],
    ['another position', changed({ chunks: [{ ...first, index: 2 }, second] })],
    ['a position outside', changed({ chunks: [{ ...first, index: last + 1 }] })],
    ['swapped chunks', changed({ chunks: [second, first] })],
    ['a chunk twice', changed({ chunks: [first, first] })],
    ['no chunk', changed({ chunks: [], proof: [] })],
    ['a proof too short', changed({ proof: opening.proof.slice(1) })],
    ['a proof too long', changed({ proof: [...opening.proof, opening.proof[0]!] })],
    ['a proof that is none', changed({ proof: 'no' })],
    ['another tree', changed({ merkleRoot: new Uint8Array(32) })],
    ['no chunks at all', changed({ chunks: null })],
    ['a chunk that is null', changed({ chunks: [null] })],
    ['an unknown dtype', changed({ dtype: 'toString' })],
    ['negative sizes', changed({ shape: [-5, -1000] })],
    ['too many dimensions', changed({ shape: [5000, ...Array<number>(40).fill(1)] })],
    ['a fraction', changed({ byteLength: 0.5 })],
    ['null', null as unknown as ChunkOpening],
  ])('%s is refused', (_, bad) => {
    const verdict = verifyChunks(tree.root, bad)
    expect(verdict.ok).toBe(false)
    if (!verdict.ok) expect(verdict.code).toMatch(/^(state|merkle)\//)
  })

  test('every flipped bit of chunks and proof is refused', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(7), (where, bit) => {
        const parts = [...opening.chunks.map(({ leaf }) => leaf), ...opening.proof, opening.merkleRoot]
        const total = parts.reduce((sum, part) => sum + part.length, 0)
        let at = where % total
        const flip = (part: Uint8Array): Uint8Array => {
          const copy = part.slice()
          if (at >= 0 && at < copy.length) copy[at]! ^= 1 << bit
          at -= part.length
          return copy
        }
        const chunks = opening.chunks.map(({ index, leaf }) => ({ index, leaf: flip(leaf) }))
        const proof = opening.proof.map(flip)
        const merkleRoot = flip(opening.merkleRoot)
        expect(verifyChunks(tree.root, { ...opening, chunks, proof, merkleRoot }).ok).toBe(false)
      }),
      { numRuns: 300 },
    )
  })

  test('under another root are refused, whatever it is', () => {
    for (const root of [new Uint8Array(32), new Uint8Array(31), null, 'root']) {
      expect(verifyChunks(root as Uint8Array, opening).ok).toBe(false)
    }
  })

  test('indices out of range cannot be opened', () => {
    expect(() => openChunks(tree, [last + 1])).toThrowError(/expected an integer from 0/)
    expect(() => openChunks(tensorTree(tensor('float32' as Dtype, [0], floats(0))), [0])).toThrowError(
      /empty/,
    )
  })
})
