/**
 * Which modules a thread holds: kept by the runner, which tells the thread what to forget, so that both agree.
 */

/** Compiled code takes some ten times the module, once it has run for a while. */
const HELD_BYTES = 2 ** 24
const HELD_MODULES = 8

export interface HeldModules {
  /** The module is used now: whether the thread has it, and what makes room for it. */
  use(key: string, bytes: number): { readonly isHeld: boolean; readonly forget: readonly string[] }
  /** The thread could not load it. */
  drop(key: string): void
  clear(): void
}

export function heldModules(): HeldModules {
  /** Sizes by key, the one used last at the end. */
  const held = new Map<string, number>()
  return {
    use(key, bytes) {
      const isHeld = held.delete(key)
      held.set(key, bytes)
      const forget: string[] = []
      let total = 0
      for (const size of held.values()) total += size
      for (const [old, size] of held) {
        if ((held.size <= HELD_MODULES && total <= HELD_BYTES) || old === key) break
        held.delete(old)
        total -= size
        forget.push(old)
      }
      return { isHeld, forget }
    },
    drop: (key) => void held.delete(key),
    clear: () => held.clear(),
  }
}
