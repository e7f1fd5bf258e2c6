/**
 * Tasks: what a user writes, and all that solver, verifiers, sampling and evidence need to know of it.
 *
 * SPEX section 5.3 ("Sampling of Computational States") names three shapes, parallel (its Task 2),
 * sequential (Task 1) and indivisible (Task 3), and says that real computations mix them; `graph` is that
 * mix. A definition says how the input yields states and how the states yield the output. The number of
 * states follows from the input alone, so that no prover can declare it.
 *
 * A task has an id: the digest of its name, version, shape, parameters, content and kind of state. Code is
 * not part of it: whoever changes what a task computes gives it another version. Where the computation is
 * data (a model, a WebAssembly module), its content address goes into `content`, and binds it.
 */

import { toHex } from '../core/bytes.ts'
import { encodeCanonical } from '../core/codec.ts'
import { tagged } from '../core/digest.ts'
import { AssayError, type Json } from '../core/errors.ts'
import type { StateKind, ValueCodec } from '../state/kind.ts'

declare const taskIdBrand: unique symbol

/** Lower-case hexadecimal of the 32-byte digest of a task's description. */
export type TaskId = string & { readonly [taskIdBrand]: true }

/** Either now or later. Synchronous states cost no turn of the event loop. */
export type Awaitable<T> = T | Promise<T>

/** More states than this are refused: indices must stay exact, and filters allocatable. */
export const MAX_STATES = 2 ** 40

/** A running computation over one input: hands out its states by index. */
export interface Execution<State> {
  readonly states: number
  /** State `index`. Sequential tasks replay the prefix that they have not yet passed. */
  stateAt(index: number): Awaitable<State>
}

/** How the states yield the output, and what the output tells about them. */
export interface OutputRule<Input, State, Output> extends ValueCodec<Output> {
  /** The output of an honest run with these states. */
  derive(states: readonly State[], input: Input): Output
  /**
   * The states that an output claims, by index: all rows of a batch, the last state of a chain. The
   * verifier looks each of them up in the proof, without computing anything. Throws a typed error where
   * the output does not fit the input.
   */
  claims(output: Output, input: Input): Iterable<readonly [index: number, state: State]>
  /**
   * Whether `claims` names every state. Where it does not, an honest solver hands its states over beside
   * the output, so that the verifier can derive the output from states that the proof binds.
   */
  readonly complete: boolean
}

export interface TaskDescription {
  readonly name: string
  readonly version: string
  readonly parameters?: { readonly [key: string]: Json }
  /** Content addresses of the data that the task runs, by name. */
  readonly content?: { readonly [name: string]: string }
}

export type TaskShape = 'parallel' | 'sequential' | 'indivisible' | 'graph'

export interface Task<Input, State, Output> extends Required<TaskDescription> {
  readonly id: TaskId
  readonly shape: TaskShape
  readonly input: ValueCodec<Input>
  readonly state: StateKind<State>
  readonly output: OutputRule<Input, State, Output>
  /** Number of states for `input`; depends on nothing else. */
  states(input: Input): number
  open(input: Input): Execution<State>
  /**
   * One step of a sequential task, from the state before it (`undefined` at index 0). What a checkpoint
   * opening is checked with; absent from tasks of other shapes.
   */
  step?(previous: State | undefined, input: Input, index: number): Awaitable<State>
}

/** A task whose types the holder does not know: what registries and command lines pass around. */
// biome-ignore lint/suspicious/noExplicitAny: the erased form of three invariant parameters
export type AnyTask = Task<any, any, any>

/** Digest of everything in a task's description that is not code. */
export function taskId(
  description: TaskDescription & { readonly shape: TaskShape },
  state: Pick<StateKind<unknown>, 'name' | 'parameters' | 'slots' | 'quorum'>,
): TaskId {
  const { name, version, shape, parameters = {}, content = {} } = description
  if (name === '' || version === '') {
    throw new AssayError(
      'task/definition',
      `expected a task with a name and a version, got name ${JSON.stringify(name)}, version ${JSON.stringify(version)}`,
    )
  }
  const kind = { name: state.name, parameters: state.parameters, slots: state.slots, quorum: state.quorum }
  const body = encodeCanonical({ name, version, shape, parameters, content, state: kind })
  return toHex(tagged('assay/task/v1', body)) as TaskId
}

/** Refuses a state count that no protocol here can serve. */
export function checkStates(states: number, name: string): number {
  if (!Number.isSafeInteger(states) || states < 1 || states > MAX_STATES) {
    throw new AssayError(
      'task/input',
      `task ${name} expected an input with 1 to 2^40 states, got ${states}: give it at least one row`,
      { detail: { states: Number.isFinite(states) ? states : String(states) } },
    )
  }
  return states
}
