/** A map that forgets what was not used for longest. For what never changes and can be looked up again. */
export interface Lru<Key, Value> {
  get(key: Key): Value | undefined
  set(key: Key, value: Value): void
}

export function createLru<Key, Value>(maxEntries: number): Lru<Key, Value> {
  // In the order of the last use: a `Map` keeps the order of insertion.
  const entries = new Map<Key, Value>()
  return {
    get(key) {
      const value = entries.get(key)
      if (value === undefined) return undefined
      entries.delete(key)
      entries.set(key, value)
      return value
    },
    set(key, value) {
      entries.delete(key)
      entries.set(key, value)
      if (entries.size <= maxEntries) return
      const oldest = entries.keys().next()
      if (oldest.done === false) entries.delete(oldest.value)
    },
  }
}
