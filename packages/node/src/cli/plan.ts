/**
 * `assay plan`: what a confidence costs, before anything is run.
 */

import { fakedCount } from 'assay/core/statistics'
import { PROOF_KINDS, type ProofKind } from 'assay/method/sampling/proof'
import { proofBytes, samplingMethod } from 'assay/method/sampling/security'
import { type Amount, amountOf, countFrom, shareIn } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, USAGE_EXIT } from './command.ts'
import { formatBytes, formatCount, formatNumber, formatPercent, table } from './style.ts'

interface PlanOptions {
  readonly states: number
  readonly faked: number
  readonly confidence: number
  readonly fpr: number
  readonly runCost?: Amount
}

export const planCommand: AddCommand = (perform) =>
  describedCommand('plan', {
    summary: 'how many samples a confidence takes, and what they cost',
    description:
      'Computes how many states a verifier has to recompute to catch, with the confidence asked, a solver that ' +
      'faked at least the share given; what that costs as a share of a run; and how large the proof is.',
    examples: [
      [
        'a million rows: catch 1 % of fakes with 99 %',
        'assay plan --states 1000000 --faked 0.01 --confidence 0.99',
      ],
      [
        'the same, with what the run costs',
        'assay plan --states 1e6 --faked 1% --confidence 99% --run-cost "40 EUR"',
      ],
    ],
    exits: [[0, 'planned'], USAGE_EXIT],
  })
    .requiredOption('--states <n>', 'states of the run, such as the rows of a batch', countFrom(1))
    .requiredOption('--faked <share>', 'smallest share of faked states worth catching', shareIn('above 0'))
    .requiredOption('--confidence <p>', 'probability of catching it', shareIn('above 0, below 1'))
    .option('--fpr <f>', 'false positive rate of the proof', shareIn('above 0, below 1'), 0.01)
    .option('--run-cost <amount>', 'what a whole run costs, with a unit if you like', amountOf)
    .action(perform(plan))

async function plan({ states, faked, confidence, fpr, runCost }: PlanOptions): Promise<Outcome> {
  const config = { falsePositiveRate: fpr, ask: { confidence, faked } }
  const job = { states, runCost: runCost?.value ?? 1 }
  const sizes: { [kind in ProofKind]?: number } = {}
  for (const kind of PROOF_KINDS) sizes[kind] = proofBytes(kind, states, fpr)
  const { samples, detection, verifierShare, verifierCost } = samplingMethod.security(
    { ...config, proof: 'fingerprint' },
    job,
  )
  const fakedStates = fakedCount(states, faked)
  const cost = runCost === undefined ? {} : { runCost: runCost.value, verifierCost, unit: runCost.unit }
  return {
    exitCode: 0,
    json: {
      states,
      faked,
      fakedStates,
      confidence,
      falsePositiveRate: fpr,
      guessProbability: 0,
      samples,
      detection,
      verifierShare,
      ...cost,
      proofBytes: sizes,
    },
    text: (style) =>
      [
        `To catch, with ${formatPercent(confidence)} confidence, a solver that fakes ${formatPercent(faked)} ` +
          `(${formatCount(fakedStates)}) of ${formatCount(states)} states:`,
        '',
        table([
          ['samples', style.strong(formatCount(samples))],
          ['detection', formatPercent(detection)],
          ['cost', `${formatPercent(verifierShare)} of a run${costIn(runCost, verifierCost)}`],
          [
            'proof',
            `${formatBytes(sizes.fingerprint ?? 0)} as fingerprint, ${formatBytes(sizes.bloom ?? 0)} as Bloom filter`,
          ],
        ]),
        '',
        style.faint(`False positive rate ${formatNumber(fpr)}; states that cannot be guessed.`),
      ].join('\n'),
  }
}

function costIn(runCost: Amount | undefined, verifierCost: number): string {
  return runCost === undefined ? '' : `: ${formatNumber(verifierCost)} ${runCost.unit}`.trimEnd()
}
