/**
 * Walks the instructions of function bodies and constant expressions, and refuses what opcodes.ts does not list.
 *
 * The engine checks types; this checks which instructions there are, which an engine's own validation cannot be
 * asked: what one engine accepts, another may not know, and relaxed SIMD gives other numbers on another processor.
 * In a module that the engine accepts, both see the same instructions, since the format leaves no choice about
 * where one ends.
 *
 * Threat: a small body can cost a compiler seconds. Its work on a function grows with the places where control
 * meets, times the locals that it has to carry there, so that product is capped (see MAX_MERGES).
 */
import {
  type BinaryReader,
  expectZero,
  malformed,
  readByte,
  readCount,
  readReferenceType,
  readU32,
  readValueType,
  skipBytes,
  skipLeb,
  tooLarge,
  unsupported,
  VALUE_TYPES,
} from './binary.ts'
import {
  BULK_IMMEDIATES,
  featureOf,
  IMMEDIATE,
  PLAIN_IMMEDIATES,
  PLAIN_NANS,
  PREFIX_BULK,
  PREFIX_VECTOR,
  VECTOR_IMMEDIATES,
  VECTOR_NANS,
} from './opcodes.ts'

/** What is learned from a piece of code. */
export interface CodeFacts {
  /** Whether an instruction may give a NaN whose bits are the engine's choice. */
  usesFloats: boolean
}

/** Engines stop at 50,000; compilers give large unoptimised functions a few thousand. */
const MAX_LOCALS = 2 ** 13
/** The largest function of an inference runtime of 14 MB, one that is generated, has 490 KB; the next 130. */
const MAX_BODY_BYTES = 2 ** 18
/** A `switch` opens a block for each case. */
const MAX_NESTING = 2 ** 12
/**
 * The same runtime needs a fifth of this. Measured on V8, with functions made for the purpose: at most 0.2 GB and a
 * second for one that reaches the cap; 6.6 GB and 25 s for one of a megabyte without it. A compiler thread cannot
 * be stopped, so a node has to have that much for each of the engine's (four in Node).
 */
const MAX_MERGES = 2 ** 20
/** What a block or a branch costs even in a function without locals, in locals. */
const MERGE_BASE = 64

/** Reads one body of the code section, of a function with so many parameters. */
export function walkBody(reader: BinaryReader, parameters: number, facts: CodeFacts): void {
  const size = readU32(reader)
  if (size > MAX_BODY_BYTES) throw tooLarge('bytes in a function', MAX_BODY_BYTES, size)
  const { end } = reader
  if (size > end - reader.at) throw malformed('a function is longer than its section', reader.at)
  reader.end = reader.at + size
  const locals = parameters + readLocals(reader)
  const merges = walkInstructions(reader, facts) * (locals + MERGE_BASE)
  if (merges > MAX_MERGES)
    throw tooLarge('blocks and branches of a function, times its locals', MAX_MERGES, merges)
  if (reader.at !== reader.end) throw malformed('a function goes on after its end', reader.at)
  reader.end = end
}

function readLocals(reader: BinaryReader): number {
  const groups = readCount(reader, 'groups of locals in a function', MAX_LOCALS)
  let locals = 0
  for (let i = 0; i < groups; i++) {
    locals += readU32(reader)
    if (locals > MAX_LOCALS) throw tooLarge('locals in a function', MAX_LOCALS, locals)
    readValueType(reader)
  }
  return locals
}

/** To the `end` that closes the body; returns how many blocks and branches there are. */
function walkInstructions(reader: BinaryReader, facts: CodeFacts): number {
  let depth = 1
  let joins = 0
  while (depth > 0) {
    const immediate = readOpcode(reader, facts)
    if (immediate === IMMEDIATE.none) continue
    if (immediate === IMMEDIATE.block) {
      joins += 1
      depth += 1
      if (depth > MAX_NESTING) throw tooLarge('blocks within one another', MAX_NESTING, depth)
      skipBlockType(reader)
    } else if (immediate === IMMEDIATE.end) {
      depth -= 1
    } else if (immediate === IMMEDIATE.label) {
      joins += 1
      skipLeb(reader, 5)
    } else if (immediate === IMMEDIATE.labels) {
      joins += skipLabels(reader)
    } else {
      SKIPS[immediate]?.(reader)
    }
  }
  return joins
}

/** Reads an opcode, and returns what follows it. */
function readOpcode(reader: BinaryReader, facts: CodeFacts): number {
  const start = reader.at
  const prefix = readByte(reader)
  let opcode = prefix
  let immediates = PLAIN_IMMEDIATES
  if (prefix === PREFIX_VECTOR) {
    opcode = readU32(reader)
    immediates = VECTOR_IMMEDIATES
    if (VECTOR_NANS[opcode] === 1) facts.usesFloats = true
  } else if (prefix === PREFIX_BULK) {
    opcode = readU32(reader)
    immediates = BULK_IMMEDIATES
  } else if (PLAIN_NANS[prefix] === 1) {
    facts.usesFloats = true
  }
  const immediate = immediates[opcode] ?? IMMEDIATE.refused
  if (immediate === IMMEDIATE.refused) throw unsupported(featureOf(prefix, opcode), start)
  return immediate
}

type Skip = (reader: BinaryReader) => void

const skipIndex: Skip = (reader) => skipLeb(reader, 5)
const skipZero: Skip = (reader) => expectZero(reader, 'a second memory')

/** How to step over what follows an opcode; what steers the walk itself is not here. */
const SKIPS: { readonly [immediate: number]: Skip } = {
  [IMMEDIATE.index]: skipIndex,
  [IMMEDIATE.i32]: skipIndex,
  [IMMEDIATE.i64]: (reader) => skipLeb(reader, 10),
  [IMMEDIATE.memory]: skipMemoryArgument,
  [IMMEDIATE.memoryLane]: (reader) => {
    skipMemoryArgument(reader)
    skipBytes(reader, 1)
  },
  [IMMEDIATE.twoIndices]: (reader) => {
    skipIndex(reader)
    skipIndex(reader)
  },
  [IMMEDIATE.indexZero]: (reader) => {
    skipIndex(reader)
    skipZero(reader)
  },
  [IMMEDIATE.zero]: skipZero,
  [IMMEDIATE.twoZeros]: (reader) => {
    skipZero(reader)
    skipZero(reader)
  },
  [IMMEDIATE.lane]: (reader) => skipBytes(reader, 1),
  [IMMEDIATE.bytes4]: (reader) => skipBytes(reader, 4),
  [IMMEDIATE.bytes8]: (reader) => skipBytes(reader, 8),
  [IMMEDIATE.bytes16]: (reader) => skipBytes(reader, 16),
  [IMMEDIATE.reference]: readReferenceType,
  [IMMEDIATE.valueTypes]: (reader) => {
    // Always one: the format leaves room for more.
    readCount(reader, 'types of a select', 1)
    readValueType(reader)
  },
}

/** Bit 6 of the alignment announces the index of another memory. */
function skipMemoryArgument(reader: BinaryReader): void {
  if (readU32(reader) >= 64) throw unsupported('a second memory', reader.at - 1)
  skipLeb(reader, 5)
}

/** Nothing (0x40), a value type, or the index of a type, which is not negative. */
function skipBlockType(reader: BinaryReader): void {
  const byte = readByte(reader)
  if (byte === 0x40 || VALUE_TYPES[byte] !== undefined) return
  if (byte < 0x40) return
  if (byte < 0x80) throw unsupported(`a block type 0x${byte.toString(16)}`, reader.at - 1)
  skipLeb(reader, 4)
}

function skipLabels(reader: BinaryReader): number {
  const labels = readU32(reader) + 1
  if (labels > reader.end - reader.at)
    throw malformed('a table of labels is longer than its function', reader.at)
  for (let left = labels; left > 0; left--) skipLeb(reader, 5)
  return labels
}

/** One constant and an `end`: WebAssembly 2.0 has no arithmetic there, and nothing imported could be read. */
export function walkConstant(reader: BinaryReader): void {
  const start = reader.at
  const opcode = readByte(reader)
  if (opcode === 0x41) skipLeb(reader, 5)
  else if (opcode === 0x42) skipLeb(reader, 10)
  else if (opcode === 0x43) skipBytes(reader, 4)
  else if (opcode === 0x44) skipBytes(reader, 8)
  else if (opcode === 0xd0) readReferenceType(reader)
  else if (opcode === 0xd2) skipLeb(reader, 5)
  else if (opcode === PREFIX_VECTOR && readU32(reader) === 12) skipBytes(reader, 16)
  else throw unsupported(`a computed constant (0x${opcode.toString(16).padStart(2, '0')})`, start)
  if (readByte(reader) !== 0x0b) throw unsupported('a computed constant', start)
}
