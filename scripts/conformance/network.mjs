/**
 * A network from end to end, over the command line: `assay up` in one process, `assay submit` in others, `assay verify`
 * when the network is gone. Rows are compared with what this process computes: those of a model with the runtimes of the
 * library, one by one, those of modules in C and Rust with a few lines of JavaScript. Receipts that were tampered with
 * must be refused.
 *
 *     node scripts/conformance/network.mjs FIXTURES_DIR
 *
 * FIXTURES_DIR is laid out as for onnx-models.mjs. Needs a build. Exit code: 0 when all is as it should be, 1 when
 * something is not, 2 when the folder is absent.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { equalBytes } from 'assay/core/bytes'
import { generateKey } from 'assay/core/keys'
import { openBatch } from 'assay/onnx/batch'
import { loadModel } from 'assay/onnx/model'
import { encodeNpz } from 'assay/onnx/npz'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { tensor } from 'assay/state/tensor'
import { decodeTensors, encodeTensors } from 'assay/state/tensors'
import { decodeRows, encodeRows } from 'assay/task/rows'
import { decodeRow } from 'assay/wasm/row'
import { commandLine, startNetworkProcess } from '../network-process.mjs'
import { AGREED, ALTERED, resign, SIGNED } from './receipt-forgeries.mjs'

const IMAGES = 1000
const SEGMENT_ROWS = 50
/** Of the model's logits, which reach some thousands; between machines they differ in the fourth decimal. */
const TOLERANCE = 0.05
const MAX_ROW_BYTES = 4096
/** Rows that `assay verify` computes again. */
const SAMPLES = 50
const ORDERS = 2000
const AT_ONCE = 4

const given = process.argv[2]
const root = [join(given ?? '', 'models'), given ?? ''].find((folder) =>
  existsSync(join(folder, 'mnist-8', 'model.onnx')),
)
if (given === undefined || root === undefined) {
  console.error('network: not run: expected a folder of models. Usage: network.mjs FIXTURES_DIR')
  process.exit(2)
}

const here = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'assay-conformance-'))
const assay = commandLine(scratch)
const file = (...names) => join(scratch, ...names)
const MODEL = join(root, 'mnist-8', 'model.onnx')
let checked = 0
let failed = 0

function expect(what, holds, seen = '') {
  checked += 1
  if (!holds) failed += 1
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}`)
  if (!holds) console.log(`     ${JSON.stringify(seen).slice(0, 1000)}`)
}

/** A job from submission to its receipt; its rows, as the network gave them. */
async function submit(name, args) {
  const { status, result } = await assay.run('submit', ...args, '--out', file(name), '--price', '1')
  const { audits, spent } = result.job ?? {}
  expect(`${name}: accepted, ${audits} audits, ${spent} credits`, status === 0, result)
  return status === 0 ? decodeRows(new Uint8Array(readFileSync(file(name, 'rows.bin')))) : []
}

function images(input) {
  const packed = readFileSync(join(root, '_data-mnist-t10k', 't10k-images-idx3-ubyte.gz'))
  const pixels = gunzipSync(packed).subarray(16, 16 + IMAGES * 784)
  return { [input]: tensor('float32', [IMAGES, 1, 28, 28], Float32Array.from(pixels)) }
}

function labels() {
  return gunzipSync(readFileSync(join(root, '_data-mnist-t10k', 't10k-labels-idx1-ubyte.gz'))).subarray(8)
}

async function computeHere(runtime, inputs) {
  const batch = await openBatch(loadModel(new Uint8Array(readFileSync(MODEL))), runtime, {
    batch: 'first-axis',
  })
  const rows = []
  for (let index = 0; index < IMAGES; index++) rows.push(encodeTensors(await batch.row(inputs, index)))
  await batch.close()
  return rows
}

const valuesOf = (row) => Object.values(decodeTensors(row, { maxBytes: MAX_ROW_BYTES }))[0].data

function equalRows(rows, others) {
  return rows.filter((row, index) => others[index] !== undefined && equalBytes(row, others[index])).length
}

function largestDifference(rows, others) {
  if (rows.length !== others.length) return Number.POSITIVE_INFINITY
  return rows.reduce((most, row, index) => {
    const values = valuesOf(others[index])
    return valuesOf(row).reduce((max, value, at) => Math.max(max, Math.abs(value - values[at])), most)
  }, 0)
}

async function submitModel() {
  const [{ name: input }] = loadModel(new Uint8Array(readFileSync(MODEL))).inputs
  const inputs = images(input)
  writeFileSync(file('images.npz'), encodeNpz(inputs))
  const job = ['--model', MODEL, '--input', file('images.npz'), '--segment-rows', String(SEGMENT_ROWS)]
  const checks = ['--sampling', '1', '--confidence', '0.99', '--faked', '0.1', '--redundancy', '0.5']
  const rows = await submit('onnx', ['onnx', ...job, ...checks])
  const own = await computeHere(await wasmRuntime(), inputs)
  const same = equalRows(rows, own)
  expect(
    `onnx: ${same} of ${IMAGES} rows have the bits of a run here`,
    same === IMAGES && rows.length === IMAGES,
  )
  const truth = labels()
  const right = rows.filter((row, index) => {
    const scores = valuesOf(row)
    return scores.indexOf(Math.max(...scores)) === truth[index]
  }).length
  expect(`onnx: ${right} of ${IMAGES} digits are read as people read them`, right > 0.98 * IMAGES)

  const native = ['--runtime', 'native', '--tolerance', String(TOLERANCE)]
  const nativeRows = await submit('native', ['onnx', ...job, ...native, '--redundancy', '0.2'])
  const difference = largestDifference(nativeRows, await computeHere(await nativeRuntime(), inputs))
  expect(`native: rows differ from a run here by ${difference} at most`, difference <= TOLERANCE)
  const between = largestDifference(nativeRows, own)
  expect(`native: and by ${between.toPrecision(3)} from the reproducible runtime`, between <= TOLERANCE)
}

/** Lines of orders, some of which are none, and what orders.c makes of each. */
function orders() {
  return Array.from({ length: ORDERS }, (_, i) => {
    const [product, quantity, cents] = [`product-${i % 7}`, (i * 37) % 100, (i * 7919) % 100_000]
    if (i % 50 === 49) return [`${product},${quantity}`, '!,1,0,0\n']
    const price = `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`
    return [`${product},${quantity},${price}`, `${product},1,${quantity},${quantity * cents}\n`]
  })
}

/** What words.rs makes of a text. */
function wordsOf(text) {
  const counts = new Map()
  for (const word of text.split(/[^\p{Alphabetic}\p{N}]+/u).filter((word) => word !== '')) {
    const lower = word.toLowerCase()
    counts.set(lower, (counts.get(lower) ?? 0) + 1)
  }
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([word, count]) => `${count} ${word}\n`)
    .join('')
}

async function submitModule(name, { module, records, expected }) {
  writeFileSync(file(`${name}.txt`), `${records.join('\n')}\n`)
  const job = ['--module', here(`examples/wasm/${module}`), '--records', file(`${name}.txt`)]
  const checks = ['--sampling', '0.5', '--faked', '0.2', '--redundancy', '0.3', '--segment-rows', '100']
  const rows = await submit(name, ['wasm', ...job, ...checks])
  const found = rows.map((row) => Buffer.from(decodeRow(row).output).toString())
  const same = found.filter((text, index) => text === expected[index]).length
  expect(`${name}: ${same} of ${records.length} rows are those of JavaScript`, same === records.length)
}

async function submitModules() {
  const list = orders()
  await submitModule('orders (C)', {
    module: 'orders.wasm',
    records: list.map(([line]) => line),
    expected: list.map(([, row]) => row),
  })
  const text = readFileSync(here('docs/threats.md'), 'utf8').split('\n').slice(0, -1)
  await submitModule('words (Rust)', { module: 'words.wasm', records: text, expected: text.map(wordsOf) })
}

const verify = (receipt, job, ...more) =>
  assay.run('verify', receipt, '--rows', file(job, 'rows.bin'), '--samples', String(SAMPLES), ...more)

async function verifyOffline(signer) {
  const contents = {
    onnx: MODEL,
    native: MODEL,
    'orders (C)': here('examples/wasm/orders.wasm'),
    'words (Rust)': here('examples/wasm/words.wasm'),
  }
  for (const [job, content] of Object.entries(contents)) {
    const again = ['--inputs', file(job, 'input.bin'), '--content', content, '--signer', signer]
    again.push('--job', file(job, 'job.json'))
    const { status, result } = await verify(file(job, 'receipt.json'), job, ...again)
    const { executions, verdicts, outputs } = result.checked ?? {}
    const figures = `${executions} executions, ${verdicts} verdicts, ${outputs} outputs, ${result.rowsComputedAgain} rows again`
    expect(`${job}: the receipt holds offline (${figures})`, status === 0 && result.logSize > 0, result)
  }
}

/** Every one with the exit code 1, and the name of what does not hold. */
async function refuseForgeries(signer) {
  const text = readFileSync(file('onnx', 'receipt.json'), 'utf8')
  const key = await generateKey()
  const cases = [
    ...Object.entries(ALTERED).map(([what, forge]) => [`altered: ${what}`, forge(JSON.parse(text)), signer]),
    ...(await Promise.all(
      Object.entries(SIGNED).map(async ([what, change]) => [
        `signed by a liar: ${what}`,
        await resign(JSON.parse(text), { key, change }),
      ]),
    )),
    ['signed by another than demanded', await resign(JSON.parse(text), { key }), signer],
  ]
  const plain = await check('plain', await resign(JSON.parse(text), { key }))
  expect('signed by another, nothing altered, no signer demanded: holds', plain.status === 0, plain.result)
  let next = 0
  const take = async () => {
    for (let at = next++; at < cases.length; at = next++) {
      const [what, bundle, demanded] = cases[at]
      const { status, result } = await check(String(at), bundle, demanded)
      expect(
        `${what}: ${result.rejection?.code ?? 'no rejection'}`,
        status === 1 && result.isValid === false,
        result,
      )
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, take))
  await refuseOtherTerms(text, key)
  await refuseRows(signer)
}

function check(name, bundle, signer) {
  writeFileSync(file(`forged-${name}.json`), JSON.stringify(bundle))
  return verify(file(`forged-${name}.json`), 'onnx', ...(signer === undefined ? [] : ['--signer', signer]))
}

/** What is whole in itself, and is not what was agreed when the job was submitted. */
async function refuseOtherTerms(text, key) {
  for (const [what, change] of Object.entries(AGREED)) {
    const receipt = file('forged-terms.json')
    writeFileSync(receipt, JSON.stringify(await resign(JSON.parse(text), { key, change })))
    const whole = await verify(receipt, 'onnx')
    const { status, result } = await verify(receipt, 'onnx', '--job', file('onnx', 'job.json'))
    const isTold = whole.status === 0 && status === 1 && result.isValid === false
    expect(`other terms: ${what}: ${result.rejection?.code}`, isTold, [whole.result, result])
  }
  const other = await verify(file('onnx', 'receipt.json'), 'onnx', '--job', file('native', 'job.json'))
  expect(`other terms: the job of another: ${other.result.rejection?.code}`, other.status === 1, other.result)
}

/** The receipt as it came, and other rows. */
async function refuseRows(signer) {
  const rows = decodeRows(new Uint8Array(readFileSync(file('onnx', 'rows.bin'))))
  const oneBit = rows[500].slice()
  oneBit[oneBit.length - 1] ^= 1
  const others = {
    'one bit of one row': rows.with(500, oneBit),
    'two rows exchanged': rows.with(0, rows[1]).with(1, rows[0]),
    'one row less': rows.slice(0, -1),
  }
  for (const [what, list] of Object.entries(others)) {
    writeFileSync(file('forged.bin'), encodeRows(list))
    const args = ['verify', file('onnx', 'receipt.json'), '--rows', file('forged.bin'), '--signer', signer]
    const { status, result } = await assay.run(...args)
    expect(`other rows: ${what}: ${result.rejection?.code}`, status === 1 && result.isValid === false, result)
  }
}

try {
  const network = await startNetworkProcess(scratch)
  try {
    await submitModel()
    await submitModules()
  } finally {
    expect('the network stops when it is told to', (await network.stop()) === 0)
  }
  if (failed === 0) {
    await verifyOffline(network.coordinator)
    await refuseForgeries(network.coordinator)
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
console.log(`${checked - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
