/**
 * Live interoperability of activation fingerprints with the published package toploc, in both directions:
 * bytes of proofs, distances found by its compiled reader, and its two defects.
 *
 *   node scripts/interop/toploc-live.mjs [--seed N]
 *
 * Exit code 0: everything agrees; 1: something does not (it is named, with the seed); 2: there is no Python to
 * compare with. The Python side takes 5 GB of disk (toploc-setup.sh). Imports the built library: run
 * `npm run build` first.
 */
import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { fromHex, toHex } from 'assay/core/bytes'
import { toBfloat16 } from 'assay/method/generation/bfloat16'
import {
  compareFingerprint,
  decodeFingerprint,
  encodeFingerprint,
  fingerprint,
} from 'assay/method/generation/toploc'
import { openPeer } from './peer.mjs'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const CHUNKS = 300
const HIDDEN = [16, 64, 128, 896, 4096]
const TIMED = 200

const { values: flags } = parseArgs({ options: { seed: { type: 'string' }, venv: { type: 'string' } } })
const seed = flags.seed === undefined ? randomInt(2 ** 31) : Number(flags.seed)
const venv = flags.venv ?? here('../../.venv/toploc')
const random = mulberry32(seed)

if (
  spawnSync('sh', [here('toploc-setup.sh'), venv], { stdio: ['ignore', 'inherit', 'inherit'] }).status !== 0
) {
  console.error('interop: no Python environment with toploc 0.1.6; nothing was compared')
  process.exit(2)
}

const peer = openPeer({ python: `${venv}/bin/python`, script: 'toploc_peer.py' })
const failures = []
let compared = 0

function expectEqual(ours, theirs, what) {
  compared++
  if (!isDeepStrictEqual(ours, theirs)) failures.push({ what, ours, theirs })
}

const wire = (floats) => Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength).toString('base64')

/** Like hidden states: normal, with some features that are always large. Coarse ones have many equals. */
function hiddenStates(tokens, width) {
  const gains = Float32Array.from({ length: width }, () => (random() < 0.02 ? 8 : 1))
  const coarse = random() < 0.3
  return Float32Array.from({ length: tokens * width }, (_, i) => {
    const value = normal() * gains[i % width]
    return coarse ? Math.round(value * 4) / 4 : value
  })
}

async function compareRounding() {
  const words = Uint32Array.from({ length: 5000 }, () => random() * 2 ** 32)
  const floats = new Float32Array(words.buffer).filter((value) => Math.abs(value) < 3e38)
  expectEqual([...toBfloat16(floats)], await peer.ask('rounded', { values: wire(floats) }), 'rounding')
}

async function compareChunks() {
  for (let i = 0; i < CHUNKS; i++) {
    const width = HIDDEN[i % HIDDEN.length]
    const tokens = i % 10 === 0 ? 1 + Math.floor(random() * 100) : 32
    const values = hiddenStates(tokens, width)
    const topk = values.length < 128 ? values.length : i % 7 === 0 ? 1 + Math.floor(random() * 127) : 128
    const what = `chunk ${i}: ${tokens} tokens of ${width}, top ${topk}`
    const ours = toHex(encodeFingerprint(fingerprint(values, { topk })))
    const theirs = await peer.ask('proof', { values: wire(values), topk })
    expectEqual(ours, theirs, `${what}: bytes`)

    const noise = 10 ** (-5 + 4 * random())
    const other = values.map((value) => value * (1 + noise * normal()))
    const found = { ...compareFingerprint(decodeFingerprint(fromHex(theirs), { topk }), other) }
    const asked = { values: wire(other), proof: theirs, topk }
    const isPlainModulus = theirs.startsWith('ffd9')
    if (!isPlainModulus) found.medianMantissaError = null
    expectEqual(
      rounded(found),
      await published(asked, isPlainModulus),
      `${what}: noise ${noise.toPrecision(2)}`,
    )
  }
}

/**
 * Its two readers: the compiled one takes the upper of two middle errors for the median, the one in Python the
 * mean of both, as here. Where that one fails (see showDefects) there is no median to compare with.
 */
async function published(asked, isPlainModulus) {
  const [mismatches, mean, median] = await peer.ask('compare', asked)
  if (!isPlainModulus) return [mismatches, mean, null].map(digits)
  const byList = await peer.ask('compare_by_list', asked)
  expectEqual(byList.slice(0, 2).map(digits), [mismatches, mean].map(digits), 'its two readers')
  return [mismatches, mean, median === null ? null : byList[2]].map(digits)
}

const digits = (value) => (value === null ? null : Number(value.toPrecision(9)))

function rounded({ exponentMismatches, meanMantissaError, medianMantissaError }) {
  return [exponentMismatches, meanMantissaError, medianMantissaError].map(digits)
}

/** What the published package gets wrong, and this library does not. */
async function showDefects() {
  let honest = 0
  let shifted = 0
  let failed = 0
  for (; shifted < 5 && honest < 400; honest++) {
    const values = hiddenStates(32, 4096)
    const proof = fingerprint(values)
    if (proof.modulus === 65497) continue
    shifted++
    expectEqual(compareFingerprint(proof, values).exponentMismatches, 0, 'another modulus, compared here')
    const asked = { values: wire(values), proof: toHex(encodeFingerprint(proof)), topk: 128 }
    if ((await peer.ask('compare_by_list', asked))[0] > 38) failed++
  }
  console.log(
    `  its reader in Python refuses ${failed} of ${shifted} honest proofs with another modulus than 65497`,
  )
}

function time() {
  for (const width of [128, 4096]) {
    const chunks = Array.from({ length: 8 }, () => hiddenStates(32, width))
    const times = Array.from({ length: TIMED }, (_, i) => {
      const started = performance.now()
      fingerprint(chunks[i % chunks.length])
      return performance.now() - started
    }).sort((a, b) => a - b)
    console.log(`  one fingerprint of 32 x ${width}: ${times[TIMED >> 1].toFixed(2)} ms (median)`)
  }
}

function normal() {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
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
console.log(`interop: seed ${seed}, toploc ${versions.toploc}, torch ${versions.torch}`)
await compareRounding()
await compareChunks()
await showDefects()
time()
peer.close()

for (const { what, ours, theirs } of failures.slice(0, 5)) {
  const show = (value) => JSON.stringify(value).slice(0, 200)
  console.error(`differs: ${what}\n  here  ${show(ours)}\n  there ${show(theirs)}`)
}
console.log(
  failures.length === 0
    ? `interop: all ${compared} agree`
    : `interop: ${failures.length} of ${compared} differ; repeat with --seed ${seed}`,
)
process.exitCode = failures.length === 0 ? 0 : 1
