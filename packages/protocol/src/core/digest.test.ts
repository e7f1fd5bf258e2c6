import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concatBytes, toHex, u64be, utf8 } from './bytes.ts'
import { hashFields, isDigest, sha256, tagBlock, tagged } from './digest.ts'

describe('sha256', () => {
  test.each([
    ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    [
      'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq',
      '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
    ],
  ])('FIPS 180-4: %j', (text, hex) => {
    expect(toHex(sha256(utf8(text)))).toBe(hex)
  })

  test('property: agrees with OpenSSL', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(toHex(sha256(bytes))).toBe(createHash('sha256').update(bytes).digest('hex'))
      }),
    )
  })
})

describe('tagged', () => {
  test('is the construction of BIP 340', () => {
    // The tag hash that the specification's reference code starts from.
    expect(toHex(tagBlock('BIP0340/challenge')).slice(0, 64)).toBe(
      '7bb52d7a9fef58323eb1bf7a407db382d2f3f2d81bb1224f49fe518f6d48d37c',
    )
    const tag = createHash('sha256').update('some tag').digest()
    const expected = createHash('sha256').update(tag).update(tag).update('data').digest('hex')
    expect(toHex(tagged('some tag', utf8('data')))).toBe(expected)
    expect(tagBlock('some tag')).toHaveLength(64)
  })

  test('two tags never meet', () => {
    expect(toHex(tagged('a', utf8('x')))).not.toBe(toHex(tagged('b', utf8('x'))))
    expect(toHex(tagged('a', utf8('x')))).not.toBe(toHex(sha256(utf8('x'))))
  })
})

describe('hashFields', () => {
  const fieldLists = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 6 })

  test('property: is tagged over length-prefixed fields', () => {
    fc.assert(
      fc.property(fieldLists, (fields) => {
        const parts = fields.flatMap((field) => [u64be(field.length), field])
        expect(hashFields('t', fields)).toStrictEqual(tagged('t', concatBytes(...parts)))
      }),
    )
  })

  test('a list split elsewhere hashes elsewhere', () => {
    const lists = [['ab', 'c'], ['a', 'bc'], ['abc'], ['abc', ''], ['', 'abc'], []]
    const digests = lists.map((list) => toHex(hashFields('t', list.map(utf8))))
    expect(new Set(digests).size).toBe(lists.length)
  })

  test('takes more fields than a call takes arguments', () => {
    expect(hashFields('t', new Array(200_000).fill(Uint8Array.of(1)))).toHaveLength(32)
  })
})

test('isDigest asks for 32 bytes', () => {
  expect(isDigest(sha256(utf8('')))).toBe(true)
  expect(isDigest(new Uint8Array(31))).toBe(false)
  expect(isDigest(new Uint8Array(33))).toBe(false)
})
