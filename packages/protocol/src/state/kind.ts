/**
 * How a state becomes digests: the one interface that every kind of state implements.
 *
 * SPEX hashes the states of a computation into a proof; this is the contract between a state and that
 * proof. A state owns a fixed number of **slots**. The solver commits one encoding for each slot; the
 * verifier, holding the state that it computed itself, names for each slot the encodings that it would
 * accept (one for exact states, neighbours for tolerant ones). The state passes when at least `quorum`
 * slots hit. The prover binds each encoding to task, salt, state index and slot before it enters the
 * proof, so encodings need not be unique across states or slots.
 */
import type { Json } from '../core/errors.ts'

/** Values with one canonical encoding: what task inputs, outputs and states are hashed and sent as. */
export interface ValueCodec<Value> {
  /** Refuses, with a typed error, what is not a value of this codec. */
  assert(value: unknown): asserts value is Value
  /** The one canonical encoding. */
  encode(value: Value): Uint8Array
  /** Strict inverse of `encode`. */
  decode(bytes: Uint8Array): Value
}

export interface StateKind<State> extends ValueCodec<State> {
  /** Name of the kind, part of the task id. */
  readonly name: string
  /** Everything that changes the encodings; part of the task id. */
  readonly parameters: { readonly [key: string]: Json }
  /** Slots that each state owns in the proof; at least 1. */
  readonly slots: number
  /** Slots that must hit for a state to pass; `slots` except for semantic kinds. */
  readonly quorum: number
  /** Most encodings that `accept` names for one slot; 1 for exact kinds. Each multiplies the false positives. */
  readonly alternatives: number
  /**
   * Probability that a solver passes one state by guessing, without computing it (g in the statistics).
   * 0 claims that the state cannot be guessed.
   */
  readonly guessProbability: number
  /** What the solver commits: `slots` encodings. */
  commit(state: State): readonly Uint8Array[]
  /** What the verifier accepts: for each slot, one to `alternatives` encodings. */
  accept(state: State): readonly (readonly Uint8Array[])[]
}
