/** For tests: what every kind of state must keep, whatever it is. */
import fc from 'fast-check'
import { equalBytes, toHex } from '../../core/bytes.ts'
import { codeOf } from '../../core/testing/code-of.ts'
import { mutants } from '../../core/testing/mutants.ts'
import type { StateKind, ValueCodec } from '../kind.ts'

/** Slots that hit when `verifier` judges what `solver` committed. */
export function hits<T>(kind: StateKind<T>, solver: T, verifier: T): number {
  const committed = kind.commit(solver)
  return kind.accept(verifier).filter((encodings, slot) => {
    return encodings.some((encoding) => equalBytes(encoding, committed[slot] as Uint8Array))
  }).length
}

/** Whether `verifier` passes what `solver` committed. */
export function passes<T>(kind: StateKind<T>, solver: T, verifier: T): boolean {
  return hits(kind, solver, verifier) >= kind.quorum
}

/**
 * Round trips give the same bytes; a commitment has its slots and passes its own state; damaged bytes are
 * refused with a typed error, or are the one encoding of another state.
 */
export function checkKind<T>(kind: StateKind<T>, states: fc.Arbitrary<T>, numRuns = 100): void {
  checkCodec(kind, states, numRuns)
  fc.assert(
    fc.property(states, (state) => {
      const [committed, accepted] = [kind.commit(state), kind.accept(state)]
      return (
        committed.length === kind.slots &&
        accepted.length === kind.slots &&
        accepted.every((list) => list.length >= 1 && list.length <= kind.alternatives) &&
        accepted.every((list) => new Set(list.map(toHex)).size === list.length) &&
        hits(kind, state, state) === kind.slots &&
        kind.quorum >= 1 &&
        kind.quorum <= kind.slots
      )
    }),
    { numRuns },
  )
}

export function checkCodec<T>(codec: ValueCodec<T>, values: fc.Arbitrary<T>, numRuns = 100): void {
  fc.assert(
    fc.property(values, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
      const bytes = codec.encode(value)
      const check: (decoded: unknown) => asserts decoded is T = codec.assert
      check(codec.decode(bytes))
      if (!equalBytes(codec.encode(codec.decode(bytes)), bytes)) return false
      const damaged = [...mutants(bytes, at, flip), bytes.subarray(0, at % bytes.length)]
      return damaged.every((mutant) => {
        const { value: decoded } = codeOf(() => ({ state: codec.decode(mutant) }))
        return decoded === undefined || equalBytes(codec.encode(decoded.state), mutant)
      })
    }),
    { numRuns },
  )
}
