/**
 * `defineTask`: a user writes the computation and how it yields states; the rest comes for free.
 *
 * One function for the four shapes of `task.ts`. Definitions are checked here, once; inputs and outputs
 * are checked each time by their codecs.
 */
import { AssayError } from '../core/errors.ts'
import type { StateKind, ValueCodec } from '../state/kind.ts'
import { atIndex, sequentialExecution } from './execution.ts'
import { graphExecution, type Stage, stageOffsets } from './graph.ts'
import { lastState, rowsOf, wholeState } from './output.ts'
import {
  type Awaitable,
  checkStates,
  type OutputRule,
  type Task,
  type TaskDescription,
  taskId,
} from './task.ts'

interface Common<Input, State> extends TaskDescription {
  readonly input: ValueCodec<Input>
  readonly state: StateKind<State>
}

/** Independent states: a batch. Its output is by default the list of its states. */
export interface ParallelDefinition<Input, State, Output> extends Common<Input, State> {
  readonly shape: 'parallel'
  readonly count: (input: Input) => number
  readonly compute: (input: Input, index: number) => Awaitable<State>
  readonly output?: OutputRule<Input, State, Output>
}

/** A chain: each state follows from the one before. Its output is by default the last state. */
export interface SequentialDefinition<Input, State, Output> extends Common<Input, State> {
  readonly shape: 'sequential'
  readonly count: (input: Input) => number
  /** The state at `index`, from the one before it; `previous` is undefined at index 0. */
  readonly step: (previous: State | undefined, input: Input, index: number) => Awaitable<State>
  readonly output?: OutputRule<Input, State, Output>
}

/** One state that cannot be divided: checking it is running it again. Its output is that state. */
export interface IndivisibleDefinition<Input, State, Output> extends Common<Input, State> {
  readonly shape: 'indivisible'
  readonly run: (input: Input) => Awaitable<State>
  readonly output?: OutputRule<Input, State, Output>
}

/** Stages of the other shapes, each reading the states of stages before it. Needs an output rule. */
export interface GraphDefinition<Input, State, Output> extends Common<Input, State> {
  readonly shape: 'graph'
  readonly stages: readonly Stage<Input, State>[]
  readonly output: OutputRule<Input, State, Output>
}

export type TaskDefinition<Input, State, Output> =
  | ParallelDefinition<Input, State, Output>
  | SequentialDefinition<Input, State, Output>
  | IndivisibleDefinition<Input, State, Output>
  | GraphDefinition<Input, State, Output>

/**
 * Makes a task of a definition. Without an `output` rule, the output of a parallel task is the array of
 * its states, and that of a sequential or indivisible task is its last state.
 *
 * @throws AssayError `task/definition`
 * @example
 * const squares = defineTask({
 *   name: 'squares', version: '1', shape: 'parallel',
 *   input: valueCodec({ name: 'numbers', schema: z.array(z.int()) }), state: integerState(),
 *   count: (numbers) => numbers.length,
 *   compute: (numbers, index) => BigInt(numbers[index]) ** 2n,
 * })
 */
export function defineTask<Input, State>(
  definition: Omit<ParallelDefinition<Input, State, readonly State[]>, 'output'> & {
    readonly output?: never
  },
): Task<Input, State, readonly State[]>
export function defineTask<Input, State>(
  definition: (
    | Omit<SequentialDefinition<Input, State, State>, 'output'>
    | Omit<IndivisibleDefinition<Input, State, State>, 'output'>
  ) & { readonly output?: never },
): Task<Input, State, State>
export function defineTask<Input, State, Output>(
  definition: TaskDefinition<Input, State, Output> & { readonly output: OutputRule<Input, State, Output> },
): Task<Input, State, Output>
export function defineTask<Input, State, Output>(
  definition: TaskDefinition<Input, State, Output>,
): Task<Input, State, Output> {
  const { name, version, shape, parameters = {}, content = {}, input, state } = definition
  checkKind(name, state)
  const described = { name, version, shape, parameters, content }
  return {
    ...described,
    id: taskId(described, state),
    input,
    state,
    output: definition.output ?? (defaultOutput(definition) as OutputRule<Input, State, Output>),
    states: (value) => checkStates(countStates(definition, value), name),
    open: (value) => openExecution(definition, value),
    ...(definition.shape === 'sequential' ? { step: definition.step } : {}),
  }
}

function defaultOutput<Input, State>(definition: TaskDefinition<Input, State, unknown>): unknown {
  if (definition.shape === 'parallel') return rowsOf<Input, State>(definition.state, definition.count)
  if (definition.shape === 'sequential') return lastState<Input, State>(definition.state, definition.count)
  if (definition.shape === 'indivisible') return wholeState<Input, State>(definition.state)
  throw new AssayError(
    'task/definition',
    `task ${definition.name} is a graph: expected an output rule, got none`,
  )
}

function countStates<Input, State, Output>(
  definition: TaskDefinition<Input, State, Output>,
  input: Input,
): number {
  if (definition.shape === 'indivisible') return 1
  if (definition.shape === 'graph') return stageOffsets(definition.stages, input).total
  return definition.count(input)
}

function openExecution<Input, State, Output>(definition: TaskDefinition<Input, State, Output>, input: Input) {
  const states = checkStates(countStates(definition, input), definition.name)
  switch (definition.shape) {
    case 'parallel':
      return { states, stateAt: atIndex(states, (index: number) => definition.compute(input, index)) }
    case 'indivisible':
      return { states, stateAt: atIndex(states, () => definition.run(input)) }
    case 'sequential':
      return sequentialExecution(
        states,
        (previous: State | undefined, index) => definition.step(previous, input, index),
        (state) => definition.state.decode(definition.state.encode(state)),
      )
    case 'graph':
      return graphExecution(definition.stages, input, (state) =>
        definition.state.decode(definition.state.encode(state)),
      )
  }
}

function checkKind(
  name: string,
  state: Pick<StateKind<unknown>, 'slots' | 'quorum' | 'alternatives' | 'guessProbability'>,
): void {
  const { slots, quorum, alternatives, guessProbability: g } = state
  const whole =
    Number.isSafeInteger(slots) && Number.isSafeInteger(quorum) && Number.isSafeInteger(alternatives)
  if (!whole || slots < 1 || quorum < 1 || quorum > slots || alternatives < 1 || !(g >= 0 && g < 1)) {
    throw new AssayError(
      'task/definition',
      `task ${name}: expected a state kind with slots >= quorum >= 1, alternatives >= 1 and 0 <= guessProbability < 1, ` +
        `got slots ${slots}, quorum ${quorum}, alternatives ${alternatives}, guessProbability ${g}`,
    )
  }
}
