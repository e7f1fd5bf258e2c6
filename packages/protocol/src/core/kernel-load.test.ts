import { afterEach, describe, expect, it, vi } from 'vitest'
import { equalBytes } from './bytes.ts'

const values = BigInt64Array.from({ length: 50 }, (_, i) => BigInt(i) - 25n)
const block = new Uint8Array(64).fill(7)

afterEach(() => {
  vi.unstubAllGlobals()
  vi.resetModules()
})

/** Everything that the kernel does, in one list of bytes. */
async function results() {
  const kernel = await import('./kernel.ts')
  const { loadKernel } = await import('./kernel-load.ts')
  const filter = { hashes: 6, bits: new Uint8Array(60) }
  kernel.insertIntegers(filter, values.subarray(0, 20))
  const items = kernel.hashItems(block, new Uint8Array(values.buffer), 10)
  kernel.insertItems(filter, items.subarray(0, 160))
  const parts = [
    kernel.hashIntegers(values),
    items,
    filter.bits,
    kernel.hasIntegers(filter, values),
    kernel.hasItems(filter, items),
  ]
  return { fast: loadKernel() !== null, bytes: Uint8Array.from(parts.flatMap((part) => [...part])) }
}

describe('the kernel', () => {
  it('is instantiated once', async () => {
    const { loadKernel } = await import('./kernel-load.ts')
    expect(loadKernel()).toBe(loadKernel())
  })

  it.each([
    ['has no WebAssembly', undefined],
    [
      'forbids to compile it',
      {
        Module: class {
          constructor() {
            throw new EvalError('refused by the content security policy')
          }
        },
      },
    ],
  ])('gives way to the twin, with the same results, where the engine %s', async (_, stub) => {
    const fast = await results()
    expect(fast.fast).toBe(true)
    vi.resetModules()
    vi.stubGlobal('WebAssembly', stub)
    const slow = await results()
    expect(slow.fast).toBe(false)
    expect(equalBytes(slow.bytes, fast.bytes)).toBe(true)
  })
})
