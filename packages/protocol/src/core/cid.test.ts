import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { base32 } from 'multiformats/bases/base32'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import { create as createMultihash } from 'multiformats/hashes/digest'
import { describe, expect, test } from 'vitest'
import { toHex, utf8 } from './bytes.ts'
import { assertContent, type Cid, contentAddress, formatCid, isCid, parseCid } from './cid.ts'
import { encodeCanonical } from './codec.ts'
import { sha256 } from './digest.ts'
import { codeOf } from './testing/code-of.ts'

const EMPTY_RAW = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'
const EMPTY_MAP = 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua'
const digestBytes = fc.uint8Array({ minLength: 32, maxLength: 32 })
const codecs = fc.constantFrom('raw' as const, 'dag-cbor' as const)
const withHash = (version: 0 | 1, code: number, hash: number, digest: Uint8Array) =>
  CID.create(version, code, createMultihash(hash, digest))

describe('contentAddress', () => {
  test('known addresses', () => {
    expect(contentAddress(new Uint8Array(), 'raw')).toBe(EMPTY_RAW)
    expect(contentAddress(utf8('hello world'), 'raw')).toBe(
      'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e',
    )
    expect(contentAddress(encodeCanonical({}), 'dag-cbor')).toBe(EMPTY_MAP)
  })

  test('property: is read back by multiformats and by parseCid', () => {
    fc.assert(
      fc.property(fc.uint8Array(), codecs, (bytes, codec) => {
        const cid = contentAddress(bytes, codec)
        const digest = createHash('sha256').update(bytes).digest('hex')
        const peer = CID.parse(cid)
        expect([peer.version, peer.code, peer.multihash.code]).toStrictEqual([
          1,
          codec === 'raw' ? 0x55 : 0x71,
          0x12,
        ])
        expect(toHex(peer.multihash.digest)).toBe(digest)
        const parsed = parseCid(cid)
        expect(parsed.codec).toBe(codec)
        expect(toHex(parsed.digest)).toBe(digest)
        expect(formatCid(parsed.digest, codec)).toBe(cid)
      }),
    )
  })
})

describe('parseCid refuses', () => {
  const digest = sha256(new Uint8Array())
  test.each([
    ['nothing', ''],
    ['no text', 5 as unknown as string],
    ['upper case', EMPTY_RAW.toUpperCase()],
    ['mixed case', EMPTY_RAW.replace('kreih', 'kreiH')],
    ['another base', CID.parse(EMPTY_RAW).toString(base58btc)],
    ['padding', `${EMPTY_RAW}======`],
    ['white space', ` ${EMPTY_RAW}`],
    ['a line feed', `${EMPTY_RAW}\n`],
    ['a gateway path', `/ipfs/${EMPTY_RAW}`],
    ['one character less', EMPTY_RAW.slice(0, -1)],
    ['one character more', `${EMPTY_RAW}a`],
    ['unused bits that are set', `${EMPTY_RAW.slice(0, -1)}v`],
    ['version 0', withHash(0, 0x70, 0x12, digest).toString()],
    ['dag-pb', withHash(1, 0x70, 0x12, digest).toString()],
    ['json', withHash(1, 0x0200, 0x12, digest).toString()],
    ['sha2-512', withHash(1, 0x55, 0x13, new Uint8Array(64)).toString()],
    ['sha3-256 of the same length', withHash(1, 0x55, 0x16, digest).toString()],
    ['the identity hash of the same length', withHash(1, 0x55, 0, digest).toString()],
    ['a short digest', withHash(1, 0x55, 0x12, digest.slice(1)).toString()],
    ['version 2', base32.encode(Uint8Array.of(2, 0x55, 0x12, 0x20, ...digest))],
    ['a wrong length inside', base32.encode(Uint8Array.of(1, 0x55, 0x12, 0x21, ...digest))],
    ['a long varint', base32.encode(Uint8Array.of(1, 0xd5, 0x00, 0x12, 0x1f, ...digest.slice(1)))],
    ['a text of a megabyte', 'b'.repeat(1 << 20)],
  ])('%s', (_, text) => {
    const { code, message } = codeOf(() => parseCid(text))
    expect(code).toBe('cid/malformed')
    expect(message?.length).toBeLessThan(250)
    expect(isCid(text)).toBe(false)
  })

  test('property: any change of a character is malformed or another address', () => {
    const letter = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789=-')
    fc.assert(
      fc.property(digestBytes, codecs, fc.nat(58), letter, (bytes, codec, at, replacement) => {
        const cid = formatCid(bytes as Parameters<typeof formatCid>[0], codec)
        const changed = cid.slice(0, at) + replacement + cid.slice(at + 1)
        const { code, value } = codeOf(() => parseCid(changed))
        if (value === undefined) expect(code).toBe('cid/malformed')
        else expect(formatCid(value.digest, value.codec)).toBe(changed)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('assertContent', () => {
  test('property: accepts the content and refuses any change of it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), codecs, fc.nat(), (bytes, codec, at) => {
        const cid: string = contentAddress(bytes, codec)
        assertContent(cid, bytes)
        const branded: Cid = cid
        expect(isCid(branded)).toBe(true)
        const flipped = bytes.slice()
        flipped[(at >> 3) % bytes.length] = (flipped[(at >> 3) % bytes.length] as number) ^ (1 << (at & 7))
        for (const other of [flipped, bytes.subarray(1), Uint8Array.of(...bytes, 0)]) {
          expect(codeOf(() => assertContent(cid, other)).code).toBe('cid/mismatch')
        }
      }),
    )
  })

  test('names both addresses', () => {
    const { message, detail } = codeOf(() => assertContent(EMPTY_RAW, utf8('hello world')))
    expect(message).toContain(EMPTY_RAW)
    expect(detail).toMatchObject({
      expected: EMPTY_RAW,
      got: contentAddress(utf8('hello world'), 'raw'),
      bytes: 11,
    })
  })

  test('an address that is none', () => {
    expect(codeOf(() => assertContent('bogus', new Uint8Array())).code).toBe('cid/malformed')
  })
})
