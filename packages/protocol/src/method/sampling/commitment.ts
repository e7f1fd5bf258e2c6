/**
 * The signed commitment that binds a response to its request, task, input and solver.
 *
 * The published lazy verifier never looks at the output, and nothing stops a proof from being sent with
 * another request. Here a solver signs a Proof-of-Execution v2 (core/poe.ts) whose result digest covers
 * both the output and the proof, before any challenge is drawn; what it signed is what it can be held to.
 */
import { equalBytes, fromHex, toHex } from '../../core/bytes.ts'
import { type Digest, hashFields, tagged } from '../../core/digest.ts'
import { reject, type Verdict } from '../../core/errors.ts'
import type { KeyPair, NodeId } from '../../core/keys.ts'
import {
  commitExecution,
  type ExecutionFields,
  type Job,
  type SignedExecution,
  signExecution,
  type VerifiedExecution,
} from '../../core/poe.ts'
import type { ValueCodec } from '../../state/kind.ts'
import { encodeRows } from '../../task/rows.ts'
import type { TaskId } from '../../task/task.ts'
import { type ProofBinding, proofSalt } from './items.ts'
import type { SolverRequest } from './messages.ts'

export function inputDigest<Input>(task: { readonly input: ValueCodec<Input> }, input: Input): Digest {
  return tagged('assay/task-input/v1', task.input.encode(input))
}

export function outputDigest<Output>(task: { readonly output: ValueCodec<Output> }, output: Output): Digest {
  return encodedOutputDigest(task.output.encode(output))
}

/** The same, of an output that is encoded already. */
export function encodedOutputDigest(output: Uint8Array): Digest {
  return tagged('assay/task-output/v1', output)
}

/** What the salt and the commitment are made of. `task` is any task over `Input`. */
export function bindProof<Input>(
  task: { readonly id: TaskId; readonly input: ValueCodec<Input> },
  request: SolverRequest<Input>,
  { job, nodeId }: { readonly job: Job; readonly nodeId: NodeId },
): ProofBinding {
  return {
    requestId: job.requestId,
    nonce: job.nonce,
    taskId: task.id,
    inputDigest: inputDigest(task, request.solverInput),
    falsePositiveRate: request.falsePositiveRate,
    nodeId,
  }
}

/** What a solver signs for one request, beside the request itself. */
export interface ResultDigests {
  readonly output: Digest
  readonly proof: Digest
  /** Of the states that are handed over beside the output; null where none are. */
  readonly states: Digest | null
}

/** Digest of the states that are handed over beside an output. */
export function statesDigest<State>(kind: ValueCodec<State>, states: readonly State[]): Digest {
  return tagged('assay/spex-states/v1', encodeRows(states.map((state) => kind.encode(state))))
}

/** Binds the salt as well, and with it everything that the proof was made for: rate, task, input, nonce. */
export function resultDigest({ output, proof, states }: ResultDigests, salt: Digest): Digest {
  return hashFields('assay/spex-result/v1', [output, proof, states ?? new Uint8Array(0), salt])
}

function executionFields(binding: ProofBinding, result: ResultDigests): ExecutionFields {
  return {
    requestId: binding.requestId,
    taskDigest: fromHex(binding.taskId) as Digest,
    inputDigest: binding.inputDigest,
    resultDigest: resultDigest(result, proofSalt(binding)),
    nodeId: binding.nodeId,
    nonce: binding.nonce,
  }
}

export function signResult(
  binding: ProofBinding,
  { result, key }: { readonly result: ResultDigests; readonly key: KeyPair },
): Promise<SignedExecution> {
  return signExecution(executionFields(binding, result), key)
}

/** Whether the commitment that was verified is one to `result` under `binding`. */
export function checkResult(
  signed: VerifiedExecution,
  { binding, result }: { readonly binding: ProofBinding; readonly result: ResultDigests },
): Verdict<Digest> {
  const expected = commitExecution(executionFields(binding, result))
  if (equalBytes(signed.commitment, expected)) return { ok: true, value: expected }
  return reject(
    'poe/mismatch',
    'expected a commitment to this request, task, input, output and proof, got one to something else',
    { expected: toHex(expected), found: toHex(signed.commitment) },
  )
}
