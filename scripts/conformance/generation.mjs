/**
 * Generates with a published decoder, greedily, on both runtimes, and compares with the tokens that its
 * publisher's tests expect; then lets the verifier judge what was generated, and a text with one token changed.
 *
 *     node scripts/conformance/generation.mjs FIXTURES_DIR
 *
 * FIXTURES_DIR, or the folder `models` in it, holds tiny-random-gpt2 (model.onnx, expected_greedy.json). It is not
 * part of this repository. Needs a build. Exit code: 0 when all agree, 1 when one does not, 2 when the folder is
 * absent.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FLOAT32, generationRequest } from 'assay/method/generation/config'
import { openDecoder } from 'assay/method/generation/decoder'
import { generate } from 'assay/method/generation/prover'
import { judgeGeneration, measureGeneration } from 'assay/method/generation/verifier'
import { loadModel } from 'assay/onnx/model'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'

const NAME = 'tiny-random-gpt2'
const given = process.argv[2]
const folder = [join(given ?? '', 'models', NAME), join(given ?? '', NAME)].find((path) =>
  existsSync(join(path, 'expected_greedy.json')),
)
if (given === undefined || folder === undefined) {
  const where = given === undefined ? 'no folder was given' : `${given} has no ${NAME}`
  console.error(`generation: not run: ${where}. Usage: node scripts/conformance/generation.mjs FIXTURES_DIR`)
  process.exit(2)
}

const model = loadModel(new Uint8Array(readFileSync(join(folder, 'model.onnx'))))
const cases = JSON.parse(readFileSync(join(folder, 'expected_greedy.json'), 'utf8'))
let failed = 0

function report(ok, text) {
  if (!ok) failed++
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${text}`)
}

async function judge(decoder, request, tokens) {
  const measured = await measureGeneration(decoder, request, { tokens, fingerprints: [] })
  return measured.ok ? judgeGeneration(measured.value, { rule: request.rule, thresholds: FLOAT32 }) : measured
}

async function checkCase(decoder, { prompt, expected }) {
  const request = generationRequest({
    model: model.cid,
    prompt,
    rule: { kind: 'greedy' },
    maxTokens: expected.length,
    fingerprintTopk: null,
  })
  const { tokens } = await generate(decoder, request)
  const what = `${NAME} ${decoder.runtime.name} after ${prompt.join(' ')}`
  report(tokens.join() === expected.join(), `${what}: ${tokens.join(' ')}, expected ${expected.join(' ')}`)
  report((await judge(decoder, request, tokens)).ok, `${what}: accepted in one prefill`)
  const forged = tokens.with(2, (tokens[2] + 1) % decoder.vocabulary)
  const verdict = await judge(decoder, request, forged)
  report(verdict.code === 'generation/disagreement', `${what}: one other token is refused`)
}

for (const runtime of [await wasmRuntime(), await nativeRuntime()]) {
  const decoder = await openDecoder(model, runtime)
  for (const [i, prompt] of cases.input_ids.entries()) {
    await checkCase(decoder, { prompt, expected: cases.expected[i].slice(prompt.length) })
  }
  await decoder.close()
}
console.log(failed === 0 ? 'generation: all agree' : `generation: ${failed} checks failed`)
process.exitCode = failed === 0 ? 0 : 1
