import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../core/testing/code-of.ts'
import { chooseToken, IMPOSSIBLE, type TokenRule, tokenDistance, uniformNumbers } from './token-rule.ts'

const SEED = Uint8Array.from({ length: 32 }, (_, i) => i)
const GREEDY: TokenRule = { kind: 'greedy' }
const sample = (temperature: number, topk: number | null = null): TokenRule => ({
  kind: 'sample',
  temperature,
  topk,
})

const logits = fc.float32Array({ minLength: 2, maxLength: 60, noNaN: true, min: -20, max: 20 })
const rules = fc.oneof(
  fc.constant(GREEDY),
  fc
    .tuple(fc.double({ min: 0.05, max: 5, noNaN: true }), fc.option(fc.integer({ min: 1, max: 70 })))
    .map(([temperature, topk]) => sample(temperature, topk)),
)
const uniforms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

describe('numbers of a seed', () => {
  it('are those that a few lines of Python give', () => {
    const next = uniformNumbers(SEED)
    expect([next(), next(), next()]).toEqual([0.5780258223517822, 0.6226047948361456, 0.285102178994194])
  })

  it('lie in [0, 1), evenly', () => {
    const next = uniformNumbers(SEED)
    const bins = new Array<number>(10).fill(0)
    for (let i = 0; i < 10_000; i++) bins[Math.floor(10 * next())]!++
    for (const count of bins) expect(Math.abs(count - 1000)).toBeLessThan(150)
  })
})

describe('the choice', () => {
  it('is at distance 0, and every token at a distance of at least 0', () => {
    fc.assert(
      fc.property(logits, rules, uniforms, (values, rule, uniform) => {
        const token = chooseToken(values, { rule, uniform })
        expect(tokenDistance(values, { rule, uniform, token })).toBe(0)
        for (let other = 0; other < values.length; other++) {
          expect(tokenDistance(values, { rule, uniform, token: other })).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })

  it('is the only one at distance 0 when drawn from different shares', () => {
    fc.assert(
      fc.property(logits, uniforms, (values, uniform) => {
        const rule = sample(1)
        const zero = Array.from(values, (_, token) => tokenDistance(values, { rule, uniform, token })).filter(
          (d) => d === 0,
        )
        expect(zero).toHaveLength(1)
      }),
    )
  })

  it('takes the lower of equal tokens, greedily and among the most likely', () => {
    const equal = Float32Array.of(1, 3, 3, 0)
    expect(chooseToken(equal, { rule: GREEDY, uniform: 0.9 })).toBe(1)
    for (const uniform of [0, 0.5, 0.999]) expect(chooseToken(equal, { rule: sample(1, 1), uniform })).toBe(1)
    expect(tokenDistance(equal, { rule: sample(1, 1), uniform: 0.5, token: 2 })).toBe(IMPOSSIBLE)
  })

  it('follows the shares', () => {
    const values = Float32Array.of(Math.log(1), Math.log(2), Math.log(5))
    const next = uniformNumbers(SEED)
    const counts = [0, 0, 0]
    for (let i = 0; i < 8000; i++) counts[chooseToken(values, { rule: sample(1), uniform: next() })]!++
    for (const [token, expected] of [1000, 2000, 5000].entries()) {
      expect(Math.abs(counts[token]! - expected)).toBeLessThan(200)
    }
    // At temperature 1/2 the weights are squared: 1, 4, 25 of 30.
    expect(chooseToken(values, { rule: sample(0.5), uniform: 4.9 / 30 })).toBe(1)
    expect(chooseToken(values, { rule: sample(0.5), uniform: 5.1 / 30 })).toBe(2)
    expect(tokenDistance(values, { rule: sample(0.5), uniform: 5.1 / 30, token: 1 })).toBeCloseTo(0.1 / 30, 6)
    expect(tokenDistance(values, { rule: sample(0.5), uniform: 5.1 / 30, token: 0 })).toBeCloseTo(4.1 / 30, 6)
  })

  it('changes by no more than the logits do, measured as a distance', () => {
    fc.assert(
      fc.property(logits, uniforms, (values, uniform) => {
        const near = values.map((value, i) => value + 1e-5 * Math.sin(i))
        const token = chooseToken(near, { rule: sample(1), uniform })
        expect(tokenDistance(values, { rule: sample(1), uniform, token })).toBeLessThan(5e-5)
        const greedy = chooseToken(near, { rule: GREEDY, uniform })
        expect(tokenDistance(values, { rule: GREEDY, uniform, token: greedy })).toBeLessThan(5e-5)
      }),
    )
  })

  it('survives weights that vanish', () => {
    const values = Float32Array.of(0, -3e38, 0, -3e38)
    for (const uniform of [0, 0.49, 0.51, 1 - 2 ** -53]) {
      expect([0, 2]).toContain(chooseToken(values, { rule: sample(0.01), uniform }))
      expect(tokenDistance(values, { rule: sample(0.01), uniform, token: 3 })).toBe(IMPOSSIBLE)
    }
  })

  it('refuses logits that are not finite', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const values = Float32Array.of(0, bad, 1)
      expect(codeOf(() => chooseToken(values, { rule: GREEDY, uniform: 0 })).code).toBe('generation/model')
      expect(codeOf(() => tokenDistance(values, { rule: sample(1), uniform: 0, token: 0 })).code).toBe(
        'generation/model',
      )
    }
  })
})
