import { describe, expect, it } from 'vitest'
import type * as z from 'zod/mini'
import { newKey } from './account.ts'
import { name, time } from './text.ts'

const takes = (schema: z.ZodMiniType, value: unknown) => schema.safeParse(value).success

describe('names', () => {
  it('are any text that can be printed', () => {
    for (const text of ['a', 'Äpfel & Birnen', '日本 𝒳', '"; DROP TABLE job; --', '../..', 'x'.repeat(128)])
      expect(takes(name, text), text).toBe(true)
  })

  it('have no control character, and are well-formed Unicode', () => {
    for (const text of ['', 'a\n', '\0', 'a\tb', '\x7f', '\x85', '\ud800', 'a\udc00b', 'x'.repeat(129)])
      expect(takes(name, text), JSON.stringify(text)).toBe(false)
    for (let code = 0; code < 256; code++) {
      const isControl = /\p{Cc}/u.test(String.fromCharCode(code))
      expect(takes(name, `a${String.fromCharCode(code)}b`), `U+${code.toString(16)}`).toBe(!isControl)
    }
  })
})

describe('times', () => {
  const key = (expiresAt: string) => ({ account: 'alice', scopes: ['jobs:read'], expiresAt })

  it('come in at any offset, as other languages write them, and go out in UTC', () => {
    for (const text of [
      '2026-01-01T12:00:00Z',
      '2026-01-01T12:00:00.123456+00:00',
      '2026-01-01T12:00:00-05:30',
    ])
      expect(takes(newKey, key(text)), text).toBe(true)
    for (const text of ['2026-01-01T12:00:00', '2026-01-01', 'tomorrow', '2026-13-01T00:00:00Z'])
      expect(takes(newKey, key(text)), text).toBe(false)
    expect(takes(time, '2026-01-01T12:00:00+00:00')).toBe(false)
  })
})
