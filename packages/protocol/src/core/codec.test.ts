import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { describe, expect, test } from 'vitest'
import * as z from 'zod/mini'
import { concatBytes, equalBytes, fromHex, toHex, utf8 } from './bytes.ts'
import { contentAddress } from './cid.ts'
import { decodeCanonical, defineObject, encodeCanonical, MAX_ITEMS } from './codec.ts'
import { tagged } from './digest.ts'
import { MAX_DEPTH } from './encodable.ts'
import { codeOf } from './testing/code-of.ts'
import { mutants } from './testing/mutants.ts'

const MAX_BYTES = 1 << 20
const decode = (bytes: Uint8Array) => decodeCanonical(bytes, { maxBytes: MAX_BYTES })
const decodeHex = (hex: string) => decode(fromHex(hex))

const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const key = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .filter((name) => name !== '/' && name !== '__proto__')
const float = fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => {
  return !Object.is(value, -0) && (!Number.isInteger(value) || Number.isSafeInteger(value))
})
const wide = fc
  .bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n })
  .filter((value) => value > BigInt(Number.MAX_SAFE_INTEGER) || value < -BigInt(Number.MAX_SAFE_INTEGER))
const { tree: values } = fc.letrec((tie) => ({
  tree: fc.oneof({ maxDepth: 4 }, tie('leaf'), tie('leaf'), tie('array'), tie('map')),
  leaf: fc.oneof(fc.constant(null), fc.boolean(), fc.maxSafeInteger(), float, wide, text, fc.uint8Array()),
  array: fc.array(tie('tree'), { maxLength: 6 }),
  map: fc.dictionary(key, tie('tree'), { maxKeys: 6, noNullPrototype: true }),
}))

describe('encodeCanonical and decodeCanonical', () => {
  test.each([
    [0, '00'],
    [23, '17'],
    [24, '1818'],
    [255, '18ff'],
    [256, '190100'],
    [65_536, '1a00010000'],
    [4_294_967_296, '1b0000000100000000'],
    [Number.MAX_SAFE_INTEGER, '1b001fffffffffffff'],
    [2n ** 53n, '1b0020000000000000'],
    [2n ** 64n - 1n, '1bffffffffffffffff'],
    [-1, '20'],
    [-Number.MAX_SAFE_INTEGER, '3b001ffffffffffffe'],
    [-(2n ** 53n), '3b001fffffffffffff'],
    [-(2n ** 64n), '3bffffffffffffffff'],
    [1.5, 'fb3ff8000000000000'],
    [5e-324, 'fb0000000000000001'],
    [false, 'f4'],
    [true, 'f5'],
    [null, 'f6'],
    ['', '60'],
    ['ü', '62c3bc'],
    ['\u{10151}', '64f0908591'],
    ['\ufeffmark', '67efbbbf6d61726b'],
    [Uint8Array.of(1, 2, 3, 4), '4401020304'],
    [[1, [2, 3]], '8201820203'],
    [{ a: 1, b: [2, 3] }, 'a26161016162820203'],
    [{ b: 1, aa: 2, a: 3 }, 'a361610361620162616102'],
    [{}, 'a0'],
    [[], '80'],
  ])('%o is %s, both ways', (value, hex) => {
    expect(toHex(encodeCanonical(value))).toBe(hex)
    expect(decodeHex(hex)).toStrictEqual(value)
  })

  test('a link is tag 42', () => {
    const cid = CID.parse(contentAddress(utf8('linked'), 'raw'))
    const bytes = encodeCanonical({ link: cid })
    expect(toHex(bytes)).toContain('d82a58250001551220')
    expect((decode(bytes) as { link: CID }).link.equals(cid)).toBe(true)
  })

  test('numbers that are equal have one encoding', () => {
    expect(encodeCanonical(-0)).toStrictEqual(encodeCanonical(0))
    expect(encodeCanonical(7n)).toStrictEqual(encodeCanonical(7))
    expect(encodeCanonical({ x: 1.0, y: 2 })).toStrictEqual(encodeCanonical({ y: 2, x: 1 }))
  })

  test('property: round trip, and the bytes of an independent encoder', () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encodeCanonical(value)
        expect(decode(bytes)).toStrictEqual(value)
        expect(equalBytes(bytes, dagCbor.encode(value))).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test('property: a mutation decodes to another value or is refused by a code of the codec', () => {
    fc.assert(
      fc.property(values, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
        const bytes = encodeCanonical(value)
        for (const mutant of mutants(bytes, at, flip)) {
          const outcome = codeOf(() => decode(mutant))
          if (outcome.code !== undefined) expect(outcome.code).toMatch(/^codec\/(?:malformed|not-canonical)$/)
          else expect(equalBytes(encodeCanonical(outcome.value), mutant)).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('property: any bytes are refused with a code, or are the encoding of what they decode to', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 48 }), (bytes) => {
        const outcome = codeOf(() => decode(bytes))
        if (outcome.code !== undefined) expect(outcome.code).toMatch(/^codec\//)
        else expect(equalBytes(encodeCanonical(outcome.value), bytes)).toBe(true)
      }),
      { numRuns: 5000 },
    )
  })

  test('property: truncated and extended encodings are malformed', () => {
    fc.assert(
      fc.property(values, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 }), (value, cut, tail) => {
        const bytes = encodeCanonical(value)
        expect(codeOf(() => decode(bytes.subarray(0, cut % bytes.length))).code).toBe('codec/malformed')
        expect(codeOf(() => decode(concatBytes(bytes, tail))).code).toBe('codec/malformed')
      }),
    )
  })

  test('the result shares no memory with the input, nor two results with each other', () => {
    const bytes = Buffer.from(encodeCanonical([Uint8Array.of(1, 2)]))
    const [payload] = decode(bytes) as [Uint8Array]
    bytes.fill(0xff)
    expect(payload).toStrictEqual(Uint8Array.of(1, 2))
    encodeCanonical(null).fill(0)
    expect(toHex(encodeCanonical(null))).toBe('f6')
  })

  test('bytes in shared memory decode', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(5))
    shared.set(encodeCanonical(['ab', 1]))
    expect(decode(shared)).toStrictEqual(['ab', 1])
  })
})

describe('what decodeCanonical refuses', () => {
  test.each([
    ['an integer in more bytes than it needs', '1817'],
    ['a 16-bit integer that fits 8', '1900ff'],
    ['a 32-bit integer that fits 16', '1a0000ffff'],
    ['a 64-bit integer that fits 32', '1b00000000ffffffff'],
    ['a long negative integer', '3800'],
    ['a long length of bytes', '580101'],
    ['a long length of text', '780161'],
    ['a long count of an array', '980101'],
    ['a long count of a map', 'b801616101'],
    ['a 16-bit float', 'f93e00'],
    ['a 32-bit float', 'fa3fc00000'],
    ['an integer as a float', 'fb3ff0000000000000'],
    ['minus zero', 'fb8000000000000000'],
    ['a large integer as a float', 'fb43e0000000000000'],
    ['bytes of indefinite length', '5f4101ff'],
    ['text of indefinite length', '7f6161ff'],
    ['an array of indefinite length', '9f01ff'],
    ['a map of indefinite length', 'bf616101ff'],
    ['keys out of order', 'a2616201616101'],
    ['a longer key first', 'a262616101616201'],
    ['a key twice', 'a2616101616102'],
  ])('%s is not canonical', (_, hex) => {
    expect(codeOf(() => decodeHex(hex)).code).toBe('codec/not-canonical')
  })

  test.each([
    ['nothing at all', ''],
    ['undefined', 'f7'],
    ['another simple value', 'e0'],
    ['a simple value in two bytes', 'f818'],
    ['a break', 'ff'],
    ['a break in an array', '82ff00'],
    ['reserved additional information', '1c'],
    ['NaN', 'fb7ff8000000000000'],
    ['infinity', 'fb7ff0000000000000'],
    ['a number as a map key', 'a10102'],
    ['bytes as a map key', 'a1416102'],
    ['text that is not UTF-8', '61ff'],
    ['an overlong UTF-8 form', '62c080'],
    ['an encoded surrogate', '63eda080'],
    ['a date (tag 0)', 'c074323031332d30332d32315432303a30343a30305a'],
    ['a big integer (tag 2)', 'c249010000000000000000'],
    ['self-described CBOR', 'd9d9f700'],
    ['a link without its zero', 'd82a450155122000'],
    ['a link to nothing', 'd82a4100'],
    ['a link of text', 'd82a6161'],
    ['nested links', 'd82ad82a4100'],
    ['an empty link', 'd82a40'],
    ['a value and a byte', '0000'],
    ['the key __proto__', 'a1695f5f70726f746f5f5f01'],
    ['the key / that encoders take for a link', 'a2612f61616562797465736161'],
  ])('%s is malformed', (_, hex) => {
    const { code, message } = codeOf(() => decodeHex(hex))
    expect(code).toBe('codec/malformed')
    expect(message).toMatch(/expected canonical DAG-CBOR, got .+ at byte \d+/)
  })

  test('what is no Uint8Array is malformed', () => {
    expect(codeOf(() => decode('00' as unknown as Uint8Array)).code).toBe('codec/malformed')
  })

  test.each([
    '5affffffff',
    '7affffffff',
    '9affffffff',
    'baffffffff',
    '5bffffffffffffffff',
    '9bffffffffffffffff',
  ])('the claim %s of a huge length is refused before anything is allocated', (hex) => {
    const bytes = concatBytes(fromHex(hex), new Uint8Array(64))
    expect(codeOf(() => decode(bytes)).code).toBe('codec/malformed')
  })

  test('more than maxBytes, before it is read', () => {
    const bytes = new Uint8Array(11).fill(0xff)
    expect(codeOf(() => decodeCanonical(bytes, { maxBytes: 10 })).code).toBe('codec/too-large')
    expect(codeOf(() => decodeCanonical(bytes, { maxBytes: 11 })).code).toBe('codec/malformed')
  })

  test.each([
    ['arrays', '81', '00'],
    ['maps', 'a16161', '00'],
  ])('deep %s, at any depth', (_, open, inner) => {
    const nested = (depth: number) => fromHex(open.repeat(depth) + inner)
    expect(codeOf(() => decode(nested(MAX_DEPTH))).code).toBeUndefined()
    for (const depth of [MAX_DEPTH + 1, 100_000]) {
      expect(codeOf(() => decode(nested(depth))).code).toBe('codec/too-large')
    }
    expect(codeOf(() => decodeCanonical(nested(3), { maxBytes: 64, maxDepth: 2 })).code).toBe(
      'codec/too-large',
    )
  })

  test('deep tags', () => {
    expect(codeOf(() => decodeHex('d82a'.repeat(100_000))).code).toBe('codec/malformed')
  })

  test('more items than the cap', () => {
    const array = (count: number) => encodeCanonical(new Array(count).fill(0))
    expect((decode(array(MAX_ITEMS - 1)) as unknown[]).length).toBe(MAX_ITEMS - 1)
    expect(codeOf(() => decode(array(MAX_ITEMS))).code).toBe('codec/too-large')
    expect(codeOf(() => decodeCanonical(fromHex('83010203'), { maxBytes: 9, maxItems: 3 })).code).toBe(
      'codec/too-large',
    )
    expect(codeOf(() => decodeCanonical(fromHex('a1616101'), { maxBytes: 9, maxItems: 2 })).code).toBe(
      'codec/too-large',
    )
  })
})

describe('defineObject', () => {
  const schema = z.strictObject({
    id: z.string().check(z.maxLength(20)),
    data: z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'bytes'),
    note: z.optional(z.string()),
  })
  const thing = defineObject({ type: 'test/thing', version: 2, schema, maxBytes: 256 })
  const value = { id: 'x', data: Uint8Array.of(1, 2) }
  const envelope = (fields: object) => encodeCanonical({ type: 'test/thing', v: 2, body: value, ...fields })

  test('is the map of type, v and body, and reads itself', () => {
    const bytes = thing.encode(value)
    expect(bytes).toStrictEqual(dagCbor.encode({ type: 'test/thing', v: 2, body: value }))
    expect(thing.decode(bytes)).toStrictEqual(value)
    expect(thing.decode(thing.encode({ ...value, note: 'n' }))).toStrictEqual({ ...value, note: 'n' })
  })

  test('digests under its type and version', () => {
    expect(thing.digest(value)).toStrictEqual(tagged('test/thing/v2', thing.encode(value)))
    const next = defineObject({ type: 'test/thing', version: 3, schema, maxBytes: 256 })
    expect(toHex(next.digest(value))).not.toBe(toHex(thing.digest(value)))
  })

  test('names both types', () => {
    const { code, message } = codeOf(() => thing.decode(envelope({ type: 'test/other' })))
    expect(code).toBe('codec/unknown-type')
    expect(message).toMatch(/"test\/thing".*"test\/other"/)
    expect(codeOf(() => thing.decode(envelope({ type: 7 }))).code).toBe('codec/unknown-type')
  })

  test('names the version that came and the one it knows', () => {
    const { code, message, detail } = codeOf(() => thing.decode(envelope({ v: 3, more: 1 })))
    expect(code).toBe('codec/unknown-version')
    expect(message).toContain('version 3 is not known; this release knows 2')
    expect(detail).toMatchObject({ known: [2], got: '3' })
    expect(codeOf(() => thing.decode(envelope({ v: '2' }))).code).toBe('codec/unknown-version')
  })

  test.each([
    ['no map', encodeCanonical([1])],
    ['null', encodeCanonical(null)],
    ['no body', encodeCanonical({ type: 'test/thing', v: 2 })],
    ['a field beside the body', envelope({ extra: 1 })],
    ['an unknown field in the body', envelope({ body: { ...value, extra: 1 } })],
    ['a missing field', envelope({ body: { id: 'x' } })],
    ['a field of another type', envelope({ body: { ...value, id: 5 } })],
  ])('refuses %s', (_, bytes) => {
    expect(codeOf(() => thing.decode(bytes)).code).toBe('codec/schema')
  })

  test('refuses to encode what it would not decode', () => {
    expect(codeOf(() => thing.encode({ ...value, id: 'x'.repeat(21) })).code).toBe('codec/schema')
    expect(codeOf(() => thing.encode({ ...value, extra: 1 } as typeof value)).code).toBe('codec/schema')
    expect(codeOf(() => thing.encode({ ...value, note: undefined } as unknown as typeof value)).code).toBe(
      'codec/schema',
    )
    expect(codeOf(() => thing.encode({ ...value, data: new Uint8Array(300) })).code).toBe('codec/too-large')
    expect(codeOf(() => thing.decode(new Uint8Array(257))).code).toBe('codec/too-large')
  })

  test('counts items on both sides', () => {
    const list = defineObject({ type: 'l', version: 1, schema: z.array(z.int()), maxBytes: 99, maxItems: 10 })
    // type, v and body are three keys and three values, in one map: 7, and then the elements.
    expect(list.decode(list.encode([1, 2, 3]))).toStrictEqual([1, 2, 3])
    expect(codeOf(() => list.encode([1, 2, 3, 4])).code).toBe('codec/too-large')
    expect(codeOf(() => list.decode(encodeCanonical({ type: 'l', v: 1, body: [1, 2, 3, 4] }))).code).toBe(
      'codec/too-large',
    )
  })

  test('guards against schemas that change what they read', () => {
    const loose = defineObject({ type: 'l', version: 1, schema: z.object({ a: z.int() }), maxBytes: 99 })
    const extra = encodeCanonical({ type: 'l', v: 1, body: { a: 1, b: [2] } })
    const { code, detail } = codeOf(() => loose.decode(extra))
    expect(code).toBe('codec/schema')
    expect(detail).toMatchObject({ path: 'b', got: 'array of 1' })
    const filled = defineObject({
      type: 'l',
      version: 1,
      schema: z.object({ a: z._default(z.int(), 4) }),
      maxBytes: 99,
    })
    expect(codeOf(() => filled.decode(encodeCanonical({ type: 'l', v: 1, body: {} }))).detail?.path).toBe('a')
  })

  test('property: mutations are refused or decode to what encodes to them', () => {
    const bytes = thing.encode({ ...value, note: 'a note' })
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        for (const mutant of mutants(bytes, at, flip)) {
          const outcome = codeOf(() => thing.decode(mutant))
          if (outcome.code !== undefined) expect(outcome.code).toMatch(/^codec\//)
          else expect(equalBytes(thing.encode(outcome.value as typeof value), mutant)).toBe(true)
        }
      }),
      { numRuns: 1000 },
    )
  })
})
