/**
 * The reproducible runtime on this machine against digests from another: every intermediate tensor of the
 * example's model, bit for bit (vectors/determinism.json). `node scripts/determinism/run.mjs` does the same for
 * more models and more environments.
 */
import { readFileSync } from 'node:fs'
import { tensor } from 'assay/state/tensor'
import { beforeAll, describe, expect, test } from 'vitest'
import { differingPositions, distance } from '../../../scripts/determinism/compare.mjs'
import { digitsDigests } from '../../../scripts/determinism/digits-digests.mjs'

type Digests = Awaited<ReturnType<typeof digitsDigests>>

const VECTORS: Digests = JSON.parse(
  readFileSync(new URL('../../../vectors/determinism.json', import.meta.url), 'utf8'),
)

describe('the reproducible runtime', () => {
  let here: Digests

  beforeAll(async () => {
    here = await digitsDigests()
  })

  test('is the version and runs the model that the vectors were made with', () => {
    expect([here.runtime, here.model]).toEqual([VECTORS.runtime, VECTORS.model])
  })

  test.each(VECTORS.cases.map(({ row }) => row))('gives the known bits in every tensor of row %i', (row) => {
    const of = ({ cases }: Digests) => cases.find((each) => each.row === row)
    expect(of(VECTORS)?.tensors.length).toBeGreaterThan(10)
    expect(of(here)).toEqual(of(VECTORS))
  })

  test('gives other bits for another row', () => {
    const last = here.cases.map(({ tensors }) => tensors.at(-1)?.digest)
    expect(new Set(last).size).toBe(here.cases.length)
  })
})

describe('the comparison of runs', () => {
  const float32 = (...values: number[]) => tensor('float32', [values.length], Float32Array.from(values))

  test('counts representable numbers, over zero as well', () => {
    const smallest = 2 ** -149
    expect(distance(float32(1, smallest), float32(1 + 2 ** -23, -smallest))).toEqual({
      maxAbs: 2 ** -23,
      relative: 2 ** -23,
      maxUlp: 2,
      values: 2,
      differing: 2,
    })
    expect(distance(float32(0), float32(-0))).toMatchObject({ maxAbs: 0, maxUlp: 0, differing: 1 })
    const half = (bits: number) => tensor('float16', [1], Uint16Array.of(bits))
    expect(distance(half(0x3c00), half(0x3c03))).toMatchObject({ maxAbs: 3 * 2 ** -10, maxUlp: 3 })
    const doubles = (value: number) => tensor('float64', [1], Float64Array.of(value))
    expect(distance(doubles(-1), doubles(-1 - 2 ** -52))).toMatchObject({ maxAbs: 2 ** -52, maxUlp: 1 })
  })

  test('takes a number that is none, and another shape, for infinitely far', () => {
    expect(distance(float32(1), float32(Number.NaN)).maxAbs).toBe(Number.POSITIVE_INFINITY)
    expect(distance(float32(1), float32(1, 2)).maxAbs).toBe(Number.POSITIVE_INFINITY)
  })

  test('finds tensors that differ, are named otherwise, or are there once only', () => {
    const rows = ['a', 'b', 'c'].map((name) => ({ name, digest: name }))
    expect(differingPositions(rows, rows)).toEqual([])
    expect(differingPositions(rows, rows.slice(0, 2))).toEqual([2])
    expect(differingPositions(rows, rows.with(1, { name: 'x', digest: 'b' }))).toEqual([1])
    expect(differingPositions(rows, rows.with(0, { name: 'a', digest: 'x' }))).toEqual([0])
  })
})
