/**
 * `assay demo`: the main job in one command. Three solvers run the same model over the same images; a verifier
 * recomputes a few of the rows and tells them apart.
 */

import { dirname } from 'node:path'
import { toHex } from 'assay/core/bytes'
import type { Json } from 'assay/core/errors'
import { Option } from 'commander'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { type DemoReport, type DemoTerms, runDemo, type SolverReport } from './demo-run.ts'
import { SOLVERS } from './demo-solvers.ts'
import { DIGITS_FOLDER, readDigits } from './digits.ts'
import { assertWritable, toJsonText, writeWhole } from './files.ts'
import { RUNTIMES, type RuntimeName } from './onnx-runtime.ts'
import { randomBytes32 } from './randomness.ts'
import { formatBytes, formatCount, formatDuration, formatPercent, type Style, table } from './style.ts'
import { evidenceJson } from './verdict.ts'

const CONFIDENCE = 0.99
const FAKED = 0.05
/** A sample at 99 % confidence misses one cheat in a hundred; this seed shows what happens the other times. */
const DEFAULT_SEED = '1'

interface DemoOptions {
  readonly runtime: RuntimeName
  readonly seed: string
  readonly receipt: string
  readonly data: string
}

export const demoCommand: AddCommand = (perform) =>
  describedCommand('demo', {
    summary: 'see it work: one honest solver, two that cheat, and a verifier',
    description:
      'Runs a network that was trained on handwritten digits over 1,797 images, three times: by an honest solver, ' +
      'by a lazy one that makes up 5 % of the rows, and by an adversarial one that computes and proves every row ' +
      'and then alters 5 % of the output. Verifies each at 99 % confidence against a faked share of 5 %, and ' +
      'writes a signed receipt for the honest run.',
    examples: [
      ['the demo, the same every time', 'assay demo'],
      [
        'with fresh random numbers: one time in a hundred the lazy solver gets away',
        'assay demo --seed random',
      ],
    ],
    exits: [[0, 'the three verdicts are right'], [1, 'one is not'], USAGE_EXIT],
  })
    .addOption(new Option('--runtime <name>', 'what runs the model').choices(RUNTIMES).default('wasm'))
    .option('--seed <text>', 'what the random numbers are made from, or "random"', DEFAULT_SEED)
    .option('--receipt <file>', 'where to write the receipt', 'run/demo/receipt.json')
    .addOption(
      new Option('--data <folder>', 'model, images and labels').default(DIGITS_FOLDER, 'examples/digits'),
    )
    .action(perform(demo))

async function demo(options: DemoOptions, session: Session): Promise<Outcome> {
  const seed = options.seed === 'random' ? toHex(randomBytes32()) : options.seed
  await assertWritable(dirname(options.receipt))
  const digits = await readDigits(options.data)
  const terms = { digits, runtime: options.runtime, confidence: CONFIDENCE, faked: FAKED, seed }
  const report = await runDemo(terms, session)
  await writeWhole(options.receipt, toJsonText(report.receipt))
  const isRight = SOLVERS.every((name) => report.reports[name].isRight)
  return {
    exitCode: isRight ? 0 : 1,
    json: demoJson(report, { terms, receipt: options.receipt }),
    text: (style) => demoText(report, { terms, receipt: options.receipt, style }),
  }
}

interface Context {
  readonly terms: DemoTerms
  readonly receipt: string
}

function demoJson({ reports, states, runtimeVersion, verifier }: DemoReport, { terms, receipt }: Context) {
  const { digits, runtime, confidence, faked, seed } = terms
  const { honest, lazy, adversarial } = reports
  return {
    model: digits.model.cid,
    inputs: states,
    accuracy: honest.accuracy,
    accuracyAll: honest.accuracyAll,
    testInputs: digits.test.length,
    states,
    confidence,
    faked,
    runtime,
    runtimeVersion,
    seed,
    honest: solverJson(honest),
    lazy: solverJson(lazy),
    adversarial: solverJson(adversarial),
    receipt,
    verifier,
  }
}

function solverJson(report: SolverReport): { readonly [key: string]: Json } {
  const { verification, name: _name, isRight: _isRight, ...figures } = report
  const { isVerified, countItems, evidence } = verification.response
  return {
    isVerified,
    countItems,
    evidence: evidenceJson(evidence),
    ...figures,
    confidence: verification.check.confidence,
    solverOverhead: report.solveMs / report.plainMs - 1,
  }
}

function demoText(
  report: DemoReport,
  { terms, receipt, style }: Context & { readonly style: Style },
): string {
  const { reports, states, plainMs } = report
  const { digits, confidence, faked, runtime } = terms
  const columns = SOLVERS.map((name) => reports[name])
  const row = (label: string, cell: (one: SolverReport) => string) => [label, ...columns.map(cell)]
  return [
    style.strong('Three solvers run a digits network over the same images. Who can be believed?'),
    '',
    table([
      ['images', `${formatCount(states)} handwritten digits, each one inference and one state`],
      ['model', `${digits.model.cid} on ${runtime === 'wasm' ? 'WebAssembly' : 'the native runtime'}`],
      [
        'accuracy',
        `${formatPercent(reports.honest.accuracy)} of the ${formatCount(digits.test.length)} images that it was not trained on`,
      ],
      ['plain run', `${formatDuration(plainMs)} without a proof`],
      ['asked for', `${formatPercent(confidence)} confidence against ${formatPercent(faked)} faked rows`],
    ]),
    '',
    table([
      row('', ({ name }) => style.strong(name)),
      [
        'what it does',
        'runs every row',
        `makes up ${formatPercent(faked)}`,
        `alters ${formatPercent(faked)} afterwards`,
      ],
      row('run and proof', ({ solveMs }) => formatDuration(solveMs)),
      row('proof size', ({ proofBytes }) => formatBytes(proofBytes)),
      row('rows right', ({ accuracyAll }) => formatPercent(accuracyAll)),
      row('rows rechecked', ({ verification, verifierShare }) => {
        return `${formatCount(verification.response.countItems)} (${formatPercent(verifierShare)})`
      }),
      row('time to verify', ({ verifyMs }) => formatDuration(verifyMs)),
      row('verdict', ({ verification }) => {
        return verification.response.isVerified ? style.good('✔ verified') : style.bad('✘ rejected')
      }),
    ]),
    '',
    ...evidenceLines(columns, style),
    `  Proving cost the honest solver ${overhead(reports.honest)}; verifying recomputed ` +
      `${formatPercent(reports.honest.verifierShare)} of the run.`,
    '',
    `Signed receipt of the honest run: ${receipt}`,
    `Check it with: npx assay receipt verify ${receipt}`,
    ...columns.filter(({ isRight }) => !isRight).map((one) => wrongVerdict(one, { terms, style })),
  ].join('\n')
}

function evidenceLines(columns: readonly SolverReport[], style: Style): string[] {
  const rows: string[][] = []
  for (const { name, verification } of columns) {
    const { evidence } = verification.response
    if (evidence !== null) rows.push([name, `${style.bad(evidence.code)}: ${evidence.message}`])
  }
  return rows.length === 0 ? [] : [style.strong('Evidence'), table(rows), '']
}

function overhead({ solveMs, plainMs }: SolverReport): string {
  const share = solveMs / plainMs - 1
  return share > 0 ? `${formatPercent(share)} over plain inference` : 'nothing that could be measured'
}

function wrongVerdict({ name }: SolverReport, { terms, style }: { terms: DemoTerms; style: Style }): string {
  const missed = `missed by its sample: at ${formatPercent(terms.confidence)} confidence that happens once in a hundred times`
  const why = name === 'honest' ? 'rejected, which must never happen: please report it' : missed
  return `\n${style.bad(`The ${name} solver was ${why}`)} (seed ${terms.seed}).`
}
