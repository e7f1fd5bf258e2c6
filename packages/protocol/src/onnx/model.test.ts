import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contentAddress } from '../core/cid.ts'
import { attempt } from '../core/errors.ts'
import { loadModel } from './model.ts'
import { denseGraph, denseModel, encode, floats, modelProto, node, TYPE, value } from './testing/models.ts'

function refusal(bytes: Uint8Array): { code: string; message: string } {
  const verdict = attempt(() => loadModel(bytes))
  return verdict.ok ? { code: 'accepted', message: '' } : verdict
}

/** The dense model with parts of its graph replaced. */
function altered(change: ReturnType<typeof denseGraph>, rest = {}): Uint8Array {
  return encode(modelProto({ ...denseGraph(), ...change }, rest))
}

describe('loadModel', () => {
  test('describes a model', () => {
    const bytes = denseModel()
    const model = loadModel(bytes)
    expect(model).toMatchObject({
      cid: contentAddress(bytes, 'raw'),
      irVersion: 8,
      inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 4] }],
      outputs: [{ name: 'y', dtype: 'float32', dims: ['n', 3] }],
    })
    expect(model.bytes).toEqual(bytes)
    expect([...model.opsets]).toEqual([['', 13]])
    expect([...model.operators]).toEqual([
      ['MatMul', 1],
      ['Add', 1],
      ['Relu', 1],
    ])
  })

  test('dimensions without name, negative ones, and unknown ranks', () => {
    const { inputs } = loadModel(
      altered({
        input: [value('x', TYPE.float, ['', -1]), value('u', TYPE.string, null), value('s', TYPE.bool, [])],
      }),
    )
    expect(inputs.map(({ dims }) => dims)).toEqual([[null, null], null, []])
  })

  test('inputs that have an initialiser are constants', () => {
    const model = loadModel(
      altered(
        { input: [value('x', TYPE.float, ['n', 4]), value('w', TYPE.float, [4, 3])] },
        { irVersion: 3 },
      ),
    )
    expect(model.inputs.map(({ name }) => name)).toEqual(['x'])
  })

  test('counts operators of other domains and of subgraphs', () => {
    const branch = (op: string) => ({
      name: op,
      node: [node(op, ['y'], [`${op}_out`])],
      output: [value(`${op}_out`, TYPE.float, null)],
    })
    const model = loadModel(
      altered(
        {
          node: [
            ...denseGraph().node!,
            node('If', ['c'], ['z2'], {
              attribute: [
                { name: 'then_branch', g: branch('Neg') },
                { name: 'else_branch', g: branch('Abs') },
              ],
            }),
            node('Gelu', ['z2'], ['z3'], { domain: 'com.microsoft' }),
          ],
          input: [value('x', TYPE.float, ['n', 4]), value('c', TYPE.bool, [])],
        },
        {
          opsetImport: [
            { domain: 'ai.onnx', version: 13 },
            { domain: 'com.microsoft', version: 1 },
          ],
        },
      ),
    )
    expect(Object.fromEntries(model.operators)).toMatchObject({
      If: 1,
      Neg: 1,
      Abs: 1,
      'com.microsoft::Gelu': 1,
    })
  })

  test('nodes may stand in any order', () => {
    expect(refusal(altered({ node: denseGraph().node!.toReversed() })).code).toBe('accepted')
  })

  test.each<[string, Uint8Array, string, RegExp]>([
    ['no bytes', new Uint8Array(), 'onnx/malformed', /empty/],
    ['text', new TextEncoder().encode('not a model at all'), 'onnx/malformed', /byte/],
    ['no graph', encode({ irVersion: 8, opsetImport: [{ version: 13 }] }), 'onnx/malformed', /graph/],
    ['an old file version', altered({}, { irVersion: 2 }), 'onnx/unsupported-opset', /version 2/],
    ['a new file version', altered({}, { irVersion: 99 }), 'onnx/unsupported-opset', /version 99/],
    ['no operator set', altered({}, { opsetImport: [] }), 'onnx/invalid-graph', /operator set/],
    [
      'an old operator set',
      altered({}, { opsetImport: [{ version: 0 }] }),
      'onnx/unsupported-opset',
      /0 of ai\.onnx/,
    ],
    ['a new operator set', altered({}, { opsetImport: [{ version: 999 }] }), 'onnx/unsupported-opset', /999/],
    [
      'two operator sets',
      altered({}, { opsetImport: [{ version: 13 }, { domain: 'ai.onnx', version: 14 }] }),
      'onnx/invalid-graph',
      /two versions/,
    ],
    [
      'an unknown domain',
      altered(
        { node: [node('Magic', ['x'], ['y'], { domain: 'org.example' })] },
        { opsetImport: [{ version: 13 }, { domain: 'org.example', version: 1 }] },
      ),
      'onnx/unsupported-domain',
      /org\.example/,
    ],
    [
      'a domain that is not imported',
      altered({ node: [node('Scaler', ['x'], ['y'], { domain: 'ai.onnx.ml' })] }),
      'onnx/invalid-graph',
      /ai\.onnx\.ml/,
    ],
    [
      'a missing producer',
      altered({ node: [node('Relu', ['ghost'], ['y'])] }),
      'onnx/invalid-graph',
      /"ghost"/,
    ],
    [
      'an output without producer',
      altered({ output: [value('ghost', TYPE.float, [])] }),
      'onnx/invalid-graph',
      /"ghost"/,
    ],
    [
      'a name defined twice',
      altered({ node: [node('Relu', ['x'], ['y']), node('Abs', ['x'], ['y'])] }),
      'onnx/invalid-graph',
      /"y"/,
    ],
    [
      'an initialiser twice',
      altered({ initializer: [floats('w', [1], [1]), floats('w', [1], [1])] }),
      'onnx/invalid-graph',
      /"w"/,
    ],
    [
      'an output twice',
      altered({ output: [value('y', TYPE.float, null), value('y', TYPE.float, null)] }),
      'onnx/invalid-graph',
      /"y"/,
    ],
    [
      'a cycle',
      altered({
        node: [node('Add', ['x', 'b1'], ['a1']), node('Relu', ['a1'], ['b1']), node('Relu', ['b1'], ['y'])],
      }),
      'onnx/invalid-graph',
      /cycle/,
    ],
    ['no outputs', altered({ output: [] }), 'onnx/invalid-graph', /no outputs/],
    ['no operator name', altered({ node: [node('', ['x'], ['y'])] }), 'onnx/invalid-graph', /no operator/],
    [
      'external data',
      altered({
        initializer: [{ name: 'w', dims: [4, 3], dataType: 1, dataLocation: 1 }, floats('b', [3], [1, 2, 3])],
      }),
      'onnx/external-data',
      /"w"/,
    ],
    [
      'weights of a broken size',
      altered({
        initializer: [
          { name: 'w', dims: [4, 3], dataType: 1, rawData: new Uint8Array(40) },
          floats('b', [3], [1, 2, 3]),
        ],
      }),
      'onnx/invalid-graph',
      /12 elements, got 10/,
    ],
    [
      'dimensions that multiply to 2^106',
      altered({
        initializer: [
          { name: 'w', dims: [2 ** 53 - 1, 2 ** 53 - 1], dataType: 1 },
          floats('b', [3], [1, 2, 3]),
        ],
      }),
      'onnx/invalid-graph',
      /"w"/,
    ],
    [
      'a negative dimension',
      altered({ initializer: [{ name: 'w', dims: [-1], dataType: 1 }, floats('b', [3], [1, 2, 3])] }),
      'onnx/invalid-graph',
      /-1/,
    ],
    [
      'a constant with external data',
      altered({
        node: [
          node('Constant', [], ['y'], {
            attribute: [
              {
                name: 'value',
                t: { dims: [1], dataType: 1, externalData: [{ key: 'location', value: '../secret' }] },
              },
            ],
          }),
        ],
      }),
      'onnx/external-data',
      /Constant/,
    ],
    [
      'a sparse initialiser',
      altered({ sparseInitializer: [{ dims: [2 ** 40] }] }),
      'onnx/unsupported-feature',
      /sparse/,
    ],
    ['functions', altered({}, { functions: [{ name: 'Relu' }] }), 'onnx/unsupported-feature', /"Relu"/],
    ['training information', altered({}, { trainingInfo: [{}] }), 'onnx/unsupported-feature', /training/],
    [
      'an input that is a map',
      altered({ input: [{ name: 'x', type: { mapType: { keyType: 7 } } }] }),
      'onnx/unsupported-type',
      /"x".*mapType/,
    ],
    ['an input without a type', altered({ input: [{ name: 'x' }] }), 'onnx/unsupported-type', /"x"/],
    [
      'an output of bfloat16',
      altered({ output: [value('y', TYPE.bfloat16, [1])] }),
      'onnx/unsupported-type',
      /bfloat16/,
    ],
  ])('refuses %s', (_, bytes, code, message) => {
    const { code: got, message: text } = refusal(bytes)
    expect(got).toBe(code)
    expect(text).toMatch(message)
  })

  test('a cycle through a subgraph is a cycle', () => {
    const inner = { name: 'g', node: [node('Relu', ['y'], ['i'])], output: [value('i', TYPE.float, null)] }
    const bytes = altered({
      node: [node('If', ['c'], ['y'], { attribute: [{ name: 'then_branch', g: inner }] })],
      input: [value('c', TYPE.bool, [])],
    })
    expect(refusal(bytes)).toMatchObject({
      code: 'onnx/invalid-graph',
      message: expect.stringContaining('cycle'),
    })
  })

  test('a cap that the caller sets', () => {
    const bytes = denseModel()
    expect(attempt(() => loadModel(bytes, { maxBytes: bytes.length - 1 }))).toMatchObject({
      code: 'onnx/too-large',
    })
    expect(attempt(() => loadModel(bytes, { maxBytes: bytes.length })).ok).toBe(true)
  })

  test('every truncation is refused or is a shorter model, every flipped bit has another address', () => {
    const bytes = denseModel()
    const { cid } = loadModel(bytes)
    for (let at = 0; at < bytes.length; at++) {
      expect(refusal(bytes.subarray(0, at)).code).toMatch(/^onnx\//)
      const changed = bytes.slice()
      changed[at]! ^= 1 << (at % 8)
      const verdict = attempt(() => loadModel(changed))
      if (verdict.ok) expect(verdict.value.cid).not.toBe(cid)
      else expect(verdict.code).toMatch(/^onnx\//)
    }
  })

  test('mutated models load or are refused with a typed error', () => {
    const bytes = denseModel()
    const mutation = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(mutation, (changes) => {
        const changed = bytes.slice()
        for (const [at, byte] of changes) changed[at] = byte
        attempt(() => loadModel(changed))
      }),
      { numRuns: 3000 },
    )
  })
})
