import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ed25519KeyPair } from 'assay/core/keys'
import { fakedIndices, lazyTask } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { decodeNpy, encodeNpy } from 'assay/onnx/npy'
import { decodeNpz, encodeNpz } from 'assay/onnx/npz'
import { sliceFirstAxis, stackFirstAxis, type Tensor, tensor } from 'assay/state/tensor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assay, DIGITS, failureOf, jsonOf, type Outcome, workFolder } from '../../test/run-assay.ts'
import { openOnnxJob } from './onnx-job.ts'
import { jobOf, readRunRequest, writeRun } from './run-folder.ts'

const ROWS = 120
const MODEL = join(DIGITS, 'model.onnx')
const NONCE = 'ab'.repeat(32)
const REQUEST_ID = 'cd'.repeat(32)
const SEED = '11'.repeat(32)

const cwd = workFolder()
const at = (name: string) => join(cwd, name)
const run = (...args: string[]) => assay(args, { cwd })
/** The native runtime starts ten times as fast, and every process starts one; the default has tests of its own. */
const NATIVE = ['--runtime', 'native']
const solveRun = (...args: string[]) => run('solve', 'onnx', '--model', MODEL, '--json', ...NATIVE, ...args)
const verifyRun = (folder: string, ...args: string[]) =>
  run('verify', folder, '--model', MODEL, '--input', 'x.npy', '--json', ...NATIVE, ...args)

function firstRows(images: Tensor, count: number): Tensor {
  return stackFirstAxis(Array.from({ length: count }, (_, row) => sliceFirstAxis(images, row)))
}

let images: Tensor
let solved: Outcome

beforeAll(async () => {
  images = firstRows(decodeNpy(readFileSync(join(DIGITS, 'images.npy'))), ROWS)
  writeFileSync(at('x.npy'), encodeNpy(images))
  solved = await solveRun('--input', 'x.npy', '--out', 'run', '--nonce', NONCE, '--request-id', REQUEST_ID)
})
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

describe('an honest run', () => {
  test('is solved into a folder with the field names of the paper', () => {
    expect(solved.code).toBe(0)
    expect(jsonOf(solved)).toMatchObject({ states: ROWS, nonce: NONCE, requestId: REQUEST_ID, run: 'run' })
    const proof = JSON.parse(readFileSync(at('run/proof.json'), 'utf8'))
    expect(Object.keys(proof)).toEqual(['bloomFilter', 'countItems'])
    expect(proof.countItems).toBe(ROWS)
    const { logits } = decodeNpz(readFileSync(at('run/output.npz')))
    expect(logits?.shape).toEqual([ROWS, 10])
  })

  test('is verified at the confidence asked, with a receipt that holds', async () => {
    const args = ['--confidence', '0.99', '--faked', '0.05', '--nonce', NONCE, '--request-id', REQUEST_ID]
    const verified = await verifyRun('run', ...args, '--solver', jsonOf(solved).solver)
    expect(verified.code).toBe(0)
    const verdict = jsonOf(verified)
    expect(verdict).toMatchObject({
      isVerified: true,
      evidence: null,
      states: ROWS,
      faked: 0.05,
      method: 'lazy',
    })
    expect(verdict).toMatchObject({
      receipt: 'run/receipt.json',
      outputBinding: 'claimed',
      isNonceInsisted: true,
    })
    expect(verdict.confidence).toBeGreaterThanOrEqual(0.99)
    expect(verdict.verifierShare).toBe(verdict.countItems / ROWS)
    const receipt = await run('receipt', 'verify', 'run/receipt.json', '--signer', verdict.solver, '--json')
    expect(receipt.code).toBe(0)
    expect(jsonOf(receipt)).toMatchObject({ isValid: true, isVerified: true, samples: verdict.samples })
  })

  test('is told to people in a few lines', async () => {
    const { code, stdout } = await run('verify', 'run', '--model', MODEL, '--input', 'x.npy', ...NATIVE)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^✔ verified/)
    expect(stdout).toMatch(/checked +\d+ of 120 states/)
    expect(stdout).toContain('--nonce')
  })

  test('gives the same sample for the same seed, another for another', async () => {
    const indicesFor = async (seed: string) => {
      await verifyRun('run', '--samples', '12', '--seed', seed, '--receipt', `${seed.slice(0, 2)}.json`)
      const { payload } = JSON.parse(readFileSync(at(`${seed.slice(0, 2)}.json`), 'utf8'))
      return JSON.parse(Buffer.from(payload, 'base64').toString()).predicate.check.indices
    }
    const first = await indicesFor(SEED)
    expect(first).toHaveLength(12)
    expect(await indicesFor(SEED)).toEqual(first)
    expect(await indicesFor('22'.repeat(32))).not.toEqual(first)
  })

  test.each([
    [['--ratio', '0.25'], { samples: 30, confidence: null }],
    [['--samples', '7'], { samples: 7, confidence: null }],
    [['--method', 'baseline'], { samples: ROWS, verifierShare: 1 }],
    [['--method', 'adversarial', '--ratio', '1'], { samples: ROWS, method: 'adversarial' }],
    [['--method', 'adversarial', '--ratio', '0'], { samples: 0 }],
  ])('by %j', async (args, expected) => {
    const verified = await verifyRun('run', ...args)
    expect(verified.code).toBe(0)
    expect(jsonOf(verified)).toMatchObject({ isVerified: true, ...expected })
  })

  test('has the same proof whatever the number of workers, and either may check it', async () => {
    const terms = ['--input', 'x.npy', '--nonce', NONCE, '--request-id', REQUEST_ID, '--workers', '2']
    expect((await solveRun(...terms, '--out', 'threads')).code).toBe(0)
    for (const file of ['proof.json', 'commitment.json', 'output.npz']) {
      expect(readFileSync(at(`threads/${file}`)).equals(readFileSync(at(`run/${file}`)))).toBe(true)
    }
    expect(jsonOf(await verifyRun('threads', '--workers', '1')).isVerified).toBe(true)
  })

  test('on the default runtime, and on worker threads', async () => {
    const wasm = ['--model', MODEL, '--input', 'x.npy', '--json']
    expect((await run('solve', 'onnx', ...wasm, '--out', 'wasm', '--workers', '1')).code).toBe(0)
    expect(JSON.parse(readFileSync(at('wasm/request.json'), 'utf8')).runtime).toBe('wasm')
    expect(jsonOf(await run('verify', 'wasm', ...wasm))).toMatchObject({ isVerified: true, states: ROWS })
  })

  test('may come as .npz, JSON or by name, with a Bloom filter and a tolerance', async () => {
    const rows = firstRows(images, 20)
    writeFileSync(at('x.npz'), encodeNpz({ image: rows }))
    const json = { image: { dtype: 'float32', shape: rows.shape, data: [...(rows.data as Float32Array)] } }
    writeFileSync(at('x.json'), JSON.stringify(json))
    writeFileSync(at('rows.npy'), encodeNpy(rows))
    const terms = [...NATIVE, '--tolerance', '0.001']
    for (const input of ['x.npz', 'x.json', 'image=rows.npy']) {
      const made = await solveRun('--input', input, '--out', 'other', '--proof', 'bloom', ...terms)
      expect(jsonOf(made)).toMatchObject({ states: 20, proof: 'bloom' })
    }
    const checked = await run('verify', 'other', '--model', MODEL, '--input', 'rows.npy', ...terms, '--json')
    expect(jsonOf(checked)).toMatchObject({ isVerified: true, states: 20 })
  })
})

describe.concurrent('a run that is not to be believed', () => {
  let copies = 0
  const copyOf = (folder: string) => {
    const copy = `copy-${copies++}`
    cpSync(at(folder), at(copy), { recursive: true })
    rmSync(at(`${copy}/receipt.json`), { force: true })
    return copy
  }

  async function expectRejection(folder: string, code: string, args: readonly string[] = []) {
    const outcome = await verifyRun(folder, ...args)
    expect(outcome.stderr).toBe('')
    expect(outcome.code).toBe(1)
    const verdict = jsonOf(outcome)
    expect(verdict.isVerified).toBe(false)
    expect(verdict.evidence.code).toBe(code)
    return verdict
  }

  test('an output altered after it was signed', async () => {
    const folder = copyOf('run')
    const { logits } = decodeNpz(readFileSync(at(`${folder}/output.npz`)))
    const before = (logits as Tensor).data as Float32Array
    const data = before.map((value, i) => (i < 60 ? -value : value))
    writeFileSync(at(`${folder}/output.npz`), encodeNpz({ logits: tensor('float32', [ROWS, 10], data) }))
    await expectRejection(folder, 'poe/mismatch')
  })

  test('rows that were made up, signed all the same; the receipt says rejected', async () => {
    const onnx = await openOnnxJob({
      model: MODEL,
      input: [at('x.npy')],
      runtime: 'native',
      batch: 'first-axis',
      workers: 0,
    })
    const request = await readRunRequest(at('run'))
    const made = tensor('float32', [1, 10], new Float32Array(10))
    const rows = fakedIndices(new Uint8Array(32), { states: ROWS, faked: ROWS / 4 })
    const lazy = lazyTask(onnx.task, rows, () => ({ logits: made }))
    const solution = await solve(
      lazy,
      { solverInput: onnx.inputs, falsePositiveRate: request.falsePositiveRate },
      { job: jobOf(request), key: ed25519KeyPair(new Uint8Array(32).fill(9)) },
    )
    await onnx.batch.close()
    await writeRun(at('lazy'), { request, solution })
    const verdict = await expectRejection('lazy', 'sampling/state-mismatch', ['--seed', SEED])
    expect(rows.has(verdict.evidence.stateIndex)).toBe(true)
    const receipt = await run('receipt', 'verify', 'lazy/receipt.json', '--json')
    expect(receipt.code).toBe(1)
    expect(jsonOf(receipt)).toMatchObject({ isValid: true, isVerified: false })
  })

  test('one for another nonce, another request, by another solver', async () => {
    await expectRejection('run', 'run/other-job', ['--nonce', '00'.repeat(32)])
    await expectRejection('run', 'run/other-job', ['--request-id', '00'.repeat(32)])
    await expectRejection('run', 'run/other-solver', ['--solver', '00'.repeat(32)])
  })

  test.each([
    ['a missing proof', 'proof.json', null, 'run/incomplete'],
    ['a missing output', 'output.npz', null, 'run/incomplete'],
    ['a proof that is no JSON', 'proof.json', '{"bloomFilter":', 'run/malformed'],
    [
      'a proof with a field too many',
      'proof.json',
      '{"bloomFilter":"","countItems":1,"x":1}',
      'run/malformed',
    ],
    ['an empty proof', 'proof.json', `{"bloomFilter":"","countItems":${ROWS}}`, 'codec/malformed'],
    ['a commitment of another form', 'commitment.json', '{"poe":"v1"}', 'run/malformed'],
    ['an output that is no archive', 'output.npz', 'PK nothing', 'run/malformed'],
  ])('%s', async (_, file, content, code) => {
    const folder = copyOf('run')
    if (content === null) rmSync(at(`${folder}/${file}`))
    else writeFileSync(at(`${folder}/${file}`), content)
    const verdict = await expectRejection(folder, code)
    expect(verdict.receipt).toBeNull()
    expect(existsSync(at(`${folder}/receipt.json`))).toBe(false)
  })

  test('one whose request.json was changed to name another nonce', async () => {
    const folder = copyOf('run')
    const request = JSON.parse(readFileSync(at(`${folder}/request.json`), 'utf8'))
    writeFileSync(at(`${folder}/request.json`), JSON.stringify({ ...request, nonce: '00'.repeat(32) }))
    await expectRejection(folder, 'poe/mismatch')
  })

  test('an output of another shape or name', async () => {
    const folder = copyOf('run')
    const output = { scores: tensor('float32', [ROWS, 10], new Float32Array(ROWS * 10)) }
    writeFileSync(at(`${folder}/output.npz`), encodeNpz(output))
    await expectRejection(folder, 'sampling/output-shape')
  })
})

describe('a receipt', () => {
  const check = (...args: string[]) => run('receipt', 'verify', ...args, '--json')

  test('by another signer, altered, or none at all does not hold', async () => {
    await verifyRun('run', '--receipt', 'r.json')
    const other = await check('r.json', '--signer', '00'.repeat(32))
    expect(other.code).toBe(1)
    expect(jsonOf(other).rejection.code).toBe('receipt/signer')
    const envelope = JSON.parse(readFileSync(at('r.json'), 'utf8'))
    const payload = Buffer.from(envelope.payload, 'base64')
      .toString()
      .replace('"isVerified":true', '"isVerified":false')
    writeFileSync(
      at('forged.json'),
      JSON.stringify({ ...envelope, payload: Buffer.from(payload).toString('base64') }),
    )
    const forged = await check('forged.json')
    expect(forged.code).toBe(1)
    expect(jsonOf(forged)).toMatchObject({ isValid: false, rejection: { code: 'receipt/signature' } })
    writeFileSync(at('none.json'), 'hello')
    expect(jsonOf(await check('none.json')).rejection.code).toBe('receipt/malformed')
    expect(failureOf(await check('absent.json')).code).toBe('cli/file-missing')
    expect(failureOf(await check('r.json', '--signer', 'me')).code).toBe('cli/usage')
  })
})

describe.concurrent('bad input of one’s own', () => {
  const write = (name: string, bytes: Uint8Array | string) => writeFileSync(at(name), bytes)

  beforeAll(() => {
    write('text.onnx', 'hello')
    const model = readFileSync(MODEL)
    const operator = model.indexOf('MaxPool')
    write(
      'operator.onnx',
      Buffer.concat([model.subarray(0, operator), Buffer.from('MaxPook'), model.subarray(operator + 7)]),
    )
    write('short.npy', encodeNpy(images).subarray(0, 4000))
    write('text.npy', 'hello')
    write('x.csv', '1,2')
    write('shape.npy', encodeNpy(tensor('float32', [4, 1, 7, 8], new Float32Array(224))))
    write('rank.npy', encodeNpy(tensor('float32', [4, 64], new Float32Array(256))))
    write('double.npy', encodeNpy(tensor('float64', [4, 1, 8, 8], new Float64Array(256))))
    write(
      'nan.npy',
      encodeNpy(tensor('float32', [4, 1, 8, 8], new Float32Array(256).fill(Number.NaN, 70, 71))),
    )
    write('empty.npy', encodeNpy(tensor('float32', [0, 1, 8, 8], new Float32Array(0))))
    mkdirSync(at('no-run'))
  })

  test.each([
    ['no such model', ['--model', 'absent.onnx', '--input', 'x.npy'], 'cli/file-missing', 'absent.onnx'],
    ['a model that is a folder', ['--model', '.', '--input', 'x.npy'], 'cli/file-missing', 'folder'],
    ['a model that is none', ['--model', 'text.onnx', '--input', 'x.npy'], 'onnx/malformed', ''],
    [
      'an unknown operator',
      ['--model', 'operator.onnx', '--input', 'x.npy'],
      'onnx/unsupported-operator',
      'MaxPook',
    ],
    ['no such input', ['--model', MODEL, '--input', 'absent.npy'], 'cli/file-missing', 'absent.npy'],
    ['a truncated array', ['--model', MODEL, '--input', 'short.npy'], 'input/malformed', ''],
    ['an array that is none', ['--model', MODEL, '--input', 'text.npy'], 'input/malformed', ''],
    ['an unknown format', ['--model', MODEL, '--input', 'x.csv'], 'input/unknown-format', '.npy'],
    ['another shape', ['--model', MODEL, '--input', 'shape.npy'], 'input/shape', 'image'],
    ['another rank', ['--model', MODEL, '--input', 'rank.npy'], 'input/shape', 'image'],
    ['another type', ['--model', MODEL, '--input', 'double.npy'], 'input/dtype', 'float64'],
    ['NaN', ['--model', MODEL, '--input', 'nan.npy'], 'input/not-finite', '[1, 0, 0, 6]'],
    ['no rows', ['--model', MODEL, '--input', 'empty.npy'], 'input/batch', ''],
    ['an unknown name', ['--model', MODEL, '--input', 'pixels=x.npy'], 'input/unknown-name', 'pixels'],
    [
      'a name given twice',
      ['--model', MODEL, '--input', 'x.npy', '--input', 'image=x.npy'],
      'cli/usage',
      'image',
    ],
    [
      'no such key',
      ['--model', MODEL, '--input', 'x.npy', '--key', 'absent.json'],
      'cli/file-missing',
      'absent.json',
    ],
  ])('%s', async (_, args, code, named) => {
    const outcome = await run('solve', 'onnx', ...args, ...NATIVE, '--out', 'bad', '--json')
    const error = failureOf(outcome)
    expect(error.code).toBe(code)
    expect(error.message).toContain(named)
    expect(existsSync(at('bad'))).toBe(false)
  })

  test.each([
    ['no such run', ['absent'], 'cli/file-missing'],
    ['a folder that is no run', ['no-run'], 'cli/file-missing'],
    ['two asks', ['run', '--samples', '3', '--ratio', '0.5'], 'cli/usage'],
    ['an ask for a method without one', ['run', '--method', 'baseline', '--confidence', '0.9'], 'cli/usage'],
    ['a solver that is no node id', ['run', '--solver', 'me'], 'cli/usage'],
    ['another runtime', ['run', '--runtime', 'wasm'], 'run/other-request'],
    ['a tolerance that was not agreed', ['run', '--tolerance', '0.1'], 'run/other-request'],
    ['more samples than states', ['run', '--samples', '1000'], 'sampling/config'],
  ])('verify: %s', async (_, [folder, ...args], code) => {
    expect(failureOf(await verifyRun(folder as string, ...args)).code).toBe(code)
  })

  test('verify: another input than the one that was asked for', async () => {
    write('half.npy', encodeNpy(firstRows(images, 60)))
    const outcome = await run('verify', 'run', '--model', MODEL, '--input', 'half.npy', ...NATIVE, '--json')
    expect(failureOf(outcome).message).toContain('input')
  })
})

test('Ctrl+C stops the work, leaves nothing behind, and exits with 130', async () => {
  writeFileSync(at('many.npy'), readFileSync(join(DIGITS, 'images.npy')))
  const env = { XDG_CONFIG_HOME: at('new-config') }
  const outcome = await assay(
    ['solve', 'onnx', '--model', MODEL, '--input', 'many.npy', '--out', 'stopped'],
    {
      cwd,
      env,
      interruptOn: /key for this machine/,
    },
  )
  expect(outcome.code).toBe(130)
  expect(outcome.stderr).toContain('task/cancelled')
  expect(existsSync(at('stopped'))).toBe(false)
})
