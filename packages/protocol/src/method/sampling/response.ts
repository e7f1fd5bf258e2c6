/**
 * Opening a solver's response: everything that can be refused before a state is recomputed.
 *
 * Threat: response, proof, handed-over states and commitment are hostile. The order is cheap before dear:
 * schema and sizes, then the signature, then the output's shape, then the proof, so that a refusal costs at
 * most one pass over what was sent.
 */
import { fromBase64 } from '../../core/bytes.ts'
import type { Digest } from '../../core/digest.ts'
import { AssayError, attempt, reject, type Verdict } from '../../core/errors.ts'
import { type Job, type SignedExecution, verifyExecution } from '../../core/poe.ts'
import type { Task } from '../../task/task.ts'
import { assertHanded, attemptOutput, type Claims, readClaims } from './claims.ts'
import { bindProof, checkResult, outputDigest, statesDigest } from './commitment.ts'
import { itemBlock, type ProofBinding, proofSalt } from './items.ts'
import { parseSolverProof, type VerifierRequest } from './messages.ts'
import {
  assertProofKind,
  type ItemSet,
  type ItemSetSize,
  loadItemSet,
  type ProofObject,
  proofDigest,
  proofObject,
} from './proof.ts'
import { largestProofBytes } from './security.ts'

/** A response whose solver signed exactly this: from here on, every fault is the solver's. */
export interface BoundResponse {
  readonly states: number
  readonly binding: ProofBinding
  readonly proof: ProofObject
  readonly commitmentDigest: Digest
}

export interface OpenedResponse<State> extends Claims<State> {
  readonly states: number
  readonly set: ItemSet
  readonly block: Uint8Array
  readonly checkpointRoot: Uint8Array | null
  readonly commitmentDigest: Digest
}

export interface ResponseParts<State> {
  readonly job: Job
  readonly commitment: SignedExecution
  readonly states?: readonly State[] | null
}

export async function openResponse<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
  parts: ResponseParts<State>,
): Promise<Verdict<OpenedResponse<State>>> {
  const bound = await bindResponse(task, request, parts)
  return bound.ok ? openBound(task, request, { bound: bound.value, handed: parts.states ?? null }) : bound
}

/**
 * Schema, sizes and signature. What is refused here cannot be held against anybody: whoever passed it on may
 * have altered it.
 */
export async function bindResponse<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
  parts: ResponseParts<State>,
): Promise<Verdict<BoundResponse>> {
  const { solverRequest, solverOutput } = request
  const states = task.states(solverRequest.solverInput)
  const proof = decodeProof(request, {
    items: states * task.state.slots,
    falsePositiveRate: solverRequest.falsePositiveRate,
  })
  if (!proof.ok) return proof
  const digests = attemptOutput(() => {
    ;(task.output.assert as (value: unknown) => void)(solverOutput)
    const handed = parts.states ?? null
    if (handed !== null) assertHanded(task.state, handed, states)
    return {
      output: outputDigest(task, solverOutput),
      proof: proofDigest(proof.value),
      states: handed === null ? null : statesDigest(task.state, handed),
    }
  })
  if (!digests.ok) return digests
  const signer = await verifyExecution(parts.commitment)
  if (!signer.ok) return signer
  const binding = bindProof(task, solverRequest, { job: parts.job, nodeId: signer.value.nodeId })
  const committed = checkResult(signer.value, { binding, result: digests.value })
  if (!committed.ok) return committed
  return { ok: true, value: { states, binding, proof: proof.value, commitmentDigest: committed.value } }
}

/** The proof against what task, input and rate demand, and the output against the states that came with it. */
export function openBound<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
  { bound, handed }: { readonly bound: BoundResponse; readonly handed: readonly State[] | null },
): Verdict<OpenedResponse<State>> {
  const { states, binding, proof, commitmentDigest } = bound
  const { falsePositiveRate } = request.solverRequest
  const set = attempt(() => {
    assertProofKind(task.state, proof.kind)
    return loadItemSet(proof, { items: states * task.state.slots, falsePositiveRate })
  })
  if (!set.ok) return set
  const claims = attemptOutput(() => readClaims(task, request, { states, handed }))
  if (!claims.ok) return claims
  const { checkpointRoot } = proof
  const block = itemBlock(proofSalt(binding))
  return {
    ok: true,
    value: { states, set: set.value, block, checkpointRoot, commitmentDigest, ...claims.value },
  }
}

/** An honest proof's envelope takes about 100 bytes. */
const ENVELOPE_BYTES = 1024

function decodeProof<Input, Output>(
  request: VerifierRequest<Input, Output>,
  size: ItemSetSize,
): Verdict<ProofObject> {
  const proof = attempt(() => {
    const { bloomFilter } = parseSolverProof(request.solverProof)
    // Before anything is decoded: no honest proof over these items is larger, whatever the sender claims.
    const longest = Math.ceil((largestProofBytes(size) + ENVELOPE_BYTES) / 3) * 4
    if (bloomFilter.length > longest) {
      throw new AssayError(
        'sampling/proof',
        `expected a proof of at most ${longest} base64 characters, as task and input give, got ${bloomFilter.length}`,
        { detail: { expected: longest, found: bloomFilter.length } },
      )
    }
    return proofObject.decode(fromBase64(bloomFilter))
  })
  if (!proof.ok || proof.value.items === request.solverProof.countItems) return proof
  return reject('sampling/proof', 'expected countItems to be the number of items in the proof, got another', {
    expected: proof.value.items,
    found: request.solverProof.countItems,
  })
}
