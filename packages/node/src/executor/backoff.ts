/** Growing pauses between tries, spread so that many nodes do not come back at the same moment. */
import { setTimeout as pause } from 'node:timers/promises'

const FIRST_MS = 100
const LONGEST_MS = 5_000

export interface Backoff {
  /** Resolves early, and without a throw, when the signal aborts. */
  wait(signal: AbortSignal): Promise<void>
  reset(): void
}

export function backoff(): Backoff {
  let tries = 0
  return {
    async wait(signal) {
      const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(tries, 10))
      tries++
      await sleep(longest * (0.5 + Math.random() / 2), signal)
    },
    reset() {
      tries = 0
    },
  }
}

/** Until the time is over or the signal aborts, whichever comes first. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal }).catch(() => undefined)
}
