import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toHex } from '../core/bytes.ts'
import { sha256 } from '../core/digest.ts'
import { openTrace, type TraceOpening, traceRoot, traceTree, verifyTrace } from './trace-root.ts'

const entry = (name: string) => ({ name, root: sha256(new TextEncoder().encode(name)) })
const entries = Array.from({ length: 13 }, (_, i) => entry(`value_${i}`))

test('binds names, roots, order and number', () => {
  const [a, b] = [entry('a'), entry('b')]
  const traces = [
    [],
    [a],
    [b],
    [a, b],
    [b, a],
    [a, b, b],
    [
      { ...a, name: 'b' },
      { ...b, name: 'a' },
    ],
  ]
  expect(new Set(traces.map((trace) => toHex(traceRoot(trace)))).size).toBe(traces.length)
})

test('a known answer', () => {
  expect(toHex(traceRoot([entry('x'), entry('y')]))).toBe(
    '6839c9d8f79c6c248ef154fcd38085beb514b6d306923856f6dd9a152c3a3cf8',
  )
})

describe('openings', () => {
  const tree = traceTree(entries)

  test('of any positions are accepted', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(12), { minLength: 1 }), (indices) => {
        const opening = openTrace(
          tree,
          indices.sort((a, b) => a - b),
        )
        expect(verifyTrace(tree.root, opening)).toEqual({ ok: true, value: opening })
      }),
      { numRuns: 40 },
    )
  })

  const opening = openTrace(tree, [2, 7])
  const [first, second] = opening.entries as [TraceOpening['entries'][0], TraceOpening['entries'][0]]
  const changed = (patch: Partial<Record<keyof TraceOpening, unknown>>) =>
    ({ ...opening, ...patch }) as unknown as TraceOpening

  test.each<[string, TraceOpening]>([
    ['another name', changed({ entries: [{ ...first, name: 'value_3' }, second] })],
    ['another root', changed({ entries: [{ ...first, root: second.root }, second] })],
    ['another position', changed({ entries: [{ ...first, index: 3 }, second] })],
    ['swapped', changed({ entries: [second, first] })],
    ['twice', changed({ entries: [first, first] })],
    ['none', changed({ entries: [], proof: [] })],
    ['another size', changed({ size: 14 })],
    ['a huge size', changed({ size: 2 ** 40 })],
    ['a proof too short', changed({ proof: opening.proof.slice(1) })],
    ['a proof too long', changed({ proof: [...opening.proof, opening.proof[0]!] })],
    ['another tree', changed({ merkleRoot: new Uint8Array(32) })],
    ['a name that is none', changed({ entries: [{ ...first, name: '\ud800' }, second] })],
    ['no name', changed({ entries: [{ ...first, name: '' }, second] })],
    ['a short root', changed({ entries: [{ ...first, root: first.root.subarray(1) }, second] })],
    ['entries that are none', changed({ entries: [7] })],
    ['null', null as unknown as TraceOpening],
  ])('%s is refused', (_, bad) => {
    const verdict = verifyTrace(tree.root, bad)
    expect(verdict.ok).toBe(false)
    if (!verdict.ok) expect(verdict.code).toMatch(/^(state|merkle)\//)
  })

  test('under another root are refused', () => {
    expect(verifyTrace(traceRoot(entries.slice(1)), opening).ok).toBe(false)
    expect(verifyTrace(null as unknown as Uint8Array, opening).ok).toBe(false)
  })
})

test('entries that are none are refused', () => {
  expect(() => traceRoot([{ name: 'x', root: new Uint8Array(31) }])).toThrowError(/32 bytes/)
  expect(() => traceRoot([{ name: '', root: new Uint8Array(32) }])).toThrowError(/name/)
})
