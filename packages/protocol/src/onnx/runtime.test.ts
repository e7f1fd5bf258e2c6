import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { AssayError } from '../core/errors.ts'
import { equalTensors, tensor } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import { loadModel } from './model.ts'
import type { Runtime } from './runtime.ts'
import { nativeRuntime } from './runtime-native.ts'
import { wasmRuntime } from './runtime-wasm.ts'
import { denseModel, encode, int64s, modelProto, node, TYPE, value } from './testing/models.ts'

const ROW = { x: tensor('float32', [1, 4], Float32Array.of(1, -2, 3, -4)) }

/** Identity over every element type that both runtimes pass through. */
const IDENTITIES = [
  tensor('float32', [2], Float32Array.of(1.5, -0)),
  tensor('float64', [1], Float64Array.of(Math.PI)),
  tensor('float16', [2], Uint16Array.of(0x3c00, 0xc000)),
  tensor('int8', [2], Int8Array.of(-1, 1)),
  tensor('int16', [1], Int16Array.of(-300)),
  tensor('int32', [1], Int32Array.of(-(2 ** 31))),
  tensor('int64', [2], BigInt64Array.of(-(2n ** 63n), 2n ** 62n)),
  tensor('uint8', [1], Uint8Array.of(255)),
  tensor('uint16', [1], Uint16Array.of(65535)),
  tensor('uint32', [1], Uint32Array.of(2 ** 32 - 1)),
  tensor('uint64', [1], BigUint64Array.of(2n ** 64n - 1n)),
  tensor('bool', [3], Uint8Array.of(1, 0, 1)),
  tensor('string', [2], ['', 'grüße 😀']),
] as const

const DATA_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
}

async function refusal(run: () => Promise<unknown>): Promise<AssayError> {
  const error: unknown = await run().then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(AssayError)
  return error as AssayError
}

describe.each<['wasm' | 'native', () => Promise<Runtime>]>([
  ['wasm', wasmRuntime],
  ['native', nativeRuntime],
])('the %s runtime', (name, load) => {
  let runtime: Runtime
  const written = vi.spyOn(process.stderr, 'write')
  const logged = [vi.spyOn(console, 'error'), vi.spyOn(console, 'warn'), vi.spyOn(console, 'log')]

  beforeAll(async () => {
    runtime = await load()
  })

  afterEach(() => {
    for (const spy of [written, ...logged]) {
      expect(spy).not.toHaveBeenCalled()
      spy.mockClear()
    }
  })

  test('says what it is', () => {
    expect(runtime).toMatchObject({ name, tier: name === 'wasm' ? 'reproducible' : 'native' })
    expect(runtime.version).toMatch(/^1\.\d+\.\d+/)
  })

  test('computes', async () => {
    const session = await runtime.open(loadModel(denseModel()))
    const { y } = await session.run(ROW)
    const expected = [0, 1, 2].map((column) => {
      const sum = [1, -2, 3, -4].reduce((total, x, row) => total + x * Math.sin(row * 3 + column + 1), 0)
      return Math.max(0, sum + [0.25, -0.5, 0.125][column]!)
    })
    expect(y?.shape).toEqual([1, 3])
    for (const [i, want] of expected.entries()) expect(y?.data[i]).toBeCloseTo(want, 5)
    await session.close()
  })

  test('gives the same bits again, and fresh data each time', async () => {
    const session = await runtime.open(loadModel(denseModel()))
    const [first, second] = await Promise.all([session.run(ROW), session.run(ROW)])
    expect(equalTensors(first.y!, second.y!)).toBe(true)
    expect((first.y!.data as Float32Array).buffer).not.toBe((second.y!.data as Float32Array).buffer)
    await session.close()
  })

  test.each(IDENTITIES)('passes $dtype through', async (value_) => {
    const type = DATA_TYPES[value_.dtype]
    const model = loadModel(
      encode(
        modelProto({
          node: [node('Identity', ['x'], ['y'])],
          input: [value('x', type, ['n'])],
          output: [value('y', type, ['n'])],
        }),
      ),
    )
    const session = await runtime.open(model)
    const { y } = await session.run({ x: value_ })
    expect(equalTensors(y!, value_)).toBe(true)
    await session.close()
  })

  test.each<[string, NamedTensors, string, RegExp]>([
    ['a missing input', {}, 'input/missing', /"x"/],
    ['an unknown input', { ...ROW, z: ROW.x }, 'input/unknown-name', /"z".*"x"/],
    [
      'another type',
      { x: tensor('int32', [1, 4], new Int32Array(4)) },
      'input/dtype',
      /"x" must be float32, got int32/,
    ],
    [
      'another rank',
      { x: tensor('float32', [4], new Float32Array(4)) },
      'input/shape',
      /\[n, 4\], got \[4\]/,
    ],
    [
      'another size',
      { x: tensor('float32', [1, 3], new Float32Array(3)) },
      'input/shape',
      /\[n, 4\], got \[1, 3\]/,
    ],
  ])('refuses %s', async (_, inputs, code, message) => {
    const session = await runtime.open(loadModel(denseModel()))
    const error = await refusal(() => session.run(inputs))
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    await session.close()
  })

  test('refuses sizes of one name that differ between inputs', async () => {
    const model = loadModel(
      encode(
        modelProto({
          node: [node('Add', ['a', 'b'], ['y'])],
          input: [value('a', TYPE.float, ['n']), value('b', TYPE.float, ['n'])],
          output: [value('y', TYPE.float, ['n'])],
        }),
      ),
    )
    const session = await runtime.open(model)
    const inputs = {
      a: tensor('float32', [3], new Float32Array(3)),
      b: tensor('float32', [1], new Float32Array(1)),
    }
    expect((await refusal(() => session.run(inputs))).message).toMatch(/"b".*n = 3/)
    await session.close()
  })

  test.each([
    ['Frobnicate', 'Frobnicate', ''],
    ['com.microsoft::Frobnicate', 'Frobnicate', 'com.microsoft'],
  ])('names the unknown operator %s', async (operator, opType, domain) => {
    const opsetImport = [
      { domain: '', version: 13 },
      { domain: 'com.microsoft', version: 1 },
    ]
    const graph = {
      node: [node(opType, ['x'], ['y'], { domain })],
      input: [value('x', TYPE.float, ['n'])],
      output: [value('y', TYPE.float, ['n'])],
    }
    const model = loadModel(encode(modelProto(graph, { opsetImport })))
    const error = await refusal(() => runtime.open(model))
    expect(error.code).toBe('onnx/unsupported-operator')
    expect(error.detail).toEqual({ operator })
  })

  test('a kernel that fails, and one that asks for too much memory', async () => {
    const reshape = loadModel(
      encode(
        modelProto({
          node: [node('Reshape', ['x', 's'], ['y'])],
          input: [value('x', TYPE.float, ['n'])],
          output: [value('y', TYPE.float, ['a', 'b'])],
          initializer: [int64s('s', [2], [7, 7])],
        }),
      ),
    )
    const bomb = loadModel(
      encode(
        modelProto({
          node: [node('ConstantOfShape', ['s'], ['y'])],
          input: [value('s', TYPE.int64, [2])],
          output: [value('y', TYPE.float, ['a', 'b'])],
        }),
      ),
    )
    const failing = await runtime.open(reshape)
    const error = await refusal(() => failing.run({ x: tensor('float32', [4], new Float32Array(4)) }))
    expect(error).toMatchObject({ code: 'onnx/runtime', message: expect.stringMatching(/49|7,7/) })
    const greedy = await runtime.open(bomb)
    const huge = { s: tensor('int64', [2], BigInt64Array.of(2n ** 30n, 2n ** 30n)) }
    expect((await refusal(() => greedy.run(huge))).code).toBe('onnx/runtime')
    const small = { s: tensor('int64', [2], BigInt64Array.of(2n, 3n)) }
    expect((await greedy.run(small)).y?.shape).toEqual([2, 3])
    await failing.close()
    await greedy.close()
  })

  test('a model that only the runtime can refuse', async () => {
    const model = loadModel(
      encode(
        modelProto({
          node: [node('MatMul', ['x', 'x'], ['y'])],
          input: [value('x', TYPE.bool, ['n', 4])],
          output: [value('y', TYPE.bool, ['n', 4])],
        }),
      ),
    )
    expect((await refusal(() => runtime.open(model))).code).toMatch(/^onnx\/(runtime|unsupported-operator)$/)
  })

  test('closes once, after the runs under way', async () => {
    const session = await runtime.open(loadModel(denseModel()))
    const run = session.run(ROW)
    await Promise.all([session.close(), session.close()])
    expect((await run).y?.shape).toEqual([1, 3])
    expect((await refusal(() => session.run(ROW))).code).toBe('onnx/closed')
  })
})

test('the number of threads does not change the bits of the native runtime', async () => {
  const outputs = await Promise.all(
    [1, 2].map(async (threads) => {
      const session = await (await nativeRuntime({ threads })).open(loadModel(denseModel()))
      return (await session.run(ROW)).y!
    }),
  )
  expect(equalTensors(outputs[0]!, outputs[1]!)).toBe(true)
  expect((await refusal(() => nativeRuntime({ threads: 0 }))).code).toBe('onnx/runtime')
})
