/**
 * Dishonest solvers (SPEX, section 3), for demonstrations, simulations and tests: the cheats that a verifier
 * must catch, made with the real prover.
 */
import { sampleIndices } from '../../core/sampling.ts'
import type { Awaitable, Task } from '../../task/task.ts'
import type { SolverRequest } from './messages.ts'
import { execute, respond, type Solution, type SolveOptions } from './prover.ts'

/** Which states to fake, drawn from a seed of the cheat's own. */
export function fakedIndices(
  seed: Uint8Array,
  size: { readonly states: number; readonly faked: number },
): Set<number> {
  return new Set(sampleIndices(seed, { population: size.states, size: size.faked }))
}

/** The same task, same id, whose run makes up the states of `faked` instead of computing them. */
export function lazyTask<Input, State, Output>(
  task: Task<Input, State, Output>,
  faked: ReadonlySet<number>,
  makeUp: (input: Input, index: number) => Awaitable<State>,
): Task<Input, State, Output> {
  return {
    ...task,
    open(input) {
      const honest = task.open(input)
      return {
        states: honest.states,
        stateAt: (index) => (faked.has(index) ? makeUp(input, index) : honest.stateAt(index)),
      }
    },
  }
}

/** Computes and proves everything honestly, then signs another output than the one that was proved. */
export async function solveAdversarially<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: SolverRequest<Input>,
  options: SolveOptions<State> & { readonly alter: (output: Output) => Output },
): Promise<Solution<State, Output>> {
  const run = await execute(task, request, options)
  const output = options.alter(task.output.derive(run.states, request.solverInput))
  return respond(task, { run, output }, options)
}
