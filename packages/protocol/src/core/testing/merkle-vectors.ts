/**
 * For tests: the eight-leaf tree of the Certificate Transparency reference implementations (RFC 6962 and
 * RFC 9162 hash alike), and a root computed as the definition in RFC 9162, section 2.1.1, reads.
 */
import { concatBytes, fromHex } from '../bytes.ts'
import { type Digest, sha256 } from '../digest.ts'
import { leafHash, type MerkleTree, merkleTree } from '../merkle.ts'

export const LEAVES: readonly Uint8Array[] = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map(fromHex)

/** Root of the first n leaves, at n. */
export const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
] as const

export const INCLUSIONS: readonly {
  readonly index: number
  readonly size: number
  readonly proof: string[]
}[] = [
  { index: 0, size: 1, proof: [] },
  {
    index: 0,
    size: 8,
    proof: [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  },
  {
    index: 5,
    size: 8,
    proof: [
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  },
  { index: 2, size: 3, proof: ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'] },
  {
    index: 1,
    size: 5,
    proof: [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  },
]

export const CONSISTENCIES: readonly {
  readonly oldSize: number
  readonly newSize: number
  readonly proof: string[]
}[] = [
  { oldSize: 1, newSize: 1, proof: [] },
  {
    oldSize: 1,
    newSize: 8,
    proof: [
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ],
  },
  {
    oldSize: 6,
    newSize: 8,
    proof: [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  },
  {
    oldSize: 2,
    newSize: 5,
    proof: [
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ],
  },
]

/** The definition, word for word: split at the largest power of two below the size. */
export function definedRoot(leaves: readonly Uint8Array[]): Digest {
  if (leaves.length === 0) return sha256(new Uint8Array())
  if (leaves.length === 1) return sha256(concatBytes(Uint8Array.of(0), leaves[0] as Uint8Array))
  let split = 1
  while (2 * split < leaves.length) split *= 2
  const left = definedRoot(leaves.slice(0, split))
  return sha256(concatBytes(Uint8Array.of(1), left, definedRoot(leaves.slice(split))))
}

/** `size` leaves, each other than the rest. */
export function manyLeaves(size: number): Uint8Array[] {
  return Array.from({ length: size }, (_, i) => Uint8Array.of(i >> 8, i & 0xff))
}

export function treeOf(leaves: readonly Uint8Array[]): MerkleTree {
  return merkleTree(leaves.map(leafHash))
}

export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice()
  const at = (bit >> 3) % bytes.length
  flipped[at] = (flipped[at] as number) ^ (1 << (bit & 7))
  return flipped
}

/** What no list of digests is, of `proof`'s length or another. */
export function badProofs(proof: readonly Uint8Array[], at: number): unknown[] {
  const extra = sha256(Uint8Array.of(9))
  const replaced = (node: unknown) => proof.map((old, i) => (i === at % proof.length ? node : old))
  return [
    ...[null, undefined, 'proof', 7, {}, new Uint8Array(32 * proof.length), new Array(proof.length + 1)],
    ...[
      [...proof, extra],
      [extra, ...proof],
    ],
    ...(proof.length === 0 ? [] : [proof.slice(1), proof.slice(0, -1), [], new Array(proof.length)]),
    ...(proof.length === 0 ? [] : [replaced(null), replaced('x'), replaced(new Uint8Array(31))]),
    ...(proof.length === 0
      ? []
      : [replaced(new Uint8Array(33)), replaced(new Uint8Array(64)), replaced([...extra])]),
  ]
}
