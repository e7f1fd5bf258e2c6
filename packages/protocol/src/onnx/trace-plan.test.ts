import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { openGraph } from './graph.ts'
import { loadModel } from './model.ts'
import { nativeRuntime } from './runtime-native.ts'
import { inferShapes } from './trace-plan.ts'

const open = (path: string) =>
  openGraph(loadModel(new Uint8Array(readFileSync(new URL(`../../../../examples/${path}`, import.meta.url)))))

describe('inferShapes', () => {
  it('gives the sizes of every value for a batch of any size', async () => {
    const graph = open('digits/model.onnx')
    const image = { dtype: 'float32', shape: [5, 1, 8, 8] } as const
    const shapes = await inferShapes({ graph, runtime: await nativeRuntime() }, { image })
    expect(shapes.size).toBe(graph.nodes.length)
    expect(shapes.get('logits')).toEqual([5, 10])
  })

  it('refuses inputs without a type', async () => {
    const run = { graph: open('digits/model.onnx'), runtime: await nativeRuntime() }
    await expect(inferShapes(run, {})).rejects.toMatchObject({ code: 'input/missing' })
  })
})
