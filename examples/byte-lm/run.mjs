/** Buys text from three solvers, and checks each in one prefill. Run: node examples/byte-lm/run.mjs */
import { readFile } from 'node:fs/promises'
import { utf8 } from 'assay/core/bytes'
import { generateKey } from 'assay/core/keys'
import { FLOAT32, generationRequest } from 'assay/method/generation/config'
import { openDecoder } from 'assay/method/generation/decoder'
import { generate, proveGeneration, signGeneration } from 'assay/method/generation/prover'
import { verifyGeneration } from 'assay/method/generation/verifier'
import { loadModel } from 'assay/onnx/model'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { newJob, random32 } from '../two-parties.mjs'
import { roundedTo8Bits } from './weights.mjs'

const bytes = new Uint8Array(await readFile(new URL('model.onnx', import.meta.url)))
const runtime = await wasmRuntime()
const decoder = await openDecoder(loadModel(bytes), runtime)
const key = await generateKey()

const request = generationRequest({
  model: decoder.model.cid,
  prompt: [...utf8('Anne had not expected so much kindness; and')],
  rule: { kind: 'sample', temperature: 0.7, topk: null },
  // From a beacon, or from both parties (assay/core/seed), where they do not trust one another to draw it.
  seed: random32(),
  maxTokens: 200,
})

async function check(name, { result, commitment, job }) {
  const verdict = await verifyGeneration(decoder, request, { result, job, commitment, thresholds: FLOAT32 })
  console.log(`${name}: ${verdict.ok ? 'accepted' : `${verdict.code}: ${verdict.message}`}`)
}

const job = newJob()
const honest = await proveGeneration(decoder, request, { job, key })
console.log(
  JSON.stringify(new TextDecoder().decode(Uint8Array.from([...request.prompt, ...honest.result.tokens]))),
)
await check('honest solver', { ...honest, job })

// Runs the model with weights of 8 bits, which takes a quarter of the memory.
const cheap = await openDecoder(loadModel(roundedTo8Bits(bytes)), runtime)
const rounded = await generate(cheap, { ...request, model: cheap.model.cid })
const cheapJob = newJob()
const signed = await signGeneration(request, { result: rounded, job: cheapJob, key })
await check('solver with 8-bit weights', { result: rounded, commitment: signed, job: cheapJob })

// Generates the first half, and makes the rest up.
const made = [...utf8('the rest of it was whatever came to mind. '.repeat(5))].slice(0, 100)
const result = { ...honest.result, tokens: [...honest.result.tokens.slice(0, 100), ...made] }
const tailJob = newJob()
const commitment = await signGeneration(request, { result, job: tailJob, key })
await check('solver that makes up the tail', { result, commitment, job: tailJob })

await cheap.close()
await decoder.close()
