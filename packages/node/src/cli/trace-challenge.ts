/**
 * `assay challenge`: the second of four steps. Checks what can be checked of a trace without opening it, and
 * draws the nodes to open, with probability by their cost.
 */
import { drawsOf } from 'assay/method/trace/config'
import { detectSkipped } from 'assay/method/trace/security'
import { challengeTrace } from 'assay/method/trace/verifier'
import { countFrom, hexOf, shareIn } from './arguments.ts'
import { drawSeed } from './challenge.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { formatCount, formatPercent, table } from './style.ts'
import { type TraceSeed, writeChallenge } from './trace-folder.ts'
import {
  addTraceOptions,
  openTraceFolder,
  openTraceJob,
  seedOfChallenge,
  type TraceOptions,
} from './trace-job.ts'

interface Options extends TraceOptions {
  readonly out: string
  readonly confidence: number
  readonly skipped: number
  readonly draws?: number
  readonly seed?: Uint8Array
  readonly beacon?: boolean
  readonly transcript?: boolean
}

/** Bits of work granted to a prover that grinds its commitment in the non-interactive form. */
const GRINDING_BITS = 64

export const traceChallengeCommand: AddCommand = (perform) =>
  addTraceOptions(
    describedCommand('challenge', {
      summary: 'draw the nodes of a trace to be opened: step 2 of 4',
      description:
        'Checks signature, inputs, output and names of a trace against your own model and inputs, and draws nodes ' +
        'with probability by their cost, so that what is caught is the share of the work that was skipped.',
      examples: [
        [
          'catch, with 99 %, a prover that skipped a tenth of the work',
          'assay challenge run/trace --model m.onnx --input x.npy --confidence 0.99 --skipped 0.1 --out challenge.json',
        ],
      ],
      exits: [[0, 'drawn'], [1, 'the trace was refused'], USAGE_EXIT],
    }),
  )
    .argument('<trace>', 'the folder that `assay trace` wrote')
    .requiredOption('--out <file>', 'where to write the challenge')
    .option('--confidence <p>', 'probability of catching a cheat', shareIn('above 0, below 1'), 0.99)
    .option('--skipped <share>', 'smallest skipped share of the work to catch', shareIn('above 0'), 0.1)
    .option('--draws <k>', 'number of draws, instead of a confidence', countFrom(1))
    .option('--seed <hex>', '32 bytes to draw from (default: fresh random ones)', hexOf(32))
    .option('--beacon', 'draw from the next round of the drand beacon; needs a network')
    .option('--transcript', 'draw from the commitment alone, with more draws against a prover that grinds')
    .action(perform(challenge))

async function challenge(options: Options, session: Session, [folder]: readonly string[]): Promise<Outcome> {
  const job = await openTraceJob(options)
  const receivedAtSeconds = Math.floor(Date.now() / 1000)
  const opened = await openTraceFolder(folder as string, job)
  if (!opened.ok) {
    const { code, message, detail } = opened
    return {
      exitCode: 1,
      json: { isAccepted: false, evidence: { code, message, detail } },
      text: (style) => `${style.bad('✘')} refused before a challenge: ${code}: ${message}`,
    }
  }
  const { confidence, skipped } = options
  const grinding = options.transcript ? { grindingBits: GRINDING_BITS } : {}
  const draws = drawsOf(
    options.draws === undefined ? { confidence, skipped, ...grinding } : { draws: options.draws },
  )
  const seed: TraceSeed = options.transcript
    ? { kind: 'transcript' }
    : await drawSeed(options, { receivedAtSeconds, session })
  const nodes = challengeTrace(opened.value, {
    seed: seedOfChallenge({ seed, receivedAtSeconds }, opened.value),
    draws,
  })
  await writeChallenge(options.out, { seed, receivedAtSeconds, draws, nodes })
  const total = opened.value.nodes.reduce((sum, { cost }) => sum + cost, 0)
  const asked = opened.value.nodes.filter(({ node }) => nodes.includes(node))
  const costShare = asked.reduce((sum, { cost }) => sum + cost, 0) / total
  const detection = detectSkipped({ skipped, draws })
  return {
    exitCode: 0,
    json: { isAccepted: true, challenge: options.out, draws, nodes, costShare, skipped, detection },
    text: (style) =>
      [
        `${style.good('✔')} the trace hangs together; ${formatCount(draws)} draws named ${formatCount(nodes.length)} of ${formatCount(opened.value.nodes.length)} nodes`,
        table([
          [
            'detection',
            `${formatPercent(detection)} of provers that skipped ${formatPercent(skipped)} of the work`,
          ],
          ['work to repeat', formatPercent(costShare)],
          ['challenge', options.out],
        ]),
        '',
        style.faint('Send it to the prover, who answers with:'),
        `  npx assay open ${folder} ${options.out} --model ${options.model} --out openings.cbor`,
      ].join('\n'),
  }
}
