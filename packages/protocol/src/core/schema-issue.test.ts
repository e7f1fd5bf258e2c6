import { describe, expect, test } from 'vitest'
import * as z from 'zod/mini'
import { parseWith } from './codec.ts'
import { AssayError } from './errors.ts'
import { codeOf } from './testing/code-of.ts'

describe('parseWith', () => {
  const bytes32 = z.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.length === 32,
    '32 bytes',
  )
  const schema = z.strictObject({
    count: z.int().check(z.gte(1)),
    list: z.array(z.strictObject({ name: z.string().check(z.maxLength(3)) })).check(z.maxLength(2)),
    either: z.union([z.string(), z.strictObject({ kind: z.literal('x'), share: z.number().check(z.lt(1)) })]),
    tagged: z.discriminatedUnion('t', [z.object({ t: z.literal('m') }), z.object({ t: z.literal('n') })]),
    map: z.record(z.string().check(z.maxLength(2)), z.enum(['p', 'q'])),
    root: bytes32,
    hex: z.string().check(z.regex(/^[0-9a-f]*$/)),
  })
  const good = {
    count: 1,
    list: [{ name: 'a' }],
    either: 's',
    tagged: { t: 'm' },
    map: { k: 'p' },
    root: new Uint8Array(32),
    hex: '0f',
  }

  test('returns what the schema accepts', () => {
    expect(parseWith(schema, good, 'thing')).toStrictEqual(good)
  })

  test.each<[object, string]>([
    [{ count: 0 }, 'thing: count: expected at least 1, got 0'],
    [{ count: 1.5 }, 'thing: count: expected a whole number, got 1.5'],
    [{ count: Number.NaN }, 'thing: count: expected a finite number, got NaN'],
    [{ count: '1' }, 'thing: count: expected a finite number, got "1"'],
    [{ count: undefined }, 'thing: count: expected a finite number, got nothing'],
    [{ list: {} }, 'thing: list: expected an array, got object'],
    [{ list: [{ name: 'abcd' }] }, 'thing: list[0].name: expected at most 3 characters, got "abcd"'],
    [{ list: [{ name: 'a', x: 1 }] }, 'thing: list[0]: expected no unknown field, got "x"'],
    [
      { list: [{ name: '' }, { name: '' }, { name: '' }] },
      'thing: list: expected at most 2 elements, got array of 3',
    ],
    [{ either: 4 }, 'thing: either: expected a string or an object, got 4'],
    [{ either: { kind: 'x', share: '1' } }, 'thing: either.share: expected a finite number, got "1"'],
    [{ either: { kind: 'x', share: 1 } }, 'thing: either.share: expected less than 1, got 1'],
    [{ tagged: { t: 'z' } }, 'thing: tagged.t: expected "m" or "n", got "z"'],
    [{ map: { abc: 'p' } }, 'thing: map.abc: expected at most 2 characters, got this key'],
    [{ map: { k: null } }, 'thing: map.k: expected "p" or "q", got null'],
    [{ root: new Uint8Array(31) }, 'thing: root: expected 32 bytes, got 31 bytes'],
    [{ hex: 'XY' }, 'thing: hex: expected text that matches /^[0-9a-f]*$/, got "XY"'],
    [{ a: 1, b: 2 }, 'thing: the whole value: expected no unknown field, got "a" and "b"'],
  ])('%j', (change, message) => {
    const outcome = codeOf(() => parseWith(schema, { ...good, ...change }, 'thing'))
    expect(outcome.code).toBe('codec/schema')
    expect(outcome.message).toBe(message)
  })

  test('says the same whatever locale a program has loaded', async () => {
    const { config } = z
    const before = config()
    config((await import('zod')).z.locales.en())
    try {
      const { message } = codeOf(() => parseWith(schema, { ...good, count: 'x' }, 'thing'))
      expect(message).toBe('thing: count: expected a finite number, got "x"')
    } finally {
      config(before)
    }
  })

  test('does not let __proto__ in', () => {
    const hostile: unknown = JSON.parse('{"a": 1, "__proto__": {"b": 2}}')
    const outcome = codeOf(() => parseWith(z.strictObject({ a: z.int() }), hostile, 'thing'))
    expect(outcome.code).toBe('codec/schema')
    expect(outcome.message).toContain('"__proto__"')
  })

  test('keeps a hostile message short', () => {
    const hostile = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`${i}`.repeat(1000), i]))
    for (const value of [
      { ...good, ...hostile },
      { ...good, hex: 'Z'.repeat(1e6) },
      'x'.repeat(1e6),
      hostile,
    ]) {
      const error = codeOf(() => parseWith(schema, value, 'thing'))
      expect(error.code).toBe('codec/schema')
      expect(error.message?.length).toBeLessThan(1000)
      expect(JSON.stringify(error.detail).length).toBeLessThan(1000)
    }
  })

  test('is an AssayError with the issue in its detail', () => {
    expect(() => parseWith(schema, 5, 'thing')).toThrow(AssayError)
    expect(codeOf(() => parseWith(schema, 5, 'thing')).detail).toStrictEqual({
      path: 'the whole value',
      expected: 'an object',
      got: '5',
    })
  })
})
