import type onnxProto from 'onnx-proto'
import { describe, expect, test } from 'vitest'
import type { AssayError } from '../core/errors.ts'
import { inlineExternalData } from './external-data.ts'
import { loadModel } from './model.ts'
import { wasmRuntime } from './runtime-wasm.ts'
import { denseGraph, denseModel, encode, modelProto } from './testing/models.ts'
import { floatTensor } from './testing/traced-models.ts'

const weights = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i + 1))
const file = Uint8Array.from([...new Uint8Array(16), ...new Uint8Array(weights.buffer)])

function externalModel(
  entries: { readonly [key: string]: string } = { location: 'data/w.bin', offset: '16', length: '48' },
  rest: onnxProto.onnx.ITensorProto = {},
): Uint8Array {
  const graph = denseGraph()
  const w: onnxProto.onnx.ITensorProto = {
    name: 'w',
    dims: [4, 3],
    dataType: 1,
    dataLocation: 1,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
    ...rest,
  }
  return encode(modelProto({ ...graph, initializer: [w, graph.initializer![1]!] }))
}

function reader(location: string, { offset, length }: { offset: number; length: number }): Uint8Array {
  if (location !== 'data/w.bin') throw new Error(`no file ${location}`)
  return file.subarray(offset, offset + length)
}

async function refusal(act: () => Promise<unknown>): Promise<AssayError> {
  try {
    await act()
  } catch (error) {
    return error as AssayError
  }
  throw new Error('expected a refusal')
}

test('weights from another file give the model that has them inside', async () => {
  expect(() => loadModel(externalModel())).toThrowError(/another file/)
  const model = loadModel(await inlineExternalData(externalModel(), reader))
  const runtime = await wasmRuntime()
  const run = async (bytes: Uint8Array) => {
    const session = await runtime.open(loadModel(bytes))
    const { y } = await session.run({ x: floatTensor([2, 4]) })
    await session.close()
    return y
  }
  expect(await run(model.bytes)).toEqual(await run(denseModel()))
})

test('a model without external data is left as it is', async () => {
  const bytes = denseModel()
  expect(await inlineExternalData(bytes, reader)).toBe(bytes)
})

test('length may be left out; it follows from the dimensions', async () => {
  const bytes = await inlineExternalData(externalModel({ location: 'data/w.bin', offset: '16' }), reader)
  expect(loadModel(bytes).inputs).toHaveLength(1)
})

describe('is refused:', () => {
  test.each([
    '/etc/passwd',
    '../w.bin',
    'data/../../w.bin',
    './w.bin',
    'data//w.bin',
    'C:/w.bin',
    'data\\w.bin',
    'w\0.bin',
    '',
    `${'a/'.repeat(3000)}w`,
  ])('the location %j', async (location) => {
    let asked = 0
    const error = await refusal(() =>
      inlineExternalData(externalModel({ location }), () => {
        asked++
        return file
      }),
    )
    expect(error.code).toBe('onnx/external-data')
    expect(asked).toBe(0)
  })

  test.each<[string, { readonly [key: string]: string }, onnxProto.onnx.ITensorProto]>([
    ['a length that the dimensions do not bear out', { location: 'data/w.bin', length: '47' }, {}],
    ['a negative offset', { location: 'data/w.bin', offset: '-1' }, {}],
    ['an offset that is no number', { location: 'data/w.bin', offset: 'x' }, {}],
    ['text', { location: 'data/w.bin' }, { dataType: 8 }],
    ['a file that is too short', { location: 'data/w.bin', offset: '30' }, {}],
  ])('%s', async (_, entries, rest) => {
    expect((await refusal(() => inlineExternalData(externalModel(entries, rest), reader))).code).toBe(
      'onnx/external-data',
    )
  })

  test('more than the cap, before it is read', async () => {
    let asked = 0
    const greedy = externalModel({ location: 'data/w.bin' }, { dims: [2 ** 20, 2 ** 9] })
    const read = () => {
      asked++
      return file
    }
    expect((await refusal(() => inlineExternalData(greedy, read))).code).toBe('onnx/too-large')
    expect((await refusal(() => inlineExternalData(greedy, read, { maxBytes: 10 }))).code).toBe(
      'onnx/too-large',
    )
    expect(asked).toBe(0)
  })
})
