/**
 * The sections of a module, read once before any engine sees it (WebAssembly 2.0, "Binary Format", section 5.5).
 *
 * Refuses what a node must not run: imports other than `assay.emit`, a start function, a memory or a table without
 * an upper bound, every section, type and instruction outside of WebAssembly 2.0. What else makes a module valid
 * is left to the engine, which sees the same sections.
 *
 * Threat: the bytes come from anybody. One pass, bounded by their length and by the caps of limits.ts; nothing is
 * kept but where things are.
 */
import { AssayError } from '../core/errors.ts'
import {
  type BinaryReader,
  hexByte,
  malformed,
  readByte,
  readCount,
  readName,
  readReferenceType,
  readU32,
  readValueType,
  showName,
  skipBytes,
  skipLeb,
  tooLarge,
  unsupported,
} from './binary.ts'
import { type CodeFacts, walkBody, walkConstant } from './code.ts'
import { MAX_EXPORTS, MAX_GLOBALS, MAX_PARTS, MAX_TABLE_ENTRIES, MAX_TABLES } from './limits.ts'

/** The binary format, version 1. */
export const WASM_HEADER = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00)

export interface Signature {
  readonly parameters: readonly string[]
  readonly results: readonly string[]
}

export interface Section {
  readonly id: number
  /** Of its contents. */
  readonly start: number
  readonly end: number
}

export interface MemoryBounds {
  readonly minimumPages: number
  readonly maximumPages: number
}

export interface ModuleShape {
  /** In their order, without custom ones, which mean nothing to a computation. */
  readonly sections: readonly Section[]
  readonly memory: MemoryBounds | undefined
  /** What `name` exports: the kind, and the signature of a function. */
  exported(name: string): { readonly kind: string; readonly signature?: Signature } | undefined
  readonly imports: boolean
  readonly usesFloats: boolean
}

interface Findings extends CodeFacts {
  readonly types: Signature[]
  /** The type of each function, imported ones first. */
  readonly functions: number[]
  imports: number
  bodies: number
  memory: MemoryBounds | undefined
  tableEntries: number
  segmentEntries: number
  readonly exports: Map<string, { readonly kind: number; readonly index: number }>
}

/** Sections by number, and the order that the format gives them: data count (12) comes before code (10). */
const SECTIONS: {
  readonly [id: number]: { readonly rank: number; read(r: BinaryReader, f: Findings): void }
} = {
  1: { rank: 1, read: readTypes },
  2: { rank: 2, read: readImports },
  3: { rank: 3, read: readFunctions },
  4: { rank: 4, read: readTables },
  5: { rank: 5, read: readMemories },
  6: { rank: 6, read: readGlobals },
  7: { rank: 7, read: readExports },
  8: { rank: 8, read: refuseStart },
  9: { rank: 9, read: readElements },
  12: { rank: 10, read: (reader) => void readU32(reader) },
  10: { rank: 11, read: readCode },
  11: { rank: 12, read: readData },
}

const EXPORT_KINDS = ['function', 'table', 'memory', 'global']

/** @throws AssayError `wasm/malformed`, `feature`, `import`, `start`, `memory` and `too-large`. */
export function readModule(bytes: Uint8Array): ModuleShape {
  const reader: BinaryReader = { bytes, at: 0, end: bytes.length }
  for (const byte of WASM_HEADER) {
    if (readByte(reader) !== byte) throw malformed('expected the header of version 1', reader.at - 1)
  }
  const findings: Findings = {
    types: [],
    functions: [],
    imports: 0,
    bodies: 0,
    memory: undefined,
    tableEntries: 0,
    segmentEntries: 0,
    exports: new Map(),
    usesFloats: false,
  }
  const sections = readSections(reader, findings)
  if (findings.bodies !== findings.functions.length - findings.imports) {
    throw malformed('the functions and their bodies are not as many', bytes.length)
  }
  return {
    sections,
    memory: findings.memory,
    exported: (name) => exportedBy(findings, name),
    imports: findings.imports > 0,
    usesFloats: findings.usesFloats,
  }
}

function readSections(reader: BinaryReader, findings: Findings): Section[] {
  const sections: Section[] = []
  const { end } = reader
  let rank = 0
  while (reader.at < end) {
    const id = readByte(reader)
    const size = readU32(reader)
    const start = reader.at
    if (size > end - start) throw malformed(`section ${id} is longer than the module`, start)
    if (id === 0) {
      skipBytes(reader, size)
      continue
    }
    const section = SECTIONS[id]
    if (section === undefined) throw unsupported(`a section of kind ${id}`, start)
    if (section.rank <= rank) throw malformed(`section ${id} is out of order or comes twice`, start)
    rank = section.rank
    reader.end = start + size
    section.read(reader, findings)
    if (reader.at !== reader.end) throw malformed(`section ${id} goes on after its end`, reader.at)
    reader.end = end
    sections.push({ id, start, end: reader.at })
  }
  return sections
}

function readTypes(reader: BinaryReader, { types }: Findings): void {
  let values = 0
  for (let left = readCount(reader, 'types', MAX_PARTS); left > 0; left--) {
    const form = readByte(reader)
    if (form !== 0x60) throw unsupported(`a type of form ${hexByte(form)}`, reader.at - 1)
    const type = { parameters: readValueTypes(reader), results: readValueTypes(reader) }
    values += type.parameters.length + type.results.length
    if (values > MAX_PARTS) throw tooLarge('parameters and results of all types', MAX_PARTS, values)
    types.push(type)
  }
}

/** Engines stop at 1,000 parameters or results. */
const MAX_PARAMETERS = 1000

function readValueTypes(reader: BinaryReader): string[] {
  const types: string[] = []
  const what = 'parameters or results of a function'
  for (let left = readCount(reader, what, MAX_PARAMETERS); left > 0; left--) types.push(readValueType(reader))
  return types
}

function readImports(reader: BinaryReader, findings: Findings): void {
  for (let left = readCount(reader, 'imports', MAX_PARTS); left > 0; left--) {
    const name = `${showName(readName(reader))}.${showName(readName(reader))}`
    const kind = readByte(reader)
    if (name !== 'assay.emit' || kind !== 0 || findings.imports > 0) throw refusedImport(name)
    const type = readU32(reader)
    if (!isSignature(findings.types[type], ['i32', 'i32'], [])) throw refusedImport(`${name} of another type`)
    findings.functions.push(type)
    findings.imports += 1
  }
}

function refusedImport(name: string): AssayError {
  return new AssayError(
    'wasm/import',
    `expected no import but one function assay.emit: (i32, i32) -> (), got ${name}; link without WASI`,
    { detail: { import: name } },
  )
}

function readFunctions(reader: BinaryReader, { functions }: Findings): void {
  for (let left = readCount(reader, 'functions', MAX_PARTS); left > 0; left--) functions.push(readU32(reader))
}

function readTables(reader: BinaryReader, findings: Findings): void {
  for (let left = readCount(reader, 'tables', MAX_TABLES); left > 0; left--) {
    readReferenceType(reader)
    const flags = readByte(reader)
    if (flags > 1) throw unsupported(`a table with flags ${hexByte(flags)}`, reader.at - 1)
    const minimum = readU32(reader)
    if (flags === 0) {
      const message = `expected a table with a declared maximum of at most ${MAX_TABLE_ENTRIES} entries, got none`
      throw new AssayError('wasm/too-large', message, { detail: { cap: MAX_TABLE_ENTRIES } })
    }
    findings.tableEntries += Math.max(minimum, readU32(reader))
    if (findings.tableEntries > MAX_TABLE_ENTRIES) {
      throw tooLarge('entries in tables', MAX_TABLE_ENTRIES, findings.tableEntries)
    }
  }
}

function readMemories(reader: BinaryReader, findings: Findings): void {
  const start = reader.at
  const count = readU32(reader)
  if (count > 1) throw unsupported('a second memory', start)
  if (count === 0) return
  const flags = readByte(reader)
  if (flags === 2 || flags === 3) throw unsupported('a shared memory', start)
  if (flags > 3) throw unsupported(`a memory with flags ${hexByte(flags)} (64-bit?)`, start)
  const minimumPages = readU32(reader)
  if (flags === 0) {
    throw new AssayError(
      'wasm/memory',
      `expected a memory with a declared maximum, got ${minimumPages} pages without one; link with --max-memory=BYTES`,
    )
  }
  findings.memory = { minimumPages, maximumPages: readU32(reader) }
}

function readGlobals(reader: BinaryReader): void {
  for (let left = readCount(reader, 'globals', MAX_GLOBALS); left > 0; left--) {
    readValueType(reader)
    skipBytes(reader, 1)
    walkConstant(reader)
  }
}

function readExports(reader: BinaryReader, { exports }: Findings): void {
  for (let left = readCount(reader, 'exports', MAX_EXPORTS); left > 0; left--) {
    const name = readName(reader)
    const kind = readByte(reader)
    if (kind > 3) throw unsupported(`an export of kind ${kind}`, reader.at - 1)
    exports.set(name, { kind, index: readU32(reader) })
  }
}

function refuseStart(): void {
  throw new AssayError('wasm/start', 'expected no start function; export it as _initialize instead')
}

/** Bits of a segment's flags: 1 passive or declared, 2 explicit table or declared, 4 expressions for functions. */
function readElements(reader: BinaryReader, findings: Findings): void {
  for (let left = readCount(reader, 'element segments', MAX_PARTS); left > 0; left--) {
    const flags = readU32(reader)
    if (flags > 7) throw unsupported(`an element segment with flags ${flags}`, reader.at - 1)
    const isActive = (flags & 1) === 0
    if (isActive && (flags & 2) !== 0) skipLeb(reader, 5)
    if (isActive) walkConstant(reader)
    if ((flags & 3) !== 0) readElementKind(reader, flags)
    const entries = readCount(reader, 'entries in element segments', MAX_TABLE_ENTRIES)
    findings.segmentEntries += entries
    if (findings.segmentEntries > MAX_TABLE_ENTRIES) {
      throw tooLarge('entries in element segments', MAX_TABLE_ENTRIES, findings.segmentEntries)
    }
    for (let entry = 0; entry < entries; entry++) {
      if ((flags & 4) === 0) skipLeb(reader, 5)
      else walkConstant(reader)
    }
  }
}

function readElementKind(reader: BinaryReader, flags: number): void {
  if ((flags & 4) !== 0) readReferenceType(reader)
  else if (readByte(reader) !== 0) throw unsupported('elements that are not functions', reader.at - 1)
}

function readCode(reader: BinaryReader, findings: Findings): void {
  const { functions, imports, types } = findings
  for (let left = readCount(reader, 'functions', MAX_PARTS); left > 0; left--) {
    const type = types[functions[imports + findings.bodies] ?? types.length]
    if (type === undefined) throw malformed('a body of a function that is not declared', reader.at)
    walkBody(reader, type.parameters.length, findings)
    findings.bodies += 1
  }
}

function readData(reader: BinaryReader): void {
  for (let left = readCount(reader, 'data segments', MAX_PARTS); left > 0; left--) {
    const flags = readU32(reader)
    if (flags > 2) throw unsupported(`a data segment with flags ${flags}`, reader.at - 1)
    if (flags === 2 && readU32(reader) !== 0) throw unsupported('a second memory', reader.at - 1)
    if (flags !== 1) walkConstant(reader)
    skipBytes(reader, readU32(reader))
  }
}

function exportedBy({ exports, functions, types }: Findings, name: string) {
  const found = exports.get(name)
  if (found === undefined) return undefined
  const kind = EXPORT_KINDS[found.kind] as string
  const signature = found.kind === 0 ? types[functions[found.index] ?? types.length] : undefined
  return { kind, ...(signature ? { signature } : {}) }
}

export function isSignature(
  signature: Signature | undefined,
  parameters: readonly string[],
  results: readonly string[],
): boolean {
  return (
    signature !== undefined &&
    signature.parameters.join() === parameters.join() &&
    signature.results.join() === results.join()
  )
}
