/**
 * How many states go into one piece: as many as take some milliseconds, learned from the pieces before.
 *
 * A message costs about 50 µs on both sides together, so a piece of 10 ms spends half a percent on it; longer
 * ones would only delay progress, cancellation and the last worker. No result depends on the size.
 */
const TARGET_MS = 10
/** Growth from one measurement to the next: a short piece says little about a long one. */
const MOST_GROWTH = 8
/** Bounds what a consumer that waits has to hold, for states that cost next to nothing. */
const MOST_STATES = 2 ** 15
/** Below this the clock says nothing. */
const LEAST_MS = 0.01

export interface PieceSize {
  next(): number
  learn(states: number, elapsedMs: number): void
}

export function pieceSize(): PieceSize {
  let size = 1
  return {
    next: () => size,
    learn(states, elapsedMs) {
      const wanted = Math.round((states * TARGET_MS) / Math.max(elapsedMs, LEAST_MS))
      size = Math.max(1, Math.min(wanted, states * MOST_GROWTH, MOST_STATES))
    },
  }
}

/** Names that are remembered. */
const MOST_NAMES = 64

/** Sizes that go on from one run to the next of the same name, so that a short run need not learn anew. */
export function rememberedSizes(): (name: string) => PieceSize {
  const sizes = new Map<string, PieceSize>()
  return (name) => {
    const size = sizes.get(name) ?? pieceSize()
    sizes.delete(name)
    sizes.set(name, size)
    for (const old of sizes.keys()) {
      if (sizes.size <= MOST_NAMES) break
      sizes.delete(old)
    }
    return size
  }
}
