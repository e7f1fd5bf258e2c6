/**
 * Results as a node sent them, checked against what the coordinator knows by itself: no field of a commitment is taken
 * from the node but its result, and that is computed again from the output that came with it.
 *
 * Threat: everything in an answer is the node's to choose. Cheap checks come before dear ones; an output is read once;
 * one signature is checked for a whole answer, and one more for each result with a proof. What fails is the node's
 * failure, with a code: never neutral, never an exception. A blob that its operator did not upload is as good as none:
 * otherwise a node would find out by its address what others store, and hand it to the submitter of its job.
 */
import { concatBytes, equalBytes, fromBase64, fromHex, toHex } from 'assay/core/bytes'
import type { Digest } from 'assay/core/digest'
import { AssayError, attempt, type Rejection, reject, type Verdict } from 'assay/core/errors'
import type { NodeId } from 'assay/core/keys'
import { type ExecutionFields, plainResultDigest } from 'assay/core/poe'
import { commitExecutions, verifyBatchCommitments } from 'assay/core/poe-batch'
import { auditFraction } from 'assay/method/redundancy/audit'
import { resultDigest } from 'assay/method/sampling/commitment'
import { proofSalt } from 'assay/method/sampling/items'
import { proofObject } from 'assay/method/sampling/proof'
import { largestProofBytes } from 'assay/method/sampling/security'
import { isSampled } from 'assay/receipt/job/draws'
import type { ResultsRequest, SegmentResult } from 'assay/wire/dispatch'
import type { SegmentInput } from 'assay/wire/segment'
import { segmentInputDigests, segmentRequestIds } from 'assay/wire/segment-digests'
import { auditRateOf, type NodeInfo } from '../registry/nodes.ts'
import type { RunRow } from './give-back.ts'
import { type JobFacts, leaseNonces, segmentInput } from './job-facts.ts'
import { maxRowBytes, type OutputRead, readOutput, readSmall } from './output.ts'
import type { Content, LifeParts } from './parts.ts'

/** What a proof has around its bits. */
const PROOF_ENVELOPE_BYTES = 1024

/** A result that holds, and what was drawn for it. */
export interface GoodResult {
  readonly run: RunRow
  readonly index: number
  readonly commitment: Digest
  readonly output: OutputRead
  /** Of one with a proof. */
  readonly resultDigest: Digest | null
  readonly sampling: SegmentResult['sampling'] | null
  readonly proofDigest: Digest | null
  readonly elapsedMs: number
  /** Shares with which it was drawn, and what came of it. */
  readonly auditRate: number | null
  readonly isAudited: boolean
  readonly isForced: boolean
  readonly samplingRate: number | null
  readonly isSampled: boolean
}

/** A result that does not hold: the run goes to somebody else. */
export interface BadResult {
  readonly run: RunRow
  readonly index: number
  readonly code: string
  readonly message: string
}

export type CheckedResult = ({ readonly ok: true } & GoodResult) | ({ readonly ok: false } & BadResult)

export interface HeldResult {
  readonly run: RunRow
  readonly job: JobFacts
  readonly result: SegmentResult
  /** Place in the answer. */
  readonly index: number
}

/** An output that fits, before its commitment was looked at. */
interface Opened extends HeldResult {
  readonly segment: SegmentInput
  readonly output: OutputRead
  readonly proof: Digest | null
}

/** Checks the results of an answer whose leases are the node's. */
export async function checkResults(
  parts: Pick<LifeParts, 'content' | 'verify' | 'policy'>,
  { node, request, held }: { node: NodeInfo; request: ResultsRequest; held: readonly HeldResult[] },
): Promise<CheckedResult[]> {
  if (held.length === 0) return []
  const signed = await checkSignature(parts, node, request)
  if (!signed.ok) return held.map((result) => bad(result, signed))
  const content = await ownContent(parts.content, node.operator, held)
  const checked: CheckedResult[] = []
  const opened: Opened[] = []
  for (const result of held) {
    const verdict = await openResult({ content }, result)
    if (verdict.ok) opened.push(verdict.value)
    else checked.push(bad(result, verdict))
  }
  const fields = expectedFields(opened, node.nodeId as NodeId)
  const commitments = commitExecutions(fields)
  for (const [i, result] of opened.entries()) {
    const commitment = commitments[i] as Digest
    const wrong = await checkCommitment(parts, { node, result, commitment })
    if (wrong !== undefined) {
      checked.push(bad(result, wrong))
      continue
    }
    const { run, index, output, proof } = result
    checked.push({
      ok: true,
      run,
      index,
      commitment,
      output,
      resultDigest: proof === null ? null : (fields[i] as ExecutionFields).resultDigest,
      sampling: result.result.sampling ?? null,
      proofDigest: proof,
      elapsedMs: result.result.elapsedMs,
      ...draw(parts, { node, result, commitment }),
    })
  }
  return checked
}

function checkSignature(
  { verify }: Pick<LifeParts, 'verify'>,
  node: NodeInfo,
  { signature, results }: ResultsRequest,
): Promise<Verdict<true>> | Rejection {
  const read = attempt(() => fromBase64(signature))
  if (!read.ok) return reject('signature/invalid', read.message)
  const commitments = concatBytes(...results.map(({ commitment }) => fromHex(commitment)))
  return verifyBatchCommitments({ commitments, publicKey: node.publicKey, signature: read.value }, { verify })
}

/** What the answer may name, asked for once for all of it. */
async function ownContent(
  content: LifeParts['content'],
  operator: string,
  held: readonly HeldResult[],
): Promise<Content> {
  const named = held.flatMap(({ result: { output, sampling } }) => [
    output,
    ...(sampling ? [sampling.proof] : []),
  ])
  const cids = new Set(named.flatMap((value) => ('cid' in value ? [value.cid] : [])))
  if (cids.size === 0) return content
  const foreign = new Set(await content.foreign(operator, [...cids]))
  if (foreign.size === 0) return content
  return {
    ...content,
    read(cid) {
      if (foreign.has(cid)) throw new AssayError('blob/missing', `the node did not upload ${cid}`)
      return content.read(cid)
    },
  }
}

async function openResult(
  { content }: { readonly content: Content },
  held: HeldResult,
): Promise<Verdict<Opened>> {
  const { job, run, result } = held
  const { sampling } = job.spec.validation
  if ((sampling === undefined) !== (result.sampling === undefined)) {
    return reject('result/proof', `expected ${sampling === undefined ? 'no' : 'a'} proof with the result`)
  }
  const segment = segmentInput(job, run.segment)
  const rows = segment.to - segment.from
  const output = await readOutput(content, result.output, { rows, maxRowBytes: maxRowBytes(job.spec.work) })
  if (!output.ok) return output
  if (sampling === undefined || result.sampling === undefined) {
    return { ok: true, value: { ...held, segment, output: output.value, proof: null } }
  }
  const items = rows * job.task.state.slots
  const maxBytes =
    largestProofBytes({ items, falsePositiveRate: sampling.falsePositiveRate }) + PROOF_ENVELOPE_BYTES
  const bytes = await readSmall(content, result.sampling.proof, maxBytes)
  if (!bytes.ok) return bytes
  const proof = attempt(() => proofObject.digest(proofObject.decode(bytes.value)))
  if (!proof.ok) return reject('result/proof', `the proof does not decode: ${proof.message}`)
  return { ok: true, value: { ...held, segment, output: output.value, proof: proof.value } }
}

/** What an honest node commits to, field by field. */
function expectedFields(opened: readonly Opened[], nodeId: NodeId): ExecutionFields[] {
  const inputs = segmentInputDigests(opened.map(({ segment }) => segment))
  const requests = segmentRequestIds(opened.map(({ run }) => run.id))
  const nonces = leaseNonces(opened.map(({ job, run }) => ({ job, dispatchId: run.id, fence: run.fence })))
  return opened.map(({ job, output, proof }, i) => {
    const [inputDigest, requestId, nonce] = [inputs[i] as Digest, requests[i] as Digest, nonces[i] as Digest]
    const common = { requestId, taskDigest: job.taskDigest, inputDigest, nodeId, nonce }
    if (proof === null) return { ...common, resultDigest: plainResultDigest(output.digest) }
    const falsePositiveRate = job.spec.validation.sampling?.falsePositiveRate as number
    const salt = proofSalt({ requestId, nonce, taskId: job.task.id, inputDigest, falsePositiveRate, nodeId })
    return { ...common, resultDigest: resultDigest({ output: output.taskDigest, proof, states: null }, salt) }
  })
}

async function checkCommitment(
  { verify }: Pick<LifeParts, 'verify'>,
  { node, result, commitment }: { node: NodeInfo; result: Opened; commitment: Digest },
): Promise<Rejection | undefined> {
  const { commitment: claimed, sampling } = result.result
  if (!equalBytes(commitment, fromHex(claimed))) {
    const message = `expected a commitment to this lease and output (${toHex(commitment)}), got ${claimed}`
    return reject('poe/mismatch', message)
  }
  if (sampling === undefined) return undefined
  const signature = attempt(() => fromBase64(sampling.signature))
  if (!signature.ok) return reject('signature/invalid', signature.message)
  const verdict = await verify(node.publicKey, commitment, signature.value)
  return verdict.ok ? undefined : verdict
}

/** Both draws, after the commitment and from the seed of the job; a run that is compared anyway is not drawn for it. */
function draw(
  { policy }: Pick<LifeParts, 'policy'>,
  { node, result, commitment }: { node: NodeInfo; result: Opened; commitment: Digest },
): Pick<GoodResult, 'auditRate' | 'isAudited' | 'isForced' | 'samplingRate' | 'isSampled'> {
  const { seed, spec } = result.job
  const jobShare = spec.validation.redundancy?.share ?? 0
  const samplingRate = spec.validation.sampling?.share ?? null
  const sampled = samplingRate !== null && isSampled({ seed, commitment, rate: samplingRate })
  if (result.run.compared) {
    return { auditRate: null, isAudited: false, isForced: false, samplingRate, isSampled: sampled }
  }
  const auditRate = auditRateOf(node, { jobShare, price: spec.pricePerSegment, policy })
  const fraction = auditFraction({ seed, commitment })
  return {
    auditRate,
    isAudited: fraction < auditRate,
    isForced: fraction >= jobShare,
    samplingRate,
    isSampled: sampled,
  }
}

function bad({ run, index }: HeldResult, { code, message }: Rejection): { readonly ok: false } & BadResult {
  return { ok: false, run, index, code, message }
}
