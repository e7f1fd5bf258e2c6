/**
 * Runs a module over one record, in an instance of its own.
 *
 * 1. A new instance over a memory that holds nothing; `_initialize()` where the module has it.
 * 2. `alloc(length)` names a place for the record; 0 says that there is none, unless the record is empty.
 * 3. `run(place, length)` returns the place of the output in its upper 32 bits and the length in the lower ones.
 *    Until it returns, `assay.emit(place, length)` copies that range as the next emitted state.
 *
 * Nothing outlives a record: globals, tables and dropped segments go with the instance, and the memory is cleared
 * before another instance sees it. So the same record gives the same row whatever ran before it.
 *
 * Threat: the module is hostile. Every range that it names is checked against its memory as it is then. It may run
 * for ever: call this where the thread can be killed.
 */
import { AssayError, type Json } from '../core/errors.ts'
import { PAGE_BYTES, type WasmLimits } from './limits.ts'
import type { WasmModule } from './module.ts'

export interface WasmResult {
  readonly output: Uint8Array
  /** What the module emitted, in order. */
  readonly emitted: readonly Uint8Array[]
}

/** What loading has checked. An i32 comes as a signed number, an i64 as a signed bigint. */
interface Exports {
  readonly alloc: (length: number) => number
  readonly run: (place: number, length: number) => bigint
  readonly _initialize?: () => void
}

/**
 * @throws AssayError `wasm/trap`, `wasm/bounds`, `wasm/output-too-large`, `wasm/record-too-large`; and
 * `wasm/no-memory` where this machine cannot give the memory.
 */
export function runRecord(module: WasmModule, record: Uint8Array): WasmResult {
  const { limits } = module
  if (record.length > limits.recordBytes) {
    throw tooMuch('wasm/record-too-large', 'bytes in a record', limits.recordBytes, record.length)
  }
  const memory = takeMemory(module)
  try {
    const emitted = emitter(memory, limits)
    const instance = instantiate(module, { memory, emit: emitted.emit })
    const output = call(instance, { memory, record, initializes: module.initializes })
    emitted.checkOutput(output.length)
    return { output: copyOf(memory, output, 'run'), emitted: emitted.states }
  } finally {
    giveBack(module, memory)
  }
}

interface Range {
  readonly place: number
  readonly length: number
}

interface Call {
  readonly memory: WebAssembly.Memory
  readonly record: Uint8Array
  readonly initializes: boolean
}

function call(exports: Exports, { memory, record, initializes }: Call): Range {
  const { length } = record
  try {
    if (initializes) exports._initialize?.()
    const place = exports.alloc(length) >>> 0
    checkRange(
      memory,
      { place: place === 0 && length > 0 ? Number.POSITIVE_INFINITY : place, length },
      'alloc',
    )
    new Uint8Array(memory.buffer, place, length).set(record)
    const range = BigInt.asUintN(64, exports.run(place, length))
    return { place: Number(range >> 32n), length: Number(range & 0xffff_ffffn) }
  } catch (error) {
    throw asTrap(error)
  }
}

function instantiate(module: WasmModule, assay: WebAssembly.ModuleImports): Exports {
  try {
    return new WebAssembly.Instance(module.compiled, { assay }).exports as unknown as Exports
  } catch (error) {
    if (error instanceof RangeError) throw noMemory(error)
    throw asTrap(error)
  }
}

function emitter(memory: WebAssembly.Memory, { emittedStates, outputBytes }: WasmLimits) {
  const states: Uint8Array[] = []
  let bytes = 0
  const add = (length: number, what: string): void => {
    bytes += length
    if (bytes > outputBytes) throw tooMuch('wasm/output-too-large', `bytes of ${what}`, outputBytes, bytes)
  }
  const emit = (place: number, length: number): void => {
    const range = { place: place >>> 0, length: length >>> 0 }
    if (states.length >= emittedStates) {
      throw tooMuch('wasm/output-too-large', 'emitted states', emittedStates, states.length + 1)
    }
    add(range.length, 'emitted states')
    states.push(copyOf(memory, range, 'emit'))
  }
  return { states, emit, checkOutput: (length: number) => add(length, 'output and emitted states') }
}

function copyOf(memory: WebAssembly.Memory, range: Range, by: string): Uint8Array {
  if (range.length === 0) return new Uint8Array(0)
  checkRange(memory, range, by)
  return new Uint8Array(memory.buffer, range.place, range.length).slice()
}

function checkRange(memory: WebAssembly.Memory, { place, length }: Range, by: string): void {
  const size = memory.buffer.byteLength
  if (place + length <= size) return
  const where = Number.isFinite(place) ? `${length} bytes at ${place}` : `no room for ${length} bytes`
  throw new AssayError('wasm/bounds', `expected ${by} to name a range within ${size} bytes, got ${where}`, {
    detail: { by, length, memoryBytes: size },
  })
}

/**
 * 16 MiB: to clear so much takes 0.5 ms, as long as to map it afresh, which also costs a fault for each page that is
 * touched, and leaves the old one to the garbage collector. One page takes 1 µs against 60.
 */
const REUSED_PAGES = 256

const spares = new WeakMap<WasmModule, WebAssembly.Memory>()

function takeMemory(module: WasmModule): WebAssembly.Memory {
  const spare = spares.get(module)
  if (spare !== undefined) {
    spares.delete(module)
    new Uint8Array(spare.buffer).fill(0)
    return spare
  }
  const { minimumPages: initial, maximumPages: maximum } = module.memory
  try {
    return new WebAssembly.Memory({ initial, maximum })
  } catch (cause) {
    throw noMemory(cause)
  }
}

/** A memory that has grown cannot shrink, and its size can be seen. */
function giveBack(module: WasmModule, memory: WebAssembly.Memory): void {
  const { minimumPages } = module.memory
  if (minimumPages > REUSED_PAGES || memory.buffer.byteLength !== minimumPages * PAGE_BYTES) return
  spares.set(module, memory)
}

/** Whatever else is thrown while a module runs comes from the engine: a trap, or a full stack. */
function asTrap(cause: unknown): AssayError {
  if (cause instanceof AssayError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new AssayError('wasm/trap', `the module trapped: ${reason}`, { detail: { reason }, cause })
}

function noMemory(cause: unknown): AssayError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new AssayError('wasm/no-memory', `this machine has no memory for the module: ${reason}`, { cause })
}

function tooMuch(
  code: 'wasm/record-too-large' | 'wasm/output-too-large',
  what: string,
  cap: number,
  got: number,
): AssayError {
  const detail: { readonly [key: string]: Json } = { cap, got }
  return new AssayError(code, `expected at most ${cap} ${what}, got ${got}`, { detail })
}
