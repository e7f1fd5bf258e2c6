/**
 * Makes vectors/transparency-log.json; with --check, compares instead and exits 1 on a difference.
 *
 * `published` holds what others published, word for word; `own` is made with the built library, and checked by the tests
 * beside receipt/log with node:crypto and code of their own.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { ed25519KeyPair } from 'assay/core/keys'
import { leafHash, merkleRoot } from 'assay/core/merkle'
import { signCheckpoint } from 'assay/receipt/log/checkpoint'
import { logEntryObject } from 'assay/receipt/log/entry'
import { formatNoteKey } from 'assay/receipt/log/note'

const file = new URL('../../vectors/transparency-log.json', import.meta.url)
const hex = (bytes) => Buffer.from(bytes).toString('hex')

const published = {
  tree: {
    source:
      'Certificate Transparency reference implementation (google/certificate-transparency, merkletree tests; also transparency-dev/merkle, testdata)',
    leaves: [
      '',
      '00',
      '10',
      '2021',
      '3031',
      '40414243',
      '5051525354555657',
      '606162636465666768696a6b6c6d6e6f',
    ],
    roots: [
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
      'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
      '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
      'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
      '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
    ],
    inclusion: [
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
      {
        index: 2,
        size: 3,
        proof: ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'],
      },
      {
        index: 1,
        size: 5,
        proof: [
          '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
          '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
          'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
        ],
      },
    ],
    consistency: [
      { from: 1, to: 1, proof: [] },
      {
        from: 1,
        to: 8,
        proof: [
          '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
          '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
          '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
        ],
      },
      {
        from: 6,
        to: 8,
        proof: [
          '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
          'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
          'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
        ],
      },
      {
        from: 2,
        to: 5,
        proof: [
          '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
          'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
        ],
      },
    ],
  },
  signedNote: {
    source:
      'FiloSottile/torchwood, cmd/litewitness/testdata/multi-cosigs-ed25519.txt: a checkpoint signed as C2SP signed-note, type 0x01',
    publicKey: '52c05edad1bf5feffa81354faae59a655d9a9a1a793ed2f62c39c26c0be2aecd',
    note:
      'sigsum.org/v1/tree/985ea163f5af026723561354f51f2ebcdcf2af809ce254ccfb64aa9aadd80f90\n1\n' +
      'KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n' +
      '— sigsum.org/v1/tree/985ea163f5af026723561354f51f2ebcdcf2af809ce254ccfb64aa9aadd80f90 ' +
      '7BKT0gOfNZ1J0So9unY3BZtm2YkPIoNYM/dce0Z2avJDs8dxN6ts9bOSwwrVrbjm6P9K3ZxpK6jJngOG6YvGGzV/lwo=\n',
  },
  noteKeys: {
    source: 'transparency-dev/formats, note/note_cosigv1_test.go',
    ed25519: 'TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6',
    cosignature: 'remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2',
  },
  cosignatureTime: {
    source: 'transparency-dev/formats, note/note_cosigv1_test.go',
    signature:
      'ZGhGuQAAAABm/qTPeyKXD+R2rzyQsxPiP8mXum7qq/iF0u4vanlqJyocWODBt97w9uL+8qT7S5gxEHWWOworDcFiEBYJXORmnFBOBA==',
    timeSeconds: 1727964367,
  },
}

const seed = '07'.repeat(32)
const key = ed25519KeyPair(Buffer.from(seed, 'hex'))
const origin = 'example.com/assay'
const entries = [
  { jobId: '0198c0de-0000-7000-8000-000000000001', receipt: '11'.repeat(32), issuedAtMs: 1767323045000 },
  { jobId: '0198c0de-0000-7000-8000-000000000002', receipt: '22'.repeat(32), issuedAtMs: 1767323045001 },
  { jobId: 'j', receipt: 'ff'.repeat(32), issuedAtMs: 0 },
]
const leaves = entries.map((entry) =>
  logEntryObject.encode({ ...entry, receipt: new Uint8Array(Buffer.from(entry.receipt, 'hex')) }),
)
const sizes = [0, 1, 2, 3]
const own = {
  madeBy: 'scripts/vectors/transparency-log.mjs',
  origin,
  secretKey: seed,
  publicKey: hex(key.publicKey.bytes),
  noteKeys: {
    ed25519: formatNoteKey({ name: origin, publicKey: key.publicKey }, 'ed25519'),
    cosignature: formatNoteKey({ name: origin, publicKey: key.publicKey }, 'cosignature'),
  },
  entries: entries.map((entry, i) => ({
    ...entry,
    leaf: hex(leaves[i]),
    leafHash: hex(leafHash(leaves[i])),
  })),
  checkpoints: await Promise.all(
    sizes.map(async (size) => {
      const root = merkleRoot(leaves.slice(0, size))
      const timeSeconds = 1767323046 + size
      return {
        size,
        root: hex(root),
        timeSeconds,
        note: await signCheckpoint({ origin, size, root, timeSeconds }, key),
      }
    }),
  ),
}

const description = 'The transparency log: trees of RFC 9162, signed notes and checkpoints of C2SP, entries.'
const text = `${JSON.stringify({ description, published, own }, null, 2)}\n`
if (!process.argv.includes('--check')) writeFileSync(file, text)
else if (readFileSync(file, 'utf8') !== text) {
  console.error('vectors/transparency-log.json is not what the library makes; its formats must never change')
  process.exitCode = 1
}
