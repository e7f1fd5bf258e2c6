import { AssayError } from 'assay/core/errors'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { type BatcherOptions, createBatcher } from './batcher.ts'

/** A batcher whose batches end when they are told to. */
function gated(options: Partial<BatcherOptions<number, number>> = {}) {
  const batches: { readonly items: readonly number[]; end(): void }[] = []
  const batcher = createBatcher<number, number>({
    maxItems: 100,
    maxQueued: 1000,
    run: (items) =>
      new Promise((resolve) => {
        batches.push({ items, end: () => resolve(items.map((item) => item * 10)) })
      }),
    ...options,
  })
  const addAll = (...items: number[]) => Promise.all(items.map((item) => batcher.add(item)))
  const sizes = () => batches.map(({ items }) => items.length)
  return {
    batcher,
    batches,
    addAll,
    sizes,
    until: (count: number) => vi.waitUntil(() => batches.length === count),
  }
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'fine',
    (error: unknown) => (error instanceof AssayError ? error.code : String(error)),
  )

describe('batches', () => {
  it('start at once when idle, and gather while one is under way', async () => {
    const { addAll, batches, sizes, until } = gated()
    const first = addAll(1)
    await until(1)
    const later = [addAll(2), addAll(3, 4)]
    await new Promise((resolve) => setImmediate(resolve))
    expect(sizes()).toEqual([1])
    batches[0]?.end()
    expect(await first).toEqual([10])
    await until(2)
    batches[1]?.end()
    expect(await Promise.all(later)).toEqual([[20], [30, 40]])
    expect(sizes()).toEqual([1, 3])
  })

  it('hold what came in one turn, up to their size', async () => {
    const { addAll, batches, sizes, until } = gated({ maxItems: 2 })
    const all = addAll(1, 2, 3, 4, 5)
    for (let i = 0; i < 3; i++) {
      await until(i + 1)
      batches[i]?.end()
    }
    expect(await all).toEqual([10, 20, 30, 40, 50])
    expect(sizes()).toEqual([2, 2, 1])
  })

  it('of several items keep their distance; one that is full, or follows a single item, starts at once', async () => {
    const { addAll, batches, sizes, until } = gated({ maxItems: 3, spacingMs: 1e6 })
    const end = async (count: number) => {
      await until(count)
      batches[count - 1]?.end()
    }
    const all = [addAll(1)]
    await end(1)
    await all[0]
    all.push(addAll(2, 3))
    await end(2)
    await all[1]
    all.push(addAll(4, 5))
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(sizes()).toEqual([1, 2])
    all.push(addAll(6))
    await end(3)
    expect(await Promise.all(all)).toEqual([[10], [20, 30], [40, 50], [60]])
  })

  it('that wait for their distance start when it is over', async () => {
    const starts: number[] = []
    const batcher = createBatcher<number, number>({
      maxItems: 10,
      maxQueued: 10,
      spacingMs: 40,
      run: async (items) => {
        starts.push(performance.now())
        return items
      },
    })
    await Promise.all([batcher.add(1), batcher.add(2)])
    expect(await batcher.add(3)).toBe(3)
    const [first, second] = starts as [number, number]
    // The distance is kept from a moment before the first began to run.
    expect(second - first).toBeGreaterThan(39)
  })
})

describe('errors', () => {
  it('of one item are its own', async () => {
    const batcher = createBatcher<number, number>({
      maxItems: 10,
      maxQueued: 10,
      run: async (items) => items.map((item) => (item === 2 ? new Error('odd one out') : item)),
    })
    const outcomes = await Promise.allSettled([1, 2, 3].map((item) => batcher.add(item)))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  it('that fail the whole batch find the items that are bad, at the cost of a logarithm', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(63), { maxLength: 4 }), async (bad) => {
        const committed: number[] = []
        let runs = 0
        const batcher = createBatcher<number, number>({
          maxItems: 64,
          maxQueued: 64,
          run: async (items) => {
            runs += 1
            if (items.some((item) => bad.includes(item))) throw new AssayError('store/value', 'bad item')
            committed.push(...items)
            return items
          },
        })
        const codes = await Promise.all(Array.from({ length: 64 }, (_, item) => codeOf(batcher.add(item))))
        expect(codes).toEqual(codes.map((_, item) => (bad.includes(item) ? 'store/value' : 'fine')))
        expect(committed.length).toBe(64 - bad.length)
        expect(runs).toBeLessThanOrEqual(1 + bad.length * 2 * Math.log2(64))
      }),
    )
  })

  it('of the database are of all items, which are not run again', async () => {
    for (const code of ['store/unavailable', 'store/commit-unknown', 'store/timeout'] as const) {
      const run = vi.fn(async () => {
        throw new AssayError(code, 'away')
      })
      const batcher = createBatcher<number, number>({ maxItems: 10, maxQueued: 10, run })
      const codes = await Promise.all([1, 2, 3].map((item) => codeOf(batcher.add(item))))
      expect([codes, run.mock.calls.length]).toEqual([[code, code, code], 1])
    }
  })

  it('of a run that gives another number of results are told, and nothing runs twice', async () => {
    const run = vi.fn(async () => [1])
    const batcher = createBatcher<number, number>({ maxItems: 10, maxQueued: 10, run })
    const codes = await Promise.all([1, 2].map((item) => codeOf(batcher.add(item))))
    expect(codes[0]).toMatch(/expected 2 results/)
    expect(run).toHaveBeenCalledTimes(1)
  })

  it('of options are typed', () => {
    const run = async () => []
    for (const bad of [{ maxItems: 0 }, { maxQueued: 0.5 }]) {
      expect(() => createBatcher({ maxItems: 1, maxQueued: 1, run, ...bad })).toThrow(AssayError)
    }
  })
})

describe('limits', () => {
  it('refuse what would wait beyond them', async () => {
    const { batcher, addAll, batches, until } = gated({ maxItems: 1, maxQueued: 2 })
    const first = addAll(1)
    await until(1)
    const waiting = addAll(2, 3)
    expect(await codeOf(batcher.add(4))).toBe('store/overloaded')
    for (let i = 0; i < 3; i++) {
      await until(i + 1)
      batches[i]?.end()
    }
    expect([await first, await waiting]).toEqual([[10], [20, 30]])
  })

  it('of closing: what was taken ends, nothing new is taken', async () => {
    const { batcher, addAll, batches, until } = gated({ spacingMs: 1e6 })
    const first = addAll(0, 1)
    await until(1)
    const second = addAll(2)
    const closed = batcher.close()
    expect(await codeOf(batcher.add(3))).toBe('store/closed')
    batches[0]?.end()
    await until(2)
    batches[1]?.end()
    await closed
    expect([await first, await second]).toEqual([[0, 10], [20]])
    await batcher.close()
  })
})
