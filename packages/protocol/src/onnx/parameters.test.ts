import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { openGraph } from './graph.ts'
import { loadModel } from './model.ts'
import { countParameters } from './parameters.ts'

const open = (path: string) =>
  openGraph(loadModel(new Uint8Array(readFileSync(new URL(`../../../../examples/${path}`, import.meta.url)))))

describe('countParameters', () => {
  it('counts weights and the bytes that they take', () => {
    const { tensors, elements, bytes } = countParameters(open('digits/model.onnx'))
    expect({ tensors, elements }).toEqual({ tensors: 10, elements: 91_594 })
    expect(bytes).toBeGreaterThan(4 * elements)
    expect(bytes).toBeLessThan(4 * elements + 1000)
  })
})
