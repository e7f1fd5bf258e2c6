/**
 * Checking the receipt of a network job, offline: signatures, derivations, executions, verdicts, its place in the log;
 * with the rows at hand, that they are the accepted ones; with input and model or module, that a sample of them comes
 * out here again.
 */
import { fromBase64 } from 'assay/core/bytes'
import { contentAddress, parseCid } from 'assay/core/cid'
import { parseWith } from 'assay/core/codec'
import { AssayError, type Rejection, reject, type Verdict } from 'assay/core/errors'
import { sampleIndices } from 'assay/core/sampling'
import { parseReceiptBundle, type VerifiedBundle, verifyReceiptBundle } from 'assay/receipt/job/bundle'
import { decodeRows, encodeRows } from 'assay/task/rows'
import { addressOf } from 'assay/wire/blob-transfer'
import { jobView } from 'assay/wire/job'
import { rowState, rowsAgree, segmentTask, withoutRows } from 'assay/wire/segment'
import { segmentInputDigests } from 'assay/wire/segment-digests'
import { type VerifyOptions, verifyJob } from 'assay/wire/submit'
import { contentOf, type WorkSpec, workSpec } from 'assay/wire/work'
import * as z from 'zod/mini'
import { openInference } from '../work/inference.ts'
import { openWork } from '../work/open-work.ts'
import { createWasmRunner } from '../work/wasm-runner.ts'
import type { Outcome, Session } from './command.ts'
import { remedyOf } from './exit.ts'
import { readCapped, readJson } from './files.ts'
import { randomBytes32 } from './randomness.ts'
import { formatCount, formatPercent, type Style, table } from './style.ts'

const MAX_DATA_BYTES = 2 ** 30
/** An inline input, a system prompt, and what is around them. */
const MAX_JOB_FILE_BYTES = 2 ** 20
const DEFAULT_SAMPLES = 20

/** What a submitter knows of a job from before it ran: the answer to its submission, or `job.json` of `assay submit`. */
const agreedJob = z.object({
  id: jobView.shape.id,
  spec: jobView.shape.spec,
  seedCommitment: jobView.shape.seedCommitment,
})

export interface JobReceiptOptions {
  readonly signer?: string
  /** The job as it was submitted: `job.json` of `assay submit`. */
  readonly job?: string
  /** Encoded rows: `rows.bin` of `assay submit`. */
  readonly rows?: string
  /** Encoded input: `input.bin` of `assay submit`. */
  readonly inputs?: string
  /** Model or module. */
  readonly content?: string
  /** Rows to compute again. */
  readonly samples?: number
  /** Accept it without all of its evidence. */
  readonly partial?: boolean
}

/** Whether a file holds the receipt of a network job, and not that of one verification; in whatever order it is. */
export function isJobReceipt({ buffer, byteOffset, length }: Uint8Array): boolean {
  return Buffer.from(buffer, byteOffset, length).includes('"assay/receipt-bundle"')
}

interface Rerun {
  readonly rows: number
  readonly kind: WorkSpec['kind']
}

export async function checkJobReceipt(
  file: string,
  options: JobReceiptOptions,
  { bytes, session }: { readonly bytes: Uint8Array; readonly session: Session },
): Promise<Outcome> {
  const { signer } = options
  const bundle = parseReceiptBundle(bytes)
  const rows = options.rows === undefined ? undefined : decodeRows(await readData(options.rows, 'the rows'))
  const demanded = {
    ...(signer === undefined ? {} : { signer }),
    ...(options.partial === true ? { requireEvidence: false } : {}),
  }
  const statement = await verifyReceiptBundle(bundle, demanded)
  if (!statement.ok) return refused(statement, file)
  const { predicate } = statement.value.statement
  const { segmentRows, cids, rows: count } = predicate.input
  const work = parseWith(workSpec, predicate.work.descriptor, 'the work of the receipt')
  const guessProbability = predicate.validation.asked.sampling?.guessProbability ?? 0
  const verdict =
    options.job === undefined
      ? await verifyReceiptBundle(bundle, {
          ...demanded,
          taskId: segmentTask(work, withoutRows, { guessProbability }).id,
          inputDigest: (segment) => {
            const from = segment * segmentRows
            return segmentInputDigests([
              { input: cids[0] as string, from, to: Math.min(from + segmentRows, count) },
            ])[0] as Uint8Array
          },
          ...(rows === undefined ? {} : { outputs: cut(rows, segmentRows) }),
        })
      : await verifyJob(bundle, {
          ...demanded,
          ...(await readJob(options.job)),
          ...(rows === undefined ? {} : { rows }),
        })
  if (!verdict.ok) return refused(verdict, file)
  const rerun = await runAgain(verdict.value, { work, rows, options, session })
  if (rerun !== null && !rerun.ok) return refused(rerun, file)
  return accepted(verdict.value, { file, signer, rerun: rerun?.value ?? null })
}

function cut(rows: readonly Uint8Array[], segmentRows: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(rows.length / segmentRows) }, (_, i) =>
    encodeRows(rows.slice(i * segmentRows, (i + 1) * segmentRows)),
  )
}

async function readJob(path: string): Promise<Pick<VerifyOptions, 'job' | 'inputCid'>> {
  const job = parseWith(
    agreedJob,
    await readJson(path, { maxBytes: MAX_JOB_FILE_BYTES, what: 'the job' }),
    path,
  )
  const { input } = job.spec
  return { job, inputCid: 'cid' in input ? input.cid : await addressOf(fromBase64(input.inline)) }
}

function readData(path: string, what: string): Promise<Uint8Array> {
  return readCapped(path, { maxBytes: MAX_DATA_BYTES, what })
}

interface RerunParts {
  readonly work: WorkSpec
  readonly rows: readonly Uint8Array[] | undefined
  readonly options: JobReceiptOptions
  readonly session: Session
}

/** Computes a random sample of the rows here; null where input, content or rows are not at hand. */
async function runAgain(
  { statement }: VerifiedBundle,
  { work, rows, options, session }: RerunParts,
): Promise<Verdict<Rerun> | null> {
  const { inputs, content } = options
  if (inputs === undefined) return null
  const [name] = Object.keys(contentOf(work))
  if (rows === undefined || (name !== undefined && content === undefined)) {
    throw new AssayError(
      'cli/usage',
      'to compute rows again, give --rows and --inputs, and --content for model or module',
    )
  }
  const input = await readData(inputs, 'the input')
  const paths = name === undefined ? {} : { [name]: content as string }
  await checkAddresses(statement.predicate.input.cids[0] as string, { input, work, content })
  const inference = openInference({ processes: 1 })
  const wasm = createWasmRunner({ workers: 1 })
  try {
    const { signal } = session
    const runner = await openWork(work, { input, paths }, { inference, wasm, signal })
    const size = Math.min(rows.length, options.samples ?? DEFAULT_SAMPLES)
    const kind = rowState(work)
    let done = 0
    for (const index of sampleIndices(randomBytes32(), { population: rows.length, size })) {
      const computed = await runner.row(index, { signal })
      if (!rowsAgree(kind, rows[index] as Uint8Array, computed)) {
        return reject('job-receipt/rerun', `row ${index} comes out otherwise here`, { row: index })
      }
      session.progress('computing rows again', ++done, size)
    }
    await runner.close()
    return { ok: true, value: { rows: size, kind: work.kind } }
  } finally {
    await Promise.all([inference.close(), wasm.close()])
  }
}

async function checkAddresses(
  cid: string,
  {
    input,
    work,
    content,
  }: { readonly input: Uint8Array; readonly work: WorkSpec; readonly content: string | undefined },
): Promise<void> {
  const own = contentAddress(input, parseCid(cid).codec)
  if (own !== cid)
    throw new AssayError('cid/mismatch', `the receipt is over the input ${cid}, yours is ${own}`)
  const [named] = Object.values(contentOf(work))
  if (named === undefined || content === undefined) return
  const found = contentAddress(await readData(content, 'model or module'), parseCid(named).codec)
  if (found !== named) throw new AssayError('cid/mismatch', `the receipt is over ${named}, yours is ${found}`)
}

function refused({ code, message, detail }: Rejection, file: string): Outcome {
  return {
    exitCode: 1,
    json: { isValid: false, rejection: { code, message, detail } },
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

interface Accepted {
  readonly file: string
  readonly signer: string | undefined
  readonly rerun: Rerun | null
}

function accepted(verified: VerifiedBundle, { signer, rerun }: Accepted): Outcome {
  const { statement, coordinator, checked, checkpoint } = verified
  const { predicate } = statement
  const { audits, checks, assurance } = predicate.validation
  return {
    exitCode: 0,
    json: {
      isValid: true,
      job: predicate.job as never,
      work: predicate.work as never,
      output: predicate.output as never,
      segments: predicate.segments.count,
      nodes: predicate.nodes.map(({ nodeId }) => nodeId),
      audits: audits.count,
      checks: checks.count,
      faults: predicate.faults.count,
      assurance: assurance as never,
      coordinator,
      isSignerDemanded: signer !== undefined,
      checked,
      logSize: checkpoint?.size ?? null,
      rowsComputedAgain: rerun?.rows ?? 0,
    },
    text: (style) => receiptText(verified, { style, signer, rerun }),
  }
}

function receiptText(
  { statement, coordinator, checked, checkpoint }: VerifiedBundle,
  {
    style,
    signer,
    rerun,
  }: { readonly style: Style; readonly signer: string | undefined; readonly rerun: Rerun | null },
): string {
  const { predicate } = statement
  const { validation, faults } = predicate
  const { segmentCaught, jobCaught, wrongShare, proves, doesNotProve } = validation.assurance
  const rows = [
    ['job', `${predicate.job.name}, ${predicate.job.id}`],
    ['output', `root ${predicate.output.root} over ${formatCount(predicate.segments.count)} segments`],
    [
      'nodes',
      `${formatCount(predicate.nodes.length)} of ${formatCount(new Set(predicate.nodes.map((n) => n.operator)).size)} operators`,
    ],
    [
      'audited',
      `${formatCount(validation.audits.count)} segments ran again, rows of ${formatCount(validation.checks.count)} were sampled`,
    ],
    ['found wrong', formatCount(faults.count)],
    [
      'confidence',
      `one wrong segment is caught with ${formatPercent(segmentCaught)}, ${formatPercent(wrongShare)} of them with ${formatPercent(jobCaught)}`,
    ],
    [
      'checked here',
      `${formatCount(checked.executions)} executions, ${formatCount(checked.verdicts)} verdicts, ${formatCount(checked.outputs)} outputs` +
        (rerun === null ? '' : `; ${formatCount(rerun.rows)} rows computed again`),
    ],
    ['log', checkpoint === null ? 'not shown' : `in it, at a size of ${formatCount(checkpoint.size)}`],
    ['signed by', `${coordinator}${signer === undefined ? ' (give --signer to demand one)' : ''}`],
  ]
  const words = [...proves.map((text) => `  + ${text}`), ...doesNotProve.map((text) => `  - ${text}`)]
  return [`${style.good('✔')} the receipt holds`, table(rows), '', ...words].join('\n')
}
