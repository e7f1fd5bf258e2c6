/**
 * `assay verify`: the verifier's half. Checks the folder of a run against the verifier's own model and inputs,
 * says what it found, and signs a receipt.
 *
 * Threat: the folder comes from the solver. Its request.json is read for what it claims was asked, compared
 * with the verifier's own files and options, and never believed against them.
 */

import { dirname } from 'node:path'
import { equalBytes, toHex } from 'assay/core/bytes'
import { AssayError, type Rejection, reject } from 'assay/core/errors'
import type { Job } from 'assay/core/poe'
import { inputDigest } from 'assay/method/sampling/commitment'
import { evidenceOf } from 'assay/method/sampling/evidence'
import type { Verification } from 'assay/method/sampling/verifier'
import { Option } from 'commander'
import { countFrom, hexOf, shareIn } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { assertWritable, isFile } from './files.ts'
import type { JobReceiptOptions } from './job-receipt.ts'
import { keyOf } from './key-store.ts'
import { addOnnxOptions, type OnnxJob, openOnnxJob } from './onnx-job.ts'
import { checkReceipt } from './receipt.ts'
import { jobOf, type RunAnswer, type RunRequest, readRunAnswer, readRunRequest } from './run-folder.ts'
import { describeVerdict, type VerdictFigures, verdictJson } from './verdict.ts'
import { type CheckedRun, checkRun, writeReceipt } from './verify-check.ts'
import {
  askOf,
  checkSolverOption,
  DEFAULT_CONFIDENCE,
  DEFAULT_FAKED,
  METHODS,
  type VerifyOptions,
} from './verify-options.ts'

export const verifyCommand: AddCommand = (perform) =>
  addOnnxOptions(
    describedCommand('verify', {
      summary: 'check a run at a chosen confidence: the verifier’s half',
      description:
        'Recomputes a random sample of a run with your own model and inputs, looks it up in the proof, looks the ' +
        'whole output up in the proof, checks every signature, and writes a signed receipt. Takes the same ' +
        '--model, --input, --runtime, --tolerance and --batch as the run was made with.',
      examples: [
        [
          'catch a solver that faked 5 % with 99 % confidence',
          'assay verify run/ --model m.onnx --input x.npy --confidence 0.99 --faked 0.05',
        ],
        [
          'insist on the nonce that you drew for this run',
          'assay verify run/ --model m.onnx --input x.npy --nonce HEX',
        ],
        ['run everything again', 'assay verify run/ --model m.onnx --input x.npy --method baseline'],
        [
          'a receipt, offline; that of a network job with rows, input and model computes some rows again',
          'assay verify receipt.json --rows rows.bin --inputs input.bin --content model.onnx',
        ],
      ],
      exits: [[0, 'verified'], [1, 'rejected; the evidence says why'], USAGE_EXIT],
    }),
    { isRequired: false },
  )
    .argument('<run>', 'the folder that `assay solve` wrote, or a receipt')
    .option('--signer <node id>', 'of a receipt: who must have signed it')
    .option('--rows <file>', 'of the receipt of a job: its rows')
    .option('--inputs <file>', 'of the receipt of a job: its input, to compute some rows again')
    .option('--content <file>', 'of the receipt of a job: its model or module')
    .option('--job <file>', 'of the receipt of a job: the job as it was submitted (job.json)')
    .option(
      '--partial',
      'of the receipt of a job: accept it though signed executions or verdicts were left out',
    )
    .addOption(new Option('--method <name>', 'how to check').choices(METHODS).default('lazy'))
    .option(
      '--confidence <p>',
      `probability of catching a cheat (default: ${DEFAULT_CONFIDENCE})`,
      shareIn('above 0, below 1'),
    )
    .option(
      '--faked <share>',
      `smallest faked share to catch (default: ${DEFAULT_FAKED})`,
      shareIn('above 0'),
    )
    .option('--ratio <share>', 'share of the states to recompute, instead of a confidence', shareIn('from 0'))
    .option('--samples <k>', 'number of states to recompute, instead of a confidence', countFrom(0))
    .option('--seed <hex>', '32 bytes to draw the sample from (default: fresh random ones)', hexOf(32))
    .option('--beacon', 'draw the sample from the next round of the drand beacon; needs a network')
    .option('--request-id <hex>', 'the request id that you gave out; another one is rejected', hexOf(32))
    .option('--nonce <hex>', 'the nonce that you drew; a run with another one is rejected', hexOf(32))
    .option('--solver <node id>', 'the solver that you expect; a run signed by another one is rejected')
    .option('--key <file>', 'key to sign the receipt with (default: the key of this machine)')
    .option('--receipt <file>', 'where to write the receipt (default: receipt.json in the run)')
    .action(perform(verifyRun))

async function verifyRun(
  options: VerifyOptions & JobReceiptOptions,
  session: Session,
  operands: readonly string[],
): Promise<Outcome> {
  const folder = operands[0] as string
  if (await isFile(folder)) return checkReceipt(options, session, operands)
  if (options.model === undefined || options.input === undefined) {
    throw new AssayError('cli/usage', 'to verify a run, give its --model and --input: your own copies')
  }
  const ask = askOf(options)
  checkSolverOption(options.solver)
  if (options.receipt !== undefined) await assertWritable(dirname(options.receipt))
  const key = await keyOf(options.key, session.note)
  const request = await readRunRequest(folder)
  const onnx = await openOnnxJob(options)
  try {
    checkRequest(request, { options, onnx })
    const job = { ...jobOf(request), ...ownJob(options) }
    const answer = await readRunAnswer(folder)
    const refusal = answer.ok ? checkNamed(answer.value, options) : answer
    if (!answer.ok || refusal !== null) return unreadable({ options, onnx, refusal: refusal as Rejection })
    const checked = await checkRun({ options, ask, onnx, request, job, answer: answer.value, session })
    const receipt = await writeReceipt(checked, { options, folder, key })
    return describe({ options, checked, receipt })
  } finally {
    await onnx.batch.close()
  }
}

function ownJob({ requestId, nonce }: VerifyOptions): Partial<Job> {
  return { ...(requestId ? { requestId } : {}), ...(nonce ? { nonce } : {}) }
}

/** The verifier's files and options must be those of the request; which side is wrong is for people to find out. */
function checkRequest(
  request: RunRequest,
  { options, onnx }: { readonly options: VerifyOptions; readonly onnx: OnnxJob },
): void {
  const compared: readonly (readonly [
    what: string,
    asked: string | number | null,
    given: string | number | null,
  ])[] = [
    ['model', request.model, onnx.model.cid],
    ['runtime', request.runtime, options.runtime],
    ['version of the runtime', request.runtimeVersion, onnx.batch.runtime.version],
    ['batch mode', request.batch, options.batch],
    ['tolerance', request.tolerance, options.tolerance ?? null],
    ['input', request.inputDigest, toHex(inputDigest(onnx.task, onnx.inputs))],
  ]
  for (const [what, asked, given] of compared) {
    if (asked === given) continue
    throw new AssayError(
      'run/other-request',
      `the ${what} of the run is ${asked ?? 'none'}, yours is ${given ?? 'none'}`,
      { detail: { what, asked, given } },
    )
  }
}

/** What the verifier named must be what the solver signed; told apart here, so that a rejection says which it was. */
function checkNamed({ commitment: { fields } }: RunAnswer, options: VerifyOptions): Rejection | null {
  const { solver, nonce, requestId } = options
  if (solver !== undefined && solver !== fields.nodeId) {
    return reject(
      'run/other-solver',
      `expected a run signed by node ${solver}, got one by node ${fields.nodeId}`,
      {
        expected: solver,
        found: fields.nodeId,
      },
    )
  }
  for (const [what, named, found] of [
    ['nonce', nonce, fields.nonce],
    ['request id', requestId, fields.requestId],
  ] as const) {
    if (named === undefined || equalBytes(named, found)) continue
    const [expected, got] = [toHex(named), toHex(found)]
    return reject('run/other-job', `expected a run with ${what} ${expected}, got one with ${got}`, {
      expected,
      found: got,
    })
  }
  return null
}

function describe({
  options,
  checked,
  receipt,
}: {
  options: VerifyOptions
  checked: CheckedRun
  receipt: string | null
}) {
  const { verification, commitment, source, verifyMs, job } = checked
  return verdictOutcome({
    ...verification,
    method: options.method,
    solver: commitment.fields.nodeId,
    requestId: toHex(job.requestId),
    nonce: toHex(job.nonce),
    isNonceInsisted: options.nonce !== undefined,
    seed: source,
    verifyMs,
    receipt,
  })
}

/** A rejection before anything could be looked at. */
function unreadable({
  options,
  onnx,
  refusal,
}: {
  options: VerifyOptions
  onnx: OnnxJob
  refusal: Rejection
}): Outcome {
  const verification: Verification = {
    response: { isVerified: false, countItems: 0, evidence: evidenceOf(refusal) },
    check: {
      verifier: options.method,
      states: onnx.task.states(onnx.inputs),
      samples: 0,
      indices: [],
      outputBinding: null,
      falsePositiveRate: 0,
      guessProbability: 0,
      confidence: null,
      faked: options.faked ?? null,
    },
  }
  return verdictOutcome({
    ...verification,
    method: options.method,
    solver: null,
    requestId: null,
    nonce: null,
    isNonceInsisted: false,
    seed: null,
    verifyMs: 0,
    receipt: null,
  })
}

function verdictOutcome(figures: VerdictFigures): Outcome {
  return {
    exitCode: figures.response.isVerified ? 0 : 1,
    json: verdictJson(figures),
    text: (style) => describeVerdict(figures, style),
  }
}
