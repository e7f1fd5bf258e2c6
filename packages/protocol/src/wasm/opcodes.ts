/**
 * The instructions of WebAssembly 2.0 (W3C, "Binary Format", section 5.4) and what follows each in the code.
 *
 * A list of what is allowed, not of what is refused: an engine that learns new instructions accepts no more here
 * than one that does not. Left out on purpose: relaxed SIMD, whose results differ between processors; threads;
 * exceptions, tail calls and garbage collection, which not every engine has.
 *
 * `opcodes.test.ts` compares every row with what an engine accepts.
 */

/** What follows an opcode. `refused` is 0, so that what no row names is refused. */
export const IMMEDIATE = {
  refused: 0,
  none: 1,
  /** A block type; opens a block. */
  block: 2,
  end: 3,
  label: 4,
  labels: 5,
  index: 6,
  twoIndices: 7,
  /** An index and a reserved zero. */
  indexZero: 8,
  zero: 9,
  twoZeros: 10,
  /** Alignment and offset. */
  memory: 11,
  memoryLane: 12,
  lane: 13,
  i32: 14,
  i64: 15,
  bytes4: 16,
  bytes8: 17,
  bytes16: 18,
  valueTypes: 19,
  reference: 20,
} as const

export type Immediate = keyof typeof IMMEDIATE

type Row = readonly [first: number, last: number, immediate: Immediate]

const PLAIN: readonly Row[] = [
  [0x00, 0x01, 'none'], // unreachable, nop
  [0x02, 0x04, 'block'], // block, loop, if
  [0x05, 0x05, 'none'], // else
  [0x0b, 0x0b, 'end'],
  [0x0c, 0x0d, 'label'], // br, br_if
  [0x0e, 0x0e, 'labels'], // br_table
  [0x0f, 0x0f, 'none'], // return
  [0x10, 0x10, 'index'], // call
  [0x11, 0x11, 'twoIndices'], // call_indirect
  [0x1a, 0x1b, 'none'], // drop, select
  [0x1c, 0x1c, 'valueTypes'], // select with types
  [0x20, 0x26, 'index'], // local, global and table access
  [0x28, 0x3e, 'memory'], // loads and stores
  [0x3f, 0x40, 'zero'], // memory.size, memory.grow
  [0x41, 0x41, 'i32'],
  [0x42, 0x42, 'i64'],
  [0x43, 0x43, 'bytes4'],
  [0x44, 0x44, 'bytes8'],
  [0x45, 0xc4, 'none'], // arithmetic, comparisons, conversions, sign extension
  [0xd0, 0xd0, 'reference'], // ref.null
  [0xd1, 0xd1, 'none'], // ref.is_null
  [0xd2, 0xd2, 'index'], // ref.func
]

/** After the prefix 0xfc. */
const BULK: readonly Row[] = [
  [0, 7, 'none'], // saturating conversions
  [8, 8, 'indexZero'], // memory.init
  [9, 9, 'index'], // data.drop
  [10, 10, 'twoZeros'], // memory.copy
  [11, 11, 'zero'], // memory.fill
  [12, 12, 'twoIndices'], // table.init
  [13, 13, 'index'], // elem.drop
  [14, 14, 'twoIndices'], // table.copy
  [15, 17, 'index'], // table.grow, table.size, table.fill
]

/** After the prefix 0xfd. */
const VECTOR: readonly Row[] = [
  [0, 11, 'memory'], // loads and the store of whole vectors
  [12, 13, 'bytes16'], // v128.const, i8x16.shuffle
  [14, 20, 'none'], // swizzle and splats
  [21, 34, 'lane'], // extract_lane, replace_lane
  [35, 83, 'none'],
  [84, 91, 'memoryLane'],
  [92, 93, 'memory'], // v128.load32_zero, load64_zero
  [94, 153, 'none'],
  [155, 161, 'none'],
  [163, 164, 'none'],
  [167, 174, 'none'],
  [177, 177, 'none'],
  [181, 186, 'none'],
  [188, 193, 'none'],
  [195, 196, 'none'],
  [199, 206, 'none'],
  [209, 209, 'none'],
  [213, 225, 'none'],
  [227, 237, 'none'],
  [239, 255, 'none'],
]

export const PREFIX_BULK = 0xfc
export const PREFIX_VECTOR = 0xfd

/** For each opcode after no prefix, 0xfc and 0xfd, a number of IMMEDIATE. */
export const PLAIN_IMMEDIATES = tableOf(PLAIN)
export const BULK_IMMEDIATES = tableOf(BULK)
export const VECTOR_IMMEDIATES = tableOf(VECTOR)

function tableOf(rows: readonly Row[]): Uint8Array {
  const table = new Uint8Array(256)
  for (const [first, last, immediate] of rows) table.fill(IMMEDIATE[immediate], first, last + 1)
  return table
}

/**
 * Instructions whose result may be a NaN with bits that the specification leaves to the engine ("Numerics",
 * section 4.3.3, NaN propagation): arithmetic, rounding, min, max, promotion and demotion. What copies,
 * compares, negates or converts to integers gives the same bits everywhere.
 */
const PLAIN_NAN: readonly (readonly [number, number])[] = [
  [0x8d, 0x97], // f32.ceil … f32.max
  [0x9b, 0xa5], // f64.ceil … f64.max
  [0xb6, 0xb6], // f32.demote_f64
  [0xbb, 0xbb], // f64.promote_f32
]
const VECTOR_NAN: readonly (readonly [number, number])[] = [
  [0x5e, 0x5f], // demote, promote
  [0x67, 0x6a], // f32x4.ceil … nearest
  [0x74, 0x75], // f64x2.ceil, floor
  [0x7a, 0x7a], // f64x2.trunc
  [0x94, 0x94], // f64x2.nearest
  [0xe3, 0xe9], // f32x4.sqrt … max
  [0xef, 0xf5], // f64x2.sqrt … max
]

export const PLAIN_NANS = flagsOf(PLAIN_NAN)
export const VECTOR_NANS = flagsOf(VECTOR_NAN)

function flagsOf(ranges: readonly (readonly [number, number])[]): Uint8Array {
  const flags = new Uint8Array(256)
  for (const [first, last] of ranges) flags.fill(1, first, last + 1)
  return flags
}

/** The proposal that a refused opcode belongs to, for the message. */
export function featureOf(prefix: number, opcode: number): string {
  const name = opcode.toString(16).padStart(2, '0')
  if (prefix === PREFIX_VECTOR) {
    return `${opcode >= 0x100 ? 'relaxed or half-precision SIMD' : 'an unknown instruction'} (0xfd 0x${name})`
  }
  if (prefix === PREFIX_BULK) return `an unknown instruction (0xfc 0x${name})`
  return `${PROPOSALS.find(({ opcodes }) => opcodes.includes(opcode))?.name ?? 'an unknown instruction'} (0x${name})`
}

const PROPOSALS: readonly { readonly name: string; readonly opcodes: readonly number[] }[] = [
  { name: 'threads', opcodes: [0xfe] },
  { name: 'exceptions', opcodes: [0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f] },
  { name: 'tail calls', opcodes: [0x12, 0x13] },
  { name: 'garbage collection', opcodes: [0xfb, 0x14, 0x15, 0xd3, 0xd4, 0xd5, 0xd6] },
]
