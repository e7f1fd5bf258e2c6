/**
 * One check of the verifier service: the answer of a node to one segment, against rows that are computed here.
 *
 * Threat: output, proof and commitment are a node's, and hostile. Whatever is wrong with them is a verdict against
 * the node; whatever goes wrong on this side is thrown, so that the check is handed back and nobody is blamed.
 */
import { fromHex } from 'assay/core/bytes'
import { AssayError, attempt } from 'assay/core/errors'
import type { KeyPair } from 'assay/core/keys'
import { executionFromJson } from 'assay/core/poe'
import { parseSeedSource, resolveSeed } from 'assay/core/seed'
import { type Verification, verifyLazy } from 'assay/method/sampling/verifier'
import type { Envelope } from 'assay/receipt/envelope'
import { signReceipt } from 'assay/receipt/sign'
import { decodeRows } from 'assay/task/rows'
import { type Row, type SegmentInput, segmentRequestId, segmentTask } from 'assay/wire/segment'
import type { VerificationLease } from 'assay/wire/verification'

export interface SegmentVerdict {
  readonly isVerified: boolean
  /** Signed statement of the check; null where the answer could not be opened. */
  readonly receipt: Envelope | null
  readonly code: string | null
  readonly message: string | null
  readonly samples: number
}

export interface CheckDeps {
  readonly key: KeyPair
  /** Row `index` of the job, computed here. */
  readonly row: (index: number) => Promise<Row>
  /** The answer's encoded rows and its proof, in base64. */
  readonly output: Uint8Array
  readonly proof: string
  readonly now: Date
  readonly signal: AbortSignal
}

/** The verdict over one answer; throws what is wrong on this side. */
export async function checkSegment(lease: VerificationLease, deps: CheckDeps): Promise<SegmentVerdict> {
  const { policy, from, to } = lease
  const task = segmentTask(lease.work, (_, index) => deps.row(index), policy)
  const solverInput: SegmentInput = { input: lease.inputCid, from, to }
  const answer = attempt(() => ({
    solverOutput: decodeRows(deps.output),
    commitment: executionFromJson(lease.execution),
  }))
  if (!answer.ok) return refused(answer)
  const { solverOutput, commitment } = answer.value
  const job = { requestId: segmentRequestId(lease.id), nonce: fromHex(lease.nonce) }
  const source = parseSeedSource(lease.seed)
  const request = {
    solverRequest: { solverInput, falsePositiveRate: policy.falsePositiveRate },
    solverOutput,
    solverProof: { bloomFilter: deps.proof, countItems: (to - from) * task.state.slots },
    verificationRatio: 0,
  }
  const verification = await verifyLazy(task, request, {
    job,
    commitment,
    seed: seedOf(source, lease.receivedAtSeconds),
    ask: { confidence: policy.confidence, faked: policy.fakedShare },
    signal: deps.signal,
  })
  const receipt = isOpened(verification)
    ? await signReceipt(
        {
          task,
          request,
          commitment,
          verification,
          seed: source,
          receivedAtSeconds: lease.receivedAtSeconds,
          issuedAt: deps.now,
        },
        deps.key,
      )
    : null
  const { isVerified, evidence } = verification.response
  return {
    isVerified,
    receipt,
    code: evidence?.code ?? null,
    message: evidence?.message ?? null,
    samples: verification.check.samples,
  }
}

function isOpened({ check }: Verification): boolean {
  return check.outputBinding !== null
}

function seedOf(source: ReturnType<typeof parseSeedSource>, committedAtSeconds: number): Uint8Array {
  const resolved = resolveSeed(source, {
    committedAtSeconds,
    beacon: () => {
      throw new AssayError('seed/malformed', 'expected the commit-reveal seed of a job, got a beacon round')
    },
  })
  if (!resolved.ok) throw new AssayError('seed/malformed', resolved.message, { detail: resolved.detail })
  return resolved.value
}

function refused({ code, message }: { readonly code: string; readonly message: string }): SegmentVerdict {
  return { isVerified: false, receipt: null, code, message, samples: 0 }
}
