import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clipText, describeValue, formatPath } from './inspect.ts'

describe('describeValue', () => {
  test.each<[unknown, string]>([
    ['abc', '"abc"'],
    ['x'.repeat(41), `"${'x'.repeat(40)}"… (41 characters)`],
    [1.5, '1.5'],
    [-0, '-0'],
    [7n, '7n'],
    [2n ** 200n, 'a bigint beyond 128 bits'],
    [true, 'true'],
    [null, 'null'],
    [undefined, 'nothing'],
    [new Uint8Array(3), '3 bytes'],
    [[1, 2], 'array of 2'],
    [{}, 'object'],
    [new Map(), 'Map'],
    [() => 1, 'function'],
    [Symbol('s'), 'symbol'],
  ])('%o', (value, text) => {
    expect(describeValue(value)).toBe(text)
  })

  test('property: is short, whatever comes', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withTypedArray: true, withMap: true }), (value) => {
        expect(describeValue(value).length).toBeLessThan(320)
      }),
    )
    expect(describeValue({ [Symbol.toStringTag]: 'x'.repeat(1000) }).length).toBeLessThan(50)
  })
})

test('formatPath', () => {
  expect(formatPath([])).toBe('the whole value')
  expect(formatPath(['states', 3, 'id'])).toBe('states[3].id')
  expect(formatPath([0, 'a b', '', '9'])).toBe('[0]["a b"][""]["9"]')
  expect(formatPath([Symbol('s')])).toBe('["Symbol(s)"]')
  expect(formatPath(new Array(1000).fill('x'.repeat(1000))).length).toBeLessThan(1000)
})

test('clipText', () => {
  expect(clipText('a"b')).toBe('"a\\"b"')
  expect(clipText('x'.repeat(1e6)).length).toBeLessThan(80)
})
