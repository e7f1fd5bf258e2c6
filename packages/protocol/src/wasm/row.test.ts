import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../core/testing/code-of.ts'
import { mutants } from '../core/testing/mutants.ts'
import { MAX_EMITTED_STATES, MAX_OUTPUT_BYTES } from './limits.ts'
import { decodeRow, encodeRow } from './row.ts'

const bytes = fc.uint8Array({ maxLength: 40 })
const results = fc.record(
  { output: bytes, emitted: fc.array(bytes, { maxLength: 5 }) },
  { noNullPrototype: true },
)

describe('rows', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(results, (result) => {
        expect(decodeRow(encodeRow(result))).toEqual(result)
      }),
    )
  })

  it('have one encoding', () => {
    fc.assert(
      fc.property(results, fc.nat(), fc.integer({ min: 1, max: 255 }), (result, at, flip) => {
        for (const mutant of mutants(encodeRow(result), at, flip)) {
          const { value, code } = codeOf(() => decodeRow(mutant))
          if (value === undefined) expect(code).toMatch(/^codec\//)
          else expect(encodeRow(value)).toEqual(mutant)
        }
      }),
    )
  })

  it('hold as many states as a record may emit', () => {
    const result = { output: new Uint8Array(0), emitted: Array(MAX_EMITTED_STATES).fill(Uint8Array.of(1)) }
    expect(decodeRow(encodeRow(result)).emitted).toHaveLength(MAX_EMITTED_STATES)
    const more = { ...result, emitted: [...result.emitted, Uint8Array.of(1)] }
    expect(codeOf(() => encodeRow(more)).code).toBe('codec/schema')
  })

  it('are not larger than a state', () => {
    const result = { output: new Uint8Array(MAX_OUTPUT_BYTES), emitted: [] }
    expect(codeOf(() => encodeRow(result)).code).toBe('codec/too-large')
  })
})
