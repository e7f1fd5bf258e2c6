/**
 * Instantiates the WebAssembly kernel, once a thread and only when it is first used.
 */
import { fromBase64 } from './bytes.ts'
import { KERNEL_WASM } from './kernel-wasm.generated.ts'

/** What `kernel/assembly/index.ts` exports, with its addresses as numbers. */
export interface Kernel {
  readonly memory: WebAssembly.Memory
  readonly chunk: number
  readonly maxHashes: number
  readonly input: number
  readonly items: number
  readonly positions: number
  readonly hits: number
  readonly bits: number
  readonly padded: number
  readonly paddedBytes: number
  useFilter(hashes: number, lengthBits: bigint): void
  hashIntegers(count: number): void
  absorbBlock(): void
  hashMessages(count: number, size: number): void
  hashPadded(count: number, blocks: number): void
  walkIntegers(count: number): void
  walkItems(count: number): void
  setBits(count: number): void
  testBits(count: number): void
}

let loaded: Kernel | null | undefined

/**
 * The kernel, or null where it cannot run: no WebAssembly, no SIMD, a policy that forbids compiling, or a
 * big-endian host (its views over the kernel's memory would read words backwards).
 */
export function loadKernel(): Kernel | null {
  if (loaded === undefined) loaded = instantiate()
  return loaded
}

function instantiate(): Kernel | null {
  if (typeof WebAssembly === 'undefined' || new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) return null
  try {
    const module = new WebAssembly.Module(fromBase64(KERNEL_WASM) as Uint8Array<ArrayBuffer>)
    const { exports } = new WebAssembly.Instance(module)
    const address = (name: string) => (exports[name] as WebAssembly.Global).value as number
    const calls = exports as unknown as Omit<Kernel, 'chunk'>
    return {
      ...calls,
      chunk: address('CHUNK'),
      maxHashes: address('MAX_HASHES'),
      input: address('INPUT'),
      items: address('ITEMS'),
      positions: address('POSITIONS'),
      hits: address('HITS'),
      bits: address('BITS'),
      padded: address('PADDED'),
      paddedBytes: address('PADDED_BYTES'),
    }
  } catch {
    return null
  }
}
