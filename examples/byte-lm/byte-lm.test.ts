import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { openDecoder } from 'assay/method/generation/decoder'
import { loadModel } from 'assay/onnx/model'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { describe, expect, it } from 'vitest'
import { runExample } from '../run-example.mjs'
import { earlierCheckpoint, roundedTo8Bits } from './weights.mjs'

const read = (name: string) => new Uint8Array(readFileSync(new URL(name, import.meta.url)))
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

interface Provenance {
  readonly training: { readonly scripts: Readonly<Record<string, string>> }
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>
  readonly bitsPerByte: { readonly heldOutSample: number; readonly earlierCheckpointOnSample: number }
}

const provenance = JSON.parse(readFileSync(new URL('provenance.json', import.meta.url), 'utf8')) as Provenance

/** Bits per byte of the first 511 bytes of the held-out text after its first. */
async function bitsPerByte(bytes: Uint8Array): Promise<number> {
  const decoder = await openDecoder(loadModel(bytes), await wasmRuntime())
  const text = [...read('held-out.txt').subarray(0, 512)]
  const { logits } = await decoder.run(text.slice(0, -1), decoder.empty)
  await decoder.close()
  let bits = 0
  for (const [i, next] of text.slice(1).entries()) {
    const row = logits.subarray(256 * i, 256 * (i + 1))
    const sum = row.reduce((total, logit) => total + Math.exp(logit), 0)
    bits += Math.log2(sum) - row[next]! / Math.LN2
  }
  return bits / 511
}

describe('the byte-level language model', () => {
  it('is the one whose provenance is stated, made by the scripts that are here', () => {
    for (const [name, { bytes, sha256: digest }] of Object.entries(provenance.files)) {
      expect([read(name).length, sha256(read(name))]).toEqual([bytes, digest])
    }
    for (const [name, digest] of Object.entries(provenance.training.scripts)) {
      expect(sha256(read(name))).toBe(digest)
    }
    expect(read('model.onnx').length).toBeLessThanOrEqual(4 * 2 ** 20)
  })

  it('predicts held-out text about as well as was measured, better than before and than with 8 bits', async () => {
    const model = read('model.onnx')
    const bits = await bitsPerByte(model)
    expect(Math.abs(bits - provenance.bitsPerByte.heldOutSample)).toBeLessThan(0.4)
    expect(await bitsPerByte(earlierCheckpoint(model, read('earlier.delta.f16')))).toBeGreaterThan(bits)
    expect(Math.abs((await bitsPerByte(roundedTo8Bits(model))) - bits)).toBeLessThan(0.05)
  })

  it('runs the example: one solver is accepted, two are not', async () => {
    const printed = await runExample('byte-lm')
    expect(printed).toMatch(/^honest solver: accepted$/m)
    expect(printed).toMatch(/^solver with 8-bit weights: generation\//m)
    expect(printed).toMatch(/^solver that makes up the tail: generation\/disagreement/m)
  })
})
