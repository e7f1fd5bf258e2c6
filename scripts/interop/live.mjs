/**
 * Live interoperability with the published Python package, in both directions, over random sizes and rates.
 *
 *   node scripts/interop/live.mjs [--seed N]
 *
 * Exit code 0: everything agrees; 1: something does not (it is named, with the seed); 2: there is no Python to
 * compare with. Imports the built library: run `npm run build` first.
 */
import { randomInt } from 'node:crypto'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { bloomParameters, createBloom, loadBloom, saveBloom } from 'assay/core/bloom'
import { fromBase64, toBase64 } from 'assay/core/bytes'
import { hashInteger, itemToSigned } from 'assay/core/hash-int'
import { hasIntegers, insertIntegers } from 'assay/core/kernel'
import { solveCompat } from 'assay/method/sampling/compat/prover'
import { verifyBaselineCompat, verifyLazyCompat } from 'assay/method/sampling/compat/verifier'
import { parseSolverResponse } from 'assay/method/sampling/messages'
import { hashArray } from 'assay/state/array'
import { hashEmbeddingM, jaccardIndex } from 'assay/state/embedding'
import { integerState } from 'assay/state/integer'
import { valueCodec } from 'assay/state/value'
import { defineTask } from 'assay/task/define'
import { derivedFrom } from 'assay/task/output'
import { openPeer, setUpPython, wire } from './peer.mjs'

const FILTERS = 200
const HASHED = 1000
const RUNS = 10

const { values: flags } = parseArgs({ options: { seed: { type: 'string' } } })
const seed = flags.seed === undefined ? randomInt(2 ** 31) : Number(flags.seed)
const random = mulberry32(seed)

if (!setUpPython()) {
  console.error('interop: no Python environment with warden-spex 0.0.95; nothing was compared')
  process.exit(2)
}

const peer = openPeer()
const failures = []
let compared = 0

function expectEqual(ours, theirs, what) {
  compared += 1
  if (!isDeepStrictEqual(ours, theirs)) failures.push({ what, ours, theirs })
}

/** Proofs of the same items, made by both, read by both. */
async function compareFilters() {
  for (let i = 0; i < FILTERS; i++) {
    const count = Math.floor(10 ** uniform(0, i % 20 === 0 ? 5 : 3.3))
    const falsePositiveRate = soundRate(count)
    const items = integers(count)
    const others = integers(200)
    const what = `filter of ${count} items at ${falsePositiveRate}`

    const ours = createBloom(count, falsePositiveRate)
    insertIntegers(ours, items)
    const proof = toBase64(saveBloom(ours))
    const theirProof = await peer.ask('prove', { items: wire(items), falsePositiveRate })
    expectEqual(proof, theirProof, `${what}: bytes`)

    const theirs = loadBloom(fromBase64(theirProof), { count, falsePositiveRate })
    expectEqual(hasIntegers(theirs, items).includes(0), false, `${what}: their proof misses an item here`)

    const asked = { bloomFilter: proof, countItems: count, items: wire(items), others: wire(others) }
    const found = await peer.ask('lookups', asked)
    expectEqual(found.items, count, `${what}: our proof misses an item there`)
    expectEqual([...hasIntegers(ours, others)], found.others, `${what}: hits of other items`)
  }
}

async function compareIntegers() {
  const values = BigInt64Array.from([0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), ...integers(HASHED)])
  const ours = Array.from(values, (value) => itemToSigned(hashInteger(value)).toString())
  expectEqual(ours, await peer.ask('hashes', { values: wire(values) }), 'hashes of integers')
}

async function compareArrays() {
  for (let i = 0; i < HASHED; i++) {
    const values = normals(1 + Math.floor(random() * 8), 10 ** uniform(-3, 4))
    const epsilon = random() < 0.3 ? 1e-4 : 10 ** uniform(-8, -0.05)
    const ours = hashArray(values, epsilon).map(texts)
    const theirs = await peer.ask('array', { values: wire(values), epsilon })
    expectEqual(ours, theirs, `hash_array at ${epsilon} of ${values}`)
  }
}

async function compareEmbeddings() {
  for (let i = 0; i < HASHED; i++) {
    // Beyond 128 dimensions numpy's sum splits in two; few vantage points keep that cheap.
    const dimensions = 1 + Math.floor(i % 10 === 0 ? uniform(128, 700) : uniform(0, 140))
    const vantagePoints = Array.from({ length: 2 + Math.floor(random() * 7) }, () => normals(dimensions))
    const point = normals(dimensions)
    const noise = normals(dimensions, 0.3)
    const near = point.map((x, k) => x + noise[k])
    const ours = hashEmbeddingM(point, vantagePoints)
    const theirs = await peer.ask('embedding', {
      point: wire(point),
      near: wire(near),
      vantagePoints: vantagePoints.map(wire),
    })
    expectEqual(texts(ours), theirs.hashes, `hash_embedding_m in ${dimensions} dimensions`)
    const jaccard = jaccardIndex(ours, hashEmbeddingM(near, vantagePoints))
    expectEqual(jaccard, theirs.jaccard, `Jaccard index in ${dimensions} dimensions`)
  }
}

/** The whole exchange: requests and responses as JSON, solver on one side, lazy verifier on the other. */
async function compareRuns() {
  const task = cubes()
  for (let i = 0; i < RUNS; i++) {
    const solverRequest = { solverInput: { count: 1 + Math.floor(random() * 2000) }, falsePositiveRate: 0.01 }
    const what = `run of ${solverRequest.solverInput.count} states`
    const options = { seed: Uint8Array.from({ length: 32 }, () => random() * 256) }
    const theirResponse = parseSolverResponse(await peer.ask('solve', { request: solverRequest }))
    const ourResponse = await solveCompat(task, solverRequest)
    expectEqual(ourResponse, theirResponse, `${what}: responses`)

    const request = { solverRequest, verificationRatio: 0.5, ...theirResponse }
    for (const verifier of [verifyLazyCompat, verifyBaselineCompat]) {
      expectEqual((await verifier(task, request, options)).isVerified, true, `${what}: theirs, verified here`)
    }
    const ours = await peer.ask('verify', { request: { ...request, ...ourResponse } })
    expectEqual(ours.isVerified, true, `${what}: ours, verified there`)

    const others = createBloom(solverRequest.solverInput.count, 0.01)
    const solverProof = { ...ourResponse.solverProof, bloomFilter: toBase64(saveBloom(others)) }
    const forged = { ...request, solverProof }
    const refused = [
      (await verifyLazyCompat(task, forged, options)).isVerified,
      (await peer.ask('verify', { request: forged })).isVerified,
    ]
    expectEqual(refused, [false, false], `${what}: an empty filter, verified on both sides`)
  }
}

function cubes() {
  return defineTask({
    name: 'interop-cubes',
    version: '1',
    shape: 'parallel',
    input: valueCodec({ name: 'interop-count' }),
    state: integerState(),
    count: ({ count }) => count,
    compute: (_, index) => BigInt(index + 1) ** 3n,
    output: derivedFrom(valueCodec({ name: 'interop-sum' }), (states) => ({
      sum: states.reduce((a, b) => a + Number(b), 0),
    })),
  })
}

const texts = (hashes) => [...hashes].map(String).sort()

/** A rate from 1e-9 to 0.49 at which the published sizing gives k >= 1. */
function soundRate(count) {
  for (;;) {
    const rate = 10 ** uniform(-9, Math.log10(0.49))
    if (bloomParameters(count, rate).hashes > 0) return rate
  }
}

function uniform(low, high) {
  return low + (high - low) * random()
}

function integers(count) {
  const words = Uint32Array.from({ length: 2 * count }, () => random() * 2 ** 32)
  return new BigInt64Array(words.buffer)
}

function normals(count, scale = 1) {
  const one = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return Float64Array.from({ length: count }, () => scale * one())
}

/** A small generator, so that `--seed` repeats a run. */
function mulberry32(start) {
  let state = start >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const versions = await peer.ask('versions')
console.log(
  `interop: seed ${seed}, ${Object.entries(versions)
    .map((entry) => entry.join(' '))
    .join(', ')}`,
)
for (const [name, compare] of Object.entries({
  [`filters, ${FILTERS} sizes and rates`]: compareFilters,
  'hashes of integers': compareIntegers,
  [`hash_array, ${HASHED} arrays`]: compareArrays,
  [`hash_embedding_m, ${HASHED} embeddings`]: compareEmbeddings,
  [`whole runs, ${RUNS}`]: compareRuns,
})) {
  const [started, before, failed] = [performance.now(), compared, failures.length]
  await compare()
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(
    `  ${name}: ${compared - before} comparisons, ${failures.length - failed} differ (${seconds} s)`,
  )
}
peer.close()

for (const { what, ours, theirs } of failures.slice(0, 5)) {
  const show = (value) =>
    JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? String(v) : v)).slice(0, 200)
  console.error(`differs: ${what}\n  here  ${show(ours)}\n  there ${show(theirs)}`)
}
console.log(
  failures.length === 0
    ? `interop: all ${compared} agree`
    : `interop: ${failures.length} of ${compared} differ; repeat with --seed ${seed}`,
)
process.exitCode = failures.length === 0 ? 0 : 1
