/**
 * Verified text generation on examples/byte-lm: how soon cheats are caught, how often honest outputs are refused,
 * and what a check costs.
 *
 * For each trial a prompt from the held-out text and a seed; a solver generates, honestly or not; the verifier runs
 * one prefill with the right model. Tokens are counted from the first one that a cheat touches.
 */
import { readFileSync } from 'node:fs'
import { binomialInterval } from 'assay/core/interval'
import { chunksOf } from 'assay/method/generation/chunks'
import { FLOAT32, generationRequest, REPRODUCIBLE } from 'assay/method/generation/config'
import { openDecoder } from 'assay/method/generation/decoder'
import { generate } from 'assay/method/generation/prover'
import { tokensNeeded } from 'assay/method/generation/security'
import { encodeFingerprint, fingerprint } from 'assay/method/generation/toploc'
import { isNear, judgeGeneration, measureGeneration } from 'assay/method/generation/verifier'
import { loadModel } from 'assay/onnx/model'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { earlierCheckpoint, roundedTo8Bits, roundedToHalf } from '../examples/byte-lm/weights.mjs'
import { race, record, SMOKE } from './record.mjs'

const TRIALS = SMOKE ? 2 : 50
const HONEST_TRIALS = SMOKE ? 2 : 60
const TOKENS = SMOKE ? 64 : 320
const PROMPT = 96
const CONFIDENCE = 0.99
const ROUNDS = SMOKE ? 1 : 40
const SAMPLE = { kind: 'sample', temperature: 1, topk: null }
const GREEDY = { kind: 'greedy' }

const read = (name) => new Uint8Array(readFileSync(new URL(`../examples/byte-lm/${name}`, import.meta.url)))
const bytes = read('model.onnx')
const text = read('held-out.txt')
const model = loadModel(bytes)
const runtimes = { wasm: await wasmRuntime(), native: await nativeRuntime() }
const open = (data, runtime) => openDecoder(loadModel(data), runtime)
const right = { wasm: await open(bytes, runtimes.wasm), native: await open(bytes, runtimes.native) }
const others = {
  half: await open(roundedToHalf(bytes), runtimes.native),
  eight: await open(roundedTo8Bits(bytes), runtimes.native),
  earlier: await open(earlierCheckpoint(bytes, read('earlier.delta.f16')), runtimes.native),
}

function requestOf(trial, rule) {
  const start = (trial * 211) % (text.length - PROMPT)
  return generationRequest({
    model: model.cid,
    prompt: [...text.subarray(start, start + PROMPT)],
    rule,
    seed: Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? trial : 7 * i) % 256),
    maxTokens: TOKENS,
  })
}

/** What a solver hands over that runs `decoder` on a request of its own making. */
const generateWith = (decoder, request, changes = {}) =>
  generate(decoder, { ...request, model: decoder.model.cid, ...changes })

/** Fingerprints of the right model over any text: what a careful cheat adds, at the price of a prefill. */
async function fingerprintsOver(request, tokens) {
  const decoder = right.native
  const { hidden } = await decoder.run([...request.prompt, ...tokens.slice(0, -1)], decoder.empty)
  return chunksOf(request, { tokens: tokens.length, width: decoder.width }).map(({ from, to, topk }) =>
    encodeFingerprint(
      fingerprint(hidden.subarray(from * decoder.width, to * decoder.width), { topk, ties: 'lowest-index' }),
    ),
  )
}

const CHEATS = [
  { name: '8-bit weights', rule: SAMPLE, run: (request) => generateWith(others.eight, request) },
  { name: '8-bit weights', rule: GREEDY, run: (request) => generateWith(others.eight, request) },
  { name: 'half-precision weights', rule: SAMPLE, run: (request) => generateWith(others.half, request) },
  { name: 'earlier checkpoint', rule: SAMPLE, run: (request) => generateWith(others.earlier, request) },
  { name: 'earlier checkpoint', rule: GREEDY, run: (request) => generateWith(others.earlier, request) },
  {
    name: 'another prompt (its last third)',
    rule: SAMPLE,
    run: (request) => generateWith(right.native, request, { prompt: request.prompt.slice(-PROMPT / 3) }),
  },
  {
    name: 'another temperature (0.8)',
    rule: SAMPLE,
    run: (request) => generateWith(right.native, request, { rule: { ...SAMPLE, temperature: 0.8 } }),
  },
  {
    name: 'made-up tail (a book, last half)',
    rule: SAMPLE,
    from: TOKENS / 2,
    run: async (request, trial) => {
      const honest = await generateWith(right.native, request)
      const start = (trial * 307) % (text.length - TOKENS)
      const tokens = [...honest.tokens.slice(0, TOKENS / 2), ...text.subarray(start, start + TOKENS / 2)]
      // The made-up part was never run: its chunks carry fingerprints of the part that was.
      const ran = 1 + Math.floor(TOKENS / 2 / 32)
      const fingerprints = honest.fingerprints.map((own, i) => (i < ran ? own : honest.fingerprints[1]))
      return { tokens, fingerprints }
    },
  },
]

async function measure(decoder, request, result) {
  const measured = await measureGeneration(decoder, request, result)
  if (!measured.ok) throw new Error(`${measured.code}: ${measured.message}`)
  return measured.value
}

/** Trials of one cheat: the stream of its tokens, right or wrong, and its chunks, near or not. */
async function tryCheat({ name, rule, from = 0, run }) {
  const stream = []
  const chunks = []
  const prompts = []
  let careful = 0
  for (let trial = 0; trial < TRIALS; trial++) {
    const request = requestOf(trial, rule)
    const result = await run(request, trial)
    const margin = rule.kind === 'greedy' ? REPRODUCIBLE.greedyMargin : REPRODUCIBLE.sampleMargin
    const { tokenDistances, fingerprintDistances } = await measure(right.native, request, result)
    stream.push(...[...tokenDistances].slice(from).map((distance) => !(distance <= margin)))
    const near = fingerprintDistances.map((found) => isNear(found, FLOAT32))
    prompts.push(!near[0])
    chunks.push(...near.slice(1 + Math.ceil(from / 32)).map((is) => !is))
    const forged = { ...result, fingerprints: await fingerprintsOver(request, result.tokens) }
    const judged = judgeGeneration(await measure(right.native, request, forged), {
      rule,
      thresholds: FLOAT32,
    })
    if (!judged.ok) careful++
  }
  return { name, rule: rule.kind, from, stream, chunks, prompts, careful }
}

const share = (list) => list.filter(Boolean).length / list.length

/** Fewest tokens in a row of which, wherever they start in the stream, `CONFIDENCE` of the windows hold a wrong one. */
function countedTokens(stream) {
  const gaps = []
  let gap = 0
  for (const wrong of stream) {
    gap++
    if (wrong) {
      gaps.push(gap)
      gap = 0
    }
  }
  // A window that starts `back` tokens before the next wrong one catches it if it is longer than that.
  const waits = gaps.flatMap((length) => Array.from({ length }, (_, back) => back + 1)).sort((a, b) => a - b)
  return waits.length === 0 ? null : waits[Math.ceil(CONFIDENCE * waits.length) - 1]
}

function neededBy(rate, unit) {
  if (rate === 0) return 'not caught'
  if (rate === 1) return String(unit)
  return (unit * tokensNeeded({ rate, confidence: CONFIDENCE, tolerance: REPRODUCIBLE })).toLocaleString('en')
}

/** All pairs of honest runtimes, sampling and greedy. */
async function tryHonest() {
  const found = {}
  for (const solver of Object.keys(right)) {
    for (const verifier of Object.keys(right)) found[`${solver} → ${verifier}`] = emptyTally()
    for (const rule of [SAMPLE, GREEDY]) {
      for (let trial = 0; trial < HONEST_TRIALS / 2; trial++) {
        const request = requestOf(1000 + trial, rule)
        const result = await generate(right[solver], request)
        for (const verifier of Object.keys(right)) {
          const measured = await measure(right[verifier], request, result)
          const thresholds = solver === 'wasm' && verifier === 'wasm' ? REPRODUCIBLE : FLOAT32
          const refused = !judgeGeneration(measured, { rule, thresholds }).ok
          count(found[`${solver} → ${verifier}`], { ...measured, refused })
        }
      }
    }
  }
  return found
}

function emptyTally() {
  return { outputs: 0, refused: 0, tokens: 0, off: 0, worst: 0, chunks: 0, exponents: 0, mantissa: 0 }
}

function count(tally, { tokenDistances, fingerprintDistances, refused }) {
  tally.outputs++
  if (refused) tally.refused++
  tally.tokens += tokenDistances.length
  tally.off += tokenDistances.filter((distance) => distance > 0).length
  tally.worst = Math.max(tally.worst, ...tokenDistances)
  tally.chunks += fingerprintDistances.length
  for (const { exponentMismatches, meanMantissaError } of fingerprintDistances) {
    tally.exponents = Math.max(tally.exponents, exponentMismatches)
    tally.mantissa = Math.max(tally.mantissa, meanMantissaError ?? 128)
  }
}

/** The lower quartile of ascending times: what other work on the machine disturbed least. */
const quartile = (ascending) => ascending[ascending.length >> 2]

/** A check against the prefill that it holds, on the same tokens, in turn. */
async function timeChecks() {
  const request = requestOf(5, SAMPLE)
  const times = {}
  for (const [name, decoder] of Object.entries(right)) {
    const result = await generate(decoder, request)
    const tokens = [...request.prompt, ...result.tokens.slice(0, -1)]
    const contestants = {
      prefill: () => decoder.run(tokens, decoder.empty),
      check: () => measure(decoder, request, result),
    }
    await race(contestants, { rounds: ROUNDS })
    const raced = await race(
      { generate: () => generate(decoder, request), ...contestants },
      { rounds: ROUNDS },
    )
    times[name] = Object.fromEntries(Object.entries(raced).map(([what, list]) => [what, quartile(list)]))
  }
  return times
}

async function timeFingerprints() {
  const chunks = { '32 x 128': 32 * 128, '32 x 4096': 32 * 4096 }
  const contestants = Object.fromEntries(
    Object.entries(chunks).map(([name, size]) => {
      const values = Float32Array.from({ length: size }, (_, i) => Math.sin(i * i) * (1 + (i % 7)))
      return [name, () => fingerprint(values)]
    }),
  )
  await race(contestants, { rounds: SMOKE ? 2 : 300 })
  const raced = await race(contestants, { rounds: SMOKE ? 2 : 400 })
  return Object.fromEntries(Object.entries(raced).map(([name, list]) => [name, quartile(list)]))
}

const times = await timeChecks()
const fingerprintTimes = await timeFingerprints()
const honest = await tryHonest()
const cheats = []
for (const cheat of CHEATS) cheats.push(await tryCheat(cheat))

const outputs = Object.values(honest).reduce((sum, { outputs }) => sum + outputs, 0)
const refused = Object.values(honest).reduce((sum, { refused }) => sum + refused, 0)
const { upper } = binomialInterval({ successes: refused, trials: outputs, confidence: 0.95 })
const percent = (value) => `${(100 * value).toFixed(value > 0 && value < 0.01 ? 2 : 1)} %`

record('generation', {
  title: 'Verified text generation: tokens needed to catch a cheat at 99 %',
  about: [
    `examples/byte-lm, ${TRIALS} outputs of ${TOKENS} tokens a cheat after ${PROMPT} tokens of prompt, sampled at`,
    'temperature 1 from a public seed, or greedy. "Tokens wrong": share of the tokens that are not those which model,',
    'rule and seed give, beyond the margin. "By tokens": needed at that rate, if tokens were independent, and as',
    'counted in windows of the stream; this is what holds against a careful cheat, who runs the right model over',
    'its text for the fingerprints. "Careful cheats caught": their share among these outputs. "By fingerprints":',
    'against a cheat who does not take that trouble; the fingerprint of the prompt stands before any token.',
    'Times are lower quartiles. What a check adds to its prefill does not grow with the model: about 10 microseconds a token',
    'for 256 logits, and 0.1 ms a fingerprint; this model is so small that they show.',
    '',
    `Honest outputs refused: ${refused} of ${outputs} (at most ${percent(upper)} with 95 % confidence), over both runtimes on`,
    'either side, sampled and greedy:',
    '',
    ...Object.entries(honest).map(
      ([pair, e]) =>
        `- solver → verifier ${pair}: ${e.refused} of ${e.outputs} refused; ${e.off} of ${e.tokens.toLocaleString('en')} tokens off by` +
        ` at most ${e.worst.toExponential(1)}; worst fingerprint of ${e.chunks}: ${e.exponents} exponents, mantissa mean ${e.mantissa.toFixed(3)}`,
    ),
  ].join('\n'),
  columns: [
    'cheat',
    'rule',
    'tokens wrong',
    'by tokens',
    'counted',
    'careful cheats caught',
    'by fingerprints',
    'prompt caught',
  ],
  rows: cheats.map(({ name, rule, stream, chunks, prompts, careful }) => [
    name,
    rule,
    percent(share(stream)),
    neededBy(share(stream), 1),
    countedTokens(stream)?.toLocaleString('en') ?? 'not caught',
    percent(careful / TRIALS),
    neededBy(share(chunks), 32),
    percent(share(prompts)),
  ]),
  targets: [
    ...Object.entries(times).map(([name, { prefill, check, generate }]) => ({
      what: `a check of ${TOKENS} tokens, ${name} (${check.toFixed(1)} ms; prefill ${prefill.toFixed(1)} ms, generating ${generate.toFixed(0)} ms)`,
      target: 'one prefill plus 10 %',
      measured: `${percent(check / prefill - 1)} more`,
      met: check <= 1.1 * prefill,
    })),
    ...Object.entries(fingerprintTimes).map(([size, ms]) => ({
      what: `a fingerprint of ${size} activations`,
      target: '1 ms',
      measured: `${ms.toFixed(2)} ms`,
      met: ms < 1,
    })),
    {
      what: 'honest outputs refused',
      target: '0',
      measured: `${refused} of ${outputs}`,
      met: refused === 0,
    },
  ],
  data: {
    honest,
    times,
    fingerprintTimes,
    cheats: cheats.map(({ stream, chunks, prompts, ...rest }) => ({
      ...rest,
      tokens: stream.length,
      wrong: stream.filter(Boolean).length,
      chunks: chunks.length,
      chunksFar: chunks.filter(Boolean).length,
      promptsFar: prompts.filter(Boolean).length,
    })),
  },
})

for (const decoder of [...Object.values(right), ...Object.values(others)]) await decoder.close()
