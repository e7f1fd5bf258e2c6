/** "Did you mean …": the known name that a mistyped one is closest to. */

/** Longer texts are no slip of a known name; the distance takes time in the square of the length. */
const MAX_LENGTH = 64

/** The known name within a third of its length in edits, if there is one; the closest, and the first of equals. */
export function suggest(given: string, known: Iterable<string>): string | undefined {
  if (given.length > MAX_LENGTH) return undefined
  let best: { readonly name: string; readonly edits: number } | undefined
  for (const name of known) {
    if (name.length > MAX_LENGTH) continue
    const edits = editDistance(given.toLowerCase(), name.toLowerCase())
    if (edits <= Math.max(1, Math.floor(name.length / 3)) && (best === undefined || edits < best.edits)) {
      best = { name, edits }
    }
  }
  return best?.name
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let edits = Math.min(row[j - 1]! + 1, last[j]! + 1, replaced)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, before[j - 2]! + 1)
      }
      row.push(edits)
    }
    before = last
    last = row
  }
  return last[b.length]!
}
