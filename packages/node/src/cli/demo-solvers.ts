/**
 * The three solvers of the demo: one that is honest, one that makes rows up, one that alters its output after
 * it was proved. All three use the real prover and sign what they hand over.
 */
import { u64be } from 'assay/core/bytes'
import { hashFields } from 'assay/core/digest'
import { ed25519KeyPair, type KeyPair } from 'assay/core/keys'
import type { Job } from 'assay/core/poe'
import { fakedCount } from 'assay/core/statistics'
import { fakedIndices, lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import type { SolverRequest } from 'assay/method/sampling/messages'
import { type Solution, solve } from 'assay/method/sampling/prover'
import type { OnnxTask } from 'assay/onnx/onnx-task'
import { tensor } from 'assay/state/tensor'
import type { NamedTensors } from 'assay/state/tensors'
import { bestClass, CLASSES, logitsOf } from './digits.ts'
import { seedFromText } from './randomness.ts'

export const SOLVERS = ['honest', 'lazy', 'adversarial'] as const
export type SolverName = (typeof SOLVERS)[number]

/** What the demo makes of its seed for one solver. */
export interface SolverParts {
  readonly job: Job
  readonly key: KeyPair
  readonly challenge: Uint8Array
  readonly cheat: Uint8Array
}

export function solverParts(seed: string, name: SolverName): SolverParts {
  const derive = (purpose: string) => seedFromText(seed, `demo ${name} ${purpose}`)
  return {
    job: { requestId: derive('request'), nonce: derive('nonce') },
    key: ed25519KeyPair(derive('key')),
    challenge: derive('challenge'),
    cheat: derive('cheat'),
  }
}

export interface SolveTerms {
  readonly task: OnnxTask
  readonly request: SolverRequest<NamedTensors>
  /** Share of the rows that the dishonest ones fake. */
  readonly faked: number
  readonly signal: AbortSignal
  readonly onProgress: (done: number, total: number) => void
}

export function runSolver(
  name: SolverName,
  { job, key, cheat }: SolverParts,
  terms: SolveTerms,
): Promise<Solution<NamedTensors, NamedTensors>> {
  const { task, request, faked, signal } = terms
  const options = {
    job,
    key,
    signal,
    onProgress: ({ done, total }: { done: number; total: number }) => terms.onProgress(done, total),
  }
  if (name === 'honest') return solve(task, request, options)
  const states = task.states(request.solverInput)
  const rows = fakedIndices(cheat, { states, faked: fakedCount(states, faked) })
  if (name === 'lazy')
    return solve(
      lazyTask(task, rows, (_, row) => madeUpRow(cheat, row)),
      request,
      options,
    )
  return solveAdversarially(task, request, { ...options, alter: (output) => alterRows(output, rows) })
}

/** Logits as the network might give them: one clear winner, the others well below. */
function madeUpRow(seed: Uint8Array, row: number): NamedTensors {
  const bytes = hashFields('assay/demo-made-up-row/v1', [seed, u64be(row)])
  const winner = (bytes[CLASSES] as number) % CLASSES
  const logits = Float32Array.from({ length: CLASSES }, (_, k) => {
    const noise = (bytes[k] as number) / 255
    return k === winner ? 9 + 5 * noise : -12 * noise
  })
  return { logits: tensor('float32', [1, CLASSES], logits) }
}

/** Gives the winner's logit of each of `rows` to the class after it. */
function alterRows(output: NamedTensors, rows: ReadonlySet<number>): NamedTensors {
  const logits = logitsOf(output).slice()
  for (const row of rows) {
    const best = row * CLASSES + bestClass(logits, row)
    const other = row * CLASSES + ((best + 1) % CLASSES)
    const value = logits[best] as number
    logits[best] = logits[other] as number
    logits[other] = value
  }
  return { logits: tensor('float32', output.logits?.shape ?? [], logits) }
}
