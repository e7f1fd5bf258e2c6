/**
 * Opening a solver's response: everything that can be refused before a state is recomputed.
 *
 * Threat: response, proof, handed-over states and commitment are hostile. The order is cheap before dear:
 * schema and sizes, then the signature, then the output's shape, then the proof, so that a refusal costs at
 * most one pass over what was sent.
 */
import { equalBytes, fromBase64 } from '../../core/bytes.ts'
import type { Digest } from '../../core/digest.ts'
import { AssayError, attempt, reject, type Verdict } from '../../core/errors.ts'
import { type Job, type SignedExecution, verifyExecution } from '../../core/poe.ts'
import type { Task } from '../../task/task.ts'
import { bindProof, checkResult, outputDigest } from './commitment.ts'
import { itemBlock, proofSalt } from './items.ts'
import { parseSolverProof, type VerifierRequest } from './messages.ts'
import {
  type ItemSet,
  type ItemSetSize,
  loadItemSet,
  type ProofObject,
  proofDigest,
  proofObject,
} from './proof.ts'
import { largestProofBytes } from './security.ts'

/**
 * What ties the output to the proved states: the output names them all, the output was derived from states
 * that were handed over, or nothing does (then only a full re-execution catches an altered output).
 */
export type OutputBinding = 'claimed' | 'derived' | 'unbound'

export interface OpenedResponse<State> {
  readonly states: number
  readonly set: ItemSet
  readonly block: Uint8Array
  readonly checkpointRoot: Uint8Array | null
  readonly commitmentDigest: Digest
  /** States that came with the response, by index, ascending. */
  readonly claimed: ReadonlyMap<number, State>
  readonly outputBinding: OutputBinding
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
  const { solverRequest, solverOutput } = request
  const states = task.states(solverRequest.solverInput)
  const proof = decodeProof(request, {
    items: states * task.state.slots,
    falsePositiveRate: solverRequest.falsePositiveRate,
  })
  if (!proof.ok) return proof
  const output = attemptOutput(() => {
    ;(task.output.assert as (value: unknown) => void)(solverOutput)
    return outputDigest(task, solverOutput)
  })
  if (!output.ok) return output
  const signer = await verifyExecution(parts.commitment)
  if (!signer.ok) return signer
  const binding = bindProof(task, solverRequest, { job: parts.job, nodeId: signer.value.nodeId })
  const result = { output: output.value, proof: proofDigest(proof.value) }
  const committed = checkResult(signer.value, { binding, result })
  if (!committed.ok) return committed
  const { falsePositiveRate } = solverRequest
  const items = states * task.state.slots
  const set = attempt(() => loadItemSet(proof.value, { items, falsePositiveRate }))
  if (!set.ok) return set
  const claimed = readClaims(task, request, { states, handed: parts.states ?? null })
  if (!claimed.ok) return claimed
  return {
    ok: true,
    value: {
      states,
      set: set.value,
      block: itemBlock(proofSalt(binding)),
      checkpointRoot: proof.value.checkpointRoot,
      commitmentDigest: committed.value,
      ...claimed.value,
    },
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

interface Claims<State> {
  readonly claimed: ReadonlyMap<number, State>
  readonly outputBinding: OutputBinding
}

function readClaims<Input, State, Output>(
  task: Task<Input, State, Output>,
  { solverRequest: { solverInput }, solverOutput }: VerifierRequest<Input, Output>,
  { states, handed }: { readonly states: number; readonly handed: readonly State[] | null },
): Verdict<Claims<State>> {
  if (handed !== null) return readHanded(task, { states, handed, solverInput, solverOutput })
  return attemptOutput(() => {
    const claimed = new Map<number, State>()
    for (const [index, state] of task.output.claims(solverOutput, solverInput)) {
      ;(task.state.assert as (value: unknown) => void)(state)
      claimed.set(index, state)
    }
    return { claimed, outputBinding: claimed.size === states ? 'claimed' : 'unbound' } as const
  })
}

function readHanded<Input, State, Output>(
  task: Task<Input, State, Output>,
  {
    states,
    handed,
    solverInput,
    solverOutput,
  }: {
    readonly states: number
    readonly handed: readonly State[]
    readonly solverInput: Input
    readonly solverOutput: Output
  },
): Verdict<Claims<State>> {
  if (handed.length !== states) {
    return reject(
      'sampling/output-shape',
      `expected ${states} states beside the output, got ${handed.length}`,
      {
        expected: states,
        found: handed.length,
      },
    )
  }
  const derived = attemptOutput(() => {
    for (const state of handed) (task.state.assert as (value: unknown) => void)(state)
    return task.output.encode(task.output.derive(handed, solverInput))
  })
  if (!derived.ok) return derived
  if (!equalBytes(derived.value, task.output.encode(solverOutput))) {
    return reject('sampling/output-derivation', 'the output is not the one that the handed-over states give')
  }
  return { ok: true, value: { claimed: new Map(handed.entries()), outputBinding: 'derived' } }
}

/** Like `attempt`, for code of the task that reads what the solver sent: whatever it throws is a refusal. */
function attemptOutput<T>(read: () => T): Verdict<T> {
  try {
    return { ok: true, value: read() }
  } catch (error) {
    if (!(error instanceof AssayError) && !(error instanceof Error)) throw error
    const code = error instanceof AssayError ? error.code : undefined
    const detail = code === undefined ? {} : { cause: code }
    return reject(
      'sampling/output-shape',
      `the output is not one of the task for this input: ${error.message}`,
      detail,
    )
  }
}
