import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeNpy, encodeNpy } from 'assay/onnx/npy'
import { sliceFirstAxis, stackFirstAxis } from 'assay/state/tensor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assay, DIGITS, jsonOf, workFolder } from '../../test/run-assay.ts'

const MODEL = join(DIGITS, 'model.onnx')
const cwd = workFolder()
const at = (name: string) => join(cwd, name)
const run = (...args: string[]) => assay([...args, '--json'], { cwd })
const JOB = ['--model', MODEL, '--input', 'x.npy', '--runtime', 'native']
const SEED = '22'.repeat(32)

beforeAll(async () => {
  const images = decodeNpy(readFileSync(join(DIGITS, 'images.npy')))
  writeFileSync(at('x.npy'), encodeNpy(stackFirstAxis([0, 1, 2].map((row) => sliceFirstAxis(images, row)))))
  expect((await run('trace', ...JOB, '--out', 'trace')).code).toBe(0)
  expect(
    (await run('challenge', 'trace', ...JOB, '--draws', '6', '--seed', SEED, '--out', 'c.json')).code,
  ).toBe(0)
  expect((await run('open', 'trace', 'c.json', '--model', MODEL, '--out', 'o.cbor')).code).toBe(0)
})
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

const check = (openings = 'o.cbor', challenge = 'c.json', trace = 'trace') =>
  run('check', trace, challenge, openings, ...JOB)

describe('the four steps of a trace', () => {
  test('accept an honest run, and do not need its tensors at the verifier', async () => {
    rmSync(at('trace/tensors'), { recursive: true })
    const outcome = await check()
    expect(outcome.code).toBe(0)
    expect(jsonOf(outcome)).toMatchObject({ isVerified: true, evidence: null })
  })

  test('reject openings that were tampered with, by code', async () => {
    const bytes = readFileSync(at('o.cbor'))
    const middle = bytes.length >> 1
    bytes[middle] = (bytes[middle] ?? 0) ^ 1
    writeFileSync(at('bad.cbor'), bytes)
    const outcome = await check('bad.cbor')
    expect(outcome.code).toBe(1)
    expect(jsonOf(outcome).evidence.code).toBe('trace/opening')
    writeFileSync(at('garbage.cbor'), 'garbage')
    expect((await check('garbage.cbor')).code).toBe(1)
  })

  test('reject another output or manifest before a challenge', async () => {
    const manifest = readFileSync(at('trace/manifest.cbor'))
    writeFileSync(at('trace/manifest.cbor'), manifest.subarray(0, manifest.length - 1))
    const outcome = await run('challenge', 'trace', ...JOB, '--out', 'd.json')
    writeFileSync(at('trace/manifest.cbor'), manifest)
    expect(outcome.code).toBe(1)
    expect(jsonOf(outcome).isAccepted).toBe(false)
  })

  test('refuse a challenge whose nodes are not those of its seed, and a trace of another model', async () => {
    const challenge = JSON.parse(readFileSync(at('c.json'), 'utf8'))
    writeFileSync(at('forged.json'), JSON.stringify({ ...challenge, nodes: challenge.nodes.slice(1) }))
    const outcome = await check('o.cbor', 'forged.json')
    expect(outcome.code).toBe(2)
    expect(jsonOf(outcome).error.code).toBe('cli/file-malformed')
    const other = await run('check', 'trace', 'c.json', 'o.cbor', '--model', MODEL, '--input', 'x.npy')
    expect(other.code).toBe(2)
    expect(jsonOf(other).error.code).toBe('run/other-request')
  })
})
