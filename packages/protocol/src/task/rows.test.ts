import fc from 'fast-check'
import { expect, it } from 'vitest'
import { AssayError } from '../core/errors.ts'
import { decodeRows, encodeRows } from './rows.ts'

const rows = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 })

it('round-trips any list of rows', () => {
  fc.assert(
    fc.property(rows, (list) => {
      expect(decodeRows(encodeRows(list)).map((row) => [...row])).toEqual(list.map((row) => [...row]))
    }),
  )
})

it('reads any bytes as the one list that encodes to them, or refuses with a typed error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        expect([...encodeRows(decodeRows(bytes))]).toEqual([...bytes])
      } catch (error) {
        expect(error).toBeInstanceOf(AssayError)
      }
    }),
  )
})

it('allocates nothing for a count that lies', () => {
  expect(() => decodeRows(Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0))).toThrow(AssayError)
})
