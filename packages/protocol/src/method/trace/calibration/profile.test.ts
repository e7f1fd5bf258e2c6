import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contentAddress } from '../../../core/cid.ts'
import { codeOf as outcomeOf } from '../../../core/testing/code-of.ts'
import { toHalfBits } from '../../../onnx/float16.ts'
import { tensor } from '../../../state/tensor.ts'
import { relativeDistance, tensorDistance } from './distances.ts'
import {
  agreeWithin,
  assertProfileFits,
  type CalibrationProfile,
  orderStatistic,
  outputsAgree,
  profileObject,
  samplesFor,
} from './profile.ts'

const codeOf = (call: () => unknown) => outcomeOf(call).code
const floats = (...values: number[]) => tensor('float32', [values.length], Float32Array.from(values))
const configuration = { name: 'native', runtime: 'native', version: '1.2.3', machine: 'a processor' }
const profile: CalibrationProfile = {
  model: contentAddress(Uint8Array.of(1), 'raw'),
  dtype: 'float32',
  verifier: { ...configuration, name: 'wasm', runtime: 'wasm' },
  provers: [configuration],
  alpha: 0.01,
  samples: 99,
  safety: 2,
  date: '2026-01-31',
  layers: [
    { name: 'h', threshold: 0.001, floor: 1 },
    { name: 'relu', threshold: 0, floor: 0.5 },
  ],
  outputs: [{ name: 'y', threshold: 0.01, floor: 0 }],
}

describe('distances', () => {
  it('are relative to the scale of the reference, which counts for no less than the floor', () => {
    const distance = tensorDistance(floats(1, -4, 0), floats(1.5, -4, 0.25))
    expect(distance).toEqual({ absolute: 0.5, scale: 4 })
    expect(relativeDistance(distance, 0)).toBe(0.125)
    expect(relativeDistance(distance, 10)).toBe(0.05)
    // A prover that commits to huge numbers does not widen what is accepted.
    expect(tensorDistance(floats(1), floats(1e30)).scale).toBe(1)
  })

  it('are infinite where NaN and infinities do not stand at the same places', () => {
    const far = Number.POSITIVE_INFINITY
    expect(tensorDistance(floats(Number.NaN, 1), floats(Number.NaN, 2)).absolute).toBe(1)
    expect(tensorDistance(floats(far, 1), floats(far, 1)).absolute).toBe(0)
    for (const [a, b] of [
      [Number.NaN, 1],
      [1, Number.NaN],
      [far, -far],
      [far, 1],
      [1, far],
      [Number.NaN, far],
    ] as const) {
      expect(tensorDistance(floats(a), floats(b)).absolute).toBe(far)
    }
  })

  it('are infinite for other types, shapes and integers, and 0 for what is equal', () => {
    const ints = (value: bigint) => tensor('int64', [1], BigInt64Array.of(value))
    expect(tensorDistance(ints(5n), ints(5n)).absolute).toBe(0)
    expect(tensorDistance(ints(5n), ints(6n)).absolute).toBe(Number.POSITIVE_INFINITY)
    expect(tensorDistance(floats(1), ints(1n)).absolute).toBe(Number.POSITIVE_INFINITY)
    const row = tensor('float32', [1, 1], Float32Array.of(1))
    expect(tensorDistance(floats(1), row).absolute).toBe(Number.POSITIVE_INFINITY)
    expect(tensorDistance(floats(0), floats(-0)).absolute).toBe(0)
  })

  it('read half floats as numbers', () => {
    const halves = (...values: number[]) =>
      tensor('float16', [values.length], Uint16Array.from(values, toHalfBits))
    expect(tensorDistance(halves(2, 1), halves(2, 1.5))).toEqual({ absolute: 0.5, scale: 2 })
  })
})

describe('the order statistic', () => {
  const ascending = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

  it('is the ceil((N+1)(1-alpha))-th smallest', () => {
    expect(orderStatistic(ascending(99).reverse(), 0.01)).toBe(99)
    expect(orderStatistic(ascending(199), 0.01)).toBe(198)
    expect(orderStatistic(ascending(999), 0.001)).toBe(999)
    expect(orderStatistic(ascending(1000), 0.01)).toBe(991)
    expect(orderStatistic(ascending(19), 0.05)).toBe(19)
    expect(orderStatistic(ascending(9), 0.5)).toBe(5)
  })

  it('is refused with fewer rows than alpha takes', () => {
    expect(samplesFor(0.01)).toBe(99)
    expect(samplesFor(0.001)).toBe(999)
    expect(codeOf(() => orderStatistic(ascending(98), 0.01))).toBe('calibration/too-few')
    expect(codeOf(() => orderStatistic([], 0.01))).toBe('calibration/too-few')
    for (const alpha of [0, 1, Number.NaN]) {
      expect(codeOf(() => orderStatistic(ascending(99), alpha))).toBe('calibration/config')
    }
  })

  it('is exceeded by the next honest distance as rarely as promised', () => {
    let word = 7
    const next = () => {
      word = (word * 16807) % 2147483647
      return -Math.log(word / 2147483647)
    }
    let exceeded = 0
    const trials = 4000
    for (let i = 0; i < trials; i++) {
      if (next() > orderStatistic(Array.from({ length: 39 }, next), 0.05)) exceeded += 1
    }
    // 38/39 ranks of 40: exactly 5 %; four standard deviations are 1.4 %.
    expect(Math.abs(exceeded / trials - 0.05)).toBeLessThan(0.014)
  })
})

describe('a profile', () => {
  const place = { node: {} as never, output: 'h' }

  it('accepts up to its threshold and nothing beyond it', () => {
    const agree = agreeWithin(profile)
    expect(agree(floats(2), floats(2 + 2 ** -9), place)).toBe(true)
    expect(agree(floats(2), floats(2 + 2 ** -8), place)).toBe(false)
    expect(agree(floats(0.001), floats(0.0019), place)).toBe(true)
    expect(agree(floats(2), floats(Number.NaN), place)).toBe(false)
  })

  it('demands equality of layers that were always equal, and of those that it does not know', () => {
    const agree = agreeWithin(profile)
    const step = 1 + 2 ** -23
    for (const output of ['relu', 'unheard of']) {
      expect(agree(floats(1), floats(1), { ...place, output })).toBe(true)
      expect(agree(floats(1), floats(step), { ...place, output })).toBe(false)
    }
  })

  it('compares outputs of whole runs, all of them', () => {
    expect(outputsAgree(profile, { y: floats(1) }, { y: floats(1.005) })).toBe(true)
    expect(outputsAgree(profile, { y: floats(1) }, { y: floats(1.02) })).toBe(false)
    expect(outputsAgree(profile, { y: floats(1) }, {})).toBe(false)
  })

  it('refuses other models and runtimes', () => {
    const runtime = { name: 'wasm', version: '1.2.3' } as const
    const model = { cid: profile.model }
    expect(() => assertProfileFits(profile, { model, runtime })).not.toThrow()
    const fits = (other: object) => codeOf(() => assertProfileFits(profile, { model, runtime, ...other }))
    expect(fits({ model: { cid: contentAddress(Uint8Array.of(2), 'raw') } })).toBe('calibration/other-model')
    expect(fits({ runtime: { name: 'wasm', version: '1.2.4' } })).toBe('calibration/other-runtime')
    expect(fits({ runtime: { name: 'native', version: '1.2.3' } })).toBe('calibration/other-runtime')
  })

  it('survives its codec, whatever its figures', () => {
    const threshold = fc.record({
      threshold: fc.double({ min: 0, max: 2 ** 50, noNaN: true }),
      floor: fc.double({ min: 0, max: 2 ** 50, noNaN: true }),
    })
    fc.assert(
      fc.property(
        fc.array(threshold, { maxLength: 5 }),
        fc.integer({ min: 1, max: 1e6 }),
        (list, samples) => {
          const layers = list.map((entry, i) => ({ name: `layer ${i}`, ...entry }))
          const made = { ...profile, layers, samples }
          expect(profileObject.decode(profileObject.encode(made))).toEqual(made)
        },
      ),
    )
  })

  it.each([
    ['a negative threshold', { layers: [{ name: 'h', threshold: -1, floor: 0 }] }],
    ['no threshold at all', { layers: [{ name: 'h', threshold: Number.POSITIVE_INFINITY, floor: 0 }] }],
    ['a tensor twice', { layers: [profile.layers[0], profile.layers[0]] }],
    ['alpha of 1', { alpha: 1 }],
    ['a margin without bounds', { safety: 1e6 }],
    ['a margin below 1', { safety: 0.5 }],
    ['a date of another form', { date: '31 January' }],
    ['no provers', { provers: [] }],
    ['a field too many', { note: 'x' }],
  ])('is refused with %s', (_, change) => {
    expect(codeOf(() => profileObject.encode({ ...profile, ...change } as never))).toBe('codec/schema')
  })
})
