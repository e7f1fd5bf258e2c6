/**
 * Where the jobs run: this Node, this Node under emulated CPUs, and Chromium. Each gives
 * `{ runtime, engine, models: { [job]: { tensors, ms } } }` or throws.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** Far above the minute that each takes on an idle core; a hung one must not hang the command. */
const TIMEOUT_MS = 15 * 60_000
const MAX_STDERR = 2000
const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const ORT_FOLDER = dirname(createRequire(import.meta.url).resolve('onnxruntime-web/wasm'))
const ORT_FILES = ['ort-wasm-simd-threaded.wasm', 'ort-wasm-simd-threaded.mjs']
/** No network but loopback, no profile, nothing of a first start. */
const CHROMIUM_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** The binary that all environments of the reproducible runtime load. */
export const WASM_BINARY = join(ORT_FOLDER, ORT_FILES[0])

/**
 * The script of the Node environments as one file in the scratch folder, so that all of them run the same code,
 * also when the library is built again meanwhile; under emulation, one file starts faster than hundreds.
 */
export async function bundleForNode(folder) {
  await build({
    entryPoints: [join(FOLDER, 'in-node.mjs')],
    outfile: join(folder, 'in-node.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    external: ['onnxruntime-node', 'onnxruntime-web', 'onnx-proto'],
    logLevel: 'silent',
  })
}

/**
 * @param work `{ folder, jobs }`: scratch folder, and `[{ name, model, inputs }]` with paths.
 * @param options.runtime 'wasm' or 'native'; `prefix` the words before Node's path (an emulator); `dump` whether
 * to keep every tensor, in the folder that the result then names.
 */
export async function runInNode({ folder }, { id, runtime, prefix = [], dump = false }) {
  const result = join(folder, `${id}.json`)
  const dumpFolder = dump ? join(folder, id) : undefined
  if (dump) mkdirSync(dumpFolder)
  const script = [join(folder, 'in-node.mjs'), join(folder, 'jobs.json'), runtime, result]
  const words = [...prefix, process.execPath, ...script, ...(dump ? [dumpFolder] : [])]
  const child = spawn(words[0], words.slice(1), { stdio: ['ignore', 'ignore', 'pipe'], timeout: TIMEOUT_MS })
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-MAX_STDERR)
  })
  const [code, signal] = await once(child, 'close')
  if (code !== 0)
    throw new Error(`${words.slice(0, 4).join(' ')} ended with ${signal ?? code}: ${stderr.trim()}`)
  return { ...JSON.parse(readFileSync(result, 'utf8')), dump: dumpFolder }
}

/** A page on 127.0.0.1, in a browser with an empty profile. */
export async function runInChromium({ folder, jobs }, { path }) {
  const { outputFiles } = await build({
    entryPoints: [join(FOLDER, 'in-page.mjs')],
    bundle: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    logLevel: 'silent',
    write: false,
  })
  const { server, url, result } = await serve(jobs, outputFiles[0].contents)
  const profile = join(folder, 'chromium-profile')
  const browser = spawn(path, [...CHROMIUM_FLAGS, `--user-data-dir=${profile}`, url], { stdio: 'ignore' })
  const ended = once(browser, 'exit').then(([code, signal]) => {
    throw new Error(`${path} ended with ${signal ?? code} before the page was done`)
  })
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${path}: no result after ${TIMEOUT_MS} ms`)), TIMEOUT_MS)
  })
  try {
    const done = await Promise.race([result, ended, late])
    if (done.error !== undefined) throw new Error(`the page failed: ${done.error}`)
    return done
  } finally {
    clearTimeout(timer)
    ended.catch(() => {})
    browser.kill('SIGKILL')
    server.closeAllConnections()
    server.close()
    await ended.catch(() => {})
    // Its own processes end a moment after it, and write until then.
    await rm(profile, { recursive: true, force: true, maxRetries: 10 })
  }
}

/** Serves page, script, jobs and the runtime's files; `result` is what the page posts. */
async function serve(jobs, script) {
  const page = '<!doctype html><meta charset="utf-8"><script type="module" src="/script.js"></script>'
  const files = new Map([
    ['/', ['text/html', () => page]],
    ['/script.js', ['text/javascript', () => script]],
    ['/jobs', ['application/json', () => JSON.stringify(jobs.map(({ name }) => name))]],
  ])
  for (const [at, { model, inputs }] of jobs.entries()) {
    files.set(`/model/${at}`, ['application/octet-stream', () => readFileSync(model)])
    files.set(`/inputs/${at}`, ['application/octet-stream', () => readFileSync(inputs)])
  }
  for (const name of ORT_FILES) {
    const type = name.endsWith('.wasm') ? 'application/wasm' : 'text/javascript'
    files.set(`/ort/${name}`, [type, () => readFileSync(join(ORT_FOLDER, name))])
  }
  const posted = deferred()
  const server = createServer(async (request, response) => {
    if (request.url === '/result' && request.method === 'POST') {
      const chunks = []
      for await (const chunk of request) chunks.push(chunk)
      response.end()
      posted.resolve(JSON.parse(Buffer.concat(chunks).toString()))
      return
    }
    const [type, body] = files.get(request.url) ?? []
    if (type === undefined) return void response.writeHead(404).end()
    response.setHeader('content-type', type)
    response.end(body())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${server.address().port}/`, result: posted.promise }
}

/** A promise and what settles it; Promise.withResolvers is too new for Node 20. */
function deferred() {
  let resolve
  const promise = new Promise((done) => {
    resolve = done
  })
  return { promise, resolve }
}
