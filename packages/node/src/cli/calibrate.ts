/**
 * `assay calibrate`: measures how far honest runs of a model lie apart, chooses tolerances from that, and says
 * what they catch.
 */
import { cpus } from 'node:os'
import { extname } from 'node:path'
import { AssayError, type Json } from 'assay/core/errors'
import { nodeId } from 'assay/core/keys'
import { sampleIndices } from 'assay/core/sampling'
import { type CalibrationReport, calibrate, type Side } from 'assay/method/trace/calibration/calibrate'
import { samplesFor } from 'assay/method/trace/calibration/profile'
import { recordRun } from 'assay/method/trace/calibration/record-run'
import { MAX_RUN_BYTES, runObject } from 'assay/method/trace/calibration/run-file'
import { countRows } from 'assay/onnx/batch'
import { openGraph } from 'assay/onnx/graph'
import type { Model } from 'assay/onnx/model'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'
import { signProfile } from 'assay/receipt/calibration'
import type { NamedTensors } from 'assay/state/tensors'
import { InvalidArgumentError, Option } from 'commander'
import { countFrom, finitePositive, shareIn } from './arguments.ts'
import { reportPage } from './calibrate-page.ts'
import { reportText } from './calibrate-text.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { readCapped, toJsonText, writeWhole } from './files.ts'
import { keyOf } from './key-store.ts'
import { readInputs, readModel } from './onnx-job.ts'
import { RUNTIMES, type RuntimeName } from './onnx-runtime.ts'
import { seedFromText } from './randomness.ts'
import { formatBytes, formatCount, formatDuration } from './style.ts'

interface CalibrateOptions {
  readonly model: string
  readonly input: readonly string[]
  readonly runs: readonly string[]
  readonly record?: string
  readonly rows: number
  readonly verifier: RuntimeName
  readonly alpha: number
  readonly safety: number
  readonly otherModel?: string
  readonly out?: string
  readonly report: readonly string[]
  readonly key?: string
  readonly date?: string
}

/** Thresholds of 1 % take 99 rows; the others measure false alarms and cheats. */
const DEFAULT_ROWS = 300
const DEFAULT_SAFETY = 2
const REPORTS = ['.html', '.json', '.txt'] as const

const several = (text: string, before: readonly string[] = []) => [...before, text]

export const calibrateCommand: AddCommand = (perform) =>
  describedCommand('calibrate', {
    summary: 'measure a tolerance for the floats of a model, and what it catches',
    description:
      'Runs a model honestly in several ways (wasm and native runtime, threads, optimisations, other machines from ' +
      'files), chooses for each layer the tolerance that honest runs exceed with probability alpha, and measures on ' +
      'other rows how often honest runs are refused and how often the nearest cheats pass.',
    examples: [
      [
        'a signed profile, and a page with plots',
        'assay calibrate --model model.onnx --input x.npy --out profile.json --report report.html',
      ],
      [
        'on another machine: record the same rows, for --runs here',
        'assay calibrate --model model.onnx --input x.npy --record other.run',
      ],
    ],
    exits: [[0, 'calibrated'], USAGE_EXIT],
  })
    .requiredOption('--model <file>', 'the ONNX model')
    .requiredOption('--input <[name=]file>', 'honest inputs, as many rows as you have; see solve', several)
    .option('--runs <file>', 'a run recorded on another machine; repeat it for several', several, [])
    .option('--record <file>', 'only record the rows on this machine, native runtime, and stop')
    .option('--rows <n>', 'rows to use at most, drawn from all', countFrom(2), DEFAULT_ROWS)
    .addOption(new Option('--verifier <runtime>', 'what the verifier runs').choices(RUNTIMES).default('wasm'))
    .option('--alpha <share>', 'false alarm rate of one layer', shareIn('above 0, below 1'), 0.01)
    .option('--safety <factor>', 'multiplies each tolerance', finitePositive, DEFAULT_SAFETY)
    .option('--other-model <file>', 'the same graph from another training run, as a cheat')
    .option('--out <file>', 'where the signed profile goes')
    .option('--report <file>', 'a report as .html, .json or .txt; repeat it for several', reportFile, [])
    .option('--key <file>', "the calibrator's key; this machine's own by default")
    .option('--date <YYYY-MM-DD>', 'date of the profile; today by default', dateOf)
    .action(perform(runCalibration))

function reportFile(path: string, before: readonly string[]): string[] {
  if (!(REPORTS as readonly string[]).includes(extname(path))) {
    throw new InvalidArgumentError(`Expected a file name that ends in ${REPORTS.join(', ')}.`)
  }
  return [...before, path]
}

function dateOf(text: string): string {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) throw new InvalidArgumentError('Expected a date as YYYY-MM-DD.')
  return text
}

async function runCalibration(options: CalibrateOptions, session: Session): Promise<Outcome> {
  const model = await readModel(options.model)
  const inputs = await readInputs(options.input, model)
  const rows = chooseRows(countRows(model, inputs), options)
  if (options.record !== undefined) return recordRows({ model, inputs, rows }, options.record, session)
  const started = performance.now()
  const report = await calibrate(model, {
    verifier: await verifierSide(options.verifier),
    provers: await proverSides(options.verifier),
    runs: await Promise.all(options.runs.map(readRun)),
    inputs,
    rows,
    alpha: options.alpha,
    safety: options.safety,
    date: options.date ?? new Date().toISOString().slice(0, 10),
    signal: session.signal,
    onProgress: session.progress,
    ...(options.otherModel === undefined ? {} : { otherModel: await readModel(options.otherModel) }),
  })
  const elapsedMs = performance.now() - started
  const written = await writeResults(report, options, session)
  return {
    exitCode: 0,
    json: { ...(report as unknown as { readonly [key: string]: Json }), written, elapsedMs },
    text: (style) => {
      const files = written.map((path) => `\n${style.faint('written')} ${path}`).join('')
      return `${reportText(report, style)}\n\nTook ${formatDuration(elapsedMs)}.${files}`
    },
  }
}

interface Rows {
  readonly calibrate: readonly number[]
  readonly heldOut: readonly number[]
}

/**
 * A third of the rows is held out, or what thresholds leave of them. The same files and numbers give the same
 * rows on every machine.
 */
function chooseRows(count: number, { rows, alpha }: CalibrateOptions): Rows {
  const used = sampleIndices(seedFromText('rows', 'calibrate'), {
    population: count,
    size: Math.min(count, rows),
  })
  const spare = used.length - samplesFor(alpha)
  if (spare < 1) {
    throw new AssayError(
      'calibration/too-few',
      `a false alarm rate of ${alpha} takes ${samplesFor(alpha)} rows and at least one to test on, got ${used.length}` +
        (count > rows ? ': raise --rows' : ''),
      { detail: { needed: samplesFor(alpha) + 1, got: used.length } },
    )
  }
  const size = Math.max(1, Math.min(Math.floor(used.length / 3), spare))
  const held = new Set(
    sampleIndices(seedFromText('held out', 'calibrate'), { population: used.length, size }),
  )
  return { calibrate: used.filter((_, i) => !held.has(i)), heldOut: used.filter((_, i) => held.has(i)) }
}

function thisMachine(): string {
  return `${cpus()[0]?.model ?? 'unknown processor'} (${process.platform} ${process.arch})`.slice(0, 256)
}

function sideOf(name: string, runtime: Side['runtime']): Side {
  const { name: kind, version } = runtime
  return { configuration: { name, runtime: kind, version, machine: thisMachine() }, runtime }
}

async function verifierSide(name: RuntimeName): Promise<Side> {
  return name === 'wasm'
    ? sideOf('wasm', await wasmRuntime())
    : sideOf('native verifier', await nativeRuntime())
}

/** All ways in which this machine can run the model honestly. */
async function proverSides(verifier: RuntimeName): Promise<Side[]> {
  const native = [
    sideOf('native, 1 thread', await nativeRuntime({ threads: 1 })),
    sideOf('native, 2 threads', await nativeRuntime({ threads: 2 })),
    sideOf('native, optimised', await nativeRuntime({ optimisation: 'all' })),
  ]
  return verifier === 'wasm' ? native : [...native, sideOf('wasm', await wasmRuntime())]
}

async function readRun(path: string) {
  return runObject.decode(await readCapped(path, { maxBytes: MAX_RUN_BYTES, what: 'the recorded run' }))
}

async function recordRows(
  { model, inputs, rows }: { readonly model: Model; readonly inputs: NamedTensors; readonly rows: Rows },
  path: string,
  session: Session,
): Promise<Outcome> {
  const side = sideOf(`recorded on ${thisMachine()}`.slice(0, 256), await nativeRuntime())
  const all = [...rows.calibrate, ...rows.heldOut].sort((a, b) => a - b)
  const run = await recordRun(openGraph(model), side, {
    inputs,
    rows: all,
    signal: session.signal,
    onProgress: (done, total) => session.progress('recording', done, total),
  })
  const bytes = runObject.encode(run)
  await writeWhole(path, bytes)
  return {
    exitCode: 0,
    json: { model: run.model, rows: all.length, bytes: bytes.length, written: [path] },
    text: () => `Recorded ${formatCount(all.length)} rows in ${path} (${formatBytes(bytes.length)}).`,
  }
}

async function writeResults(
  report: CalibrationReport,
  options: CalibrateOptions,
  session: Session,
): Promise<string[]> {
  const written: string[] = []
  const write = async (path: string, data: string) => {
    await writeWhole(path, data)
    written.push(path)
  }
  if (options.out !== undefined) {
    const key = await keyOf(options.key, session.note)
    await write(options.out, toJsonText(await signProfile(report.profile, key)))
    session.note(`The profile is signed by node ${nodeId(key.publicKey)}.`)
  }
  for (const path of options.report) {
    if (extname(path) === '.html') await write(path, reportPage(report))
    else if (extname(path) === '.json') await write(path, toJsonText(report))
    else await write(path, `${reportText(report)}\n`)
  }
  return written
}
