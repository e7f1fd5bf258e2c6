import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AssayError, attempt, CORE_ERRORS, reject } from './errors.ts'

describe('AssayError', () => {
  const cause = new TypeError('inner')
  const error = new AssayError('codec/schema', 'expected a, got b', { detail: { path: 'x[0]' }, cause })

  test('is an Error with code, message, detail and cause', () => {
    expect(error).toBeInstanceOf(Error)
    expect(String(error)).toBe('AssayError: expected a, got b')
    expect(error).toMatchObject({ name: 'AssayError', code: 'codec/schema', detail: { path: 'x[0]' }, cause })
    expect(error.stack).toContain('errors.test')
  })

  test('has an empty detail and no cause unless told', () => {
    const bare = new AssayError('codec/schema', 'm')
    expect(bare.detail).toStrictEqual({})
    expect(Object.hasOwn(bare, 'cause')).toBe(false)
  })

  test('property: survives JSON', () => {
    const detail = fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true })
    fc.assert(
      fc.property(fc.string(), detail, (message, detail) => {
        const plain = JSON.parse(JSON.stringify(detail))
        const original = new AssayError('codec/schema', message, { detail: plain })
        const copy = AssayError.fromJSON(JSON.parse(JSON.stringify(original)))
        expect(copy).toBeInstanceOf(AssayError)
        expect(copy.toJSON()).toStrictEqual(original.toJSON())
      }),
    )
  })
})

describe('verdicts', () => {
  test('reject', () => {
    expect(reject('a/b', 'm', { n: 1 })).toStrictEqual({
      ok: false,
      code: 'a/b',
      message: 'm',
      detail: { n: 1 },
    })
    expect(reject('a/b', 'm').detail).toStrictEqual({})
  })

  test('attempt turns typed refusals into rejections, and lets the others pass', () => {
    expect(attempt(() => 5)).toStrictEqual({ ok: true, value: 5 })
    const refusal = attempt(() => {
      throw new AssayError('a/b', 'm', { detail: { n: 1 } })
    })
    expect(refusal).toStrictEqual(reject('a/b', 'm', { n: 1 }))
    expect(() =>
      attempt(() => {
        throw new RangeError('ours')
      }),
    ).toThrow(RangeError)
  })
})

describe('CORE_ERRORS', () => {
  test.each(Object.entries(CORE_ERRORS))('%s has a meaning and a remedy, as sentences', (code, entry) => {
    expect(code).toMatch(/^[a-z]+\/[a-z]+(?:-[a-z]+)*$/)
    expect(entry.meaning).toMatch(/^[A-Z].+\.$/)
    expect(entry.remedy).toMatch(/^[A-Z].+\.$/)
  })
})
