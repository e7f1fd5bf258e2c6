/**
 * The solver (SPEX, Algorithm 1): runs the task, puts every state into the proof, signs what it answers.
 *
 * Two steps, since what is proved and what is handed over are two things: `execute` computes the states and
 * their proof, `respond` derives the output and signs both.
 */
import { toBase64 } from '../../core/bytes.ts'
import { type KeyPair, nodeId } from '../../core/keys.ts'
import { leafHashes, merkleRoot, packedTree } from '../../core/merkle.ts'
import { proveInclusions } from '../../core/merkle-multiproof.ts'
import type { Job, SignedExecution } from '../../core/poe.ts'
import type { Task } from '../../task/task.ts'
import type { CheckpointOpenings } from './checkpoints.ts'
import { bindProof, outputDigest, signResult, statesDigest } from './commitment.ts'
import { checkComputed, type Executor, localExecutor, type Progress } from './executor.ts'
import { itemBlock, type ProofBinding, proofSalt } from './items.ts'
import type { SolverRequest, SolverResponse } from './messages.ts'
import {
  assertProofKind,
  createItemSet,
  type ProofKind,
  type ProofObject,
  proofDigest,
  proofObject,
} from './proof.ts'

export interface SolveOptions<State> {
  readonly job: Job
  readonly key: KeyPair
  /** Default: `fingerprint`, which is smaller for every rate. */
  readonly proof?: ProofKind
  /**
   * Hand the states over beside an output that does not tell them all, so that the verifier can derive it.
   * Default true. Without it an altered output is caught by full re-execution alone.
   */
  readonly handOver?: boolean
  /** Commit to the encoded states under a Merkle root, so that a verifier can have steps opened. */
  readonly checkpoints?: boolean
  readonly executor?: Executor<State>
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

/** States and proof of one run, before an output is signed with them. */
export interface ExecutedRun<State> {
  readonly binding: ProofBinding
  readonly states: readonly State[]
  readonly proof: ProofObject
}

/** What a solver answers: the response, its signed commitment and, where needed, its states. */
export interface Solution<State, Output> {
  readonly response: SolverResponse<Output>
  readonly commitment: SignedExecution
  readonly states: readonly State[] | null
}

/** Runs the task and answers. Throws typed errors for inputs that the task refuses, and on cancellation. */
export async function solve<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: SolverRequest<Input>,
  options: SolveOptions<State>,
): Promise<Solution<State, Output>> {
  const run = await execute(task, request, options)
  const output = task.output.derive(run.states, request.solverInput)
  return respond(task, { run, output }, options)
}

export async function execute<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: SolverRequest<Input>,
  options: SolveOptions<State>,
): Promise<ExecutedRun<State>> {
  const { job, key, proof: kind = 'fingerprint', signal, onProgress } = options
  const input = request.solverInput
  ;(task.input.assert as (value: unknown) => void)(input)
  const total = task.states(input)
  assertProofKind(task.state, kind)
  const binding = bindProof(task, request, { job, nodeId: nodeId(key.publicKey) })
  const block = itemBlock(proofSalt(binding))
  const items = total * task.state.slots
  const set = createItemSet(kind, { items, falsePositiveRate: request.falsePositiveRate })
  const states: State[] = []
  const executor = options.executor ?? localExecutor(task, input)
  const run = executor.run({ from: 0, to: total }, { block, ...(signal ? { signal } : {}) })
  for await (const segment of run) {
    set.insert(states.length * task.state.slots, segment.items)
    for (const state of segment.states) states.push(state)
    onProgress?.({ phase: 'solve', done: states.length, total })
  }
  checkComputed(states.length, total)
  const checkpointRoot = options.checkpoints
    ? merkleRoot(states.map((state) => task.state.encode(state)))
    : null
  return { binding, states, proof: { kind, items, bytes: set.save(), checkpointRoot } }
}

/** Signs `output` with the proof of `run`. An honest solver passes the output that the states give. */
export async function respond<Input, State, Output>(
  task: Task<Input, State, Output>,
  { run, output }: { readonly run: ExecutedRun<State>; readonly output: Output },
  { key, handOver = true }: Pick<SolveOptions<State>, 'key' | 'handOver'>,
): Promise<Solution<State, Output>> {
  const { binding, proof, states } = run
  const handed = handOver && !task.output.complete ? states : null
  const result = {
    output: outputDigest(task, output),
    proof: proofDigest(proof),
    states: handed === null ? null : statesDigest(task.state, handed),
  }
  return {
    response: {
      solverOutput: output,
      solverProof: { bloomFilter: toBase64(proofObject.encode(proof)), countItems: proof.items },
    },
    commitment: await signResult(binding, { result, key }),
    states: handed,
  }
}

/** Opens the states that a verifier asks for, ascending by index, against the root of `run`'s proof. */
export function openCheckpoints<Input, State, Output>(
  task: Task<Input, State, Output>,
  run: Pick<ExecutedRun<State>, 'states'>,
  indices: readonly number[],
): CheckpointOpenings {
  const encodings = run.states.map((state) => task.state.encode(state))
  const states = indices.map((index) => ({ index, encoding: encodings[index] as Uint8Array }))
  return { states, proof: proveInclusions(packedTree(leafHashes(encodings)), indices) }
}
