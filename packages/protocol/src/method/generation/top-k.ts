/**
 * Indices of the k largest magnitudes, with the order among equals that a fingerprint names.
 *
 * bfloat16 has few values, so that the k-th largest nearly always has equals, and which of them are taken
 * decides bytes of the fingerprint. Two rules:
 *
 * - `lowest-index`: of equals, those that come first. One changed activation changes at most one choice.
 * - `torch`: those that PyTorch's `topk` takes on a CPU, for bytes equal to those of the published package.
 *   That is the order in which two algorithms of the C++ standard library, as GCC ships it, leave the
 *   elements: `partial_sort` where 64 k <= n, `nth_element` elsewhere. What they compute is fixed by their
 *   code, not by a standard; it is written here after their behaviour and compared live with the package.
 *   One changed activation can change the choice among all equals.
 */

export type Ties = 'lowest-index' | 'torch'

/** PyTorch sorts a part where k times this fits into n. */
const PARTIAL_SORT_FACTOR = 64
/** Ranges of this length or less are sorted by insertion. */
const SMALL_RANGE = 3

/**
 * Which `k` of `keys` (16-bit magnitudes, 1 <= k <= keys.length) are largest; in no particular order.
 */
export function largest(
  keys: Uint16Array,
  { k, ties }: { readonly k: number; readonly ties: Ties },
): Uint32Array {
  if (ties === 'lowest-index') return lowestIndices(keys, k)
  if (k * PARTIAL_SORT_FACTOR <= keys.length) return heapLargest(keys, k)
  const cells = cellsOf(keys)
  selectNth(cells, k - 1)
  return cells.ids.slice(0, k)
}

/** A heap of the first k, whose smallest gives way to every larger key that follows. */
function heapLargest(keys: Uint16Array, k: number): Uint32Array {
  const cells = cellsOf(keys.subarray(0, k))
  makeHeap(cells, { first: 0, last: k })
  let smallest = cells.keys[0]!
  for (let id = k; id < keys.length; id++) {
    const key = keys[id]!
    if (key <= smallest) continue
    sift(cells, { first: 0, length: k, hole: 0, key, id })
    smallest = cells.keys[0]!
  }
  return cells.ids
}

/** By counting: the threshold first, then everything above it, then the first ones equal to it. */
function lowestIndices(keys: Uint16Array, k: number): Uint32Array {
  const { threshold, above } = thresholdOf(keys, k)
  let equals = k - above
  const chosen = new Uint32Array(k)
  for (let i = 0, count = 0; count < k; i++) {
    const key = keys[i]!
    if (key > threshold || (key === threshold && equals-- > 0)) chosen[count++] = i
  }
  return chosen
}

/** The k-th largest key, and how many are larger. Where k is small, most keys need one comparison only. */
function thresholdOf(keys: Uint16Array, k: number): { threshold: number; above: number } {
  if (k * PARTIAL_SORT_FACTOR > keys.length) return countedThreshold(keys, k)
  let threshold = 2 ** 16 - 1
  const chosen = heapLargest(keys, k)
  for (const id of chosen) threshold = Math.min(threshold, keys[id]!)
  let above = 0
  for (const id of chosen) if (keys[id]! > threshold) above++
  return { threshold, above }
}

/** By histograms, of the upper byte first. */
function countedThreshold(keys: Uint16Array, k: number): { threshold: number; above: number } {
  const counts = new Uint32Array(256)
  for (let i = 0; i < keys.length; i++) counts[keys[i]! >> 8]!++
  let upper = 255
  let above = 0
  while (above + counts[upper]! < k) above += counts[upper--]!
  counts.fill(0)
  for (let i = 0; i < keys.length; i++) if (keys[i]! >> 8 === upper) counts[keys[i]! & 255]!++
  let lower = 255
  while (above + counts[lower]! < k) above += counts[lower--]!
  return { threshold: (upper << 8) | lower, above }
}

/** Keys and their indices, moved together. "Before" means a larger key. */
interface Cells {
  readonly keys: Uint16Array
  readonly ids: Uint32Array
  before(a: number, b: number): boolean
  move(from: number, to: number): void
  put(at: number, key: number, id: number): void
  swap(a: number, b: number): void
}

function cellsOf(given: Uint16Array): Cells {
  const keys = given.slice()
  const ids = new Uint32Array(keys.length)
  for (let i = 0; i < ids.length; i++) ids[i] = i
  const move = (from: number, to: number) => {
    keys[to] = keys[from]!
    ids[to] = ids[from]!
  }
  const put = (at: number, key: number, id: number) => {
    keys[at] = key
    ids[at] = id
  }
  const swap = (a: number, b: number) => {
    const [key, id] = [keys[a]!, ids[a]!]
    move(b, a)
    put(b, key, id)
  }
  return { keys, ids, before: (a, b) => keys[a]! > keys[b]!, move, put, swap }
}

interface Range {
  readonly first: number
  readonly last: number
}

function makeHeap(cells: Cells, { first, last }: Range): void {
  const { keys, ids } = cells
  const length = last - first
  for (let hole = (length - 2) >> 1; hole >= 0; hole--) {
    sift(cells, { first, length, hole, key: keys[first + hole]!, id: ids[first + hole]! })
  }
}

/** Leaves the largest of the range before `middle`, as a heap whose top is the smallest of them. */
function selectByHeap(cells: Cells, { first, middle, last }: Range & { readonly middle: number }): void {
  const { keys, ids } = cells
  makeHeap(cells, { first, last: middle })
  for (let i = middle; i < last; i++) {
    if (!cells.before(i, first)) continue
    const [key, id] = [keys[i]!, ids[i]!]
    cells.move(first, i)
    sift(cells, { first, length: middle - first, hole: 0, key, id })
  }
}

interface Sifted {
  readonly first: number
  readonly length: number
  readonly hole: number
  readonly key: number
  readonly id: number
}

/** Moves the hole of the heap down to a leaf, then the value up from there. */
function sift(cells: Cells, { first, length, hole, key, id }: Sifted): void {
  let at = hole
  while (at < (length - 1) >> 1) {
    let child = 2 * (at + 1)
    if (cells.before(first + child, first + child - 1)) child--
    cells.move(first + child, first + at)
    at = child
  }
  if (length % 2 === 0 && at === (length - 2) >> 1) {
    const child = 2 * at + 1
    cells.move(first + child, first + at)
    at = child
  }
  while (at > hole) {
    const parent = (at - 1) >> 1
    if (cells.keys[first + parent]! <= key) break
    cells.move(first + parent, first + at)
    at = parent
  }
  cells.put(first + at, key, id)
}

/** Leaves no smaller key before position `nth` and no larger one behind it: introspective quickselect. */
function selectNth(cells: Cells, nth: number): void {
  let first = 0
  let last = cells.keys.length
  let depth = 2 * (31 - Math.clz32(last))
  while (last - first > SMALL_RANGE) {
    if (depth-- === 0) {
      selectByHeap(cells, { first, middle: nth + 1, last })
      cells.swap(first, nth)
      return
    }
    const cut = partition(cells, { first, last })
    if (cut <= nth) first = cut
    else last = cut
  }
  sortSmall(cells, { first, last })
}

/** Splits by the median of second, middle and last element, which is put first. */
function partition(cells: Cells, { first, last }: Range): number {
  cells.swap(first, median(cells, [first + 1, first + ((last - first) >> 1), last - 1]))
  let low = first + 1
  let high = last
  for (;;) {
    while (cells.before(low, first)) low++
    do high--
    while (cells.before(first, high))
    if (low >= high) return low
    cells.swap(low, high)
    low++
  }
}

function median({ before }: Cells, [a, b, c]: readonly [number, number, number]): number {
  if (before(a, b)) {
    if (before(b, c)) return b
    return before(a, c) ? c : a
  }
  if (before(a, c)) return a
  return before(b, c) ? c : b
}

function sortSmall(cells: Cells, { first, last }: Range): void {
  const { keys, ids } = cells
  for (let i = first + 1; i < last; i++) {
    const [key, id] = [keys[i]!, ids[i]!]
    let at = i
    for (; at > first && key > keys[at - 1]!; at--) cells.move(at - 1, at)
    cells.put(at, key, id)
  }
}
