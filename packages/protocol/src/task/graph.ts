/**
 * Graph tasks: stages of independent states, chains and single steps that read one another.
 *
 * States are numbered through the stages in the order of their declaration, which must be topological.
 * Checking one state recomputes only the states that it reads (its cone), each at most once in a run.
 */
import { AssayError } from '../core/errors.ts'
import { atIndex, sequentialExecution } from './execution.ts'
import { type Awaitable, checkStates, type Execution } from './task.ts'

/** The states of an earlier stage, as a later one reads them. */
export interface StageReader<State> {
  readonly count: number
  at(index: number): Promise<State>
  /** All of them, in order. */
  all(): Promise<State[]>
}

export type StageReaders<State> = { readonly [stage: string]: StageReader<State> }

interface StageCommon {
  readonly name: string
  /** Names of earlier stages that this one reads. */
  readonly needs?: readonly string[]
}

export type Stage<Input, State> =
  | (StageCommon & {
      readonly shape: 'parallel'
      /** From the input alone: a filter keeps one state a row and marks the rows that it drops. */
      readonly count: (input: Input) => number
      readonly compute: (input: Input, index: number, read: StageReaders<State>) => Awaitable<State>
    })
  | (StageCommon & {
      readonly shape: 'sequential'
      readonly count: (input: Input) => number
      readonly step: (
        previous: State | undefined,
        input: Input,
        index: number,
        read: StageReaders<State>,
      ) => Awaitable<State>
    })
  | (StageCommon & {
      readonly shape: 'indivisible'
      readonly run: (input: Input, read: StageReaders<State>) => Awaitable<State>
    })

/** Where each stage's states begin in the numbering of the whole task. */
export function stageOffsets<Input, State>(
  stages: readonly Stage<Input, State>[],
  input: Input,
): { readonly offsets: readonly number[]; readonly counts: readonly number[]; readonly total: number } {
  checkStages(stages)
  const offsets: number[] = []
  const counts: number[] = []
  let total = 0
  for (const stage of stages) {
    const count = checkStates(stage.shape === 'indivisible' ? 1 : stage.count(input), stage.name)
    offsets.push(total)
    counts.push(count)
    total += count
  }
  return { offsets, counts, total }
}

export function graphExecution<Input, State>(
  stages: readonly Stage<Input, State>[],
  input: Input,
  normalise: (state: State) => State,
): Execution<State> {
  const { offsets, counts, total } = stageOffsets(stages, input)
  const readers: { [name: string]: StageReader<State> } = {}
  const runs: ((index: number) => Promise<State>)[] = []
  for (const [position, stage] of stages.entries()) {
    const count = counts[position] as number
    const read: { [name: string]: StageReader<State> } = {}
    for (const name of stage.needs ?? []) read[name] = readers[name] as StageReader<State>
    const at = remembering(openStage(stage, input, { count, read, normalise }))
    runs.push(at)
    readers[stage.name] = { count, at, all: () => readAll(at, count) }
  }
  return {
    states: total,
    stateAt: atIndex(total, (index) => {
      const position = lastAtMost(offsets, index)
      return (runs[position] as (index: number) => Promise<State>)(index - (offsets[position] as number))
    }),
  }
}

function openStage<Input, State>(
  stage: Stage<Input, State>,
  input: Input,
  {
    count,
    read,
    normalise,
  }: { count: number; read: StageReaders<State>; normalise: (state: State) => State },
): (index: number) => Awaitable<State> {
  switch (stage.shape) {
    case 'parallel':
      return atIndex(count, (index) => stage.compute(input, index, read))
    case 'indivisible':
      return atIndex(count, () => stage.run(input, read))
    case 'sequential': {
      const chain = sequentialExecution<State>(
        count,
        (previous, index) => stage.step(previous, input, index, read),
        normalise,
      )
      return (index) => chain.stateAt(index)
    }
  }
}

function remembering<State>(compute: (index: number) => Awaitable<State>): (index: number) => Promise<State> {
  const known = new Map<number, Promise<State>>()
  return (index) => {
    let state = known.get(index)
    if (state === undefined) {
      state = Promise.resolve(compute(index))
      known.set(index, state)
    }
    return state
  }
}

async function readAll<State>(at: (index: number) => Promise<State>, count: number): Promise<State[]> {
  const states: State[] = []
  for (let index = 0; index < count; index++) states.push(await at(index))
  return states
}

/** Position of the last element that is at most `value`, in an ascending list that starts with 0. */
function lastAtMost(ascending: readonly number[], value: number): number {
  let position = 0
  while (position + 1 < ascending.length && (ascending[position + 1] as number) <= value) position += 1
  return position
}

function checkStages<Input, State>(stages: readonly Stage<Input, State>[]): void {
  const seen = new Set<string>()
  for (const stage of stages) {
    if (seen.has(stage.name)) {
      throw new AssayError(
        'task/definition',
        `expected stages with names of their own, got ${stage.name} twice`,
      )
    }
    for (const need of stage.needs ?? []) {
      if (!seen.has(need)) {
        throw new AssayError(
          'task/definition',
          `stage ${stage.name} needs ${need}, which is not declared before it: order the stages so that each ` +
            'reads only earlier ones',
        )
      }
    }
    seen.add(stage.name)
  }
}
