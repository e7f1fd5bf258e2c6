import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../core/testing/code-of.ts'
import { assertPoint, resolveMetric } from './distance.ts'
import { lcg } from './testing/lcg.ts'

const euclidean = resolveMetric('euclidean').distance

/** A double times 2^1074, exactly. */
function scaled(x: number): bigint {
  const bits = new DataView(new ArrayBuffer(8))
  bits.setFloat64(0, x)
  const word = bits.getBigUint64(0)
  const exponent = (word >> 52n) & 0x7ffn
  const fraction = word & (2n ** 52n - 1n)
  const magnitude = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n)
  return word >> 63n ? -magnitude : magnitude
}

/** Whether `root` is the double nearest to the root of the exact sum of squares of the (rounded) differences. */
function isNearestRoot(root: number, a: Float64Array, b: Float64Array): boolean {
  const sum = a.reduce((total, x, i) => total + scaled(x - b[i]!) ** 2n, 0n)
  const bits = new DataView(new ArrayBuffer(8))
  const next = (step: bigint): bigint => {
    bits.setFloat64(0, root)
    bits.setBigUint64(0, bits.getBigUint64(0) + step)
    return scaled(bits.getFloat64(0))
  }
  const middle = scaled(root)
  const [low, high] = [middle + next(-1n), middle + next(1n)]
  return low ** 2n <= 4n * sum && 4n * sum <= high ** 2n
}

describe('the Euclidean distance', () => {
  it('is the correctly rounded root of the exact sum', () => {
    const points = fc.integer({ min: 1, max: 40 }).chain((length) => {
      const point = fc.float64Array({
        minLength: length,
        maxLength: length,
        min: -1e3,
        max: 1e3,
        noNaN: true,
      })
      const sane = point.map((p) => p.map((x) => (Math.abs(x) < 1e-100 ? 0 : x)))
      return fc.tuple(sane, sane)
    })
    fc.assert(
      fc.property(points, ([a, b]) => {
        const root = euclidean(a, b)
        return root === 0 || isNearestRoot(root, a, b)
      }),
      { numRuns: 500 },
    )
  })

  it('does not depend on the order of the coordinates, where a plain sum does', () => {
    const plain = (point: Float64Array) => Math.sqrt(point.reduce((sum, x) => sum + x * x, 0))
    const origin = new Float64Array(6)
    const turned = Array.from({ length: 50 }, (_, seed) => {
      const point = lcg(6, seed + 1)
      return [point, point.slice().reverse()] as const
    })
    expect(turned.every(([a, b]) => euclidean(a, origin) === euclidean(b, origin))).toBe(true)
    expect(turned.some(([a, b]) => plain(a) !== plain(b))).toBe(true)
  })

  it('gives what SciPy gives', () => {
    // scipy 1.17.1, spatial.distance.euclidean
    expect(euclidean(lcg(6, 11), new Float64Array(6))).toBe(0.17254299322229458)
  })
})

describe('metrics', () => {
  it('go by name or bring their own', () => {
    const [a, b] = [Float64Array.of(1, 0), Float64Array.of(0, 2)]
    expect(resolveMetric('cosine').distance(a, b)).toBe(1)
    expect(resolveMetric('cosine').distance(a, new Float64Array(2))).toBe(1)
    expect(resolveMetric('cosine').distance(a, a)).toBe(0)
    expect(resolveMetric('manhattan').distance(a, b)).toBe(3)
    expect(resolveMetric({ name: 'first', distance: (x) => x[0]! }).distance(a, b)).toBe(1)
  })

  it.each([
    'chebyshev',
    'toString',
    {},
    { name: '', distance: () => 0 },
    { name: 'euclidean', distance: () => 0 },
    { name: 'x' },
    null,
  ])('refuse %j', (metric) => {
    expect(codeOf(() => resolveMetric(metric as never)).code).toBe('state/parameters')
  })
})

it.each([
  [[1, 2], 'state/type'],
  [Float64Array.of(1), 'state/shape'],
  [Float64Array.of(1, Number.NaN), 'state/non-finite'],
  [Float64Array.of(1, 1e200), 'state/out-of-range'],
])('points are not %j', (value, code) => {
  expect(codeOf(() => assertPoint(value, { dimensions: 2, name: 'it' })).code).toBe(code)
})
