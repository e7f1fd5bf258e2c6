/**
 * What a module may take: caps that a job sets, within the caps of this file.
 *
 * The caps on the parts of a module bound what an engine does with it beside running it: every record gets an
 * instance of its own, whose tables, globals and segments cost time and memory before the first instruction.
 */
import * as z from 'zod/mini'
import { parseWith } from '../core/codec.ts'

/** A page of WebAssembly memory. */
export const PAGE_BYTES = 2 ** 16

/** Rust or C++ with a parser or a codec takes some 100 KB; the check of 8 MiB takes about 0.1 s. */
export const MAX_MODULE_BYTES = 2 ** 23
/** 1 GiB: what a node with some gigabytes can give to one record. */
export const MAX_MEMORY_PAGES = 2 ** 14
/** A record is a part of an input that travels in one piece; it is copied twice on its way into a module. */
export const MAX_RECORD_BYTES = 2 ** 24
/** A row becomes a state, and no state is larger. */
export const MAX_OUTPUT_BYTES = 2 ** 24
/** Each costs an object in whoever decodes a row. */
export const MAX_EMITTED_STATES = 2 ** 14

/** Types, functions and data segments, each. The largest programs of 8 MiB have some 20,000 functions. */
export const MAX_PARTS = 2 ** 16
/** Compilers make a handful: the stack pointer and the ends of the heap. */
export const MAX_GLOBALS = 2 ** 12
/** Each exported function costs every instance an object. */
export const MAX_EXPORTS = 2 ** 10
/** Compilers make one. */
export const MAX_TABLES = 16
/** Entries of all tables together, and of all segments that fill them: about 20 ns each for every record. */
export const MAX_TABLE_ENTRIES = 2 ** 16

const upTo = (most: number) => z.int().check(z.minimum(0), z.maximum(most))

const wasmLimits = z.strictObject({
  /** Largest memory that a module may declare, in pages of 64 KiB. */
  memoryPages: upTo(MAX_MEMORY_PAGES),
  /** Of one record. */
  recordBytes: upTo(MAX_RECORD_BYTES),
  /** Of the output of one record and what it emitted, together. */
  outputBytes: upTo(MAX_OUTPUT_BYTES),
  /** How often one record may emit. */
  emittedStates: upTo(MAX_EMITTED_STATES),
})

export type WasmLimits = Readonly<z.infer<typeof wasmLimits>>

/** 64 MiB of memory and a megabyte out: what a parser, a simulation or an aggregation of some records takes. */
export const DEFAULT_WASM_LIMITS: WasmLimits = {
  memoryPages: 1024,
  recordBytes: MAX_RECORD_BYTES,
  outputBytes: 2 ** 20,
  emittedStates: 2 ** 10,
}

/** @throws AssayError `codec/schema`, naming the limit and its range. */
export function assertWasmLimits(limits: unknown): asserts limits is WasmLimits {
  parseWith(wasmLimits, limits, 'the limits of a wasm module')
}
