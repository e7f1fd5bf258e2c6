/**
 * Runs the operator cases of ONNX, and whole models, three ways on the reproducible runtime: whole, traced
 * (with every value exposed, and segment by segment) and cut into single nodes. What passes whole must give
 * the same bits traced, and each node alone must give the bits that the trace holds.
 *
 *     node scripts/conformance/onnx-node.mjs [FIXTURES_DIR] [--cases DIR] [--models DIR] [--only TEXT] [--verbose]
 *
 * FIXTURES_DIR holds onnx-node/public/manifest.json, models and zk-models; --cases and --models name other
 * folders of these. None of them is part of this repository. Needs a build. A folder of cases has a
 * manifest.json (an array of {name, group, ort}), and group/name/model.onnx with test_data_set_0, as in the
 * ONNX repository; without a manifest, every folder below it that holds a model.onnx and test_data_set_0.
 *
 * Exit code: 0 when everything that passes whole passes traced and cut, 1 when something does not, 2 when
 * there is nothing to run.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { cutNode } from 'assay/onnx/cut'
import { fromHalfBits } from 'assay/onnx/float16'
import { openGraph } from 'assay/onnx/graph'
import { loadModel } from 'assay/onnx/model'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { decodeTensorProto } from 'assay/onnx/tensor-proto'
import { traceRun } from 'assay/onnx/traced-run'
import { equalTensors, tensorBytes } from 'assay/state/tensor'
import { modelCases } from './onnx-model-cases.mjs'

const RTOL = 1e-3
/** The runtime keeps single precision between nodes of half floats; a trace rounds there (traced-run.ts). */
const HALF = { rtol: 2e-2, atol: 1e-5 }
const ATOL = 1e-7

/**
 * Operator sets and features that are refused on purpose, by the code of the refusal. Everything else that
 * a runtime of 1.30 passes has to pass.
 */
const EXPLAINED = {
  'onnx/unsupported-opset': 'operator sets or file versions newer than the runtimes implement',
  'onnx/unsupported-operator': 'the runtime has no kernel for the operator at that version or type',
  'onnx/unsupported-type': 'values that are not tensors, or of element types that are not held',
  'onnx/unsupported-feature':
    'values drawn at random, sequences, maps, optional values; model-local functions',
  'onnx/unsupported-domain': 'operator domains other than ai.onnx, ai.onnx.ml and com.microsoft',
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cases: { type: 'string' },
    models: { type: 'string' },
    only: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
  },
})

function readBytes(...path) {
  return new Uint8Array(readFileSync(join(...path)))
}

function* operatorCases(folder) {
  const manifest = join(folder, 'manifest.json')
  const listed = existsSync(manifest)
    ? JSON.parse(readFileSync(manifest, 'utf8'))
    : foldersWithModels(folder).map((path) => ({ group: dirname(path), name: relative(dirname(path), path) }))
  for (const { group, name, ort } of listed) {
    const path = join(folder, group, name)
    const tensorAt = (role, i) => {
      const file = join(path, 'test_data_set_0', `${role}_${i}.pb`)
      return existsSync(file) ? decodeTensorProto(readBytes(file)).tensor : undefined
    }
    yield {
      name,
      recorded: ort,
      load: () => loadModel(readBytes(path, 'model.onnx')),
      inputs: (model) => Object.fromEntries(model.inputs.map((info, i) => [info.name, tensorAt('input', i)])),
      expected: (model) =>
        Object.fromEntries(model.outputs.map((info, i) => [info.name, tensorAt('output', i)])),
      tolerance: { rtol: RTOL, atol: ATOL },
    }
  }
}

function foldersWithModels(folder, prefix = '') {
  const found = []
  for (const entry of readdirSync(join(folder, prefix), { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    const path = join(prefix, entry.name)
    if (existsSync(join(folder, path, 'model.onnx')) && existsSync(join(folder, path, 'test_data_set_0')))
      found.push(path)
    else found.push(...foldersWithModels(folder, path))
  }
  return found.sort()
}

function agrees(got, expected, { rtol, atol }) {
  if (expected === undefined) return true
  if (got.dtype !== expected.dtype || got.data.length !== expected.data.length) return false
  if (equalTensors(got, expected)) return true
  if (got.dtype === 'string') return false
  const number = got.dtype === 'float16' ? fromHalfBits : Number
  return Array.from(expected.data).every((bits, i) => {
    const [want, have] = [number(bits), number(got.data[i])]
    if (Number.isNaN(want) || Number.isNaN(have)) return Number.isNaN(want) && Number.isNaN(have)
    return have === want || Math.abs(have - want) <= atol + rtol * Math.abs(want)
  })
}

async function runWhole(runtime, model, inputs) {
  const session = await runtime.open(model)
  try {
    return await session.run(inputs)
  } finally {
    await session.close()
  }
}

async function collect(graph, runtime, { inputs, options }) {
  const tensors = new Map()
  for await (const { name, tensor } of traceRun(graph, runtime, inputs, options)) tensors.set(name, tensor)
  return tensors
}

/** Names under which two traces differ. */
function differences(a, b) {
  if (a.size !== b.size) return [`${a.size} tensors against ${b.size}`]
  return [...a].filter(([name, tensor]) => !equalTensors(tensor, b.get(name))).map(([name]) => name)
}

/** Runs every node alone on the tensors of the trace; returns a line for each that gives other bits. */
async function checkNodes(graph, runtime, trace) {
  const faults = []
  for (const node of graph.nodes) {
    if (node.isConstant) continue
    const inputs = Object.fromEntries(node.needs.map((name) => [name, trace.get(name)]))
    try {
      const outputs = await runWhole(runtime, cutNode(graph, node.index, inputs), inputs)
      for (const [name, tensor] of Object.entries(outputs)) {
        if (!equalTensors(tensor, trace.get(name)))
          faults.push(`node ${node.index} ${node.operator}: ${name}`)
      }
    } catch (error) {
      faults.push(`node ${node.index} ${node.operator}: ${describe(error)}`)
    }
    counts.nodes++
  }
  return faults
}

function describe(error) {
  return `${error.code ?? 'not typed'}: ${error.message}`.slice(0, 220)
}

/** Outcome of one case: a word, and what there is to say. */
async function runCase(testCase, runtime) {
  let graph
  let model
  let inputs
  let outputs
  try {
    model = testCase.load()
    inputs = testCase.inputs(model)
    outputs = await runWhole(runtime, model, inputs)
  } catch (error) {
    if (error.code === undefined) return { outcome: 'untyped error', note: describe(error) }
    return { outcome: 'refused whole', note: describe(error), code: error.code }
  }
  const expected = testCase.expected(model)
  for (const { name } of model.outputs) {
    if (!agrees(outputs[name], expected[name], testCase.tolerance)) {
      return { outcome: 'differs whole', note: `output ${name}` }
    }
  }
  try {
    graph = openGraph(model)
    const all = await collect(graph, runtime, { inputs, options: { mode: 'all' } })
    for (const { name } of model.outputs) {
      const traced = all.get(name)
      const half = [...all.values()].some(({ dtype }) => dtype === 'float16')
      const same = half ? agrees(traced, outputs[name], HALF) : equalTensors(traced, outputs[name])
      if (traced !== undefined && !same) {
        return { outcome: 'FAIL traced', note: `output ${name} has other bits than the whole run` }
      }
    }
    const segments = await collect(graph, runtime, { inputs, options: { mode: 'segments', segmentNodes: 5 } })
    const unequal = differences(all, segments)
    if (unequal.length > 0) return { outcome: 'FAIL segments', note: unequal.slice(0, 3).join(', ') }
    const faults = await checkNodes(graph, runtime, all)
    if (faults.length > 0) return { outcome: 'FAIL cut', note: `${faults.length}: ${faults[0]}` }
    let bytes = 0
    for (const tensor of all.values()) bytes += tensorBytes(tensor)
    return { outcome: 'pass', note: `${graph.nodes.length} nodes, ${all.size} tensors, ${bytes} bytes` }
  } catch (error) {
    return { outcome: 'FAIL traced', note: describe(error), code: error.code }
  }
}

const counts = { nodes: 0 }

async function runGroup(title, cases, runtime) {
  const started = performance.now()
  const outcomes = new Map()
  const refusals = new Map()
  const before = counts.nodes
  let failed = 0
  for (const testCase of cases) {
    if (!testCase.name.includes(flags.only)) continue
    const { outcome, note, code } = await runCase(testCase, runtime)
    const refused = outcome === 'refused whole'
    const unexpected = (refused || outcome === 'differs whole') && testCase.recorded === 'pass'
    const key = unexpected ? `FAIL ${outcome}, though the runtime is recorded to pass it` : outcome
    outcomes.set(key, (outcomes.get(key) ?? 0) + 1)
    if (key.startsWith('FAIL') || key === 'untyped error') failed++
    if (refused) refusals.set(code, [...(refusals.get(code) ?? []), `${testCase.name}: ${note}`])
    if (flags.verbose || key.startsWith('FAIL') || key === 'untyped error' || key === 'differs whole') {
      console.log(`${key}  ${testCase.name}: ${note}`)
    }
  }
  console.log(
    `${title}: ${[...outcomes].map(([key, count]) => `${count} ${key}`).join(', ')}; ` +
      `${counts.nodes - before} nodes run alone; ${((performance.now() - started) / 1000).toFixed(0)} s`,
  )
  for (const [code, cases_] of refusals) {
    console.log(
      `  not supported, ${cases_.length} by ${code}: ${EXPLAINED[code] ?? 'the runtime fails; see each'}`,
    )
    for (const line of cases_) console.log(`    ${line}`)
  }
  return failed
}

const fixtures = positionals[0]
const casesFolder = flags.cases ?? (fixtures && join(fixtures, 'onnx-node', 'public'))
const modelFolders = flags.models
  ? [flags.models]
  : fixtures
    ? [join(fixtures, 'models'), join(fixtures, 'zk-models')]
    : []
const present = [casesFolder, ...modelFolders].filter((folder) => folder !== undefined && existsSync(folder))
if (present.length === 0) {
  console.error(
    'onnx-node: not run: no folder of cases or models. Usage: node scripts/conformance/onnx-node.mjs [FIXTURES_DIR] [--cases DIR]',
  )
  process.exit(2)
}
const runtime = await wasmRuntime()
console.log(`onnxruntime ${runtime.name} ${runtime.version}, optimisations off`)
let failed = 0
if (present.includes(casesFolder))
  failed += await runGroup('operator cases', operatorCases(casesFolder), runtime)
for (const folder of modelFolders) {
  if (present.includes(folder)) failed += await runGroup(folder, modelCases(folder), runtime)
}
console.log(failed === 0 ? 'all that passes whole passes traced and cut' : `${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
