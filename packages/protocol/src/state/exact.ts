/**
 * Kinds of state that must agree to the last bit: one slot, whose encoding is that of the whole state.
 *
 * Threat: a solver that guesses. An exact state from a small domain (a digit, a class, a flag) can be
 * guessed, so each factory asks for, or defaults, the probability of a right guess.
 */
import { AssayError, type Json } from '../core/errors.ts'
import { describeValue } from '../core/inspect.ts'
import type { StateKind, ValueCodec } from './kind.ts'

export interface ExactKind<State> extends ValueCodec<State> {
  readonly name: string
  readonly parameters: { readonly [key: string]: Json }
  readonly guessProbability: number
}

export function exactKind<State>(kind: ExactKind<State>): StateKind<State> {
  assertProbability(kind.guessProbability, 'guessProbability')
  return {
    name: kind.name,
    parameters: kind.parameters,
    slots: 1,
    quorum: 1,
    alternatives: 1,
    guessProbability: kind.guessProbability,
    assert: kind.assert,
    encode: kind.encode,
    decode: kind.decode,
    commit: (state) => [kind.encode(state)],
    accept: (state) => [[kind.encode(state)]],
  }
}

/** Throws `state/parameters` unless `value` lies in 0..1. */
export function assertProbability(value: unknown, name: string): asserts value is number {
  if (typeof value !== 'number' || !(value >= 0 && value <= 1)) {
    throw new AssayError('state/parameters', `expected ${name} from 0 to 1, got ${describeValue(value)}`)
  }
}

/** Throws `state/parameters` unless `value` is an integer in min..max. */
export function assertInteger(
  value: unknown,
  options: { readonly name: string; readonly min: number; readonly max: number },
): asserts value is number {
  const { name, min, max } = options
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    throw new AssayError(
      'state/parameters',
      `expected ${name} to be an integer from ${min} to ${max}, got ${describeValue(value)}`,
    )
  }
}

/** Throws `state/parameters` unless `value` is a finite number above 0. */
export function assertPositive(value: unknown, name: string): asserts value is number {
  if (typeof value !== 'number' || !(value > 0 && value < Number.POSITIVE_INFINITY)) {
    throw new AssayError(
      'state/parameters',
      `expected ${name} to be a finite number > 0, got ${describeValue(value)}`,
    )
  }
}
