/**
 * How many segments a node holds: those that its slots run, and as many more as keep the slots busy while the next
 * ones are fetched. Where segments take milliseconds that is hundreds; where they take minutes, one more a slot.
 *
 * It grows when slots had nothing to do although the last request brought all that it asked for, and shrinks when
 * segments wait here for long, which could run on another node.
 */
import { MAX_LEASES } from 'assay/wire/dispatch'

const LONG_WAIT_MS = 1_000
/** As many as two requests bring. */
const MOST = 2 * MAX_LEASES

export interface Capacity {
  /** Segments that the node may hold now. */
  value(): number
  /** A request brought everything that it asked for, or less. */
  answered(isFull: boolean): void
  /** A slot is free, and nothing waits for it. */
  starved(): void
  /** A segment began to run, so long after it was leased. */
  began(waitMs: number): void
}

export function adaptiveCapacity(slots: number): Capacity {
  const least = 2 * slots
  const most = Math.max(least, MOST)
  let held = least
  let mayGrow = false
  return {
    value: () => held,
    answered(isFull) {
      mayGrow = isFull
    },
    starved() {
      if (mayGrow) held = Math.min(most, 2 * held)
      mayGrow = false
    },
    began(waitMs) {
      if (waitMs > LONG_WAIT_MS) held = Math.max(least, Math.floor(held / 2))
    },
  }
}
