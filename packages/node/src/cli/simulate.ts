/**
 * `assay simulate`: cheats for real, many times, and sets the measured detection beside the formula.
 */

import { ed25519KeyPair } from 'assay/core/keys'
import { fakedCount } from 'assay/core/statistics'
import { DEFAULT_FALSE_POSITIVE_RATE } from 'assay/method/sampling/messages'
import { PROOF_KINDS, type ProofKind } from 'assay/method/sampling/proof'
import { INTERVAL_CONFIDENCE, simulate } from 'assay/method/sampling/simulate'
import { Option } from 'commander'
import { countFrom, shareIn } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { seedFromText } from './randomness.ts'
import { formatCount, formatPercent, table } from './style.ts'

interface SimulateOptions {
  readonly states: number
  readonly faked: number
  readonly samples: number
  readonly fpr: number
  readonly trials: number
  readonly seed: string
  readonly proof: ProofKind
}

export const simulateCommand: AddCommand = (perform) =>
  describedCommand('simulate', {
    summary: 'cheat for real, and measure how often it is caught',
    description:
      'Lets a lazy solver fake a share of the states with the real prover, checks each run with the real verifier, ' +
      'and compares how often it was caught with what the formula says, within the 99.9 % interval of the ' +
      'measurement. Detection rests on the proof alone here, false positives included.',
    examples: [
      [
        '2,000 runs of 1,000 states, 1 % faked, 100 samples each',
        'assay simulate --states 1000 --faked 0.01 --samples 100 --trials 2000 --seed 1',
      ],
    ],
    exits: [[0, 'the measured rate agrees with the formula'], [1, 'it does not'], USAGE_EXIT],
  })
    .requiredOption('--states <n>', 'states of each run', countFrom(1))
    .requiredOption('--faked <share>', 'share of the states that the solver makes up', shareIn('above 0'))
    .requiredOption('--samples <k>', 'states that the verifier recomputes', countFrom(0))
    .option(
      '--fpr <f>',
      'false positive rate asked of the proof',
      shareIn('above 0, below 1'),
      DEFAULT_FALSE_POSITIVE_RATE,
    )
    .option('--trials <t>', 'runs to simulate', countFrom(1), 1000)
    .option('--seed <text>', 'the same text gives the same result', '1')
    .addOption(new Option('--proof <kind>', 'kind of proof').choices(PROOF_KINDS).default('bloom'))
    .action(perform(runSimulation))

async function runSimulation(options: SimulateOptions, session: Session): Promise<Outcome> {
  const { states, samples, fpr, trials, seed, proof } = options
  const faked = fakedCount(states, options.faked)
  const started = performance.now()
  const result = await simulate({
    states,
    faked,
    samples,
    falsePositiveRate: fpr,
    trials,
    proof,
    seed: seedFromText(seed, 'simulate'),
    key: ed25519KeyPair(seedFromText(seed, 'simulate key')),
    signal: session.signal,
    onProgress: (done) => session.progress('simulating', done, trials),
  })
  const { interval, ...figures } = result
  return {
    exitCode: result.agrees ? 0 : 1,
    json: {
      states,
      faked: options.faked,
      fakedStates: faked,
      samples,
      proof,
      seed,
      ...figures,
      interval: { ...interval, confidence: INTERVAL_CONFIDENCE },
      elapsedMs: performance.now() - started,
    },
    text: (style) =>
      [
        `${formatCount(trials)} runs of ${formatCount(states)} states, ${formatCount(faked)} of them faked, ` +
          `${formatCount(samples)} samples, ${proof} proof with a measured false positive rate of ` +
          `${formatPercent(result.falsePositiveRate)}:`,
        '',
        table([
          ['caught', `${formatCount(result.caught)} of ${formatCount(trials)}`],
          ['measured', style.strong(formatPercent(result.measured))],
          [
            `${formatPercent(INTERVAL_CONFIDENCE)} interval`,
            `${formatPercent(interval.lower)} to ${formatPercent(interval.upper)}`,
          ],
          ['formula', style.strong(formatPercent(result.expected))],
        ]),
        '',
        result.agrees
          ? `${style.good('✔')} The measurement agrees with the formula.`
          : `${style.bad('✘')} The formula lies outside the interval of the measurement.`,
      ].join('\n'),
  }
}
