import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { toHex } from '../core/bytes.ts'
import { sha256 } from '../core/digest.ts'
import { fromHalfBits, toHalfBits } from './float16.ts'

const { half } = JSON.parse(
  readFileSync(new URL('../../../../vectors/numpy-files.json', import.meta.url), 'utf8'),
) as { half: { allAsDoublesSha256: string; rounding: [number, number][] } }

describe('half precision', () => {
  test('all 65,536 bit patterns have the values that NumPy gives them', () => {
    const doubles = Float64Array.from({ length: 65536 }, (_, bits) => {
      const value = fromHalfBits(bits)
      return Number.isNaN(value) ? -1 : Math.max(-1e9, Math.min(1e9, value))
    })
    expect(toHex(sha256(new Uint8Array(doubles.buffer)))).toBe(half.allAsDoublesSha256)
  })

  test('every value that is a half keeps its bits', () => {
    const changed = Array.from({ length: 65536 }, (_, bits) => bits).filter((bits) => {
      const value = fromHalfBits(bits)
      return !Number.isNaN(value) && toHalfBits(value) !== bits
    })
    expect(changed).toEqual([])
    expect(toHalfBits(Number.NaN) & 0x7e00).toBe(0x7e00)
  })

  test.each(half.rounding)('%d rounds as NumPy rounds it', (value, bits) => {
    expect(toHalfBits(value)).toBe(bits)
  })
})
