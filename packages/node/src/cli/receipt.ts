/**
 * `assay receipt verify`: checks a receipt offline.
 */

import { resolveBeacon } from 'assay/core/beacon'
import { AssayError, type Rejection, type Verdict } from 'assay/core/errors'
import { isNodeId } from 'assay/core/keys'
import { MAX_PAYLOAD_BYTES } from 'assay/receipt/envelope'
import { MAX_BUNDLE_BYTES } from 'assay/receipt/job/bundle'
import type { Statement } from 'assay/receipt/statement'
import { verifyReceipt } from 'assay/receipt/verify'
import { Command } from 'commander'
import { countFrom } from './arguments.ts'
import {
  type AddCommand,
  describedCommand,
  type Outcome,
  type Perform,
  type Session,
  USAGE_EXIT,
} from './command.ts'
import { remedyOf } from './exit.ts'
import { readCapped } from './files.ts'
import { checkJobReceipt, isJobReceipt, type JobReceiptOptions } from './job-receipt.ts'
import { formatCount, formatPercent, type Style, table } from './style.ts'
import { evidenceJson } from './verdict.ts'

/** The payload in base64, the signature, and white space around them. */
const MAX_RECEIPT_BYTES = 2 * MAX_PAYLOAD_BYTES

export const receiptCommand: AddCommand = (perform) =>
  new Command('receipt')
    .summary('check a signed receipt, offline')
    .description('Works with the signed receipts that `assay verify` and `assay demo` write.')
    .addCommand(receiptVerify(perform))

function receiptVerify(perform: Perform): Command {
  return describedCommand('verify', {
    summary: 'check a receipt, offline',
    description:
      'Checks both signatures of a receipt, and derives again what follows from it: which states were to be ' +
      'sampled, and what confidence that gives. It does not recompute a state: the receipt is worth as much as ' +
      'the verifier that signed it, so name the one that you trust.',
    examples: [
      ['is this receipt genuine, and what does it say', 'assay receipt verify run/receipt.json'],
      [
        'only if it is from the verifier that I trust',
        'assay receipt verify run/receipt.json --signer NODEID',
      ],
      [
        'the receipt of a network job, its rows, and twenty of them computed again',
        'assay receipt verify receipt.json --rows rows.bin --inputs input.bin --content model.onnx',
      ],
    ],
    exits: [
      [0, 'the receipt holds, and says that the run was verified'],
      [1, 'the receipt does not hold, or says that the run was rejected'],
      USAGE_EXIT,
    ],
  })
    .argument('<file>', 'the receipt')
    .option('--signer <node id>', 'the verifier, or the coordinator of a job, whose receipt it must be')
    .option('--rows <file>', 'receipt of a job: its rows, as `assay submit` wrote them (rows.bin)')
    .option('--inputs <file>', 'receipt of a job: its input (input.bin), to compute some rows again')
    .option('--content <file>', 'receipt of a job: its model or module')
    .option('--job <file>', 'receipt of a job: the job as it was submitted (job.json)')
    .option('--samples <n>', 'receipt of a job: rows to compute again', countFrom(1))
    .option('--partial', 'receipt of a job: accept it though signed executions or verdicts were left out')
    .action(perform(checkReceipt))
}

/** Any receipt: that of one verification, or the bundle of a network job. */
export async function checkReceipt(
  options: JobReceiptOptions,
  session: Session,
  operands: readonly string[],
): Promise<Outcome> {
  const { signer } = options
  const file = operands[0] as string
  if (signer !== undefined && !isNodeId(signer)) {
    throw new AssayError('cli/usage', '--signer expects a node id of 64 lower-case hexadecimal digits')
  }
  const bytes = await readCapped(file, { maxBytes: MAX_BUNDLE_BYTES, what: 'the receipt' })
  if (isJobReceipt(bytes)) return checkJobReceipt(file, options, { bytes, session })
  if (bytes.length > MAX_RECEIPT_BYTES) {
    throw new AssayError(
      'cli/file-too-large',
      `${file}: expected a receipt of at most ${MAX_RECEIPT_BYTES} bytes`,
    )
  }
  const verdict = await verifyReceipt(parseJson(bytes), {
    beacon: resolveBeacon,
    ...(signer === undefined ? {} : { signer }),
  })
  return describeReceipt(verdict, { file, signer })
}

/** What is no JSON is no receipt either: `verifyReceipt` says so. */
function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

interface ReceiptContext {
  readonly file: string
  readonly signer: string | undefined
}

function describeReceipt(verdict: Verdict<Statement>, { file, signer }: ReceiptContext): Outcome {
  if (!verdict.ok) return refusedReceipt(verdict, file)
  const { predicate } = verdict.value
  const { isVerified, countItems, evidence } = predicate.verdict
  const { check } = predicate
  return {
    exitCode: isVerified ? 0 : 1,
    json: {
      isValid: true,
      isVerified,
      countItems,
      evidence: evidenceJson(evidence as Parameters<typeof evidenceJson>[0]),
      signer: predicate.verifier.nodeId,
      isSignerDemanded: signer !== undefined,
      task: predicate.task,
      method: check.verifier,
      states: check.states,
      samples: check.samples,
      confidence: check.confidence,
      faked: check.faked,
      issuedAt: predicate.issuedAt,
      rejection: null,
    },
    text: (style) => receiptText(verdict.value, { style, signer }),
  }
}

function refusedReceipt({ code, message, detail }: Rejection, file: string): Outcome {
  return {
    exitCode: 1,
    json: { isValid: false, isVerified: false, rejection: { code, message, detail } },
    text: (style) =>
      [
        `${style.bad('✘')} ${style.strong('not a receipt to rely on')}: ${file}`,
        table([
          ['reason', `${style.bad(code)}: ${message}`],
          ['what to do', remedyOf(code)],
        ]),
      ].join('\n'),
  }
}

function receiptText(
  { predicate }: Statement,
  { style, signer }: { readonly style: Style; readonly signer: string | undefined },
): string {
  const { check, verdict, task, verifier, issuedAt, solver } = predicate
  const mark = verdict.isVerified ? style.good('✔') : style.bad('✘')
  const says = verdict.isVerified ? 'verified' : 'rejected'
  const rows = [
    ['task', `${task.name} ${task.version}, id ${task.id.slice(0, 16)}…`],
    [
      'checked',
      `${formatCount(check.samples)} of ${formatCount(check.states)} states, by ${check.verifier} verification`,
    ],
  ]
  if (check.confidence !== null && check.faked !== null && check.verifier === 'lazy') {
    rows.push([
      'confidence',
      `${formatPercent(check.confidence)} against ${formatPercent(check.faked)} faked`,
    ])
  }
  if (verdict.evidence !== null)
    rows.push(['evidence', `${verdict.evidence.code}: ${verdict.evidence.message}`])
  rows.push(['received', new Date(solver.receivedAtSeconds * 1000).toISOString()], ['issued', issuedAt])
  rows.push([
    'signed by',
    `${verifier.nodeId}${signer === undefined ? ' (give --signer to demand one)' : ''}`,
  ])
  return [`${mark} the receipt holds: the run was ${style.strong(says)}`, table(rows)].join('\n')
}
