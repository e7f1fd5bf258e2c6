/**
 * One environment, as a page: fetches the jobs from the server it came from, and posts the digests back
 * (environments.mjs serves it).
 */
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { digestJob } from './digests.mjs'

async function bytes(path) {
  const response = await fetch(path)
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  return new Uint8Array(await response.arrayBuffer())
}

async function runAll() {
  const runtime = await wasmRuntime({ wasmPaths: new URL('/ort/', location.href).href })
  const models = {}
  for (const [at, name] of JSON.parse(new TextDecoder().decode(await bytes('/jobs'))).entries()) {
    const started = performance.now()
    const job = { model: await bytes(`/model/${at}`), inputs: await bytes(`/inputs/${at}`) }
    const tensors = await digestJob(job, runtime)
    models[name] = { tensors, ms: Math.round(performance.now() - started) }
  }
  const { name, version } = runtime
  return { runtime: { name, version }, engine: navigator.userAgent, models }
}

const post = (result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) })
runAll().then(post, (error) => post({ error: String(error?.stack ?? error) }))
