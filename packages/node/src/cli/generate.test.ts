import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromHex, utf8 } from 'assay/core/bytes'
import { generateKey } from 'assay/core/keys'
import { executionToJson } from 'assay/core/poe'
import { decodeGeneration, encodeGeneration } from 'assay/method/generation/proof'
import { signGeneration } from 'assay/method/generation/prover'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assay, DIGITS, failureOf, jsonOf, workFolder } from '../../test/run-assay.ts'

const cwd = workFolder()
const at = (name: string) => join(cwd, name)
const run = (...args: string[]) => assay(['generate', ...args, '--json'], { cwd })
const BYTE_LM = ['--model', join(DIGITS, '../byte-lm/model.onnx'), '--runtime', 'native']
const ASKED = [...BYTE_LM, '--prompt', 'It was a', '--tokens', '40']
const SEED = '5a'.repeat(32)
const SAMPLED = [...ASKED, '--temperature', '0.8', '--seed', SEED]

beforeAll(async () => {
  // One after the other: the first makes the key.
  expect((await run(...ASKED, '--out', 'greedy')).code).toBe(0)
  expect((await run('run', ...SAMPLED, '--out', 'sampled')).code).toBe(0)
})
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

const copyOf = (name: string, copy: string) => cpSync(at(name), at(copy), { recursive: true })

describe.concurrent('generate and verify', () => {
  test('an honest text is accepted, and stands in a file', async () => {
    const outcome = await run('verify', 'greedy', ...ASKED)
    expect(outcome.code).toBe(0)
    const verdict = jsonOf(outcome)
    expect(verdict).toMatchObject({
      isVerified: true,
      tokens: 40,
      disagreements: 0,
      fingerprints: 3,
      evidence: null,
    })
    expect(readFileSync(at('greedy/text.txt'), 'utf8')).toBe(verdict.text)
  })

  test('a sampled text is accepted with the seed of the requester, and with the one stated', async () => {
    expect(jsonOf(await run('verify', 'sampled', ...SAMPLED))).toMatchObject({
      isVerified: true,
      isSeedOurs: true,
    })
    const unseeded = await run('verify', 'sampled', ...ASKED, '--temperature', '0.8')
    expect(jsonOf(unseeded)).toMatchObject({ isVerified: true, isSeedOurs: false, seed: SEED })
  })

  test('another seed or nonce is rejected', async () => {
    const other = '5b'.repeat(32)
    const seed = await run('verify', 'sampled', ...ASKED, '--temperature', '0.8', '--seed', other)
    const nonce = await run('verify', 'greedy', ...ASKED, '--nonce', other)
    expect([seed, nonce].map(({ code }) => code)).toEqual([1, 1])
    expect(jsonOf(seed).evidence.code).toBe('run/other-job')
    expect(jsonOf(nonce).evidence.code).toBe('run/other-job')
  })

  test('changed tokens, a changed text, and a missing part are rejected', async () => {
    for (const copy of ['tokens', 'text', 'part']) copyOf('greedy', copy)
    const { tokens, fingerprints } = decodeGeneration(readFileSync(at('greedy/result.cbor')))
    const changed = [...tokens.slice(0, -1), 33]
    writeFileSync(at('tokens/result.cbor'), encodeGeneration({ tokens: changed, fingerprints }))
    writeFileSync(at('tokens/text.txt'), Uint8Array.from(changed))
    writeFileSync(at('text/text.txt'), 'It was another text.')
    rmSync(at('part/commitment.json'))
    const codes = await Promise.all(
      ['tokens', 'text', 'part'].map(async (folder) => {
        const outcome = await run('verify', folder, ...ASKED)
        return [outcome.code, jsonOf(outcome).evidence.code]
      }),
    )
    expect(codes).toEqual([
      [1, 'poe/mismatch'],
      [1, 'run/malformed'],
      [1, 'run/incomplete'],
    ])
  })

  test('a made-up text is rejected by its tokens, though its solver signed it', async () => {
    copyOf('greedy', 'made-up')
    const {
      format: _,
      version: __,
      requestId,
      nonce,
      ...asked
    } = JSON.parse(readFileSync(at('greedy/request.json'), 'utf8'))
    const { fingerprints } = decodeGeneration(readFileSync(at('greedy/result.cbor')))
    const result = {
      tokens: [...utf8(' day like any other, and nobody was asleep.')].slice(0, 40),
      fingerprints,
    }
    const job = { requestId: fromHex(requestId), nonce: fromHex(nonce) }
    const commitment = await signGeneration(asked, { result, job, key: await generateKey() })
    writeFileSync(at('made-up/result.cbor'), encodeGeneration(result))
    writeFileSync(at('made-up/text.txt'), Uint8Array.from(result.tokens))
    writeFileSync(at('made-up/commitment.json'), JSON.stringify(executionToJson(commitment)))
    const outcome = await run('verify', 'made-up', ...ASKED)
    expect([outcome.code, jsonOf(outcome).evidence.code]).toEqual([1, 'generation/disagreement'])
  })

  test('what was not asked for is bad usage', async () => {
    const refusals = [
      [['verify', 'greedy', ...BYTE_LM, '--prompt', 'It was b', '--tokens', '40'], 'run/other-request'],
      [['verify', 'greedy', ...SAMPLED], 'run/other-request'],
      [[...BYTE_LM, '--tokens', '4', '--out', 'x'], 'cli/usage'],
      [[...ASKED, '--seed', SEED, '--out', 'x'], 'cli/usage'],
      [[...BYTE_LM, '--prompt-tokens', '1,256', '--tokens', '4', '--out', 'x'], 'generation/tokens'],
      [
        ['--model', join(DIGITS, 'model.onnx'), '--prompt', 'x', '--tokens', '4', '--out', 'x'],
        'generation/model',
      ],
    ] as const
    for (const [args, code] of refusals) expect(failureOf(await run(...args)).code).toBe(code)
  })
})
