/**
 * Looking states up in a proof, and comparing states with one another, slot by slot.
 */

import { equalBytes } from '../../core/bytes.ts'
import type { StateKind } from '../../state/kind.ts'
import { itemBatch } from './items.ts'
import type { ItemSet } from './proof.ts'

export interface IndexedState<State> {
  readonly index: number
  readonly state: State
}

export interface Lookup {
  readonly slotsHit: number
  readonly passes: boolean
}

/** Where to look: a loaded set and the block of its items. */
export interface LookupIn {
  readonly set: ItemSet
  readonly block: Uint8Array
}

/**
 * Looks each state up under the encodings that it may have: those of `accept` for states that the verifier
 * computed, those of `commit` for states that the solver handed over.
 */
export function lookUp<State>(
  kind: StateKind<State>,
  states: readonly IndexedState<State>[],
  { set, block, as }: LookupIn & { readonly as: 'computed' | 'claimed' },
): Lookup[] {
  const batch = itemBatch(states.length * kind.slots)
  const numbers: number[] = []
  const owners: number[] = []
  for (const [position, { index, state }] of states.entries()) {
    const slots = as === 'computed' ? kind.accept(state) : kind.commit(state).map((encoding) => [encoding])
    for (const [slot, encodings] of slots.entries()) {
      for (const encoding of encodings) {
        batch.add(index, slot, encoding)
        numbers.push(index * kind.slots + slot)
        owners.push(position)
      }
    }
  }
  return countHits(kind, states.length, { numbers, owners, hits: set.has(numbers, batch.hash(block)) })
}

/** A slot hits when any of its encodings does; its encodings follow each other. */
function countHits(
  kind: Pick<StateKind<unknown>, 'quorum'>,
  count: number,
  probes: {
    readonly numbers: readonly number[]
    readonly owners: readonly number[]
    readonly hits: Uint8Array
  },
): Lookup[] {
  const slotsHit = new Array<number>(count).fill(0)
  let last = -1
  for (const [i, owner] of probes.owners.entries()) {
    const number = probes.numbers[i] as number
    if (probes.hits[i] === 1 && number !== last) {
      slotsHit[owner] = (slotsHit[owner] as number) + 1
      last = number
    }
  }
  return slotsHit.map((hit) => ({ slotsHit: hit, passes: hit >= kind.quorum }))
}

/** Whether the state that the solver handed over is one that `computed` accepts. */
export function acceptsState<State>(kind: StateKind<State>, computed: State, handed: State): boolean {
  const committed = kind.commit(handed)
  let agreeing = 0
  for (const [slot, encodings] of kind.accept(computed).entries()) {
    const encoding = committed[slot]
    if (encoding !== undefined && encodings.some((accepted) => equalBytes(accepted, encoding))) agreeing += 1
  }
  return agreeing >= kind.quorum
}
