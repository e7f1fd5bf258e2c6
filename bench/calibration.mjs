/**
 * Tolerances of real models, and what they catch: `assay calibrate` on each model, its page kept beside the table.
 *
 *     node bench/calibration.mjs [--digits-seed FILE] [--model NAME FILE INPUT]
 *
 * `--digits-seed` is the digits model of another training seed: a copy of examples/digits/train.py with
 * TRAIN_SEED = 8, run with `--out DIR`. examples/byte-lm is calibrated where it is there, against its earlier
 * checkpoint. `--model` adds any other model.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadModel } from 'assay/onnx/model'
import { encodeNpz } from 'assay/onnx/npz'
import { tensor } from 'assay/state/tensor'
import { record, SMOKE } from './record.mjs'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const COMMAND_LINE = join(ROOT, 'packages/node/bin/assay.js')
const RESULTS = join(ROOT, 'bench/results')
const TOKENS = 32
const SETTINGS = SMOKE ? ['--rows', '12', '--alpha', '0.2'] : []

const seed = process.argv.indexOf('--digits-seed')
const folder = mkdtempSync(join(tmpdir(), 'assay-calibration-'))
try {
  const digits = join(ROOT, 'examples/digits')
  const other = seed < 0 ? [] : ['--other-model', process.argv[seed + 1]]
  run(
    'digits',
    [join(digits, 'model.onnx'), join(digits, 'images.npy')],
    [...other, ...(SMOKE ? [] : ['--rows', '600'])],
  )
  const language = join(ROOT, 'examples/byte-lm')
  if (existsSync(join(language, 'model.onnx'))) await runLanguageModel(language)
  for (const [at, argument] of process.argv.entries()) {
    if (argument === '--model') run(process.argv[at + 1], process.argv.slice(at + 2, at + 4))
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** Rows are windows of held-out text, without a past. */
async function runLanguageModel(language) {
  const { earlierCheckpoint } = await import('../examples/byte-lm/weights.mjs')
  const bytes = new Uint8Array(readFileSync(join(language, 'model.onnx')))
  const text = readFileSync(join(language, 'held-out.txt'))
  const rows = Math.min(300, Math.floor(text.length / TOKENS))
  const ids = BigInt64Array.from({ length: rows * TOKENS }, (_, i) => BigInt(text[i]))
  const inputs = {}
  for (const { name, dims } of loadModel(bytes).inputs) {
    inputs[name] =
      name === 'input_ids'
        ? tensor('int64', [rows, TOKENS], ids)
        : tensor(
            'float32',
            dims.map((size, axis) => (typeof size === 'number' ? size : axis === 1 ? 1 : 0)),
            new Float32Array(0),
          )
  }
  const input = join(folder, 'byte-lm.npz')
  const earlier = join(folder, 'earlier.onnx')
  writeFileSync(input, encodeNpz(inputs))
  writeFileSync(
    earlier,
    earlierCheckpoint(bytes, new Uint8Array(readFileSync(join(language, 'earlier.delta.f16')))),
  )
  run(
    'byte-lm',
    [join(language, 'model.onnx'), input],
    ['--other-model', earlier, ...(SMOKE ? [] : ['--rows', '150'])],
  )
}

function run(name, [model, input], options = []) {
  const page = join(folder, `${name}.html`)
  const args = ['calibrate', '--model', model, '--input', input, '--json', ...SETTINGS, ...options]
  const report = calibrated([...args, '--report', page])
  if (!SMOKE) writeFileSync(join(RESULTS, `calibration-${name}.html`), readFileSync(page))
  const { falseAlarms: tight } = calibrated([...args, '--safety', '1'])
  describe(name, report, tight)
}

/** Standard output is one JSON object, distances of every layer included. */
function calibrated(args) {
  return JSON.parse(
    execFileSync(process.execPath, [COMMAND_LINE, ...args], { encoding: 'utf8', maxBuffer: 2 ** 28 }),
  )
}

function describe(name, { profile, layers, outputs, falseAlarms, cheats, heldOut, nodes, elapsedMs }, tight) {
  const measured = layers.filter(({ max }) => max > 0)
  const compact = ({ distances, byConfiguration, ...layer }) => layer
  record(`calibration-${name}`, {
    title: `Tolerance of ${name}`,
    about:
      `${nodes} nodes; verifier ${profile.verifier.runtime} ${profile.verifier.version}, provers ` +
      `${profile.provers.map((prover) => prover.name).join('; ')}. Tolerances from ${profile.samples} rows at ` +
      `${percent(profile.alpha)} a layer, times ${profile.safety}; rates on ${heldOut} other rows, with 95 % intervals. ` +
      `"Refused" is a false alarm for honest rows (by any prover) and a catch for cheats; "passed" is 1 less that. ` +
      `"One node" draws one node by cost. "Draws" catch 99 % of such runs. Took ${Math.round(elapsedMs / 1000)} s.`,
    columns: [
      'run',
      'refused: one node',
      'all nodes',
      'output',
      'passed: one node',
      'all nodes',
      'output',
      'draws',
    ],
    rows: [
      ['honest', ...rates(falseAlarms), ...shares(falseAlarms), ''],
      ['honest, tolerances times 1', ...rates(tight), ...shares(tight), ''],
      ...cheats.map(({ description, missed, draws }) => [
        description,
        ...rates(missed, turned),
        ...shares(missed, (rate) => 1 - rate),
        draws ?? 'never',
      ]),
    ],
    sections: [
      {
        title: `Distances of the ${measured.length} tensors that are not equal in every run, of ${layers.length}`,
        columns: ['tensor', 'operator', 'median', 'largest', 'tolerance'],
        rows: [
          ...measured,
          ...outputs.map((output) => ({ ...output, name: `${output.name} (whole run)` })),
        ].map(({ name: tensorName, operator, median, max, threshold }) => [
          tensorName,
          operator,
          ...[median, max, threshold].map((value) => value.toExponential(2)),
        ]),
      },
    ],
    data: {
      profile,
      falseAlarms,
      cheats,
      heldOut,
      layers: measured.map(compact),
      outputs: outputs.map(compact),
    },
    command:
      name === 'digits' && seed >= 0
        ? 'node bench/calibration.mjs --digits-seed FILE'
        : 'node bench/calibration.mjs',
  })
}

function turned({ rate, interval: { lower, upper } }) {
  return { rate: 1 - rate, interval: { lower: 1 - upper, upper: 1 - lower } }
}

function rates({ oneNode, allNodes, endToEnd }, change = (rate) => rate) {
  return [oneNode, allNodes, endToEnd].map((rate) => {
    const { rate: share, interval } = change(rate)
    return `${percent(share)} (${percent(interval.lower)} to ${percent(interval.upper)})`
  })
}

/** What passed, without intervals. */
function shares({ oneNode, allNodes, endToEnd }, refused = (rate) => rate) {
  return [oneNode, allNodes, endToEnd].map(({ rate }) => percent(1 - refused(rate)))
}

function percent(share) {
  return `${Number((100 * share).toPrecision(3))} %`
}
