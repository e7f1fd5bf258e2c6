/**
 * Output rules that most tasks need: all states as rows, the last state, and outputs derived from states.
 */
import { AssayError } from '../core/errors.ts'
import type { StateKind, ValueCodec } from '../state/kind.ts'
import { decodeRows, encodeRows } from './rows.ts'
import type { OutputRule } from './task.ts'

/** The output is the list of the states. */
export function rowsOf<Input, State>(
  state: StateKind<State>,
  count: (input: Input) => number,
): OutputRule<Input, State, readonly State[]> {
  return {
    complete: true,
    derive: (states) => states,
    *claims(rows, input) {
      checkRows(rows.length, count(input))
      yield* rows.entries()
    },
    assert(value): asserts value is readonly State[] {
      if (!Array.isArray(value)) {
        throw new AssayError('task/output', `expected an array of states, got ${typeof value}`)
      }
      for (const row of value) (state.assert as (value: unknown) => void)(row)
    },
    encode: (rows) => encodeRows(rows.map((row) => state.encode(row))),
    decode: (bytes) => decodeRows(bytes).map((row) => state.decode(row)),
  }
}

/** The output is the state with the highest index. */
export function lastState<Input, State>(
  state: StateKind<State>,
  count: (input: Input) => number,
): OutputRule<Input, State, State> {
  return {
    complete: false,
    derive: (states) => states[states.length - 1] as State,
    claims: (output, input) => [[count(input) - 1, output]],
    assert: (value: unknown): asserts value is State => (state.assert as (value: unknown) => void)(value),
    encode: (output) => state.encode(output),
    decode: (bytes) => state.decode(bytes),
  }
}

/** The output is the one state of an indivisible task. */
export function wholeState<Input, State>(state: StateKind<State>): OutputRule<Input, State, State> {
  return { ...lastState<Input, State>(state, () => 1), complete: true }
}

/** The output is a function of the states, and claims none of them by itself. */
export function derivedFrom<Input, State, Output>(
  codec: ValueCodec<Output>,
  derive: (states: readonly State[], input: Input) => Output,
): OutputRule<Input, State, Output> {
  return {
    complete: false,
    derive,
    claims: () => [],
    assert: (value: unknown): asserts value is Output => (codec.assert as (value: unknown) => void)(value),
    encode: (output) => codec.encode(output),
    decode: (bytes) => codec.decode(bytes),
  }
}

export function checkRows(got: number, expected: number): void {
  if (got !== expected) {
    throw new AssayError('task/output', `expected an output of ${expected} rows, got ${got}`, {
      detail: { expected, got },
    })
  }
}
