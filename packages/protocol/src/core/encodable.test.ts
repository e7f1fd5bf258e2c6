import { describe, expect, test } from 'vitest'
import { decodeCanonical, encodeCanonical } from './codec.ts'
import { MAX_DEPTH } from './encodable.ts'
import { codeOf } from './testing/code-of.ts'

describe('what encodeCanonical refuses', () => {
  class Point {
    readonly x = 1
  }
  const sparse = [1, 2, 3]
  delete sparse[1]
  test.each<[string, unknown, string]>([
    ['undefined', { a: [{ b: undefined }] }, 'a[0].b'],
    ['a hole in an array', { sparse }, 'sparse[1]'],
    ['NaN', [Number.NaN], '[0]'],
    ['infinity', { x: -Infinity }, 'x'],
    ['an integer beyond 2^53', { 'some key': 2 ** 53 }, '["some key"]'],
    ['a bigint beyond 64 bits', { n: 2n ** 64n }, 'n'],
    ['a bigint below 64 bits', { n: -(2n ** 64n) - 1n }, 'n'],
    ['a function', { f: () => 1 }, 'f'],
    ['a symbol', { s: Symbol('s') }, 's'],
    ['a date', { d: new Date(0) }, 'd'],
    ['a Map', { m: new Map([['a', 1]]) }, 'm'],
    ['a class instance', { p: new Point() }, 'p'],
    ['a float array', { t: new Float32Array(2) }, 't'],
    ['a buffer', { t: new ArrayBuffer(2) }, 't'],
    ['a lone surrogate', { t: 'a\ud800' }, 't'],
    ['a key with a lone surrogate', { '\udc00': 1 }, '["\\udc00"]'],
    ['the key __proto__', JSON.parse('{"__proto__": 1}'), '__proto__'],
    ['the key /', { '/': 'a', bytes: 'a' }, '["/"]'],
  ])('%s, with its path', (_, value, path) => {
    const { code, message, detail } = codeOf(() => encodeCanonical(value))
    expect(code).toBe('codec/schema')
    expect(detail?.path).toBe(path)
    expect(message).toContain(path)
  })

  test('undefined itself', () => {
    expect(codeOf(() => encodeCanonical(undefined)).message).toContain('the whole value')
  })

  test('a cycle, and too much depth', () => {
    const cycle: unknown[] = []
    cycle.push(cycle)
    expect(codeOf(() => encodeCanonical(cycle)).code).toBe('codec/too-large')
    const nested = (depth: number) => {
      let value: unknown = 0
      for (let i = 0; i < depth; i++) value = [value]
      return value
    }
    expect(decodeCanonical(encodeCanonical(nested(MAX_DEPTH)), { maxBytes: 100 })).toStrictEqual(
      nested(MAX_DEPTH),
    )
    expect(codeOf(() => encodeCanonical(nested(MAX_DEPTH + 1))).code).toBe('codec/too-large')
  })
})
