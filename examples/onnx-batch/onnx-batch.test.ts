import { ed25519KeyPair } from 'assay/core/keys'
import { lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { type Tensor, tensor } from 'assay/state/tensor'
import type { NamedTensors } from 'assay/state/tensors'
import { afterAll, describe, expect, it } from 'vitest'
import { runExample } from '../run-example.mjs'
import { verify } from '../two-parties.mjs'
import { classes, openDigits, readImages } from './task.mjs'

const fill = (value: number) => new Uint8Array(32).fill(value)
const key = ed25519KeyPair(fill(1))
const job = { requestId: fill(2), nonce: fill(3) }
const seed = fill(4)
const { batch, task } = await openDigits()
const { input, labels } = await readImages(60)
const request = { solverInput: input, falsePositiveRate: 0.01 }
const ask = { samples: 30 }

afterAll(() => batch.close())

describe('solvers', () => {
  it('honest: accepted, and right about the digits', async () => {
    const solution = await solve(task, request, { job, key })
    const { response } = await verify(task, request, { job, solution, ask, seed })
    expect(response).toEqual({ isVerified: true, countItems: 30, evidence: null })
    const found = classes(solution.response.solverOutput.logits as never)
    expect(found.filter((digit: number, i: number) => digit === labels[i]).length).toBeGreaterThan(55)
  })

  it('lazy: caught at a row that it made up', async () => {
    const faked = new Set(Array.from({ length: 20 }, (_, i) => 3 * i))
    const cheat = lazyTask(task, faked, () => ({ logits: tensor('float32', [1, 10], new Float32Array(10)) }))
    const solution = await solve(cheat, request, { job, key })
    const { response } = await verify(task, request, { job, solution, ask, seed })
    expect(response.evidence?.code).toBe('sampling/state-mismatch')
    expect(faked.has(response.evidence?.stateIndex ?? -1)).toBe(true)
  })

  it('adversarial: caught without an inference', async () => {
    const alter = (output: NamedTensors) => {
      const { dtype, shape, data } = output.logits as Tensor
      const changed = Float32Array.from(data as Float32Array)
      changed[123] = 0
      return { logits: tensor(dtype, shape, changed) }
    }
    const solution = await solveAdversarially(task, request, { job, key, alter })
    const { response } = await verify(task, request, { job, solution, ask: { samples: 0 }, seed })
    expect(response.evidence).toMatchObject({ code: 'sampling/output-row', stateIndex: 12 })
  })
})

it('runs', async () => {
  const output = await runExample('onnx-batch')
  expect(output).toMatch(/^(59\d|600) of 600 digits recognised/m)
  expect(output).toMatch(/honest solver: accepted .*confidence 99/)
  expect(output).toContain('lazy solver: rejected (sampling/state-mismatch)')
  expect(output).toContain('adversarial solver: rejected (sampling/output-row)')
})
