/**
 * What nodes and verifier send in tests of the life of jobs: made from the protocol's own functions, one by one, and not
 * from those in bulk that the services share.
 */
import { createHash } from 'node:crypto'
import { fromHex, toBase64, toHex } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { type KeyPair, nodeId } from 'assay/core/keys'
import { commitExecution, type ExecutionFields, executionFromJson } from 'assay/core/poe'
import { signExecutionBatch } from 'assay/core/poe-batch'
import { resolveSeed } from 'assay/core/seed'
import { proofObject } from 'assay/method/sampling/proof'
import { execute, respond } from 'assay/method/sampling/prover'
import { verifyLazy } from 'assay/method/sampling/verifier'
import { signReceipt } from 'assay/receipt/sign'
import { decodeRows, encodeRows } from 'assay/task/rows'
import type { LeaseGroup, ResultsRequest, SegmentLease, SegmentResult } from 'assay/wire/dispatch'
import {
  plainExecutionFields,
  type Row,
  type SegmentInput,
  segmentOutput,
  segmentRequestId,
  segmentTask,
} from 'assay/wire/segment'
import type { VerdictsRequest } from 'assay/wire/verification'
import type { Life } from '../../src/coordinator/life/life.ts'

/** What an honest node computes. */
export function honestRow(input: SegmentInput, index: number): Row {
  return new Uint8Array(createHash('sha256').update(`${input.input} ${index}`).digest())
}

/** Who signs. */
interface Signer {
  readonly key: KeyPair
}

interface AnswerOptions {
  readonly row?: typeof honestRow
  readonly blobs?: Map<string, Uint8Array>
}

/** What an honest node answers to leases; with another `row`, what a cheat signs that is otherwise careful. */
export async function answer(
  node: Signer,
  groups: readonly LeaseGroup[],
  { row = honestRow, blobs = new Map() }: AnswerOptions = {},
): Promise<ResultsRequest> {
  const results: SegmentResult[] = []
  const fields: ExecutionFields[] = []
  for (const { segments, ...group } of groups) {
    for (const lease of segments) {
      const one = await result(node, { group, lease }, { row, blobs })
      results.push(one.result)
      fields.push(one.fields)
    }
  }
  const { signature } = await signExecutionBatch(fields, node.key)
  return { signature: toBase64(signature), results }
}

async function result(
  { key }: Signer,
  { group, lease }: { group: Omit<LeaseGroup, 'segments'>; lease: SegmentLease },
  { row, blobs }: Required<AnswerOptions>,
): Promise<{ result: SegmentResult; fields: ExecutionFields }> {
  const segment: SegmentInput = { input: group.inputCid, from: lease.from, to: lease.to }
  const job = { requestId: segmentRequestId(lease.id), nonce: fromHex(lease.nonce) }
  const task = segmentTask(group.work, row, { guessProbability: group.guessProbability })
  if (group.falsePositiveRate === null) {
    const rows: Row[] = []
    for (let i = lease.from; i < lease.to; i++) rows.push(row(segment, i))
    const { bytes, digest } = segmentOutput(rows)
    const fields = plainExecutionFields({
      task,
      segment,
      job,
      nodeId: nodeId(key.publicKey),
      outputDigest: digest,
    })
    return { fields, result: { ...ids(lease, fields), output: outputRef(bytes, blobs), elapsedMs: 1 } }
  }
  const request = { solverInput: segment, falsePositiveRate: group.falsePositiveRate }
  const run = await execute(task, request, { job, key })
  const solution = await respond(task, { run, output: run.states }, { key })
  const { fields, signature } = solution.commitment
  const sampling = {
    proof: { inline: toBase64(proofObject.encode(run.proof)) },
    signature: toBase64(signature),
  }
  const output = outputRef(encodeRows(run.states), blobs)
  return { fields, result: { ...ids(lease, fields), output, sampling, elapsedMs: 1 } }
}

function ids({ id, fence }: SegmentLease, fields: ExecutionFields) {
  return { id, fence, commitment: toHex(commitExecution(fields)) }
}

function outputRef(bytes: Uint8Array, blobs: Map<string, Uint8Array>) {
  if (bytes.length <= 16_384) return { inline: toBase64(bytes) }
  const cid = contentAddress(bytes, 'raw')
  blobs.set(cid, bytes)
  return { cid }
}

/** As the verifier service checks and signs, with rows that it computes itself. */
export async function verdictOf(
  { key }: Signer,
  lease: Awaited<ReturnType<Life['leaseVerifications']>>[number],
  { blobs, at }: { readonly blobs: Map<string, Uint8Array>; readonly at: Date },
): Promise<VerdictsRequest['verdicts'][number]> {
  const { policy, from, to, id, fence } = lease
  const task = segmentTask(lease.work, honestRow, policy)
  const bytes = (ref: { inline: string } | { cid: string }) =>
    'inline' in ref ? Buffer.from(ref.inline, 'base64') : Buffer.from(blobs.get(ref.cid) as Uint8Array)
  const request = {
    solverRequest: {
      solverInput: { input: lease.inputCid, from, to },
      falsePositiveRate: policy.falsePositiveRate,
    },
    solverOutput: decodeRows(new Uint8Array(bytes(lease.output))),
    solverProof: { bloomFilter: toBase64(bytes(lease.sampling.proof)), countItems: to - from },
    verificationRatio: 0,
  }
  const commitment = executionFromJson(lease.execution)
  const job = { requestId: segmentRequestId(id), nonce: fromHex(lease.nonce) }
  const source = resolveSeed(lease.seed, {
    beacon: () => {
      throw new Error('a job has no beacon')
    },
    committedAtSeconds: lease.receivedAtSeconds,
  })
  if (!source.ok) throw new Error(source.message)
  const verification = await verifyLazy(task, request, {
    job,
    commitment,
    seed: source.value,
    ask: { confidence: policy.confidence, faked: policy.fakedShare },
  })
  const { isVerified, countItems, evidence } = verification.response
  const isOpened = verification.check.outputBinding !== null
  const receipt = isOpened
    ? await signReceipt(
        {
          task,
          request,
          commitment,
          verification,
          seed: lease.seed as never,
          receivedAtSeconds: lease.receivedAtSeconds,
          issuedAt: at,
        },
        key,
      )
    : null
  return {
    id,
    fence,
    isVerified,
    receipt,
    code: evidence?.code ?? null,
    message: evidence?.message ?? null,
    samples: countItems,
  }
}
