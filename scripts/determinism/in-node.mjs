/**
 * One environment, as a process of its own: `node in-node.mjs JOBS RUNTIME RESULT [DUMP]`.
 *
 * JOBS is a JSON list of `{ name, model, inputs }` with paths; RUNTIME is 'wasm' or 'native'. Writes digests to
 * RESULT and, where the folder DUMP is given, each tensor's encoding to DUMP/<job>-<position>.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestJob } from './digests.mjs'

const [jobsFile, runtimeName, resultFile, dump] = process.argv.slice(2)
const runtime =
  runtimeName === 'wasm'
    ? await (await import('assay/onnx/runtime-wasm')).wasmRuntime()
    : await (await import('assay/onnx/runtime-native')).nativeRuntime()
const bytes = (path) => new Uint8Array(readFileSync(path))

const models = {}
for (const [at, { name, model, inputs }] of JSON.parse(readFileSync(jobsFile, 'utf8')).entries()) {
  const started = performance.now()
  const keep = (position, encoding) => writeFileSync(join(dump, `${at}-${position}`), encoding)
  const job = { model: bytes(model), inputs: bytes(inputs) }
  const tensors = await digestJob(job, runtime, dump === undefined ? undefined : keep)
  models[name] = { tensors, ms: Math.round(performance.now() - started) }
}
const { name, version } = runtime
const engine = `Node ${process.version}`
const { user, system } = process.cpuUsage()
const cpuSeconds = Math.round((user + system) / 1e6)
writeFileSync(resultFile, JSON.stringify({ runtime: { name, version }, engine, cpuSeconds, models }))
