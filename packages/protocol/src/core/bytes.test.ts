import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concatBytes, equalBytes, fromBase64, fromHex, toBase64, toHex, u64be, utf8 } from './bytes.ts'
import { codeOf } from './testing/code-of.ts'

describe('hexadecimal', () => {
  test('known', () => {
    expect(toHex(Uint8Array.of(0, 1, 0x7f, 0x80, 0xff))).toBe('00017f80ff')
    expect(fromHex('00017f80ff')).toStrictEqual(Uint8Array.of(0, 1, 0x7f, 0x80, 0xff))
    expect(fromHex('')).toStrictEqual(new Uint8Array())
  })

  test('property: agrees with Buffer, both ways', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const text = Buffer.from(bytes).toString('hex')
        expect(toHex(bytes)).toBe(text)
        expect(fromHex(text)).toStrictEqual(bytes)
      }),
    )
  })

  test.each(['0', 'abc', 'AB', '0x00', ' 00', '00 ', '00\n', 'gg', '٠٠'])('refuses %j', (text) => {
    const { code, message } = codeOf(() => fromHex(text))
    expect(code).toBe('bytes/malformed')
    expect(message).toContain(JSON.stringify(text))
  })
})

describe('base64', () => {
  test.each([
    ['', ''],
    ['f', 'Zg=='],
    ['fo', 'Zm8='],
    ['foo', 'Zm9v'],
    ['foob', 'Zm9vYg=='],
    ['fooba', 'Zm9vYmE='],
    ['foobar', 'Zm9vYmFy'],
  ])('RFC 4648, section 10: %j is %j', (plain, text) => {
    expect(toBase64(utf8(plain))).toBe(text)
    expect(fromBase64(text)).toStrictEqual(utf8(plain))
  })

  test('property: agrees with Buffer, both ways', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const text = Buffer.from(bytes).toString('base64')
        expect(toBase64(bytes)).toBe(text)
        expect(fromBase64(text)).toStrictEqual(bytes)
      }),
    )
  })

  test('across the chunks in which it is made', () => {
    for (const length of [0x1fff, 0x2000, 0x2001, 0x4001]) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 31) & 0xff)
      expect(fromBase64(toBase64(bytes))).toStrictEqual(bytes)
    }
  })

  test.each([
    ...['A', 'AA', 'AAA', 'AAAAA', '=', '==', '====', 'A===', 'AA=A', 'AA==AAAA', 'Zg', 'Zg='],
    ...['Z-__', ' Zg==', 'Zg==\n', 'Zm 9v', 'Zm9v====', 'ＡＡＡＡ'],
  ])('refuses %j', (text) => {
    expect(codeOf(() => fromBase64(text)).code).toBe('bytes/malformed')
  })

  test.each(['Zh==', 'Zm9=', 'AAAAZh==', '//=='])('refuses unused bits that are set: %j', (text) => {
    expect(codeOf(() => fromBase64(text)).code).toBe('bytes/malformed')
  })

  test('property: a text that decodes is the one encoding of its bytes', () => {
    const character = fc.constantFrom(...'AZaz09+/=-')
    fc.assert(
      fc.property(fc.string({ unit: character, maxLength: 12 }), (text) => {
        const { code, value } = codeOf(() => fromBase64(text))
        if (value === undefined) expect(code).toBe('bytes/malformed')
        else expect(toBase64(value)).toBe(text)
      }),
      { numRuns: 3000 },
    )
  })

  test('a text of 24 MiB, good or bad, does not exhaust the stack', () => {
    const text = 'A'.repeat(24 << 20)
    expect(fromBase64(text).length).toBe(18 << 20)
    const { code, message } = codeOf(() => fromBase64(`${text}!!!!`))
    expect(code).toBe('bytes/malformed')
    expect(message?.length).toBeLessThan(200)
  })
})

describe('joining, comparing, numbers', () => {
  test('property: concatBytes joins in order', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 10 }), (parts) => {
        expect(concatBytes(...parts)).toStrictEqual(Uint8Array.from(parts.flatMap((part) => [...part])))
      }),
    )
  })

  test('property: equalBytes sees one bit of long arrays, wherever they begin in their buffers', () => {
    const start = fc.integer({ min: 0, max: 8 })
    fc.assert(
      fc.property(fc.integer({ min: 1020, max: 1040 }), start, start, fc.nat(), (length, here, there, at) => {
        const of = (offset: number) => new Uint8Array(new ArrayBuffer(offset + length + 3), offset, length)
        const a = of(here)
        for (let i = 0; i < length; i++) a[i] = i
        const b = of(there)
        b.set(a)
        expect(equalBytes(a, b)).toBe(true)
        expect(equalBytes(b, a)).toBe(true)
        b[at % length] = (b[at % length] as number) ^ 1
        expect(equalBytes(a, b)).toBe(false)
      }),
    )
  })

  test('property: equalBytes is equality of contents', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (bytes, at, flip) => {
          const other = bytes.slice()
          expect(equalBytes(bytes, other)).toBe(true)
          other[at % other.length] = (other[at % other.length] as number) ^ flip
          expect(equalBytes(bytes, other)).toBe(false)
          expect(equalBytes(bytes, bytes.subarray(1))).toBe(false)
        },
      ),
    )
  })

  test('u64be', () => {
    expect(toHex(u64be(0))).toBe('0000000000000000')
    expect(toHex(u64be(0x1_0203_0405))).toBe('0000000102030405')
    expect(toHex(u64be(Number.MAX_SAFE_INTEGER))).toBe('001fffffffffffff')
  })

  test('utf8', () => {
    expect(toHex(utf8('ü€\u{10151}'))).toBe('c3bce282acf0908591')
  })
})
