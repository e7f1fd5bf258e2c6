/**
 * `assay solve onnx`: the solver's half. Runs a model over a batch, proves it, signs it, and writes the run
 * folder that is handed over.
 */

import { toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { nodeId } from 'assay/core/keys'
import type { Job } from 'assay/core/poe'
import { inputDigest } from 'assay/method/sampling/commitment'
import { DEFAULT_FALSE_POSITIVE_RATE } from 'assay/method/sampling/messages'
import { PROOF_KINDS, type ProofKind } from 'assay/method/sampling/proof'
import { solve } from 'assay/method/sampling/prover'
import { Command, Option } from 'commander'
import { hexOf, shareIn } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { assertWritable } from './files.ts'
import { keyOf } from './key-store.ts'
import { openExecutor } from './onnx-executor.ts'
import { addOnnxOptions, type OnnxJob, type OnnxOptions, openOnnxJob } from './onnx-job.ts'
import { randomBytes32 } from './randomness.ts'
import { RUN_FILES, runRequestOf, writeRun } from './run-folder.ts'
import { formatBytes, formatCount, formatDuration, table } from './style.ts'

interface SolveOptions extends OnnxOptions {
  readonly out: string
  readonly fpr: number
  readonly proof: ProofKind
  readonly key?: string
  readonly requestId?: Uint8Array
  readonly nonce?: Uint8Array
}

export const solveCommand: AddCommand = (perform) =>
  new Command('solve')
    .summary('run a job and prove it: the solver’s half')
    .description('Runs a job, puts every state of it into a proof, and signs what it hands over.')
    .addCommand(
      addOnnxOptions(
        describedCommand('onnx', {
          summary: 'run an ONNX model over a batch',
          description:
            'Runs the model on every row of the input, writes output, proof and signed commitment to a folder, ' +
            'and nothing else: whoever gets the folder checks it with `assay verify`.',
          examples: [
            [
              'run the digits model over its images',
              'assay solve onnx --model examples/digits/model.onnx --input examples/digits/images.npy --out run/',
            ],
            [
              'two inputs by name, and the nonce that the requester drew',
              'assay solve onnx --model m.onnx --input ids=ids.npy --input mask=mask.npy --nonce HEX --out run/',
            ],
          ],
          exits: [[0, 'solved'], USAGE_EXIT],
        }),
      )
        .requiredOption('--out <folder>', 'where to write the run')
        .option(
          '--fpr <f>',
          'false positive rate of the proof',
          shareIn('above 0, below 1'),
          DEFAULT_FALSE_POSITIVE_RATE,
        )
        .addOption(new Option('--proof <kind>', 'kind of proof').choices(PROOF_KINDS).default('fingerprint'))
        .option('--key <file>', 'key to sign with (default: the key of this machine, see `assay key`)')
        .option('--request-id <hex>', '32 bytes that name the request (default: drawn)', hexOf(32))
        .option(
          '--nonce <hex>',
          '32 bytes that the requester drew for this run (default: drawn here)',
          hexOf(32),
        )
        .action(perform(solveOnnx)),
    )

async function solveOnnx(options: SolveOptions, session: Session): Promise<Outcome> {
  await assertWritable(options.out)
  const key = await keyOf(options.key, session.note)
  const onnx = await openOnnxJob(options)
  const closers = [() => onnx.batch.close()]
  try {
    if (options.runtime === 'native' && options.tolerance === undefined) {
      session.note(
        'Note: native results repeat bit for bit on the same kind of CPU only; give --tolerance to verify elsewhere.',
      )
    }
    const job = { requestId: options.requestId ?? randomBytes32(), nonce: options.nonce ?? randomBytes32() }
    const { executor, close } = await openExecutor(onnx, {
      workers: options.workers,
      session,
      label: 'solving',
    })
    closers.push(close)
    const started = performance.now()
    const solution = await solve(
      onnx.task,
      { solverInput: onnx.inputs, falsePositiveRate: options.fpr },
      {
        job,
        key,
        proof: options.proof,
        executor,
        signal: session.signal,
      },
    )
    const solveMs = performance.now() - started
    if (solution.states !== null) {
      throw new AssayError('cli/internal', 'the output of an ONNX batch is expected to tell all states')
    }
    await writeRun(options.out, { request: requestOf(options, onnx, job), solution })
    return describeRun({
      options,
      onnx,
      job,
      solveMs,
      proofText: solution.response.solverProof.bloomFilter,
      signer: nodeId(key.publicKey),
    })
  } finally {
    for (const close of closers.reverse()) await close()
  }
}

function requestOf(options: SolveOptions, { model, task, batch, inputs }: OnnxJob, job: Job) {
  return runRequestOf({
    ...job,
    falsePositiveRate: options.fpr,
    model: model.cid,
    inputDigest: toHex(inputDigest(task, inputs)),
    runtime: options.runtime,
    runtimeVersion: batch.runtime.version,
    batch: options.batch,
    tolerance: options.tolerance ?? null,
  })
}

interface SolvedRun {
  readonly options: SolveOptions
  readonly onnx: OnnxJob
  readonly job: Job
  readonly solveMs: number
  readonly proofText: string
  readonly signer: string
}

function describeRun({ options, onnx, job, solveMs, proofText, signer }: SolvedRun): Outcome {
  const states = onnx.task.states(onnx.inputs)
  const proofBytes = Buffer.byteLength(proofText, 'base64')
  return {
    exitCode: 0,
    json: {
      run: options.out,
      files: [RUN_FILES.request, RUN_FILES.output, RUN_FILES.proof, RUN_FILES.commitment],
      model: onnx.model.cid,
      task: onnx.task.id,
      requestId: toHex(job.requestId),
      nonce: toHex(job.nonce),
      solver: signer,
      states,
      falsePositiveRate: options.fpr,
      proof: options.proof,
      proofBytes,
      solveMs,
    },
    text: (style) =>
      [
        `${style.good('✔')} ${formatCount(states)} states computed, proved and signed in ${formatDuration(solveMs)}`,
        table([
          ['run', options.out],
          ['proof', `${formatBytes(proofBytes)} (${options.proof})`],
          ['solver', signer],
        ]),
        '',
        style.faint('Hand the folder over. Its receiver checks it with:'),
        `  ${verifyLine(options)}`,
      ].join('\n'),
  }
}

/** What the receiver of the folder runs, with the options that have to be the same. */
function verifyLine({ out, model, input, runtime, tolerance, batch }: SolveOptions): string {
  const words = ['npx', 'assay', 'verify', out, '--model', model]
  for (const one of input) words.push('--input', one)
  if (runtime !== 'wasm') words.push('--runtime', runtime)
  if (tolerance !== undefined) words.push('--tolerance', String(tolerance))
  if (batch !== 'first-axis') words.push('--batch', batch)
  return [...words, '--confidence', '0.99', '--faked', '0.05'].map(shellWord).join(' ')
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
