/**
 * Loads a module of work: a pure function from bytes to bytes, compiled to WebAssembly by anybody from anything.
 *
 * The module exports `memory` (with a declared maximum), `alloc: (i32) -> i32` and `run: (i32, i32) -> i64`, may
 * export `_initialize: () -> ()`, and may import `assay.emit: (i32, i32) -> ()`; run.ts says when each is called.
 * It can reach nothing else: no clock, no randomness, no files, no other record.
 *
 * Determinism. Whatever is not WebAssembly 2.0 is refused by our own reading of the module (sections.ts, code.ts),
 * so that all engines run the same modules, and run them alike, with the exceptions that the specification makes.
 * The bits of a NaN that arithmetic gives are the engine's choice: `usesFloats` says whether the module has such
 * arithmetic; it should then never write a NaN into its output. And where memory or stack run out is the engine's
 * choice: a full stack is a trap, so that it never gives another row, but a module sees whether its memory could
 * grow, and it can up to its own maximum on every machine that has that much.
 *
 * Threat: the module comes from anybody, and is made to break the node or to stall it. Loading is bounded by the
 * caps of limits.ts and code.ts; nothing of the module runs. Running is bounded by whoever can kill the thread.
 */
import { concatBytes, utf8 } from '../core/bytes.ts'
import { AssayError } from '../core/errors.ts'
import { describeValue } from '../core/inspect.ts'
import { readU32 } from './binary.ts'
import { assertWasmLimits, MAX_MODULE_BYTES, type WasmLimits } from './limits.ts'
import { isSignature, type MemoryBounds, type ModuleShape, readModule, WASM_HEADER } from './sections.ts'

/** A module that may be run, within the limits that it was loaded for. */
export interface WasmModule {
  readonly limits: WasmLimits
  readonly memory: MemoryBounds
  /** Whether some instruction may give a NaN whose bits differ between engines. */
  readonly usesFloats: boolean
  /** Whether it exports `_initialize`. */
  readonly initializes: boolean
  /** Of the module with its memory imported from the host as `assay.memory`, and without custom sections. */
  readonly compiled: WebAssembly.Module
}

/**
 * Checks and compiles a module. Nothing of `bytes` is kept.
 *
 * @throws AssayError `wasm/malformed`, `too-large`, `feature`, `import`, `memory`, `start`, `abi` and `invalid`;
 * `wasm/no-memory` where the engine cannot hold it; `codec/schema` for limits out of range.
 */
export function loadWasmModule(bytes: Uint8Array, limits: WasmLimits): WasmModule {
  assertWasmLimits(limits)
  const own = checkSize(bytes).slice()
  const shape = readModule(own)
  const memory = checkMemory(shape, limits)
  const initializes = checkExports(shape)
  return {
    limits,
    memory,
    usesFloats: shape.usesFloats,
    initializes,
    compiled: compile(withImportedMemory(own, shape, memory)),
  }
}

function checkSize(bytes: Uint8Array): Uint8Array {
  if (!(bytes instanceof Uint8Array)) {
    throw new AssayError('wasm/malformed', `expected the bytes of a module, got ${describeValue(bytes)}`)
  }
  if (bytes.length > MAX_MODULE_BYTES) {
    throw new AssayError(
      'wasm/too-large',
      `expected a module of at most ${MAX_MODULE_BYTES} bytes, got ${bytes.length}; build for size and strip it`,
      { detail: { cap: MAX_MODULE_BYTES, got: bytes.length } },
    )
  }
  return bytes
}

function checkMemory({ memory }: ModuleShape, { memoryPages }: WasmLimits): MemoryBounds {
  if (memory === undefined) {
    throw new AssayError('wasm/memory', 'expected a module with a memory of its own, got none')
  }
  const { minimumPages, maximumPages } = memory
  if (minimumPages > maximumPages || maximumPages > memoryPages) {
    throw new AssayError(
      'wasm/memory',
      `expected a memory of at most ${memoryPages} pages of 64 KiB, got ${minimumPages} to ${maximumPages}; link with a lower --max-memory, or ask for more`,
      { detail: { cap: memoryPages, minimumPages, maximumPages } },
    )
  }
  return memory
}

/** Whether there is an `_initialize`, once everything that must be there is. */
function checkExports(shape: ModuleShape): boolean {
  if (shape.exported('memory')?.kind !== 'memory') {
    throw new AssayError('wasm/abi', 'expected the module to export its memory as "memory"')
  }
  checkFunction(shape, 'alloc', { parameters: ['i32'], results: ['i32'] })
  checkFunction(shape, 'run', { parameters: ['i32', 'i32'], results: ['i64'] })
  if (shape.exported('_initialize') === undefined) return false
  checkFunction(shape, '_initialize', { parameters: [], results: [] })
  return true
}

function checkFunction(
  shape: ModuleShape,
  name: string,
  { parameters, results }: { readonly parameters: readonly string[]; readonly results: readonly string[] },
): void {
  const found = shape.exported(name)
  if (isSignature(found?.signature, parameters, results)) return
  const expected = `(${parameters.join(', ')}) -> ${results.join(', ') || '()'}`
  const got = found === undefined ? 'none of that name' : `a ${found.kind} of another type`
  throw new AssayError('wasm/abi', `expected the module to export ${name}: ${expected}, got ${got}`, {
    detail: { export: name },
  })
}

/**
 * The same module, with its memory imported: a host that owns the memory can clear it and use it again, where a
 * fresh one costs some 60 µs for each record. Memory 0 stays memory 0, so no instruction changes.
 */
function withImportedMemory(bytes: Uint8Array, shape: ModuleShape, memory: MemoryBounds): Uint8Array {
  const section = (id: number, content: Uint8Array) => [Uint8Array.of(id), leb(content.length), content]
  const entry = concatBytes(
    name('assay'),
    name('memory'),
    Uint8Array.of(2, 1),
    leb(memory.minimumPages),
    leb(memory.maximumPages),
  )
  const parts: Uint8Array[] = [WASM_HEADER]
  for (const { id, start, end } of shape.sections) {
    if (id === TYPES) {
      const imports = section(
        IMPORTS,
        concatBytes(leb(shape.imports ? 2 : 1), entry, importsOf(bytes, shape)),
      )
      parts.push(...section(id, bytes.subarray(start, end)), ...imports)
    } else if (id !== IMPORTS && id !== MEMORIES) {
      parts.push(...section(id, bytes.subarray(start, end)))
    }
  }
  return concatBytes(...parts)
}

const TYPES = 1
const IMPORTS = 2
const MEMORIES = 5

/** The entries of the import section: that of `assay.emit`, or nothing. */
function importsOf(bytes: Uint8Array, { sections }: ModuleShape): Uint8Array {
  const section = sections.find(({ id }) => id === IMPORTS)
  if (section === undefined) return new Uint8Array(0)
  const reader = { bytes, at: section.start, end: section.end }
  readU32(reader)
  return bytes.subarray(reader.at, section.end)
}

function name(text: string): Uint8Array {
  return concatBytes(leb(text.length), utf8(text))
}

/** Unsigned LEB128. */
function leb(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Uint8Array.of(...bytes, rest)
}

function compile(bytes: Uint8Array): WebAssembly.Module {
  try {
    return new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    if (cause instanceof WebAssembly.CompileError) {
      throw new AssayError('wasm/invalid', `the engine refuses the module: ${reason}`, { cause })
    }
    throw new AssayError('wasm/no-memory', `the engine cannot hold the module: ${reason}`, { cause })
  }
}
