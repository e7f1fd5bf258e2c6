import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeCanonical } from '../core/codec.ts'
import { codeOf } from '../core/testing/code-of.ts'
import {
  assertPlan,
  decodePlan,
  encodePlan,
  MAX_CALLS,
  normaliseCall,
  normaliseNumber,
  numericValue,
} from './plan.ts'
import { checkCodec } from './testing/kind-laws.ts'
import { anyPlan } from './testing/plans.ts'

describe('numbers of plans', () => {
  it.each([
    ['0', 0],
    ['-0', 0],
    ['-0.0e5', 0],
    ['1.0', 1],
    ['1e3', 1000],
    ['0.1', 0.1],
    ['1.50', 1.5],
    ['9007199254740991', 2 ** 53 - 1],
    ['1e-400', { $number: '1e-400' }],
    ['9007199254740993', { $number: '9007199254740993e0' }],
    ['10000000000000000001', { $number: '10000000000000000001e0' }],
    ['1000000000000000000', { $number: '1e18' }],
    ['1e18', { $number: '1e18' }],
    ['0.1000000000000000055511151231257827', { $number: '1000000000000000055511151231257827e-34' }],
    ['1e999', { $number: '1e999' }],
    ['abc', undefined],
    ['', undefined],
    ['1e9999999', undefined],
    ['1'.repeat(401), undefined],
  ])('%s is %j', (literal, value) => {
    expect(normaliseNumber(literal)).toEqual(value)
    if (value !== undefined) assertPlan({ calls: [{ name: 'f', args: [{ value }] }] })
  })

  it('are the same for every way to write them', () => {
    fc.assert(
      fc.property(fc.double({ noDefaultInfinity: true, noNaN: true }), fc.nat({ max: 20 }), (x, digits) => {
        const written = [String(x), x.toExponential()]
        const forms = written.map((text) => JSON.stringify(normaliseNumber(text)))
        const value = normaliseNumber(String(x))!
        const padded = x.toExponential(Math.max(digits, 17))
        return forms[0] === forms[1] && numericValue(value) === x + 0 && Number(padded) === x
      }),
    )
  })

  it('keep integers that differ by one apart', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 256n }), (n) => {
        const [a, b] = [normaliseNumber(String(n)), normaliseNumber(String(n + 1n))]
        return JSON.stringify(a) !== JSON.stringify(b)
      }),
    )
  })
})

describe('plans', () => {
  it('have one encoding each', () => {
    checkCodec({ assert: assertPlan, encode: encodePlan, decode: decodePlan }, anyPlan, 200)
  })

  it('put positional arguments first and sort named ones', () => {
    const call = normaliseCall({
      name: ' f ',
      args: [{ name: 'b', value: 1 }, { value: 2 }, { name: 'a', value: 3 }, { value: 4 }],
    })
    expect(call).toEqual({
      name: 'f',
      args: [{ value: 2 }, { value: 4 }, { name: 'a', value: 3 }, { name: 'b', value: 1 }],
    })
  })

  it('compare names in NFC', () => {
    const [composed, decomposed] = ['caf\u00e9', 'cafe\u0301'].map((name) =>
      normaliseCall({ name, args: [] }),
    )
    expect(decomposed).toEqual(composed)
  })

  const call = { name: 'f', args: [] }
  const argument = (value: unknown) => ({ calls: [{ name: 'f', args: [{ value }] }] })
  it.each<[string, unknown]>([
    ['null', null],
    ['a list', []],
    ['no calls', {}],
    ['another field', { calls: [], more: 1 }],
    ['a call without arguments', { calls: [{ name: 'f' }] }],
    ['an empty name', { calls: [{ ...call, name: '' }] }],
    ['a name with space', { calls: [{ ...call, name: 'f ' }] }],
    ['a name in NFD', { calls: [{ ...call, name: 'e\u0301' }] }],
    ['a bad result', { calls: [{ ...call, result: '' }] }],
    ['NaN', argument(Number.NaN)],
    ['an unsafe integer', argument(2 ** 60)],
    ['undefined', argument(undefined)],
    ['a bigint', argument(1n)],
    ['bytes', argument(new Uint8Array(1))],
    ['a date', argument(new Date(0))],
    ['a lone surrogate', argument('\ud800')],
    ['a reserved key', argument({ $text: 1 })],
    ['a number beside something', argument({ $number: '1e18', x: 1 })],
    ['a number that a double holds', argument({ $number: '15e-1' })],
    ['a number that is not canonical', argument({ $number: '10e17' })],
    ['a placeholder', argument({ $number: '' })],
    ['a call in disguise', argument({ $call: { name: 'f' } })],
    ['positional after named', { calls: [{ name: 'f', args: [{ name: 'a', value: 1 }, { value: 1 }] }] }],
    [
      'unsorted names',
      {
        calls: [
          {
            name: 'f',
            args: [
              { name: 'b', value: 1 },
              { name: 'a', value: 1 },
            ],
          },
        ],
      },
    ],
    [
      'doubled names',
      {
        calls: [
          {
            name: 'f',
            args: [
              { name: 'a', value: 1 },
              { name: 'a', value: 1 },
            ],
          },
        ],
      },
    ],
  ])('are not %s', (_, value) => {
    expect(codeOf(() => assertPlan(value)).code).toBe('state/type')
    expect(codeOf(() => encodePlan(value as never)).code).toBe('state/type')
  })

  it('are refused when decoded out of normal form', () => {
    const body = { calls: [{ name: 'f', args: [{ value: { $number: '1' } }] }] }
    const bytes = encodeCanonical({ type: 'assay/state/plan', v: 1, body })
    expect(codeOf(() => decodePlan(bytes)).code).toBe('state/type')
  })

  it('have caps', () => {
    const calls = new Array(MAX_CALLS + 1).fill(call)
    expect(codeOf(() => assertPlan({ calls })).code).toBe('state/plan-too-large')
    const args = new Array(257).fill({ value: 1 })
    expect(codeOf(() => assertPlan({ calls: [{ name: 'f', args }] })).code).toBe('state/plan-too-large')
    let deep: unknown = 1
    for (let i = 0; i < 100; i++) deep = [deep]
    expect(codeOf(() => assertPlan(argument(deep))).code).toBe('state/plan-too-large')
  })

  it('encode at the deepest nesting', () => {
    let deep: never = 1 as never
    for (let i = 0; i < 11; i++) deep = { $call: { name: 'f', args: [{ name: 'x', value: deep }] } } as never
    const plan = { calls: [{ name: 'f', args: [{ value: deep }] }] }
    expect(decodePlan(encodePlan(plan))).toEqual(plan)
  })
})
