/** What the tests of the sampling method share: a small task, a job, keys, and the two halves of a run. */
import * as z from 'zod/mini'
import { sha256 } from '../../../core/digest.ts'
import { ed25519KeyPair } from '../../../core/keys.ts'
import { integerState } from '../../../state/integer.ts'
import { valueCodec } from '../../../state/value.ts'
import { defineTask } from '../../../task/define.ts'
import { derivedFrom } from '../../../task/output.ts'
import type { Task } from '../../../task/task.ts'
import type { Ask } from '../config.ts'
import type { SolverRequest, VerifierRequest } from '../messages.ts'
import type { Solution } from '../prover.ts'
import { type VerifyOptions, verifyLazy } from '../verifier.ts'

export const bytes32 = (text: string) => sha256(new TextEncoder().encode(text))

export const solverKey = ed25519KeyPair(bytes32('solver'))
export const otherKey = ed25519KeyPair(bytes32('another solver'))
export const verifierKey = ed25519KeyPair(bytes32('verifier'))
export const job = { requestId: bytes32('request'), nonce: bytes32('nonce') }
export const challenge = bytes32('challenge')

const numbers = valueCodec<number[]>({ name: 'numbers', schema: z.array(z.int()) })

/** A parallel task: the state of number x is x^3 + 7, and the output is the list of states. */
export const cubes = defineTask({
  name: 'cubes',
  version: '1',
  shape: 'parallel',
  input: numbers,
  state: integerState(),
  count: (input: number[]) => input.length,
  compute: (input: number[], index: number): bigint | number => BigInt(input[index] as number) ** 3n + 7n,
})

/** The same states behind an output that is their sum, as in the paper's PrimeSum. */
export const cubeSum = defineTask({
  name: 'cube sum',
  version: '1',
  shape: 'parallel',
  input: numbers,
  state: integerState(),
  count: (input: number[]) => input.length,
  compute: (input: number[], index: number): bigint | number => BigInt(input[index] as number) ** 3n + 7n,
  output: derivedFrom<number[], bigint | number, bigint>(
    valueCodec({ name: 'sum', schema: z.bigint() as unknown as z.ZodMiniType<bigint> }),
    (states) => states.reduce<bigint>((total, state) => total + BigInt(state), 2n ** 60n),
  ),
})

/** A chain: each state follows from the one before. */
export const chain = defineTask({
  name: 'chain',
  version: '1',
  shape: 'sequential',
  input: valueCodec<{ start: number; steps: number }>({
    name: 'chain-input',
    schema: z.strictObject({ start: z.int(), steps: z.int() }),
  }),
  state: integerState(),
  count: ({ steps }: { start: number; steps: number }) => steps,
  step: (previous: bigint | number | undefined, { start }: { start: number; steps: number }) =>
    BigInt.asIntN(64, BigInt(previous ?? start) * 6364136223846793005n + 1442695040888963407n),
})

export function requestOf<Input>(solverInput: Input, falsePositiveRate = 0.01): SolverRequest<Input> {
  return { solverInput, falsePositiveRate }
}

export function verifierRequestOf<Input, State, Output>(
  solverRequest: SolverRequest<Input>,
  solution: Solution<State, Output>,
  verificationRatio = 0.1,
): VerifierRequest<Input, Output> {
  return { solverRequest, ...solution.response, verificationRatio }
}

/** Verifier L over a solution, with the usual job and challenge. */
export function check<Input, State, Output>(
  task: Task<Input, State, Output>,
  solverRequest: SolverRequest<Input>,
  {
    solution,
    ...options
  }: { readonly solution: Solution<State, Output>; readonly ask?: Ask } & Partial<VerifyOptions<State>>,
) {
  return verifyLazy(task, verifierRequestOf(solverRequest, solution), {
    job,
    commitment: solution.commitment,
    states: solution.states,
    seed: challenge,
    ...options,
  })
}

export const range = (count: number) => Array.from({ length: count }, (_, i) => i + 1)
