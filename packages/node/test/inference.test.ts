import { mkdtempSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contentAddress } from 'assay/core/cid'
import { openBatch } from 'assay/onnx/batch'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { onnxBatch } from 'assay/onnx/onnx-task'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { rangeOfFirstAxis } from 'assay/state/tensor'
import { encodeTensors } from 'assay/state/tensors'
import type { OnnxWork } from 'assay/wire/work'
import onnxProto from 'onnx-proto'
import { afterAll, describe, expect, it } from 'vitest'
import { type Inference, openInference } from '../dist/work/inference.js'
import { openOnnxRows } from '../dist/work/onnx-rows.js'
import { DIGITS } from './run-assay.ts'

const MODEL = `${DIGITS}model.onnx`
const opened: Inference[] = []
afterAll(async () => {
  await Promise.all(opened.map((inference) => inference.close()))
})

function inferenceOf(options: { processes?: number; rowTimeoutMs?: number } = {}): Inference {
  const inference = openInference({ processes: 2, ...options })
  opened.push(inference)
  return inference
}

async function digits(rows: number, runtime: OnnxWork['runtime'] = 'reproducible') {
  const model = loadModel(await readFile(MODEL))
  const images = decodeInputs(await readFile(`${DIGITS}images.npy`), 'images.npy', { expect: model.inputs })
  const inputs = Object.fromEntries(
    Object.entries(images).map(([name, tensor]) => [name, rangeOfFirstAxis(tensor, { from: 0, to: rows })]),
  )
  const work: OnnxWork = { kind: 'onnx', model: model.cid, runtime, batch: 'first-axis' }
  return { model, inputs, work, content: { model: MODEL, input: encodeTensors(inputs) } }
}

/** A model that counts far beyond the patience of everybody. */
function endlessModel(): { path: string; cid: string } {
  const { ModelProto } = onnxProto.onnx
  const int64 = (name: string, values: number[]) => ({ name, dims: [], dataType: 7, int64Data: values })
  const bool = (name: string) => ({ name, dims: [], dataType: 9, int32Data: [1] })
  const scalar = (name: string, elemType: number) => ({
    name,
    type: { tensorType: { elemType, shape: { dim: [] } } },
  })
  const bytes = Uint8Array.from(
    ModelProto.encode({
      irVersion: 8,
      opsetImport: [{ domain: '', version: 13 }],
      graph: {
        name: 'endless',
        initializer: [int64('trips', [Number.MAX_SAFE_INTEGER]), bool('go')],
        input: [scalar('x', 7)],
        output: [scalar('y', 7)],
        node: [
          {
            opType: 'Loop',
            input: ['trips', 'go', 'x'],
            output: ['y'],
            attribute: [
              {
                name: 'body',
                type: 5,
                g: {
                  name: 'body',
                  input: [scalar('i', 7), scalar('c', 9), scalar('a', 7)],
                  output: [scalar('c2', 9), scalar('b', 7)],
                  node: [
                    { opType: 'Add', input: ['a', 'i'], output: ['b'] },
                    { opType: 'Identity', input: ['c'], output: ['c2'] },
                  ],
                },
              },
            ],
          },
        ],
      },
    }).finish(),
  )
  const path = join(mkdtempSync(join(tmpdir(), 'assay-endless-')), 'model.onnx')
  writeFileSync(path, bytes)
  return { path, cid: contentAddress(bytes, 'raw') }
}

describe('rows of a model', () => {
  it.each([
    ['reproducible', wasmRuntime],
    ['native', nativeRuntime],
  ] as const)('are the states of the batch, whatever they are computed with: %s', async (name, runtime) => {
    const { model, inputs, work, content } = await digits(40, name)
    const task = onnxBatch(await openBatch(model, await runtime()))
    const execution = task.open(inputs)
    const expected: Uint8Array[] = []
    for (let i = 0; i < 40; i++) expected.push(task.state.encode(await execution.stateAt(i)))
    const rows = await openOnnxRows(work, content, { inference: inferenceOf() })
    expect(rows.count).toBe(40)
    expect(await rows.rows({ from: 0, to: 40 })).toEqual(expected)
    expect(await rows.row(39)).toEqual(expected[39])
    const parts = [
      rows.rows({ from: 0, to: 7 }),
      rows.rows({ from: 7, to: 8 }),
      rows.rows({ from: 8, to: 40 }),
    ]
    expect((await Promise.all(parts)).flat()).toEqual(expected)
    const whole = { ...work, batch: 'whole' as const }
    const single = await openOnnxRows(whole, content, { inference: opened.at(-1)! })
    expect(single.count).toBe(1)
    await single.close()
    await rows.close()
    await expect(rows.row(0)).rejects.toMatchObject({ code: 'work/closed' })
  })

  it('that are not there are refused', async () => {
    const { work, content } = await digits(3)
    const rows = await openOnnxRows(work, content, { inference: inferenceOf({ processes: 1 }) })
    for (const range of [
      { from: 0, to: 4 },
      { from: 2, to: 2 },
      { from: -1, to: 1 },
      { from: 0, to: 1.5 },
    ]) {
      await expect(rows.rows(range)).rejects.toMatchObject({ code: 'work/rows' })
    }
  })
})

describe('models that are not what they should be', () => {
  it('are refused with their own code, and the process goes on', async () => {
    const inference = inferenceOf({ processes: 1 })
    const { work, content } = await digits(2)
    const other = contentAddress(new Uint8Array([1]), 'raw')
    await expect(openOnnxRows({ ...work, model: other }, content, { inference })).rejects.toMatchObject({
      code: 'work/download',
    })
    const broken = join(mkdtempSync(join(tmpdir(), 'assay-broken-')), 'model.onnx')
    writeFileSync(broken, new Uint8Array([1, 2, 3]))
    await expect(
      openOnnxRows(
        { ...work, model: contentAddress(new Uint8Array([1, 2, 3]), 'raw') },
        { ...content, model: broken },
        { inference },
      ),
    ).rejects.toMatchObject({ code: expect.stringMatching(/^onnx\//) })
    await expect(
      openOnnxRows(work, { ...content, input: new Uint8Array(9) }, { inference }),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/^state\//),
    })
    const rows = await openOnnxRows(work, content, { inference })
    expect(await rows.rows({ from: 0, to: 2 })).toHaveLength(2)
  })
})

describe('a model that does not end', () => {
  const scalar = encodeTensors({ x: { dtype: 'int64', shape: [], data: BigInt64Array.of(1n) } })

  async function endless(inference: Inference) {
    const { path, cid } = endlessModel()
    const work: OnnxWork = { kind: 'onnx', model: cid, runtime: 'native', batch: 'whole' }
    return openOnnxRows(work, { model: path, input: scalar }, { inference })
  }

  it('costs its process after the time of a row, and others their place in line only', async () => {
    const inference = inferenceOf({ processes: 1, rowTimeoutMs: 1_000 })
    const never = await endless(inference)
    const { work, content } = await digits(4)
    const rows = await openOnnxRows(work, content, { inference })
    const lost = never.row(0)
    const behind = rows.rows({ from: 0, to: 4 })
    await expect(lost).rejects.toMatchObject({ code: 'work/timeout' })
    expect(await behind).toHaveLength(4)
  })

  it('is left at once by who asked for it, and stopped by closing', async () => {
    const inference = inferenceOf({ processes: 1 })
    const never = await endless(inference)
    const stop = new AbortController()
    const lost = never.rows({ from: 0, to: 1 }, { signal: stop.signal })
    stop.abort()
    await expect(lost).rejects.toMatchObject({ code: 'task/cancelled' })
    const closing = never.row(0)
    const refused = expect(closing).rejects.toMatchObject({ code: 'work/closed' })
    await inference.close()
    await refused
    await expect(never.row(0)).rejects.toMatchObject({ code: 'work/closed' })
  })
})
