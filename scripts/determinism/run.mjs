/**
 * Shows that the reproducible runtime gives the same bits everywhere, and how far the native one does not.
 *
 *     node scripts/determinism/run.mjs [FIXTURES_DIR] [--require-all] [--smoke]
 *
 * Every tensor of every model is hashed in this Node, in Chromium, in this Node under emulated CPUs without the
 * instructions of this one, and compared with what was recorded before, on whatever machine that was. Models are
 * those of examples/ and, where FIXTURES_DIR holds them, published ones. Needs a build.
 *
 * What is missing on this machine is skipped and named; with --require-all it is a failure. A run of all
 * environments on at least six models is recorded in bench/results/determinism.{md,json}, unless --smoke is given.
 *
 * Exit code: 0 when all digests of the reproducible runtime are equal, 1 when one differs, an environment fails or
 * something required is missing, 2 for arguments that it does not know.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { encodeNpz } from 'assay/onnx/npz'
import { bundleForNode, runInChromium, runInNode } from './environments.mjs'
import { collectJobs } from './jobs.mjs'
import { findChromium, findEmulator } from './programs.mjs'
import { report } from './report.mjs'

/** Penryn: 2008, SSE 4.1. Westmere: 2010, SSE 4.2. Haswell: 2013, the first with AVX2 and FMA. */
const REPRODUCIBLE_CPUS = ['Westmere', 'Penryn']
const NATIVE_CPUS = ['Westmere', 'Haswell']
const WITH_FMA = new Set(['Haswell'])
/** Ignored by git, and below the installed packages, which a bundle imports. */
const SCRATCH = fileURLToPath(new URL('../../run/', import.meta.url))
const RECORDED = new URL('../../bench/results/determinism.json', import.meta.url)
/** As many environments at a time: each is one thread. */
const AT_A_TIME = Math.min(4, availableParallelism())

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { 'require-all': { type: 'boolean' }, smoke: { type: 'boolean' } },
    })
    if (positionals.length <= 1) return { ...values, fixtures: positionals[0] }
    throw new Error(`expected one folder, got ${positionals.join(' ')}`)
  } catch (error) {
    console.error(`determinism: ${error.message}. Usage: run.mjs [FIXTURES_DIR] [--require-all] [--smoke]`)
    process.exit(2)
  }
}

/** Writes the inputs of all jobs, so that every environment reads the same bytes. */
function prepareWork(jobs) {
  mkdirSync(SCRATCH, { recursive: true })
  const folder = mkdtempSync(join(SCRATCH, 'determinism-'))
  const files = jobs.map(({ name, path, inputs }, at) => {
    const file = join(folder, `inputs-${at}.npz`)
    writeFileSync(file, encodeNpz(inputs))
    return { name, model: path, inputs: file }
  })
  writeFileSync(join(folder, 'jobs.json'), JSON.stringify(files))
  return { folder, jobs: files }
}

/** All environments in the order of the tables: `{ id, title, runtime, why? , start }`; `why` says what is missing. */
function environments(work) {
  const [chromium, emulator] = [findChromium(), findEmulator()]
  const emulated = (cpu, runtime) => ({
    id: `${runtime}-${cpu}`,
    title: `emulated ${cpu}`,
    runtime,
    program: emulator.version,
    isEmulated: true,
    hasFma: WITH_FMA.has(cpu),
    why: emulator.why,
    start: () =>
      runInNode(work, {
        id: `${runtime}-${cpu}`,
        runtime,
        prefix: [emulator.path, '-cpu', cpu],
        dump: runtime === 'native',
      }),
  })
  const here = (runtime) => ({
    id: runtime,
    title: 'Node',
    runtime,
    program: `Node ${process.version}`,
    start: () => runInNode(work, { id: runtime, runtime, dump: true }),
  })
  return [
    here('wasm'),
    {
      id: 'chromium',
      title: 'Chromium',
      runtime: 'wasm',
      program: chromium.version,
      why: chromium.why,
      start: () => runInChromium(work, chromium),
    },
    ...REPRODUCIBLE_CPUS.map((cpu) => emulated(cpu, 'wasm')),
    here('native'),
    ...NATIVE_CPUS.map((cpu) => emulated(cpu, 'native')),
  ]
}

/** Runs what is there, a few at a time, emulated ones first since they take longest; the rest is as it came. */
async function runAll(list) {
  const waiting = list
    .filter(({ why }) => why === undefined)
    .sort((a, b) => (b.isEmulated ? 1 : 0) - (a.isEmulated ? 1 : 0))
  const runs = new Map(list.map((environment) => [environment.id, { ...environment }]))
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const run = runs.get(next.id)
      const started = performance.now()
      try {
        run.result = await next.start()
      } catch (error) {
        run.failure = error.message
      }
      run.seconds = Math.round((performance.now() - started) / 1000)
      console.error(`${next.runtime}, ${next.title}: ${run.failure ?? 'ok'}, ${run.seconds} s`)
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, worker))
  return [...runs.values()]
}

const given = options()
const { jobs, absent } = collectJobs(given.fixtures)
const work = prepareWork(jobs)
try {
  await bundleForNode(work.folder)
  const runs = await runAll(environments(work))
  const recorded = existsSync(RECORDED) ? JSON.parse(readFileSync(RECORDED, 'utf8')) : undefined
  const models = work.jobs.map(({ name, model }) => ({
    name,
    sha256: createHash('sha256').update(readFileSync(model)).digest('hex'),
  }))
  const { failures, missing } = await report({ models, runs, absent, recorded, smoke: given.smoke === true })
  const required = given['require-all'] === true
  for (const line of missing) console.error(`determinism: ${required ? 'MISSING' : 'skipped'}: ${line}`)
  for (const line of failures) console.error(`determinism: FAILED: ${line}`)
  process.exitCode = failures.length === 0 && !(required && missing.length > 0) ? 0 : 1
} finally {
  rmSync(work.folder, { recursive: true, force: true })
}
