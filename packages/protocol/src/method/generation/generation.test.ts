import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AssayError } from '../../core/errors.ts'
import { ed25519KeyPair } from '../../core/keys.ts'
import type { SignedExecution } from '../../core/poe.ts'
import { codeOf } from '../../core/testing/code-of.ts'
import { mutants } from '../../core/testing/mutants.ts'
import { assertRequest, FLOAT32, type GenerationRequest, generationRequest } from './config.ts'
import type { Decoder } from './decoder.ts'
import { decodeGeneration, encodeGeneration, type GenerationResult } from './proof.ts'
import { generate, proveGeneration, signGeneration } from './prover.ts'
import { GREEDY, openByteLm, requestTo, SAMPLE } from './testing/byte-lm.ts'
import { judgeGeneration, measureGeneration, verifyGeneration } from './verifier.ts'

const fill = (value: number) => new Uint8Array(32).fill(value)
const key = ed25519KeyPair(fill(1))
const job = { requestId: fill(2), nonce: fill(3) }

let decoder: Decoder
let request: GenerationRequest
let result: GenerationResult
let commitment: SignedExecution

beforeAll(async () => {
  decoder = await openByteLm()
  request = requestTo(decoder)
  ;({ result, commitment } = await proveGeneration(decoder, request, { job, key }))
})
afterAll(() => decoder.close())

/** The code of the verdict on `changed`, signed by its solver as it is. */
async function judged(changed: GenerationResult, asked = request): Promise<string> {
  const signed = await signGeneration(asked, { result: changed, job, key })
  const verdict = await verifyGeneration(decoder, asked, {
    result: changed,
    job,
    commitment: signed,
    thresholds: FLOAT32,
  })
  return verdict.ok ? 'ok' : verdict.code
}

const thrownBy = (work: Promise<unknown>) =>
  work.then(
    () => 'nothing',
    (error: unknown) => (error instanceof AssayError ? error.code : String(error)),
  )

describe('an honest solver', () => {
  it('is accepted: every token and every fingerprint', async () => {
    const verdict = await verifyGeneration(decoder, request, { result, job, commitment, thresholds: FLOAT32 })
    expect(verdict).toMatchObject({ ok: true, value: { tokens: 70, disagreements: 0, allowed: 0 } })
    expect(result.fingerprints.map(({ length }) => length)).toEqual([258, 258, 258, 258])
  })

  it('gives the same again, and something else from another seed', async () => {
    expect(await generate(decoder, request)).toEqual(result)
    const other = await generate(decoder, { ...request, seed: fill(6) })
    expect(other.tokens).not.toEqual(result.tokens)
  })

  it.each([
    ['greedy', GREEDY],
    ['from the 20 most likely, at temperature 0.7', { ...SAMPLE, temperature: 0.7, topk: 20 }],
  ] as const)('is accepted %s', async (_, rule) => {
    const asked = requestTo(decoder, { rule, maxTokens: 40 })
    expect(await judged(await generate(decoder, asked), asked)).toBe('ok')
  })

  it('may stop at a stop token, and does', async () => {
    const stop = [result.tokens[9]!]
    const asked = requestTo(decoder, { stop })
    const short = await generate(decoder, asked)
    expect(short.tokens).toEqual(result.tokens.slice(0, result.tokens.indexOf(stop[0]!) + 1))
    expect(await judged(short, asked)).toBe('ok')
  })

  it('needs no fingerprints where none are asked for, and has one of a single token', async () => {
    const none = requestTo(decoder, { fingerprintTopk: null })
    expect(await judged({ ...result, fingerprints: [] }, none)).toBe('ok')
    const one = requestTo(decoder, { maxTokens: 1, prompt: [65], fingerprintTopk: 500 })
    const short = await generate(decoder, one)
    expect(short.fingerprints.map(({ length }) => length)).toEqual([2 + 2 * 128])
    expect(await judged(short, one)).toBe('ok')
  })

  it('writes what looks like text', () => {
    const letters = result.tokens.filter((token) => /[a-z ]/.test(String.fromCharCode(token))).length
    expect(letters).toBeGreaterThan(55)
  })

  it('tells of tokens as they come, and stops when told to', async () => {
    const seen: number[] = []
    await generate(decoder, request, { onToken: (token) => seen.push(token) })
    expect(seen).toEqual(result.tokens)
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(generate(decoder, request, { signal })).rejects.toThrow('enough')
  })
})

describe('a cheat', () => {
  it('that changes a token is caught, wherever it is', async () => {
    for (const at of [0, 33, 69]) {
      const tokens = result.tokens.with(at, result.tokens[at] === 101 ? 122 : 101)
      expect(await judged({ ...result, tokens })).toBe('generation/disagreement')
    }
  })

  it('that generates by another rule, seed or prompt is caught', async () => {
    for (const changes of [
      { rule: { ...SAMPLE, temperature: 0.3 } },
      { rule: GREEDY },
      { seed: fill(9) },
      { prompt: request.prompt.slice(20) },
    ]) {
      const other = await generate(decoder, { ...request, ...changes })
      expect(await judged(other)).toBe('generation/disagreement')
    }
  })

  it("whose text is right but whose activations are another prompt's is caught by the fingerprints", async () => {
    const other = await generate(decoder, { ...request, prompt: request.prompt.slice(20) })
    const fingerprints = result.fingerprints.with(0, other.fingerprints[0]!)
    expect(await judged({ ...result, fingerprints })).toBe('generation/fingerprint')
    const swapped = result.fingerprints.with(1, result.fingerprints[2]!)
    expect(await judged({ ...result, fingerprints: swapped })).toBe('generation/fingerprint')
  })

  it('is told from an honest solver by tokens alone when it fingerprints the right model', async () => {
    const asked = requestTo(decoder, { rule: GREEDY })
    const greedy = await generate(decoder, asked)
    const measured = await measureGeneration(decoder, request, { ...greedy })
    if (!measured.ok) throw new Error(measured.message)
    expect(
      measured.value.fingerprintDistances.every(({ exponentMismatches }) => exponentMismatches === 0),
    ).toBe(true)
    expect(judgeGeneration(measured.value, { rule: SAMPLE, thresholds: FLOAT32 })).toMatchObject({
      ok: false,
      code: 'generation/disagreement',
    })
    const lenient = { ...FLOAT32, disagreementRate: 0.9, falseAlarm: 0.001 }
    expect(judgeGeneration(measured.value, { rule: SAMPLE, thresholds: lenient }).ok).toBe(true)
  })
})

describe('a result that is none of this request', () => {
  it('is refused by its form before the model runs', async () => {
    const { tokens, fingerprints } = result
    const cases: [string, GenerationResult][] = [
      ['generation/tokens', { tokens: [], fingerprints }],
      ['generation/tokens', { tokens: tokens.slice(0, 69), fingerprints }],
      ['generation/tokens', { tokens: [...tokens, 65], fingerprints }],
      ['generation/tokens', { tokens: tokens.with(3, 256), fingerprints }],
      ['toploc/proof', { tokens, fingerprints: fingerprints.slice(1) }],
      ['toploc/proof', { tokens, fingerprints: [...fingerprints, fingerprints[0]!] }],
      ['toploc/proof', { tokens, fingerprints: fingerprints.with(2, new Uint8Array(258)) }],
      ['toploc/proof', { tokens, fingerprints: fingerprints.with(2, new Uint8Array(10)) }],
    ]
    const idle = { ...decoder, run: () => Promise.reject(new Error('the model ran')) }
    for (const [code, changed] of cases) {
      const verdict = await measureGeneration(idle, request, changed)
      expect(verdict).toMatchObject({ ok: false, code })
    }
  })

  it('goes on after a stop token, or ends without one', async () => {
    const asked = requestTo(decoder, { stop: [result.tokens[9]!] })
    expect(await judged(result, asked)).toBe('generation/tokens')
    expect(await judged({ ...result, tokens: result.tokens.slice(0, 5) }, asked)).toBe('generation/tokens')
  })
})

describe('the commitment', () => {
  const verify = (options: object, asked = request) =>
    verifyGeneration(decoder, asked, { result, job, commitment, thresholds: FLOAT32, ...options })

  it('holds for this job, request and result only', async () => {
    const others: [object, GenerationRequest?][] = [
      [{ job: { ...job, nonce: fill(4) } }],
      [{ job: { ...job, requestId: fill(4) } }],
      [{ result: { ...result, tokens: result.tokens.with(0, 65) } }],
      [{}, { ...request, prompt: [...request.prompt, 32] }],
      [{}, { ...request, seed: fill(8) }],
      [{}, { ...request, rule: { ...SAMPLE, temperature: 0.99 } }],
    ]
    for (const [options, asked] of others) {
      expect(await verify(options, asked)).toMatchObject({ ok: false, code: 'poe/mismatch' })
    }
  })

  it('is refused when malformed or signed by another', async () => {
    const bad = { ...commitment, signature: fill(0) }
    expect((await verify({ commitment: bad })).ok).toBe(false)
    expect(await verify({ commitment: null })).toMatchObject({ ok: false, code: 'poe/malformed' })
    expect(
      await verify({ commitment: { ...commitment, publicKey: ed25519KeyPair(fill(7)).publicKey } }),
    ).toMatchObject({
      ok: false,
      code: 'poe/mismatch',
    })
  })
})

describe('encoded results', () => {
  it('round-trip, and every mutant is refused in decoding or is another result', () => {
    const encoded = encodeGeneration(result)
    expect(decodeGeneration(encoded)).toEqual(result)
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        for (const mutant of mutants(encoded, at, flip)) {
          const outcome = codeOf(() => decodeGeneration(mutant))
          if (outcome.code === undefined) expect(outcome.value).not.toEqual(result)
          else expect(outcome.code).toMatch(/^(codec|generation)\//)
        }
      }),
    )
  })

  it('mutated and signed by their solver, are refused or within the margins, and nothing is thrown', async () => {
    const encoded = encodeGeneration(result)
    const codes = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        for (const mutant of mutants(encoded, at, flip)) {
          const decoded = codeOf(() => decodeGeneration(mutant))
          if (decoded.value === undefined) continue
          codes.add(await judged(decoded.value))
        }
      }),
      { numRuns: 40 },
    )
    // A flipped bit low in a mantissa stays within the margins, and passes.
    for (const code of codes) expect(code).toMatch(/^(ok$|generation\/|toploc\/)/)
  })
})

describe('requests', () => {
  it.each<[string, Partial<GenerationRequest>]>([
    ['no prompt', { prompt: [] }],
    ['a token that is no integer', { prompt: [1.5] }],
    ['sampling without a seed', { seed: null }],
    ['a short seed', { seed: new Uint8Array(31) }],
    ['a temperature of 0', { rule: { ...SAMPLE, temperature: 0 } }],
    ['a topk of 0', { rule: { ...SAMPLE, topk: 0 } }],
    ['no tokens', { maxTokens: 0 }],
    ['too many', { maxTokens: 2 ** 15 }],
    ['fingerprints of nothing', { fingerprintTopk: 0 }],
    ['another field', { extra: 1 } as object],
  ])('with %s are refused', (_, changes) => {
    expect(codeOf(() => assertRequest({ ...request, ...changes })).code).toBe('generation/request')
    expect(codeOf(() => generationRequest({ ...request, ...changes })).code).toBe('generation/request')
  })

  it('to another model, or beyond vocabulary and context, are refused', async () => {
    const other = { ...request, model: request.model.replace(/.{4}$/, 'aaaa') as GenerationRequest['model'] }
    expect(['generation/model', 'generation/request']).toContain(await thrownBy(generate(decoder, other)))
    expect(await thrownBy(generate(decoder, { ...request, prompt: [256] }))).toBe('generation/tokens')
    const long = { ...request, prompt: new Array<number>(600).fill(65) }
    expect(await thrownBy(generate(decoder, long))).toBe('onnx/runtime')
  })
})
