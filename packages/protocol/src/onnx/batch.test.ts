import { beforeAll, describe, expect, test } from 'vitest'
import { attempt } from '../core/errors.ts'
import { equalTensors, type Tensor, tensor } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { countRows, openBatch, rangeInputs, rowInputs, rowOutputs, stackRows } from './batch.ts'
import { loadModel, type Model } from './model.ts'
import type { Runtime } from './runtime.ts'
import { wasmRuntime } from './runtime-wasm.ts'
import { denseModel, encode, modelProto, node, TYPE, value } from './testing/models.ts'

function counting(shape: number[]): Tensor {
  const count = shape.reduce((a, b) => a * b, 1)
  return tensor(
    'float32',
    shape,
    Float32Array.from({ length: count }, (_, i) => Math.cos(i)),
  )
}

/** A model with these inputs and outputs; what it computes does not matter here. */
function shaped(
  inputs: Record<string, (number | string)[] | null>,
  outputs: Record<string, (number | string)[] | null> = { out: ['n'] },
): Model {
  const names = Object.keys(inputs)
  return loadModel(
    encode(
      modelProto({
        node: Object.keys(outputs).map((name) => node('Sum', names, [name])),
        input: names.map((name) => value(name, TYPE.float, inputs[name]!)),
        output: Object.entries(outputs).map(([name, dims]) => value(name, TYPE.float, dims)),
      }),
    ),
  )
}

function codeOf(run: () => unknown): string {
  const verdict = attempt(run)
  return verdict.ok ? 'accepted' : verdict.code
}

describe('rows of a batch', () => {
  test.each<[string, (number | string)[] | null, number[], number]>([
    ['an open leading dimension', ['n', 4], [7, 4], 7],
    ['a leading dimension of 1', [1, 4], [7, 4], 7],
    ['a single row', [1, 4], [1, 4], 1],
    ['no declared rank', null, [7, 4], 7],
    ['a fixed leading dimension', [7, 4], [7, 4], 1],
    ['a scalar', [], [], 1],
  ])('%s', (_, dims, shape, count) => {
    const model = shaped({ x: dims })
    const inputs = { x: counting(shape) }
    expect(countRows(model, inputs)).toBe(count)
    expect(countRows(model, inputs, { batch: 'whole' })).toBe(1)
    const last = rowInputs(model, inputs, { index: count - 1 })
    expect(last.x?.shape).toEqual(count === 1 ? shape : [1, ...shape.slice(1)])
    if (count === 7) expect(last.x?.data).toEqual((inputs.x.data as Float32Array).subarray(24))
  })

  test('inputs of one row and inputs with a fixed leading dimension are shared', () => {
    const model = shaped({ x: ['n', 4], scale: [1, 4], table: [3, 4], bias: [] })
    const inputs = {
      x: counting([5, 4]),
      scale: counting([1, 4]),
      table: counting([3, 4]),
      bias: counting([]),
    }
    expect(countRows(model, inputs)).toBe(5)
    const row = rowInputs(model, inputs, { index: 2 })
    expect(row.x?.shape).toEqual([1, 4])
    expect(row.scale).toBe(inputs.scale)
    expect(row.table).toBe(inputs.table)
    expect(row.bias).toBe(inputs.bias)
  })

  test('rows are views, not copies', () => {
    const x = counting([5, 4])
    const row = rowInputs(shaped({ x: ['n', 4] }), { x }, { index: 3 })
    expect((row.x!.data as Float32Array).buffer).toBe((x.data as Float32Array).buffer)
  })

  test('a range of rows is a batch with the same rows', () => {
    const model = shaped({ x: ['n', 4], scale: [1, 4], table: [3, 4] })
    const inputs = { x: counting([5, 4]), scale: counting([1, 4]), table: counting([3, 4]) }
    for (let from = 0; from < 5; from++) {
      for (let to = from + 1; to <= 5; to++) {
        const part = rangeInputs(model, inputs, { from, to })
        expect(countRows(model, part)).toBe(to - from)
        for (let index = from; index < to; index++) {
          const row = rowInputs(model, part, { index: index - from })
          expect(row).toEqual(rowInputs(model, inputs, { index }))
        }
      }
    }
    expect(rangeInputs(model, inputs, { from: 0, to: 1, batch: 'whole' })).toBe(inputs)
    for (const range of [
      { from: 0, to: 6 },
      { from: 2, to: 2 },
      { from: -1, to: 2 },
    ]) {
      expect(codeOf(() => rangeInputs(model, inputs, range))).toMatch(/input\/out-of-range|state\/shape/)
    }
  })

  test.each<[string, NamedTensors, string]>([
    ['two row counts', { x: counting([5, 4]), y: counting([4, 4]) }, 'input/batch'],
    ['no rows', { x: counting([0, 4]), y: counting([0, 4]) }, 'input/batch'],
    ['another rank', { x: counting([5, 4, 1]), y: counting([5, 4]) }, 'input/shape'],
    ['another type', { x: tensor('int8', [5, 4], new Int8Array(20)), y: counting([5, 4]) }, 'input/dtype'],
    ['a missing input', { x: counting([5, 4]) }, 'input/missing'],
    ['an unknown input', { x: counting([5, 4]), z: counting([5, 4]) }, 'input/unknown-name'],
  ])('refuses %s', (_, inputs, code) => {
    expect(codeOf(() => countRows(shaped({ x: ['n', 4], y: ['n', 4] }), inputs))).toBe(code)
  })

  test.each([-1, 5, 0.5, Number.NaN])('refuses row %d of 5', (index) => {
    expect(codeOf(() => rowInputs(shaped({ x: ['n', 4] }), { x: counting([5, 4]) }, { index }))).toBe(
      'input/out-of-range',
    )
  })
})

describe('outputs of rows', () => {
  const model = shaped({ x: ['n', 4] }, { joined: ['n', 3], scalar: [], fixed: [2, 3] })
  const rows = Array.from({ length: 4 }, (_, i) => ({
    joined: tensor('float32', [1, 3], Float32Array.of(i, i + 1, i + 2)),
    scalar: tensor('float32', [], Float32Array.of(i)),
    fixed: tensor('float32', [2, 3], Float32Array.of(i, 0, 0, 0, 0, i)),
  }))

  test('are joined, and taken apart again', () => {
    const stacked = stackRows(model, rows)
    expect(Object.values(stacked).map(({ shape }) => shape)).toEqual([[4, 3], [4], [4, 2, 3]])
    for (const [index, row] of rows.entries()) {
      const again = rowOutputs(model, stacked, { index })
      expect(Object.entries(row).every(([name, part]) => equalTensors(again[name]!, part))).toBe(true)
    }
  })

  test('rows that differ in shape, and outputs that are no stack, are refused', () => {
    const longer = { ...rows[1]!, joined: counting([2, 3]) }
    expect(codeOf(() => stackRows(model, [rows[0]!, longer]))).toBe('input/batch')
    expect(codeOf(() => stackRows(model, []))).toBe('input/batch')
    const stacked = stackRows(model, rows)
    expect(codeOf(() => rowOutputs(model, { ...stacked, scalar: counting([]) }, { index: 0 }))).toBe(
      'input/batch',
    )
    expect(codeOf(() => rowOutputs(model, { joined: stacked.joined! }, { index: 0 }))).toBe('input/batch')
    expect(codeOf(() => rowOutputs(model, stacked, { index: 4 }))).toBe('input/out-of-range')
  })
})

describe('an opened batch', () => {
  let runtime: Runtime
  beforeAll(async () => {
    runtime = await wasmRuntime()
  })

  test.each(['n', 1])('rows one by one are the rows of the whole, leading dimension %s', async (leading) => {
    const inputs = { x: counting([6, 4]) }
    const batch = await openBatch(loadModel(denseModel(leading)), runtime)
    const rows = await Promise.all(
      Array.from({ length: batch.count(inputs) }, (_, i) => batch.row(inputs, i)),
    )
    const stacked = batch.stack(rows)
    await batch.close()
    const whole = await openBatch(loadModel(denseModel('n')), runtime, { batch: 'whole' })
    const together = await whole.row(inputs, 0)
    expect(whole.count(inputs)).toBe(1)
    expect(equalTensors(stacked.y!, together.y!)).toBe(true)
    expect(whole.unstack(whole.stack([together]), 0)).toBe(together)
    await whole.close()
  })
})
