import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeNpy, encodeNpy } from 'assay/onnx/npy'
import { sliceFirstAxis, stackFirstAxis } from 'assay/state/tensor'
import onnxProto from 'onnx-proto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assay, DIGITS, failureOf, jsonOf, workFolder } from '../../test/run-assay.ts'

const MODEL = join(DIGITS, 'model.onnx')
const BYTE_LM = join(DIGITS, '../byte-lm/model.onnx')
const cwd = workFolder()
const run = (...args: string[]) => assay(['inspect', ...args, '--runtime', 'native', '--json'], { cwd })

beforeAll(() => {
  const images = decodeNpy(readFileSync(join(DIGITS, 'images.npy')))
  const rows = [0, 1, 2].map((row) => sliceFirstAxis(images, row))
  writeFileSync(join(cwd, 'x.npy'), encodeNpy(stackFirstAxis(rows)))
})
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

interface Node {
  readonly operator: string
  readonly cost: number | null
  readonly share: number
  readonly outputs: readonly { readonly shape: readonly number[] | null }[]
}

describe.concurrent('inspect', () => {
  test('infers shapes and costs of one row, and says what each method can do', async () => {
    const report = jsonOf(await run(MODEL))
    expect(report).toMatchObject({
      opsets: { 'ai.onnx': 17 },
      inputs: [{ name: 'image', dtype: 'float32', dims: ['batch', 1, 8, 8] }],
      shapes: { from: 'inference' },
      operators: { Relu: 4, Conv: 3, Gemm: 2, MaxPool: 1, Flatten: 1 },
      methods: {
        sampling: { obstacle: null, batch: 'first-axis', rows: null },
        trace: { obstacle: null, untraceable: [], draws: 49 },
      },
    })
    expect(report.methods.generation.obstacle).toContain('input_ids')
    // 3 × 3 kernels: 64 of one channel, 64 of 64 twice; then 256 to 64 to 10.
    expect(report.parameters.elements).toBe(
      64 * 9 + 64 + 2 * (64 * 64 * 9 + 64) + 256 * 64 + 64 + 64 * 10 + 10,
    )
    const nodes = report.nodes as Node[]
    expect(nodes).toHaveLength(11)
    expect(nodes[2]).toMatchObject({ operator: 'Conv', cost: 64 * 64 * 64 * 9 })
    expect(nodes[10]?.outputs[0]?.shape).toEqual([1, 10])
    expect(nodes.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9)
    expect(report.concentration[0]).toEqual({ nodes: 1, share: nodes[2]?.share })
  })

  test('measures shapes and costs of all rows of an input', async () => {
    const report = jsonOf(await run(MODEL, '--input', 'x.npy'))
    expect(report).toMatchObject({ shapes: { from: 'run' }, methods: { sampling: { rows: 3 } } })
    expect(report.nodes[2]).toMatchObject({ cost: 3 * 64 * 64 * 64 * 9, outputs: [{ shape: [3, 64, 8, 8] }] })
  })

  test('knows a decoder, and asks for the sizes that it leaves open', async () => {
    const open = jsonOf(await run(BYTE_LM))
    expect(open).toMatchObject({ cost: null, shapes: { from: 'open' } })
    expect(open.shapes.note).toContain('--size seq=N --size past=N')
    const sized = jsonOf(await run(BYTE_LM, '--size', 'seq=32', '--size', 'past=0'))
    expect(sized.methods.generation).toEqual({ obstacle: null, vocabulary: 256, hiddenWidth: 128 })
    const logits = (sized.nodes as Node[]).at(-1)
    expect(logits).toMatchObject({ cost: 32 * 128 * 256, outputs: [{ shape: [1, 32, 256] }] })
  })

  test('cuts a long table in text, and shows all of it when asked', async () => {
    const sizes = ['--size', 'seq=32', '--size', 'past=0', '--runtime', 'native']
    const cut = await assay(['inspect', BYTE_LM, ...sizes], { cwd })
    const all = await assay(['inspect', BYTE_LM, ...sizes, '--all'], { cwd })
    expect(cut.stdout).toContain('the dearest 20 of 204')
    expect(all.stdout.split('\n').length - cut.stdout.split('\n').length).toBe(204 - 20)
  })

  test('names the nodes that cannot be traced, and why', async () => {
    const type = { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 3 }] } } }
    const model = {
      irVersion: 8,
      opsetImport: [{ domain: '', version: 17 }],
      graph: {
        name: 'coins',
        node: [{ opType: 'Bernoulli', name: 'toss', input: ['x'], output: ['y'] }],
        input: [{ name: 'x', type }],
        output: [{ name: 'y', type }],
      },
    }
    writeFileSync(join(cwd, 'coins.onnx'), onnxProto.onnx.ModelProto.encode(model).finish())
    const { methods } = jsonOf(await run('coins.onnx'))
    expect(methods.sampling.obstacle).toContain('Bernoulli')
    expect(methods.trace.obstacle).not.toBeNull()
    expect(methods.trace.untraceable).toEqual([
      { position: 0, name: 'toss', operator: 'Bernoulli', reason: 'its result is drawn at random' },
    ])
  })

  test('refuses what is no model, and sizes that are not open', async () => {
    expect(failureOf(await run('x.npy')).code).toBe('onnx/malformed')
    expect(failureOf(await run(MODEL, '--size', 'sequence=3')).code).toBe('cli/usage')
    expect(failureOf(await run(MODEL, '--size', 'batch')).code).toBe('cli/usage')
    expect(failureOf(await run(MODEL, '--size', 'batch=2', '--input', 'x.npy')).code).toBe('cli/usage')
  })
})
